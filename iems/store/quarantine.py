"""Quarantine: one file a message, its envelope and reasons in JSON beside it.

`put` returns when message and description are on disk under their final names; until then nothing
of that id is visible. A disk that refuses is an OSError; the caller answers with a temporary
failure, and what was half written is removed. What a writer that was killed left half done has no
description; `sweep` removes it.

Who releases or deletes a message claims it first, by a lock on its file that ends with the process.
Nothing is read through a link, and nothing that is no plain file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

_ID_BYTES = 9

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MOST = 10_000
"""Messages that one `expire` removes: some seconds of a slow disk, and 240,000 a day if hourly."""

_STALE = 6 * 3600.0
"""Seconds after which nobody writes any more: a transaction ends within ten minutes."""


class Quarantine:
    """The messages in one folder, each as `ID.eml` and `ID.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(
        self, pieces: Iterable[bytes], description: Mapping[str, object], name: str = ""
    ) -> str:
        """Store a message under a `new_name`, which is its id."""
        name = name or new_name()
        self._folder.mkdir(mode=0o750, exist_ok=True)
        text = _text({"id": name, **description})
        written: list[Path] = []
        try:
            for suffix, content in ((".eml", pieces), (".json", (text,))):
                written.append(_write(self._folder / f".{name}{suffix}", content))
            for part in written:
                part.rename(self._folder / part.name[1:])
        except OSError:
            for part in written:
                part.unlink(missing_ok=True)
                (self._folder / part.name[1:]).unlink(missing_ok=True)
            raise
        _sync(self._folder)
        return name

    def remove(self, name: str) -> None:
        """Forget a message that was put there; its description goes first."""
        for suffix in (".json", ".eml"):
            (self._folder / f"{name}{suffix}").unlink(missing_ok=True)

    def sweep(self, now: float) -> int:
        """Remove what is half done and old at this time of the epoch; how many files there were."""
        stale = [file for file in self._half_done() if _older(file, now - _STALE)]
        for file in stale:
            file.unlink(missing_ok=True)
        return len(stale)

    def expire(self, before: float) -> int:
        """Remove messages that were stored before this time of the epoch; how many, at most 10,000.

        Only what `put` made is touched: plain files under names such as it gives. One that is
        being released is left to the next time.
        """
        old = (
            file.stem
            for file in self._folder.glob("*.json")
            if _NAME.fullmatch(file.stem) and _older(file, before)
        )
        return sum(map(self._expired, list(itertools.islice(old, _MOST))))

    def _expired(self, name: str) -> bool:
        try:
            with self.claimed(name):
                self.remove(name)
        except BlockingIOError:
            return False
        except OSError:
            self.remove(name)  # its message is gone, or was none
        return True

    def ids(self) -> list[str]:
        """The ids of all messages that are stored whole."""
        return sorted(file.stem for file in self._folder.glob("[!.]*.json"))

    def oldest_first(self, since: float = 0.0, before: float = float("inf")) -> list[str]:
        """The ids of those that were stored between these times, in the order of that."""
        found: list[tuple[float, str]] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as files:
            for file in files:
                name, suffix = os.path.splitext(file.name)  # noqa: PTH122 - 100,000 times
                if suffix != ".json" or not _NAME.fullmatch(name):
                    continue
                with contextlib.suppress(FileNotFoundError):  # it was released meanwhile
                    stored = file.stat(follow_symlinks=False).st_mtime
                    if since <= stored < before:
                        found.append((stored, name))
        return [name for _stored, name in sorted(found)]

    @contextlib.contextmanager
    def claimed(self, name: str) -> Iterator[BinaryIO]:
        """The message, open; nobody else can claim it until the block or the process ends.

        FileNotFoundError where there is none of this name, BlockingIOError where somebody has it.
        """
        with self.opened(name) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking it may have been released.
            if not (self._folder / f"{name}.json").exists() or not os.fstat(file.fileno()).st_nlink:
                raise FileNotFoundError(name)
            yield file

    def opened(self, name: str) -> BinaryIO:
        """The message, open to be read; FileNotFoundError where there is none of this name."""
        return _open(self._folder, f"{name}.eml")

    def drop(self, name: str, addresses: Collection[str]) -> None:
        """Take recipients out of a claimed message, which goes with its last one.

        It keeps its age. An OSError may leave it as it was.
        """
        told = self.describe(name)
        rows = told.get("recipients")
        kept = rows if isinstance(rows, list) else []
        if left := [row for row in kept if row.get("address") not in addresses]:
            self._rewrite(name, {**told, "recipients": left})
        else:
            self.remove(name)
        _sync(self._folder)

    def _rewrite(self, name: str, description: Mapping[str, object]) -> None:
        place, draft = self._folder / f"{name}.json", self._folder / f".{name}.json"
        before = place.lstat()
        draft.unlink(missing_ok=True)  # of one who was killed
        _write(draft, (_text(description),))
        draft.rename(place)
        # Not before: `sweep` takes a draft that looks old.
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _half_done(self) -> Iterator[Path]:
        """Hidden files, and messages without a description."""
        for file in self._folder.glob("*"):
            alone = file.suffix == ".eml" and not file.with_suffix(".json").exists()
            if file.name.startswith(".") or alone:
                yield file

    def message(self, name: str) -> Path:
        """The file of the message with this id."""
        return self._folder / f"{name}.eml"

    def describe(self, name: str) -> dict[str, object]:
        """The description of the message with this id.

        FileNotFoundError where there is none of this name, ValueError where it is damaged.
        """
        with _open(self._folder, f"{name}.json") as file:
            text = file.read()
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__} in its description") from None
        if not isinstance(parsed, dict):
            raise ValueError("its description is none")
        return parsed


def new_name() -> str:
    """An id that is free: 12 characters of base64url, the first of them no hyphen."""
    name = "-"
    while name.startswith("-"):  # a command would take it for an option
        name = secrets.token_urlsafe(_ID_BYTES)
    return name


def _text(description: Mapping[str, object]) -> bytes:
    return json.dumps(description, ensure_ascii=True, indent=1).encode()


def _open(folder: Path, name: str) -> BinaryIO:
    """A plain file in the folder, of a name such as `put` gives."""
    path = folder / name
    if not _NAME.fullmatch(path.stem) or path.parent != folder:
        raise FileNotFoundError(errno.ENOENT, "no message of this name", name)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(errno.ENOENT, "a link", name) from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "no plain file", name)
    return file


def _older(path: Path, time: float) -> bool:
    """Whether it is a file, itself and not through a link, and was last written before this."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False  # it was finished meanwhile, and has its name now
    return stat.S_ISREG(found.st_mode) and found.st_mtime < time


def _write(path: Path, pieces: Iterable[bytes]) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        try:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return path


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
