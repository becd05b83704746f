"""A message as the bytes of DATA: dots doubled, the end put behind it (RFC 5321 section 4.5.2).

Dovecot 2.3.19 takes a bare LF for a line end in DATA, too: it ends the message at LF.LF, LF.CRLF
and CRLF.LF, and takes the dot away after a bare LF (a test holds it to that). So a dot is doubled
after every LF. A server that knows CRLF alone would see one dot too many after a bare LF; Postfix
sends no bare LF over LMTP, so no such message comes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

END = b".\r\n"


def stuffed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as they go over the wire, the end of DATA without its own piece."""
    before = b"\r\n"
    for piece in pieces:
        if not piece:
            continue
        text = piece.replace(b"\n.", b"\n..") if b"\n." in piece else piece
        if before.endswith(b"\n") and text.startswith(b"."):
            text = b"." + text
        yield text
        before = (before + piece)[-2:] if len(piece) < 2 else piece[-2:]
    if before != b"\r\n":
        yield b"\r\n"
