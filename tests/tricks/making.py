"""How senders hide a file from those who look for it, and not from a mail program that shows it.

Each trick is a message in which some reader finds the file: a mail program, a library, a naive
or a strict parser. They are what RFC 2045 to 2047, RFC 2183 and RFC 2231 forbid or leave open, and
what has been published of filters and mail programs that differ.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

HEAD = b"From: a@sender.example\r\nTo: bob@example.test\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
OCTETS = b"Content-Type: application/octet-stream\r\n"
MIXED = b'Content-Type: multipart/mixed; boundary="XX"\r\n'
BASE64 = b"Content-Transfer-Encoding: base64\r\n"
FILE = b'Content-Disposition: attachment; filename="evil.exe"\r\n'

Trick = Callable[[bytes], bytes]
"""Of the octets of a file: the message in which it is hidden."""


def lines(octets: bytes) -> bytes:
    """In base64, as it stands in mail."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def part(octets: bytes, *fields: bytes) -> bytes:
    """The file in base64, below these fields or those that it usually has."""
    return b"".join(fields or (OCTETS, BASE64, FILE)) + b"\r\n" + lines(octets)


def message(
    *parts: bytes, fields: bytes = MIXED, delimiter: bytes = b"--XX", end: str = ""
) -> bytes:
    body = b"".join(delimiter + b"\r\n" + one + b"\r\n" for one in parts)
    last = delimiter + b"--\r\n" if not end else end.encode("latin-1")
    return HEAD + fields + b"\r\n" + body + last


def below(field: bytes) -> Trick:
    """The file below one more field, which stands before the others."""
    return lambda octets: message(TEXT, part(octets, field, OCTETS, BASE64, FILE))


def encoded(*values: bytes) -> Trick:
    """The file in base64 below these Content-Transfer-Encodings."""
    fields = [b"Content-Transfer-Encoding:" + value + b"\r\n" for value in values]
    return lambda octets: message(TEXT, part(octets, OCTETS, *fields, FILE))


def written(change: Callable[[bytes], bytes]) -> Trick:
    """The file in a base64 that is changed in this way."""
    return lambda octets: message(
        TEXT, b"".join((OCTETS, BASE64, FILE, b"\r\n")) + change(lines(octets))
    )


def typed(value: bytes, delimiter: bytes = b"--XX") -> Trick:
    """The file in a multipart with this Content-Type."""
    fields = b"Content-Type:" + value + b"\r\n"
    return lambda octets: message(TEXT, part(octets), fields=fields, delimiter=delimiter)


def named(*fields: bytes) -> Trick:
    """The file with its name only in these fields."""
    return lambda octets: message(TEXT, part(octets, *fields, BASE64))


def bent(change: Callable[[bytes], bytes]) -> Trick:
    """A plain message with the file, changed in this way."""
    return lambda octets: change(message(TEXT, part(octets)))


def replaced(old: bytes, new: bytes, times: int = -1) -> Trick:
    return bent(lambda data: data.replace(old, new, times))


def pieces(octets: bytes) -> bytes:
    """Each few octets in a base64 of their own, with its padding."""
    return b"".join(lines(octets[at : at + 10]) for at in range(0, len(octets), 10))


def quoted(octets: bytes) -> bytes:
    return b"".join(b"=%02X" % one for one in octets)


def soft(octets: bytes, brk: bytes) -> bytes:
    found = quoted(octets)
    return brk.join(found[at : at + 72] for at in range(0, len(found), 72)) + b"\r\n"


def in_quoted(change: Callable[[bytes], bytes]) -> Trick:
    quoted = b"Content-Transfer-Encoding: quoted-printable\r\n"
    return lambda octets: message(TEXT, OCTETS + quoted + FILE + b"\r\n" + change(octets))


def nested(outer: bytes, inner: bytes) -> Trick:
    """The file in a multipart within another, with these boundaries."""

    def made(octets: bytes) -> bytes:
        within = b'Content-Type: multipart/mixed; boundary="' + inner + b'"\r\n\r\n'
        for one in (TEXT, part(octets)):
            within += b"--" + inner + b"\r\n" + one + b"\r\n"
        fields = b'Content-Type: multipart/mixed; boundary="' + outer + b'"\r\n'
        return message(within + b"--" + inner + b"--\r\n", fields=fields, delimiter=b"--" + outer)

    return made


def deep(levels: int) -> Trick:
    def made(octets: bytes) -> bytes:
        inner = part(octets)
        for level in range(levels):
            mark = b"B%d" % level
            head = b'Content-Type: multipart/mixed; boundary="' + mark + b'"\r\n\r\n'
            inner = head + b"--" + mark + b"\r\n" + inner + b"\r\n--" + mark + b"--\r\n"
        return HEAD + inner

    return made


def inside(kind: bytes, *fields: bytes) -> Trick:
    """The file in a message within another, which is in base64 if one of the fields says so."""

    def made(octets: bytes) -> bytes:
        inner = message(TEXT, part(octets), fields=MIXED.replace(b"XX", b"YY"), delimiter=b"--YY")
        head = b"Content-Type: " + kind + b"\r\n" + b"".join(fields) + b"\r\n"
        return message(TEXT, head + (lines(inner) if fields else inner))

    return made


def alone(*fields: bytes) -> Trick:
    """The file as the whole message."""
    return lambda octets: HEAD + b"".join(fields) + b"\r\n" + lines(octets)


def uuencoded(
    octets: bytes, begin: bytes = b"begin 644 evil.exe", end: bytes = b"`\r\nend\r\n"
) -> bytes:
    rows = (binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45))
    return begin + b"\r\n" + b"".join(rows).replace(b"\n", b"\r\n") + end


def in_text(change: Callable[[bytes], bytes], fields: bytes = b"") -> Trick:
    return lambda octets: HEAD + fields + b"\r\nhello\r\n\r\n" + change(octets)


def searched(data: bytes, levels: int = 2) -> Iterator[bytes]:
    """All octets that the greediest of readers could take for a file, whatever the structure."""
    yield data
    if not levels:
        return
    undone = [binascii.a2b_qp(re.sub(rb"=[ \t]*\r?\n", b"", data))]
    letters = _OTHERS.sub(b"", data)
    undone += [_lenient(letters[start:]) for start in range(4)]
    undone.append(b"".join(_lenient(_OTHERS.sub(b"", one)) for one in re.split(b"=+", data)))
    undone.append(b"".join(map(_row, data.splitlines())))
    for octets in undone:
        yield from searched(octets, levels - 1)


_OTHERS = re.compile(rb"[^A-Za-z0-9+/]")


def _lenient(letters: bytes) -> bytes:
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _row(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""
