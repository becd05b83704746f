"""Bytes unpacked by zlib, bzip2 and LZMA, up to a limit: nothing larger is ever made."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from iems.archive.member import Budget, Fault, Member

_PIECE = 64 << 10
_DICTIONARY = 128 << 20
"""Bytes of memory that a stream may ask for; 7-Zip's strongest level asks for 64 MiB and more."""

_NAME_FLAGS = (1 << 2, 1 << 3)
"""FEXTRA and FNAME (RFC 1952 section 2.3.1)."""


class Machine(Protocol):
    """What unpacks; those of zlib, bz2 and lzma are alike in this."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was made, and how many bytes it was made of."""

    octets: bytes
    used: int
    faults: frozenset[Fault] = frozenset()


def unpack(
    machine: Machine, data: bytes, start: int, end: int, budget: Budget, size: int | None = None
) -> Unpacked:
    """One stream from `start`, as far as it goes, or to the size that it is known to have."""
    end = min(end, len(data))
    room, at, made = budget.room(end - start), start, 0
    pieces: list[bytes] = []
    fault: Fault | None = None
    try:
        while not machine.eof and at < end and made != size:
            most = room + 1 - made if size is None else min(room + 1, size) - made
            pieces.append(machine.decompress(data[at : min(at + _PIECE, end)], most))
            at = min(at + _PIECE, end)
            made += len(pieces[-1])
            if made > room:
                fault = Fault.TOO_LARGE
                break
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, MemoryError):
        fault = Fault.BROKEN
    if fault is None and not machine.eof and made != size:
        fault = Fault.BROKEN
    used = max(at - start - len(machine.unused_data), 0)
    budget.spend(made + used)
    return Unpacked(b"".join(pieces)[:room], used, frozenset({fault} if fault else ()))


def stored(data: bytes, start: int, end: int, budget: Budget) -> Unpacked:
    """Bytes that are not packed."""
    length, room = max(min(end, len(data)) - start, 0), max(0, budget.octets)
    octets = data[start : start + min(length, room)]
    budget.spend(length)
    fault = Fault.TOO_LARGE if length > room else Fault.BROKEN if end > len(data) else None
    return Unpacked(octets, length, frozenset({fault} if fault else ()))


def inflater() -> Machine:
    """Deflate without a header."""
    return zlib.decompressobj(-zlib.MAX_WBITS)


def unbzip2() -> Machine:
    """One stream of bzip2."""
    return bz2.BZ2Decompressor()


def unxz() -> Machine:
    """One stream of xz, or of the LZMA before it."""
    return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_DICTIONARY)


def unlzma(properties: bytes, filters: Sequence[int] = ()) -> Machine | None:
    """LZMA with the five bytes that say how; None where they ask for too much, or nonsense."""
    if len(properties) != 5 or properties[0] >= 225:
        return None
    rest, lc = divmod(properties[0], 9)
    pb, lp = divmod(rest, 5)
    dictionary = int.from_bytes(properties[1:], "little")
    return _raw({"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb}, dictionary, filters)


def unlzma2(properties: bytes, filters: Sequence[int] = ()) -> Machine | None:
    """LZMA2 with the byte that says how large its dictionary is."""
    if len(properties) != 1 or properties[0] > 39:
        return None
    dictionary = (2 | properties[0] & 1) << (properties[0] // 2 + 11)
    return _raw({"id": lzma.FILTER_LZMA2}, dictionary, filters)


def _raw(method: dict[str, int], dictionary: int, filters: Sequence[int]) -> Machine | None:
    if dictionary > _DICTIONARY:
        return None
    chain = [*({"id": one} for one in filters), {**method, "dict_size": max(dictionary, 4096)}]
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)
    except (lzma.LZMAError, ValueError):
        return None


def streams(data: bytes, word: str, names: tuple[str, ...], budget: Budget) -> Iterator[Member]:
    """The one file of a gzip, bzip2 or xz, which may stand there in several streams.

    `names` are those of the archive: what unpacks it calls the file as it without its extension.
    """
    pieces: list[bytes] = []
    faults: frozenset[Fault] = frozenset()
    own = _gzip_name(data) if word == "gzip" else ()
    magic, at = data[:2], 0
    while not faults and data.startswith(magic, at):
        machine = {"gzip": _gunzip, "bzip2": unbzip2}.get(word, unxz)()
        one = unpack(machine, data, at, len(data), budget)
        pieces.append(one.octets)
        faults = one.faults
        at += max(one.used, 1)
        if word == "lzma" or at >= len(data):
            break
        end = budget.end()
        faults |= {end} if end else frozenset()
    bare = [name.rpartition(".")[0] or name for name in names]
    found = tuple(dict.fromkeys((*own, *bare)))
    yield Member(found, None, b"".join(pieces), faults)


def _gunzip() -> Machine:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _gzip_name(data: bytes) -> tuple[str, ...]:
    """The name in the header, if it has one."""
    flags, at = data[3] if len(data) > 3 else 0, 10
    extra, named = _NAME_FLAGS
    if flags & extra:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    name, nul, _rest = data[at : at + 1024].partition(b"\0") if flags & named else (b"", b"", b"")
    return (name.decode("utf-8", "replace"),) if nul and name else ()
