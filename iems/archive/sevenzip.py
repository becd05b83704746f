"""7z: the names and sizes of all files, and their content where one method or a filter packed it.

The listing stands at the end, packed itself, and may be encrypted with the rest. PPMd, BCJ2 and
what else needs several streams at once is not undone: these members are `unread`.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from iems.archive.member import BrokenError, Budget, Fault, Member
from iems.archive.packed import (
    Machine,
    Unpacked,
    inflater,
    stored,
    unbzip2,
    unlzma,
    unlzma2,
    unpack,
)
from iems.archive.reader import Reader

SIGNATURE = b"7z\xbc\xaf\x27\x1c"
_HEADER = 32

_MOST = 100_000
"""Of anything that is counted: folders, streams, files."""

_CODERS = 32
_END, _MAIN, _FILES, _PACK, _FOLDERS, _STREAMS = 0, 4, 5, 6, 7, 8
_SIZE, _SUMS, _FOLDER, _SIZES, _COUNTS, _EMPTY, _NAMES = 9, 10, 11, 12, 13, 14, 17
_PLAIN_HEADER, _PACKED_HEADER = 1, 23
_COPY, _LZMA, _LZMA2, _AES = b"\0", b"\3\1\1", b"\x21", b"\6\xf1\7\1"
_X86 = b"\3\3\1\3"
_METHODS: dict[bytes, Callable[[bytes], Machine | None]] = {
    _LZMA: unlzma,
    _LZMA2: unlzma2,
    b"\4\1\x08": lambda _properties: inflater(),
    b"\4\2\2": lambda _properties: unbzip2(),
}


@dataclass(frozen=True, slots=True)
class _Coder:
    method: bytes
    properties: bytes


@dataclass(slots=True)
class _Folder:
    """Streams that were packed together; `sizes` are those of its files."""

    coders: list[_Coder]
    straight: bool
    """Whether each coder feeds the next one, and none has two inputs."""

    inputs: int
    outputs: int
    made: int = 0
    sizes: tuple[int, ...] = ()
    start: int = 0
    packed: int = 0
    summed: bool = False

    @property
    def encrypted(self) -> bool:
        """Whether a password is needed."""
        return any(coder.method == _AES for coder in self.coders)


def members(data: bytes, budget: Budget) -> Iterator[Member | Fault]:
    """All files in the order of the listing."""
    try:
        header = _header(data, budget)
    except BrokenError:
        header = Fault.BROKEN
    if isinstance(header, Fault):
        yield header
        return
    try:
        folders, files = _listing(Reader(header))
    except BrokenError:
        yield Fault.BROKEN
        return
    contents = _contents(data, folders, budget)
    for name, empty in files:
        if (end := budget.end()) is not None:
            yield end
            return
        if not empty:
            size, one = next(contents, (None, Unpacked(b"", 0, frozenset({Fault.BROKEN}))))
            octets = None if one.faults & {Fault.ENCRYPTED, Fault.UNREAD} else one.octets
            yield Member((name,), size, octets, one.faults)


def _header(data: bytes, budget: Budget) -> bytes | Fault:
    """The listing, unpacked."""
    start = Reader(data, 12)
    offset, size = start.number(8), start.number(8)
    header = Reader(data, _HEADER + offset).take(size)
    for _time in range(4):
        if header[:1] == bytes([_PLAIN_HEADER]):
            return header
        if header[:1] != bytes([_PACKED_HEADER]):
            break
        folders = _streams(Reader(header, 1))
        _size, one = next(_contents(data, folders, budget), (0, Unpacked(b"", 0)))
        for fault in one.faults:
            return fault
        header = one.octets
    raise BrokenError


def _contents(
    data: bytes, folders: list[_Folder], budget: Budget
) -> Iterator[tuple[int, Unpacked]]:
    """Sizes and octets of all files that are not empty."""
    for folder in folders:
        one = _unpacked(data, folder, budget)
        at = 0
        for size in folder.sizes:
            octets = one.octets[at : at + size]
            at += size
            whole = len(octets) == size
            yield size, Unpacked(octets, 0, frozenset() if whole else one.faults)


def _unpacked(data: bytes, folder: _Folder, budget: Budget) -> Unpacked:
    fault = Fault.ENCRYPTED if folder.encrypted else None if folder.straight else Fault.UNREAD
    end = folder.start + folder.packed
    if fault is None and [coder.method for coder in folder.coders] == [_COPY]:
        return stored(data, folder.start, end, budget)
    machine = None if fault else _machine(folder.coders)
    if machine is None:
        return Unpacked(b"", 0, frozenset({fault or Fault.UNREAD}))
    return unpack(machine, data, folder.start, end, budget, folder.made)


def _machine(coders: list[_Coder]) -> Machine | None:
    """What undoes one method, or LZMA2 and the filter for programs: LZMA's end is lost in that."""
    methods = [coder for coder in coders if coder.method != _X86]
    if len(methods) != 1 or len(coders) > 2:
        return None
    method, properties = methods[0].method, methods[0].properties
    if len(coders) == 2:
        return unlzma2(properties, [lzma.FILTER_X86]) if method == _LZMA2 else None
    make = _METHODS.get(method)
    return make(properties) if make else None


def _listing(header: Reader) -> tuple[list[_Folder], list[tuple[str, bool]]]:
    """Folders; names of files, and whether they have no content."""
    header.take(1)
    folders: list[_Folder] = []
    while (kind := header.number(1)) != _END:
        if kind == _MAIN:
            folders = _streams(header)
        elif kind == _FILES:
            return folders, _files(header)
        else:
            raise BrokenError
    return folders, []


def _files(header: Reader) -> list[tuple[str, bool]]:
    count = _count(header)
    names, empty = [""] * count, [False] * count
    while (kind := header.number(1)) != _END:
        value = Reader(header.take(_number(header)))
        if kind == _EMPTY:
            empty = _bits(value, count)
        elif kind == _NAMES:
            if value.number(1):
                raise BrokenError
            text = value.take(value.left).decode("utf-16-le", "replace")
            names = text.split("\0")[:count]
    if len(names) < count:
        raise BrokenError
    return list(zip(names, empty, strict=True))


def _streams(header: Reader) -> list[_Folder]:
    """Where packed streams are, how they were packed, and what files they hold."""
    folders: list[_Folder] = []
    position, packed = 0, [0]
    while (kind := header.number(1)) != _END:
        if kind == _PACK:
            position, packed = _number(header), _pack_sizes(header)
        elif kind == _FOLDERS:
            folders = _folders(header)
        elif kind == _STREAMS:
            _sizes(header, folders)
        else:
            raise BrokenError
    at, sizes = _HEADER + position, iter(packed)
    for folder in folders:
        folder.start = at
        folder.packed = sum(next(sizes, 0) for _stream in range(folder.inputs - folder.outputs + 1))
        at += folder.packed
    return folders


def _pack_sizes(header: Reader) -> list[int]:
    count, sizes = _count(header), [0]
    while (kind := header.number(1)) != _END:
        if kind == _SIZE:
            sizes = [_number(header) for _stream in range(count)]
        elif kind == _SUMS:
            _sums(header, count)
        else:
            raise BrokenError
    return sizes


def _folders(header: Reader) -> list[_Folder]:
    folders: list[_Folder] = []
    while (kind := header.number(1)) != _END:
        if kind == _FOLDER:
            count = _count(header)
            if header.number(1):
                raise BrokenError
            folders = [_folder(header) for _one in range(count)]
        elif kind == _SIZES:
            for folder in folders:
                made = [_number(header) for _stream in range(folder.outputs)]
                folder.made = max(made)
                folder.sizes = (folder.made,)
        elif kind == _SUMS:
            for folder, known in zip(folders, _sums(header, len(folders)), strict=True):
                folder.summed = known
        else:
            raise BrokenError
    return folders


def _folder(header: Reader) -> _Folder:
    coders: list[_Coder] = []
    inputs = outputs = 0
    count = _number(header)
    if not 0 < count <= _CODERS:
        raise BrokenError
    for _coder in range(count):
        flags = header.number(1)
        method = header.take(flags & 15)
        ins, outs = (_number(header), _number(header)) if flags & 16 else (1, 1)
        properties = header.take(_number(header)) if flags & 32 else b""
        coders.append(_Coder(method, properties))
        inputs, outputs = inputs + ins, outputs + outs
    if not 0 < outputs <= inputs <= _CODERS:
        raise BrokenError
    for _pair in range(outputs - 1):
        _number(header), _number(header)
    streams = inputs - outputs + 1
    for _stream in range(streams if streams > 1 else 0):
        _number(header)
    return _Folder(coders, inputs == outputs == count, inputs, outputs)


def _sizes(header: Reader, folders: list[_Folder]) -> None:
    """Of the files in each folder; the last one has what is left."""
    counts = [1] * len(folders)
    while (kind := header.number(1)) != _END:
        if kind == _COUNTS:
            counts = [_count(header) for _folder in folders]
            for folder, count in zip(folders, counts, strict=True):
                folder.sizes = (folder.made,)[:count]
        elif kind == _SIZE:
            for folder, count in zip(folders, counts, strict=True):
                found = [_number(header) for _file in range(count - 1)]
                folder.sizes = (*found, max(folder.made - sum(found), 0))[:count]
        elif kind == _SUMS:
            pairs = zip(folders, counts, strict=True)
            _sums(header, sum(count for folder, count in pairs if count != 1 or not folder.summed))
        else:
            raise BrokenError


def _sums(header: Reader, count: int) -> list[bool]:
    """Which of so many have a sum; the sums are passed over."""
    if count > _MOST:
        raise BrokenError
    known = [True] * count if header.number(1) else _bits(header, count)
    header.take(4 * sum(known))
    return known


def _bits(header: Reader, count: int) -> list[bool]:
    octets = header.take(-(-count // 8))
    return [bool(octets[at // 8] & 128 >> at % 8) for at in range(count)]


def _count(header: Reader) -> int:
    if (found := _number(header)) > _MOST:
        raise BrokenError
    return found


def _number(header: Reader) -> int:
    """The highest bits of the first byte say how many follow, its others are on top of them."""
    first = header.number(1)
    length = next((one for one in range(8) if not first & 128 >> one), 8)
    low = header.number(length)
    return low | (first & (127 >> length)) << 8 * length
