"""Tar: the headers of all files, in every form of the name (POSIX ustar and pax, GNU, V7).

What is behind the end that a tar has is looked at, too: some readers do. Where pax says another
size than the header of the file does, what stands behind the file is looked at for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from iems.archive.member import BrokenError, Budget, Fault, Member
from iems.archive.packed import Unpacked, stored

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_LINKS_AND_SPECIAL = b"123456"
_DIFFER = frozenset({Fault.LISTINGS_DIFFER})
_PAX = re.compile(rb"[0-9]{1,10} ([^=\n]{1,200})=")
_SIZE = re.compile(rb"[ \0]*([0-7]*)[ \0]*")


def is_tar(data: bytes) -> bool:
    """Whether the first block is a header: V7 has no sign but its sum."""
    return len(data) >= _BLOCK and data[:1] != b"\0" and _is_header(data[:_BLOCK])


def members(data: bytes, budget: Budget) -> Iterator[Member | Fault]:
    """All files, in the order in which they stand; then those that some readers see between."""
    places, seen = [0], set[int]()
    for place in places:
        yield from _members(data, place, places, seen, budget)


def _members(
    data: bytes, at: int, places: list[int], seen: set[int], budget: Budget
) -> Iterator[Member | Fault]:
    """The files from this place on; `places` gets where other readers go on."""
    ended, differ = False, _DIFFER if at else frozenset()
    names: list[bytes] = []
    size: int | None = None
    while at + _BLOCK <= len(data):
        if at in seen:
            return
        seen.add(at)
        header = data[at : at + _BLOCK]
        at += _BLOCK
        if header == _ZEROS:
            ended = True
            continue
        if not _is_header(header):
            if not ended:
                yield Fault.BROKEN
            return
        try:
            length = own = _number(header[124:136])
        except BrokenError:
            yield Fault.BROKEN
            return
        kind = header[156:157]
        if kind in _LINKS_AND_SPECIAL:
            length = own = 0
        elif size is not None and kind not in b"LKxg":
            length = size
        start, at, other = at, _behind(at, length), _behind(at, own)
        if other != at and other + _BLOCK <= len(data) and _is_header(data[other : other + _BLOCK]):
            places.append(other)
        if kind in b"LK":
            names += [data[start : start + length].partition(b"\0")[0]] if kind == b"L" else []
        elif kind in b"xg":
            told = _pax(data[start : start + length])
            names += told.get(b"path", [])
            sizes = told.get(b"size", [])
            size = int(sizes[-1]) if sizes and sizes[-1].isdigit() and len(sizes[-1]) < 20 else None
        else:
            if (end := budget.end()) is not None:
                yield end
                return
            if kind != b"5":
                one = stored(data, start, start + length, budget)
                odd = _DIFFER if ended or length != own else differ
                yield _member((*names, _name(header)), length, one, odd)
            names, size = [], None
    if not ended:
        yield Fault.BROKEN


def _behind(at: int, length: int) -> int:
    """Where the next header is."""
    return at + -(-length // _BLOCK) * _BLOCK


def _member(names: tuple[bytes, ...], size: int, one: Unpacked, odd: frozenset[Fault]) -> Member:
    shown = dict.fromkeys(name.decode("utf-8", "replace") for name in names)
    return Member(tuple(shown), size, one.octets, one.faults | odd)


def _is_header(header: bytes) -> bool:
    """Whether its sum is right; old writers took the bytes with their signs."""
    try:
        told = _number(header[148:156])
    except BrokenError:
        return False
    kept = header[:148] + b" " * 8 + header[156:]
    return told in {sum(kept), sum(kept) - 256 * sum(one > 127 for one in kept)}


def _number(field: bytes) -> int:
    """Octal, or the binary of GNU for what is too large for it."""
    if field[0] & 0x80:
        large = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if large >> 60:
            raise BrokenError
        return large
    found = _SIZE.match(field)
    if found is None or found.end() < len(field):
        raise BrokenError
    return int(found[1] or b"0", 8)


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _pax(content: bytes) -> dict[bytes, list[bytes]]:
    """The records of a pax header: a length, a name, a value."""
    found: dict[bytes, list[bytes]] = {}
    at = 0
    while (record := _PAX.match(content, at)) is not None:
        length = int(record[0].partition(b" ")[0])
        value = content[record.end() : at + length].rstrip(b"\n")
        if length <= record.end() - at:
            break
        found.setdefault(record[1], []).append(value)
        at += length
    return found
