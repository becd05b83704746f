"""LDIF (RFC 2849): the content records of a stream, one after the other, and such records as text.

Neither change records nor values by URL are read: a file says what stands there, and no more. A
record with a fault is a `Fault` with the number of its line, and the records after it are read all
the same. No more than one record is held at a time, and none of more than `LONGEST` bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

LONGEST = 1 << 20
"""Bytes of a record: 3,000 addresses of the greatest length."""

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9.;-]*")
_SAFE = re.compile(
    rb"[\x01-\x09\x0b\x0c\x0e-\x1f\x21-\x39\x3b\x3d-\x7f][\x01-\x09\x0b\x0c\x0e-\x7f]*"
)
_WIDTH = 76


@dataclass(frozen=True, slots=True)
class Fault:
    """What cannot be read, and where."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """One entry: the number of its dn: line, its name, and its attributes as they are written."""

    line: int
    name: bytes
    attributes: Mapping[str, Sequence[bytes]]


def read(lines: Iterable[bytes]) -> Iterator[Record | Fault]:
    """The records of these lines, each with or without its line end."""
    for block in _blocks(lines):
        try:
            record = _record(block)
        except ValueError as error:
            yield Fault(block[0][0], str(error))
        else:
            if record is not None:
                yield record


def write(name: bytes, attributes: Mapping[str, Sequence[bytes]]) -> bytes:
    """A record as text, with the empty line that ends it."""
    pairs = [("dn", name)] + [(key, one) for key, values in attributes.items() for one in values]
    return b"".join(_folded(key.encode() + _value(one)) for key, one in pairs) + b"\n"


def _blocks(lines: Iterable[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """The logical lines of each record, with the number of the line on which each begins."""
    block: list[tuple[int, bytes]] = []
    size = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip(b"\n").removesuffix(b"\r")
        if not line:
            if block:
                yield block
            block, size = [], 0
            continue
        size += len(line)
        if size > LONGEST:
            # Its end is read, and forgotten: what came before it tells that it is too long.
            block[1:] = [(number, b"")]
        elif line.startswith(b" ") and block:
            start, text = block[-1]
            block[-1] = (start, text + line[1:])
        else:
            block.append((number, line))
    if block:
        yield block


def _record(block: Sequence[tuple[int, bytes]]) -> Record | None:
    rows = [(number, line) for number, line in block if not line.startswith(b"#")]
    if rows and rows[0][1].lower().replace(b" ", b"") == b"version:1":
        rows = rows[1:]
    if not rows:
        return None
    pairs = [(number, *_pair(number, line)) for number, line in rows]
    start, first, name = pairs[0]
    if first != "dn":
        raise ValueError(f"line {start} is no dn: line; expected that a record begins with one")
    attributes: dict[str, list[bytes]] = {}
    for number, key, value in pairs[1:]:
        if key in {"changetype", "control"}:
            raise ValueError(f"line {number} has {key}; expected an entry and not a change")
        attributes.setdefault(key, []).append(value)
    return Record(start, name, attributes)


def _pair(number: int, line: bytes) -> tuple[str, bytes]:
    if not line:
        raise ValueError(f"a record of more than {LONGEST} bytes")
    key, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(key):
        raise ValueError(f"line {number} is no `attribute: value`")
    name = key.decode("ascii")
    name = name.lower() if name.lower() in {"dn", "changetype", "control"} else name
    if value.startswith(b"<"):
        raise ValueError(f"line {number} names a URL; expected the value itself")
    if not value.startswith(b":"):
        return name, value.lstrip(b" ")
    try:
        return name, base64.b64decode(value[1:].strip(), validate=True)
    except binascii.Error:
        raise ValueError(f"line {number} is no base64") from None


def _value(value: bytes) -> bytes:
    if not value or (_SAFE.fullmatch(value) and not value.endswith(b" ")):
        return b": " + value
    return b":: " + base64.b64encode(value)


def _folded(line: bytes) -> bytes:
    rest = range(_WIDTH, len(line), _WIDTH - 1)
    pieces = [line[:_WIDTH], *(line[start : start + _WIDTH - 1] for start in rest)]
    return b"\n ".join(pieces) + b"\n"
