"""Files that belong to a user of the system who is not trusted with root: mail, quarantine.

Root reads and writes them here, and follows no link that their owner may have laid: folders are
opened one by one, files where they stand. What is there is never replaced. A Maildir is read while
Dovecot works in it: a message is known by its name without flags, and a home is gone through until
nothing new is found, so that one that is renamed or moved meanwhile may be twice in what was read
and is never missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from iems.backup.archive import Writer

ACTIVE = ".dovecot.sieve"
"""The link to the script that a user has made the active one."""

_PASSES = 5
"""Of a home; two where nothing happens in it."""

_DERIVED = re.compile(r"dovecot\.(list\.)?index|\.temp\.|.*\.(lock|svbin)$")
"""What Dovecot makes anew from the rest."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def identity(path: str) -> str:
    """What stays the same of a path, whatever flags a message gets and whether it is new."""
    folder, _slash, name = path.rpartition("/")
    parent, _slash, last = folder.rpartition("/")
    if last in {"cur", "new"}:
        return f"{parent}/cur/{name.partition(':')[0]}"
    return path


def is_message(path: str) -> bool:
    """Whether this is a message in a Maildir."""
    return path.rpartition("/")[0].rpartition("/")[2] in {"cur", "new"}


def inventory(root: Path) -> set[str]:
    """The identities of all files below `root/DOMAIN/USER`."""
    found = set()
    for home in homes(root):
        for folder, _folders, files, _descriptor in _walk(root, home):
            found |= {identity(f"{folder}/{name}") for name in files}
    return found


def homes(root: Path) -> list[str]:
    """The homes in `root`, as `DOMAIN/USER`."""
    found = []
    for domain in _folders(root):
        found += [f"{domain}/{user}" for user in _folders(root / domain)]
    return found


def save_mail(root: Path, writer: Writer) -> int:
    """Write all homes; how many messages there were."""
    count = 0
    for home in homes(root):
        seen: set[str] = set()
        for _pass in range(_PASSES):
            before = len(seen)
            count += sum(_save_home(root, home, seen, writer))
            if len(seen) == before:
                break
    return count


def _save_home(root: Path, home: str, seen: set[str], writer: Writer) -> Iterator[bool]:
    """Write what is not seen yet; for each whether it is a message."""
    for folder, folders, files, descriptor in _walk(root, home):
        if {"cur", "new", "tmp"} <= set(folders):
            folders.remove("tmp")
        if folder not in seen:
            seen.add(folder)
            writer.add_folder(f"mail/{folder}")
        for name in files:
            file = f"{folder}/{name}"
            if _DERIVED.match(name) or identity(file) in seen:
                continue
            if name == ACTIVE and (target := _active(name, descriptor)):
                seen.add(identity(file))
                writer.add_link(f"mail/{file}", target)
            elif (source := opened(name, descriptor)) is not None:
                seen.add(identity(file))
                with source:
                    writer.add(f"mail/{file}", source)
                yield is_message(file)


def _walk(root: Path, home: str) -> Iterator[tuple[str, list[str], list[str], int]]:
    """What os.fwalk gives, in a fixed order, with paths below `root`."""
    domain, _slash, user = home.partition("/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open(root / domain, flags)
    try:
        for path, folders, files, inner in os.fwalk(user, dir_fd=descriptor):
            folders.sort()
            yield f"{domain}/{path}", folders, files, inner
    finally:
        os.close(descriptor)


def opened(name: str, folder: int) -> BinaryIO | None:
    """The plain file of this name in an open folder; None where it is gone or another thing."""
    try:
        descriptor = os.open(name, _OPEN, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


class Place:
    """A folder that gets files, in folders below it; all of them belong to `owner`."""

    def __init__(self, root: Path, owner: tuple[int, int]) -> None:
        self._root = root
        self._owner = owner

    def put(self, source: Path, name: str) -> bool:
        """Give a file its place; False where there is one of this name, which stays."""
        os.chown(source, *self._owner)
        with self._folder(name.split("/")[:-1]) as folder:
            return _linked(source, name.rpartition("/")[2], folder)

    def make(self, name: str) -> None:
        """A folder."""
        with self._folder(name.split("/")):
            pass

    def link(self, name: str, target: str) -> bool:
        """A link that is not there yet."""
        with self._folder(name.split("/")[:-1]) as folder:
            last = name.rpartition("/")[2]
            try:
                os.symlink(target, last, dir_fd=folder)
            except FileExistsError:
                return False
            os.chown(last, *self._owner, dir_fd=folder, follow_symlinks=False)
        return True

    @contextlib.contextmanager
    def _folder(self, names: list[str]) -> Iterator[int]:
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names:
                descriptor = self._enter(descriptor, name)
            yield descriptor
        finally:
            os.close(descriptor)

    def _enter(self, folder: int, name: str) -> int:
        made = True
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            made = False
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        os.close(folder)
        if made:
            os.fchown(inner, *self._owner)
        return inner


def _linked(source: Path, name: str, folder: int) -> bool:
    """One more name for the file, or a copy of it where that is another file system."""
    try:
        os.link(source, name, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return True
    # A name that Dovecot does not look at, until all of it is there.
    partial = f".{secrets.token_hex(8)}.restore"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    state = source.stat()
    with (
        source.open("rb") as content,
        os.fdopen(os.open(partial, flags, 0o600, dir_fd=folder), "wb") as copy,
    ):
        shutil.copyfileobj(content, copy)
        copy.flush()
        os.fchown(copy.fileno(), state.st_uid, state.st_gid)
        os.utime(copy.fileno(), ns=(state.st_atime_ns, state.st_mtime_ns))
    try:
        os.link(partial, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        os.unlink(partial, dir_fd=folder)
    return True


def _active(name: str, folder: int) -> str:
    """Where a link to an active script leads; empty where it is no such link."""
    try:
        target = os.readlink(name, dir_fd=folder)
    except OSError:
        return ""
    return target if re.fullmatch(r"sieve/[^/]+\.sieve", target) else ""


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(name for name in names if not name.startswith("."))
