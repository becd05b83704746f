"""What of a message is scanned: the whole, and what readers make of it who do not read as clamd.

A scanner takes mail apart as one reader does. Where readers are known to differ (`iems.mime`), the
contents of every part in every reading are given to it as well, without their transfer encoding; so
are the parts of multiparts that clamd passes over, bodies in quoted-printable with blanks behind
soft line breaks, bodies in base64 with padding before their end, of which some readers take only
what stands before it, and files that stand in texts (`iems.mime.block`). What is a message or a
multipart only once its encoding is undone, is read in the same way. A message that has nothing of
all this costs one search through its bytes.

Failure: more than `_MOST` readings, or `_TIMES` the bytes of the message, are not looked at, nor is
what the parser left as it is; `TooManyError` says so when all else was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from iems.codec.encoded import PIECES, base64_octets, base64_pieces
from iems.mime.block import blocks
from iems.mime.defect import Defect
from iems.mime.part import Part
from iems.mime.transfer import ODD_SOFT_BREAK, decode
from iems.mime.tree import parse
from iems.store.spool import Spooled
from milters.engines.clamd import MAIL
from milters.engines.scanner import Octets

_MOST, _TIMES, _LEVELS = 200, 8, 5
"""Honest mail in doubt has some ten readings, together once or twice as long as the message."""

_UNPACKED, _LEAST = 2, 512 << 10
"""Times the bytes of the message, or octets where that is less, of a file in a text: BinHex packs
runs to a hundredth, and a few small messages would take all memory of the process."""

_LEFT = frozenset({Defect.TOO_MANY_PARTS, Defect.LONG_HEADER})
_LETTER = re.compile(rb"[A-Za-z0-9+/]")
_CONTAINER = re.compile(r"multipart|message/")
_PASSED_OVER = frozenset({"multipart/signed", "multipart/parallel"})
"""Of these clamd scans a text in plain or HTML, and no attachment."""


class TooManyError(Exception):
    """There is more to a message than is looked at."""


def whole(message: Spooled) -> Octets:
    """The message as it is, in a form in which a scanner sees that it is one."""

    def pieces() -> Iterator[bytes]:
        yield MAIL
        yield message.header
        yield from message.body.pieces()

    return Octets(len(MAIL) + message.size, pieces)


def others(message: Spooled) -> Iterator[Octets]:
    """The contents that other readers may find in it, each once; TooManyError at the end."""
    data = b"".join((message.header, *message.body.pieces()))
    left, bytes_left = _MOST, _TIMES * max(len(data), 64 << 10)
    seen: set[int] = set()
    readings = _Readings(max(_UNPACKED * len(data), _LEAST))
    for octets in readings.of(data, _LEVELS):
        if not octets or (key := hash(octets)) in seen:
            continue
        seen.add(key)
        left, bytes_left = left - 1, bytes_left - len(octets)
        if left < 0 or bytes_left < 0:
            raise TooManyError(f"more than {_MOST} readings or {_TIMES} times its bytes")
        yield Octets.of(octets)
    if readings.incomplete:
        raise TooManyError("a structure that is too deep, too wide or too long")


class _Readings:
    """Of one message; `incomplete` once a part was left as it is, or a file is beyond `most`."""

    def __init__(self, most: int) -> None:
        self.incomplete = False
        self._most = most

    def of(self, data: bytes, levels: int) -> Iterator[bytes]:
        """What readers find in these bytes."""
        root = parse(data)
        parts = list(root.walk())
        doubtful = any(
            part.others or part.defects or part.content_type.word in _PASSED_OVER for part in parts
        )
        self.incomplete |= any(one.defect in _LEFT for part in parts for one in part.defects)
        leaves = (part for part in parts if not part.parts)
        once = {(one.body, one.end, one.encoding, one.content_type.word): one for one in leaves}
        for part in once.values():
            body = data[part.body : part.end]
            if doubtful or _reads_otherwise(part.encoding, body):
                yield from self._contents(part, body, data[part.start : part.body], levels)
            elif part.content_type.word.startswith("text"):
                for octets in self._decoded(part.encoding, body):
                    yield from self._files(octets)

    def _contents(self, part: Part, body: bytes, head: bytes, levels: int) -> Iterator[bytes]:
        """What readers find in a part that they do not read alike."""
        for octets in self._decoded(part.encoding, body):
            yield octets
            yield from self._files(octets)
            if _CONTAINER.match(part.content_type.word) is None or octets == body:
                continue
            if levels <= 0:
                self.incomplete = True
                continue
            inner = _plain(head) + octets
            yield MAIL + inner
            yield from self.of(inner, levels - 1)

    def _files(self, text: bytes) -> Iterator[bytes]:
        """What is in the files that stand in a text."""
        for block in blocks(text, self._most):
            self.incomplete |= block.cut
            yield block.octets

    def _decoded(self, encoding: str, body: bytes) -> Iterator[bytes]:
        """The octets, in each way in which readers undo the encoding."""
        if encoding == "quoted-printable":
            yield decode(encoding, body)
        elif encoding != "base64":
            yield body
        else:
            yield base64_octets(body)
            if body.count(b"=") > PIECES:
                self.incomplete = True
            elif _padded_within(body):
                yield base64_pieces(body)


def _reads_otherwise(encoding: str, body: bytes) -> bool:
    """Whether clamd undoes the encoding in another way than some readers."""
    if encoding == "quoted-printable":
        return ODD_SOFT_BREAK.search(body) is not None
    return encoding == "base64" and _padded_within(body)


def _padded_within(body: bytes) -> bool:
    """Whether base64 goes on behind its padding."""
    at = body.find(b"=")
    return at >= 0 and _LETTER.search(body, at) is not None


def _plain(head: bytes) -> bytes:
    """The header of a part whose encoding is undone."""
    return re.sub(rb"(?im)^content-transfer-encoding[ \t]*:", b"X-Undone:", head)
