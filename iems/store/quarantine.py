"""Quarantine: one file a message, its envelope and reasons in JSON beside it.

`put` returns when message and description are on disk under their final names; until then nothing
of that id is visible. A disk that refuses is an OSError; the caller answers with a temporary
failure, and what was half written is removed. What a writer that was killed left half done has no
description; `sweep` removes it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

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

    def put(self, pieces: Iterable[bytes], description: Mapping[str, object]) -> str:
        """Store a message; the id is 12 characters of base64url."""
        name = secrets.token_urlsafe(_ID_BYTES)
        self._folder.mkdir(mode=0o750, exist_ok=True)
        text = json.dumps({"id": name, **description}, ensure_ascii=True, indent=1).encode()
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

        Only what `put` made is touched: plain files under names such as it gives.
        """
        old = (
            file.stem
            for file in self._folder.glob("*.json")
            if _NAME.fullmatch(file.stem) and _older(file, before)
        )
        names = list(itertools.islice(old, _MOST))
        for name in names:
            self.remove(name)
        return len(names)

    def ids(self) -> list[str]:
        """The ids of all messages that are stored whole."""
        return sorted(file.stem for file in self._folder.glob("[!.]*.json"))

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
        """The description of the message with this id."""
        parsed: dict[str, object] = json.loads((self._folder / f"{name}.json").read_bytes())
        return parsed


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
