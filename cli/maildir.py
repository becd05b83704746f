"""A Maildir (with the folders of Maildir++ below it), read without a trace.

Files are opened with the rights of the Maildir's owner; no link in it is followed; nothing is
written, renamed or marked as read, and no time of access moves. What cannot be read is told and
left out: a file that vanishes while it is looked at, as one does whose flags change, is too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cli.owner import as_owner
from iems.codec.header import split_message
from iems.store.spool import HEADER_LIMIT, PIECE

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOATIME
"""What stands there instead of a message, such as a pipe, is not waited for."""

_FOLDER = _OPEN | os.O_DIRECTORY
_PARTS = ("new", "cur")
"""In this order: what moves meanwhile is met twice and not missed."""

Unread: TypeAlias = Callable[[str, str], None]
"""Is told the name of a file and why it was not read."""


class NoMaildirError(Exception):
    """There is none at this path; the message says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as it lies there, to be read before the next one is asked for.

    `folder` is empty for INBOX; `time` is when the file came, in seconds of the epoch.
    """

    file: str
    folder: str
    time: float
    size: int
    descriptor: int

    def header(self) -> bytes | None:
        """The header block with its last line end; None where it is too large for one."""
        header, _body = split_message(os.pread(self.descriptor, HEADER_LIMIT + 2, 0))
        return header if len(header) <= HEADER_LIMIT else None

    def body(self, at: int) -> Iterator[bytes]:
        """What stands behind the header of `at` bytes, with the line ends of SMTP."""
        at += len(os.pread(self.descriptor, 2, at).partition(b"\n")[0]) + 1
        while piece := os.pread(self.descriptor, PIECE, at):
            at += len(piece)
            if piece.endswith(b"\r"):
                more = os.pread(self.descriptor, 1, at)
                at, piece = at + len(more), piece + more
            yield piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def messages(path: Path, unread: Unread) -> Iterator[Kept]:
    """Each message, INBOX first; NoMaildirError where there is none at `path`."""
    try:
        with as_owner(path):
            root = os.open(path, _FOLDER & ~os.O_NOFOLLOW)
            names = _names(root)
    except OSError as error:
        raise NoMaildirError(f"{path}: {error.strerror}") from None
    try:
        if not {"cur", "new"} <= set(names):
            raise NoMaildirError(f"{path} holds no cur and new, and is no Maildir")
        yield from _messages(root, str(path), "", unread)
        for name in names:
            if name.startswith("."):
                yield from _subfolder(root, str(path), name, unread)
    finally:
        os.close(root)


def _subfolder(root: int, path: str, name: str, unread: Unread) -> Iterator[Kept]:
    shown = f"{path}/{name}"
    try:
        with as_owner(root):
            found = os.stat(name, dir_fd=root, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                unread(shown, "it is a link")
            if not stat.S_ISDIR(found.st_mode):
                return
            folder = os.open(name, _FOLDER, dir_fd=root)
    except OSError as error:
        unread(shown, str(error.strerror))
        return
    try:
        yield from _messages(folder, shown, name.removeprefix("."), unread)
    finally:
        os.close(folder)


def _messages(folder: int, path: str, name: str, unread: Unread) -> Iterator[Kept]:
    seen: set[str] = set()
    for part in _PARTS:
        try:
            with as_owner(folder):
                place = os.open(part, _FOLDER, dir_fd=folder)
                files = _names(place)
        except OSError as error:
            unread(f"{path}/{part}", str(error.strerror))
            continue
        try:
            for file in files:
                if file.startswith(".") or file.partition(":")[0] in seen:
                    continue
                yield from _opened(place, file, f"{path}/{part}/{file}", name, unread)
        finally:
            os.close(place)
        seen = {file.partition(":")[0] for file in files}


def _opened(place: int, file: str, path: str, name: str, unread: Unread) -> Iterator[Kept]:
    try:
        with as_owner(place):
            descriptor = os.open(file, _OPEN, dir_fd=place)
    except OSError as error:
        unread(path, str(error.strerror))
        return
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            yield Kept(path, name, found.st_mtime, found.st_size, descriptor)
        else:
            unread(path, "it is no file")
    finally:
        os.close(descriptor)


def _names(folder: int) -> list[str]:
    """In order; a hundred thousand take 10 MB."""
    with os.scandir(folder) as found:
        return sorted(one.name for one in found)
