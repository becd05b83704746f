"""Requests that are still to be carried out: one file each, in the order in which they came.

`put` returns when the request is on disk under its final name, so that whoever asked may forget it.
The name tells the order, whose it is, and how often it was begun: a request that fails, or with
which the process dies, is taken up again, `TRIES` times, and then set aside for who wants to look.

Bounded in number and bytes, for the messages are those of users: what is beyond is a `FullError`,
and so is a disk that takes nothing; nothing is kept then. Several threads, and the processes of two
generations, may put and take; only one may work (`working`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lmtp.learning.protocol import Input, Request

TRIES = 5
"""So often is a request begun that fails by its own fault."""

MOST = 50_000
"""Requests: a user's whole mailbox, and what others do meanwhile."""

MOST_BYTES = 1 << 30
_MOST_ASIDE = 100
_HALF_DONE = 3600.0
"""Seconds after which nobody is writing a file any more."""

_NAME = re.compile(r"(\d{20}-[0-9a-f]{8})\.(\d{1,3})")
_VERSION = 1


class FullError(Exception):
    """Nothing can be kept; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that is kept: its name, how often it was begun, and the same word for all requests
    of one user, and hardly of another."""

    order: str
    tries: int = 0

    @property
    def whose(self) -> str:
        """The word of its user."""
        return self.order.rpartition("-")[2]

    @property
    def stamp(self) -> int:
        """Its time, in ns of the epoch, or later where many came at once."""
        return int(self.order.partition("-")[0])

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.order}.{self.tries}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in an entry: the request, its input, and when it came, in seconds of the epoch."""

    request: Request
    input: Input
    time: float


class Queue:
    """The requests in `folder`."""

    def __init__(self, folder: Path, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._aside = folder / "aside"
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        self._last = 0
        self._count = self._bytes = 0
        for one in (folder, self._aside):
            one.mkdir(mode=0o700, exist_ok=True)
        self._remove_half_done()
        for entry in self.entries()[-1:]:
            self._last = entry.stamp

    @property
    def size(self) -> tuple[int, int]:
        """How many there are, and how many bytes."""
        return self._count, self._bytes

    def place(self, user: str, now: float) -> Entry:
        """The next place, for a request of this user."""
        whose = blake2b(user.encode(), digest_size=4).hexdigest()
        with self._lock:
            self._last = max(self._last + 1, int(now * 1e9))
            return Entry(f"{_stamp(self._last)}-{whose}")

    def put(self, entry: Entry, request: Request, data: Input, now: float) -> None:
        """Keep a request at a place; FullError."""
        text = encode(request, data, now)
        self._make_room(len(text))
        draft = self._folder / f".{entry.file}"
        try:
            _write(draft, text)
            draft.rename(self._folder / entry.file)
            _sync(self._folder)
        except OSError as error:
            for one in (draft, self._folder / entry.file):
                with contextlib.suppress(OSError):
                    one.unlink()
            self._let_go(len(text))
            raise FullError(f"cannot write to the queue: {error.strerror or error}") from error

    def entries(self) -> list[Entry]:
        """All that are kept, the oldest first."""
        found, size = [], 0
        with self._lock, os.scandir(self._folder) as files:
            for file in files:
                if match := _NAME.fullmatch(file.name):
                    found.append(Entry(match[1], int(match[2])))
                    with contextlib.suppress(FileNotFoundError):
                        size += file.stat().st_size
            self._count, self._bytes = len(found), size
        return sorted(found, key=lambda one: one.order)

    def begin(self, entry: Entry) -> Entry:
        """It is begun once more."""
        return self._renamed(entry, entry.tries + 1)

    def later(self, entry: Entry) -> Entry:
        """What was begun is left for later, by no fault of its own."""
        return self._renamed(entry, entry.tries - 1)

    def read(self, entry: Entry) -> Kept:
        """What is in it; ValueError where it is not as `put` made it."""
        return decode((self._folder / entry.file).read_bytes())

    def done(self, entry: Entry) -> None:
        """Forget it."""
        path = self._folder / entry.file
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            self._let_go(size)

    def set_aside(self, entry: Entry) -> None:
        """Keep it where nobody works on it, together with the last others of its kind."""
        path = self._folder / entry.file
        size = path.stat().st_size
        # Whoever has looked may have taken the folder away, and all others would wait for ever.
        self._aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(self._aside / entry.order)
        self._let_go(size)
        for old in sorted(self._aside.iterdir())[:-_MOST_ASIDE]:
            old.unlink(missing_ok=True)

    def expire(self, before: float) -> int:
        """Remove what was set aside and came before this time of the epoch; how many."""
        end = _stamp(int(before * 1e9))
        old = [one for one in self._aside.glob("*") if one.name < end]
        for one in old:
            one.unlink(missing_ok=True)
        return len(old)

    @contextlib.contextmanager
    def working(self) -> Iterator[bool]:
        """Whether this process may work on the entries meanwhile, as no other one does."""
        with (self._folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _make_room(self, size: int) -> None:
        with self._lock:
            if self._count >= self._most or self._bytes + size > self._most_bytes:
                raise FullError(f"the queue is full: {self._count} requests, {self._bytes} bytes")
            self._count += 1
            self._bytes += size

    def _let_go(self, size: int) -> None:
        with self._lock:
            self._count -= 1
            self._bytes -= size

    def _renamed(self, entry: Entry, tries: int) -> Entry:
        other = Entry(entry.order, tries)
        (self._folder / entry.file).rename(self._folder / other.file)
        return other

    def _remove_half_done(self) -> None:
        """What a process that died was writing; another one may be at it now."""
        for draft in self._folder.glob(".*-*"):
            with contextlib.suppress(FileNotFoundError):
                if draft.stat().st_mtime < time.time() - _HALF_DONE:
                    draft.unlink()


def _stamp(number: int) -> str:
    return f"{number:020d}"


def encode(request: Request, data: Input, now: float) -> bytes:
    """A request as it is kept."""
    head = {
        "version": _VERSION,
        "verb": request.verb,
        "user": request.user,
        "options": dict(request.options),
        "time": now,
        "size": data.size,
    }
    return json.dumps(head).encode() + b"\n" + data.head


def decode(text: bytes) -> Kept:
    """The request that is kept so; ValueError."""
    line, _newline, rest = text.partition(b"\n")
    try:
        head: Mapping[str, Any] = json.loads(line)
        if head["version"] != _VERSION:
            raise ValueError("of another version")
        options = {str(name): str(value) for name, value in head["options"].items()}
        request = Request(str(head["verb"]), str(head["user"]), options)
        return Kept(request, Input(rest, int(head["size"])), float(head["time"]))
    except (TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"no request: {type(error).__name__}") from None


def _write(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
