"""A picture in PNG (ISO/IEC 15948) as rows of colours: 8 bits a sample, not interlaced."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass

_HEADER = struct.Struct(">IIBBBBB")
_SAMPLES = {2: 3, 6: 4}
"""Samples of a pixel by the type of colour: red, green, blue, and how much they cover."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Picture:
    """Rows from the top, pixels from the left."""

    rows: tuple[bytes, ...]
    samples: int

    @classmethod
    def of_png(cls, data: bytes) -> Picture:
        """Read one."""
        width, height, depth, colour, _method, _filters, interlace = _HEADER.unpack(data[16:29])
        assert (depth, interlace) == (8, 0)
        samples, packed, at = _SAMPLES[colour], b"", 8
        while at < len(data):
            size, kind = struct.unpack_from(">I4s", data, at)
            packed += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
            at += size + 12
        raw, length = zlib.decompress(packed), width * samples
        rows: list[bytes] = []
        above = bytes(length)
        for start in range(0, height * (length + 1), length + 1):
            above = _row(raw[start], raw[start + 1 : start + 1 + length], above, samples)
            rows.append(above)
        return cls(tuple(rows), samples)

    def colours(self) -> Counter[Colour]:
        """How many pixels of each there are."""
        found: Counter[Colour] = Counter()
        for row in self.rows:
            planes = (row[one :: self.samples] for one in range(3))
            found.update(zip(*planes, strict=True))
        return found

    def rows_of(self, colour: Colour) -> tuple[int, int]:
        """The first row that has the colour, and the one behind the last; (0, 0) for none."""
        wanted = bytes(colour)
        having = [
            at
            for at, row in enumerate(self.rows)
            if any(row.startswith(wanted, one) for one in range(0, len(row), self.samples))
        ]
        return (having[0], having[-1] + 1) if having else (0, 0)


def contrast(one: Colour, other: Colour) -> float:
    """From 1, the same, to 21 (WCAG 2.2, contrast ratio)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    values = (sample / 255 for sample in colour)
    linear = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in values)
    return sum(map(float.__mul__, linear, (0.2126, 0.7152, 0.0722)))


def _row(kind: int, filtered: bytes, above: bytes, samples: int) -> bytes:
    """A row as it was before it was filtered (section 9)."""
    if kind in {0, 2} and not (kind and any(filtered)):
        return above if kind else filtered
    row = bytearray(filtered)
    for at, value in enumerate(filtered):
        left = row[at - samples] if at >= samples else 0
        corner = above[at - samples] if at >= samples else 0
        row[at] = (value + _guess(kind, left, above[at], corner)) & 255
    return bytes(row)


def _guess(kind: int, left: int, above: int, corner: int) -> int:
    if kind == 4:
        near = left + above - corner
        return min((left, above, corner), key=lambda one: abs(near - one))
    return (0, left, above, (left + above) // 2)[kind]
