"""Zip, by both of its listings: the central directory, and the header before each file.

Most readers go by the directory; those that read a stream, and some scanners, by the headers. Where
the two do not agree, the members are there by each of them, with `listings-differ`. A file has each
of the names that it is given: by code page 437, UTF-8, or in the extra field of Info-ZIP.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from iems.archive.member import Budget, Fault, Member
from iems.archive.packed import Unpacked, inflater, stored, unbzip2, unlzma, unpack, unxz

_LOCAL, _CENTRAL, _END, _END64, _AT64 = (
    *(b"PK\3\4", b"PK\1\2", b"PK\5\6"),
    *(b"PK\6\6", b"PK\6\7"),
)
_TAIL = 22 + 0xFFFF
"""The end record and the longest comment behind it."""

_ENDS = 4
"""End records that are looked at."""

_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 0x2041, 0x8, 0x800
_BEHIND = re.compile(rb"PK(?:\x07\x08|\x03\x04|\x01\x02)")
_METHODS = frozenset(range(21)) | frozenset(range(93, 100))
_UNKNOWN = 0xFFFFFFFF
_DIFFER = frozenset({Fault.LISTINGS_DIFFER})
_NONE: frozenset[Fault] = frozenset()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one listing says of a file; `local` is where its header is, `start` its content."""

    local: int
    start: int
    flags: int
    method: int
    packed: int
    size: int
    names: tuple[str, ...]


_Read: TypeAlias = tuple[Member, int]
"""A file, and where its content ends as far as its own bytes tell."""


def has_end(data: bytes) -> bool:
    """Whether there is an end record: who opens a zip looks for it, whatever stands before."""
    return data.rfind(_END, max(0, len(data) - _TAIL)) >= 0


def members(data: bytes, budget: Budget) -> Iterator[Member | Fault]:
    """All files of the directory, then those of which it does not know."""
    directories = _directories(data, budget.members + 1)
    if len(directories) != 1:
        yield Fault.LISTINGS_DIFFER if directories else Fault.BROKEN
    ends: dict[int, int] = {}
    for entry in itertools.chain(*directories):
        if (end := budget.end()) is not None:
            yield end
            return
        local = _local(data, entry.local)
        found, stop = _read(data, replace(entry, start=local.start) if local else entry, budget)
        alike = local is not None and _agree(entry, local)
        ends[entry.local] = max(stop, ends.get(entry.local, 0))
        if not _is_folder(entry):
            yield found if alike else replace(found, faults=found.faults | _DIFFER)
        if local is not None and not alike:
            other, stop = _read(data, local, budget)
            ends[entry.local] = stop
            yield replace(other, faults=other.faults | _DIFFER)
    yield from _unlisted(data, ends, budget)


def _unlisted(data: bytes, ends: dict[int, int], budget: Budget) -> Iterator[Member | Fault]:
    """The files that only who reads it as a stream finds."""
    at = data.find(_LOCAL)
    while at >= 0:
        stop = ends.get(at)
        if stop is None and (local := _local(data, at)) is not None:
            if (end := budget.end()) is not None:
                yield end
                return
            found, stop = _read(data, local, budget)
            if not _is_folder(local):
                yield replace(found, faults=found.faults | (_DIFFER if ends else _NONE))
        at = data.find(_LOCAL, max(stop or 0, at + 4))


def _directories(data: bytes, most: int) -> list[list[_Entry]]:
    """The entries of all directories that an end record leads to."""
    found: dict[int, list[_Entry]] = {}
    tail = max(0, len(data) - _TAIL)
    end = last = data.rfind(_END, tail)
    for _record in range(_ENDS):
        if end < 0:
            break
        comment = _short(data, end + 20)
        if end == last or end + 22 + comment == len(data):
            for start, shift in _starts(data, end):
                if start not in found:
                    found[start] = list(_entries(data, start, shift, most))
        end = data.rfind(_END, tail, end)
    return list(found.values())


def _starts(data: bytes, end: int) -> Iterator[tuple[int, int]]:
    """Where the directory begins, and what stands before the archive: a program that unpacks it."""
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    offset = int.from_bytes(data[end + 16 : end + 20], "little")
    if data[end - 20 : end - 16] == _AT64:
        end = int.from_bytes(data[end - 12 : end - 4], "little")
        if data[end : end + 4] == _END64:
            size = int.from_bytes(data[end + 40 : end + 48], "little")
            offset = int.from_bytes(data[end + 48 : end + 56], "little")
    for start in dict.fromkeys((end - size, offset)):
        if 0 <= start <= end and data.startswith(_CENTRAL, start):
            yield start, start - offset


def _entries(data: bytes, start: int, shift: int, most: int) -> Iterator[_Entry]:
    at = start
    for _entry in range(most):
        if not data.startswith(_CENTRAL, at) or len(data) < at + 46:
            return
        name, extra, comment = (_short(data, at + place) for place in (28, 30, 32))
        yield _entry_of(data, at + 8, at + 46, name, extra, _long(data, at + 42) + shift)
        at += 46 + name + extra + comment


def _local(data: bytes, at: int) -> _Entry | None:
    """What the header at this place says; None if there is none."""
    if at < 0 or not data.startswith(_LOCAL, at) or len(data) < at + 30:
        return None
    name, extra = _short(data, at + 26), _short(data, at + 28)
    if _short(data, at + 8) not in _METHODS or not name:
        return None
    return _entry_of(data, at + 6, at + 30, name, extra, at)


def _entry_of(data: bytes, fields: int, text: int, name: int, extra: int, local: int) -> _Entry:
    """Both headers have the same fields in the same order from the flags on."""
    flags, method = _short(data, fields), _short(data, fields + 2)
    packed, size = _long(data, fields + 12), _long(data, fields + 16)
    raw, more = data[text : text + name], data[text + name : text + name + extra]
    names = [raw.decode("utf-8", "replace")]
    if not flags & _UTF8 and not raw.isascii():
        names.insert(0, raw.decode("cp437"))
    for number, value in _extras(more):
        if number == 1 and _UNKNOWN in {packed, size}:
            wide = [int.from_bytes(value[at : at + 8], "little") for at in range(0, 16, 8)]
            size = wide.pop(0) if size == _UNKNOWN else size
            packed = wide[0] if packed == _UNKNOWN else packed
        elif number == 0x7075:
            names.append(value[5:].decode("utf-8", "replace"))
    return _Entry(
        local, text + name + extra, flags, method, packed, size, tuple(dict.fromkeys(names))
    )


def _extras(more: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(more):
        length = _short(more, at + 2)
        yield _short(more, at), more[at + 4 : at + 4 + length]
        at += 4 + length


def _agree(entry: _Entry, local: _Entry) -> bool:
    """Whether a reader of either would unpack the same under the same name."""
    sizes = (local.packed, local.size) in {(entry.packed, entry.size), (0, 0)}
    unsized = bool(local.flags & _SIZES_BEHIND) and sizes
    same = (entry.method, entry.names) == (local.method, local.names)
    encrypted = bool(entry.flags & _ENCRYPTED) == bool(local.flags & _ENCRYPTED)
    return (
        same and encrypted and (unsized or (local.packed, local.size) == (entry.packed, entry.size))
    )


def _is_folder(entry: _Entry) -> bool:
    return entry.names[0].endswith(("/", "\\")) and not entry.packed


def _read(data: bytes, entry: _Entry, budget: Budget) -> _Read:
    """The content by what one listing says."""
    packed = entry.packed
    if entry.flags & _SIZES_BEHIND and not packed:
        packed = len(data) - entry.start
    end = entry.start + packed
    if entry.flags & _ENCRYPTED or entry.method == 99:
        return Member(entry.names, entry.size, None, frozenset({Fault.ENCRYPTED})), end
    one = _unpacked(data, entry, end, budget)
    if one is None:
        return Member(entry.names, entry.size, None, frozenset({Fault.UNREAD})), end
    if not one.faults and entry.method == 8:
        end = entry.start + one.used
    return Member(entry.names, entry.size, one.octets, one.faults), end


def _unpacked(data: bytes, entry: _Entry, end: int, budget: Budget) -> Unpacked | None:
    start, method = entry.start, entry.method
    if method == 0:
        if entry.flags & _SIZES_BEHIND and not entry.packed:
            end = _next(data, start)
        return stored(data, start, end, budget)
    if method == 14:
        length = _short(data, start + 2)
        start += 4 + length
        machine = unlzma(data[start - length : start])
        size = entry.size or None
        return unpack(machine, data, start, end, budget, size) if machine else None
    machine = {8: inflater, 12: unbzip2, 95: unxz}.get(method, lambda: None)()
    return unpack(machine, data, start, end, budget) if machine else None


def _next(data: bytes, start: int) -> int:
    """Where content ends of which nobody says how long it is."""
    found = _BEHIND.search(data, start)
    return found.start() if found else len(data)


def _short(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _long(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
