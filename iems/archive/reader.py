"""Binary records read one number after the other; BrokenError where the bytes end before."""

from __future__ import annotations

from iems.archive.member import BrokenError


class Reader:
    """Bytes and a place in them. All numbers are little endian."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def take(self, count: int) -> bytes:
        """The next of them."""
        if count > self.left:
            raise BrokenError
        found = self._data[self.at : self.at + count]
        self.at += count
        return found

    def number(self, size: int) -> int:
        """The next as a number."""
        return int.from_bytes(self.take(size), "little")

    def pad(self, size: int) -> None:
        """On to the next place that `size` divides; the end may come before."""
        self.at = min(self.at + -self.at % size, len(self._data))

    def more(self) -> bool:
        """Whether any are left."""
        return self.left > 0

    @property
    def left(self) -> int:
        """How many there are."""
        return len(self._data) - self.at
