"""RAR 1.5 to 4 and RAR 5: the names, sizes and encryption of all files, and what is only stored.

RAR's own packing is not undone: its members are `unread`. A volume of several has what it names.
"""

from __future__ import annotations

from collections.abc import Iterator

from iems.archive.member import BrokenError, Budget, Fault, Member
from iems.archive.packed import stored
from iems.archive.reader import Reader

OLD, NEW = b"Rar!\x1a\7\0", b"Rar!\x1a\7\1\0"
_MAIN, _FILE, _END = 0x73, 0x74, 0x7B
_HAS_DATA = 0x8000
_HEADERS_ENCRYPTED = 0x80
_ENCRYPTED, _LARGE, _UNICODE, _FOLDER = 0x4, 0x100, 0x200, 0xE0
_STORED = 0x30
_NEW_FILE, _NEW_ENCRYPTION, _NEW_END = 2, 4, 5
_NEW_EXTRA, _NEW_DATA, _NEW_FOLDER = 1, 2, 1
_UNREAD = frozenset({Fault.UNREAD})
_LOCKED = frozenset({Fault.ENCRYPTED})


def members(data: bytes, budget: Budget) -> Iterator[Member | Fault]:
    """All files, in the order in which they stand."""
    blocks = _new if data.startswith(NEW) else _old
    try:
        for found in blocks(data, budget):
            if (end := budget.end()) is not None:
                yield end
                return
            yield found
    except BrokenError:
        yield Fault.BROKEN


def _old(data: bytes, budget: Budget) -> Iterator[Member | Fault]:
    at = len(OLD)
    while at < len(data):
        block = Reader(data, at + 2)
        kind, flags, size = block.number(1), block.number(2), block.number(2)
        if size < 7:
            raise BrokenError
        following = block.number(4) if flags & _HAS_DATA or kind == _FILE else 0
        if kind == _MAIN and flags & _HEADERS_ENCRYPTED:
            yield Fault.ENCRYPTED
            return
        if kind == _END:
            return
        if kind == _FILE:
            unpacked = block.number(4)
            block.take(9)
            block.take(1)
            method, name_size = block.number(1), block.number(2)
            block.take(4)
            if flags & _LARGE:
                following |= block.number(4) << 32
                unpacked |= block.number(4) << 32
            names = _names(block.take(name_size), unicode=bool(flags & _UNICODE))
            if flags & _FOLDER != _FOLDER:
                plain = method == _STORED
                locked = bool(flags & _ENCRYPTED)
                start = at + size
                yield _member(data, names, unpacked, start, following, budget, plain, locked)
        at += size + following


def _new(data: bytes, budget: Budget) -> Iterator[Member | Fault]:
    at = len(NEW)
    while at < len(data):
        block = Reader(data, at + 4)
        size = _number(block)
        begin = block.at
        kind, flags = _number(block), _number(block)
        extra = _number(block) if flags & _NEW_EXTRA else 0
        following = _number(block) if flags & _NEW_DATA else 0
        if size == 0:
            raise BrokenError
        if kind == _NEW_ENCRYPTION:
            yield Fault.ENCRYPTED
            return
        if kind == _NEW_END:
            return
        if kind == _NEW_FILE:
            file_flags, unpacked = _number(block), _number(block)
            _number(block)
            block.take(4 * bool(file_flags & 2) + 4 * bool(file_flags & 4))
            compression = _number(block)
            _number(block)
            name = block.take(_number(block)).decode("utf-8", "replace")
            if not file_flags & _NEW_FOLDER:
                locked = _is_locked(data[begin + size - extra : begin + size])
                plain = not compression >> 7 & 7
                start = begin + size
                yield _member(data, (name,), unpacked, start, following, budget, plain, locked)
        at = begin + size + following


def _is_locked(extra: bytes) -> bool:
    """Whether one of the records says that the file is encrypted."""
    record = Reader(extra)
    while record.more():
        size = _number(record)
        after = record.at + size
        if _number(record) == 1:
            return True
        if size == 0:
            raise BrokenError
        record.at = after
    return False


def _member(
    data: bytes,
    names: tuple[str, ...],
    size: int,
    start: int,
    packed: int,
    budget: Budget,
    plain: bool,
    locked: bool,
) -> Member:
    if locked or not plain:
        return Member(names, size, None, _LOCKED if locked else _UNREAD)
    one = stored(data, start, start + packed, budget)
    return Member(names, size, one.octets, one.faults)


def _names(raw: bytes, *, unicode: bool) -> tuple[str, ...]:
    """The name in the old character set, and the one in Unicode that may stand behind it."""
    plain, nul, packed = raw.partition(b"\0")
    if not unicode:
        return (plain.decode("utf-8", "replace"),)
    if not nul:
        return (raw.decode("utf-8", "replace"),)
    return tuple(dict.fromkeys((_unicode(plain, packed), plain.decode("utf-8", "replace"))))


def _unicode(plain: bytes, packed: bytes) -> str:
    """A name as RAR packs it: its difference to the plain one, two bits for each step."""
    stream, units = Reader(packed), bytearray()
    try:
        high = stream.number(1)
        flags = left = 0
        while stream.more() and len(units) < 2 * 2048:
            if not left:
                flags, left = stream.number(1), 8
            left -= 2
            step = flags >> left & 3
            if step < 3:
                low = stream.number(1)
                top = (0, high)[step] if step < 2 else stream.number(1)
                units += bytes([low, top])
                continue
            length = stream.number(1)
            shift = stream.number(1) if length & 128 else 0
            for _unit in range((length & 127) + 2):
                at = len(units) // 2
                old = plain[at] if at < len(plain) else 0
                units += bytes([(old + shift) & 255, high if length & 128 else 0])
    except BrokenError:
        pass
    return units.decode("utf-16-le", "replace")


def _number(block: Reader) -> int:
    """Seven bits a byte, the lowest first."""
    found = 0
    for shift in range(0, 70, 7):
        byte = block.number(1)
        found |= (byte & 127) << shift
        if not byte & 128:
            return found
    raise BrokenError
