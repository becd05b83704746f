"""The file of a backup: a compressed tar (POSIX.1-2001); its last member says what belongs to it.

Only plain files and folders are written and read; the one kind of link there is, a user's active
Sieve script, stands in the manifest. `unpack` puts everything into an empty folder and compares
sizes and SHA-256 with the manifest; whatever is not as `Writer` makes it is an `ArchiveError`.
Nobody signs an archive: who can change it can change the manifest, too.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

FORMAT = 1
MANIFEST = "manifest.json"
FOLDERS = ("keys", "settings", "records", "filters", "quarantine", "mail")
DIRECTORY = "directory.ldif"
FILTERS = "filters/bayes.sqlite"

_MAX_MANIFEST = 1 << 30
"""Bytes; a file takes about 150, so that this is for seven million."""

_MAX_NAME = 4096
"""Bytes, as Linux has it for a path."""

_ROOM = 64 << 20
"""Bytes of the disk that are never filled."""

_PIECE = 1 << 20

Progress = Callable[[int, int], None]
"""Told of the files and the bytes so far."""


class ArchiveError(Exception):
    """This is no backup, or not all of one; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in an archive: size and SHA-256 of each file, and where each active script leads."""

    hostname: str
    version: str
    created: float
    files: Mapping[str, tuple[int, str]]
    links: Mapping[str, str]


class Writer:
    """Writes an archive, in a `with`; without `finish` it is none."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._zip = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6)
        self._tar = tarfile.open(fileobj=self._zip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by __exit__
        self._progress = progress
        self._files: dict[str, tuple[int, str]] = {}
        self._links: dict[str, str] = {}
        self._bytes = 0

    def __enter__(self) -> Writer:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """The end of the file."""
        with self._zip:
            self._tar.close()

    def add(self, name: str, source: BinaryIO) -> None:
        """A file, as long as it is now; OSError if it is cut meanwhile."""
        state = os.fstat(source.fileno())
        self._add(name, source, state.st_size, state.st_mtime)

    def add_bytes(self, name: str, content: bytes) -> None:
        """A file with this content."""
        self._add(name, io.BytesIO(content), len(content), time.time())

    def add_folder(self, name: str) -> None:
        """A folder, which may stay empty."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, 0o700
        self._tar.addfile(member)

    def add_link(self, name: str, target: str) -> None:
        """Where an active script leads."""
        self._links[name] = target

    def finish(self, hostname: str, version: str) -> Manifest:
        """Write the manifest."""
        manifest = Manifest(hostname, version, time.time(), self._files, self._links)
        text = json.dumps(
            {
                "format": FORMAT,
                "hostname": hostname,
                "version": version,
                "created": manifest.created,
                "files": self._files,
                "links": self._links,
            },
            separators=(",", ":"),
        ).encode()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode = len(text), 0o600
        self._tar.addfile(member, io.BytesIO(text))
        return manifest

    def _add(self, name: str, source: IO[bytes], size: int, mtime: float) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, mtime, 0o600
        hashed = _Hashed(source)
        self._tar.addfile(member, hashed)
        self._tar.members = []  # type: ignore[attr-defined] # it would keep them all
        self._files[name] = (size, hashed.digest.hexdigest())
        self._bytes += size
        self._progress(len(self._files), self._bytes)


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        piece = self._source.read(size)
        self.digest.update(piece)
        return piece


def unpack(archive: Path, into: Path, progress: Progress) -> Manifest:
    """Put all of it into this empty folder, which is nobody else's; the manifest that it fits."""
    with (
        _faults(archive),
        gzip.open(archive, "rb") as opened,
        tarfile.open(fileobj=opened, mode="r|") as tar,
    ):
        manifest, seen = _unpack(tar, into, progress)
        while opened.read(_PIECE):  # the checksum stands at the end
            pass
    if seen.keys() != manifest.files.keys():
        missing = sorted(manifest.files.keys() ^ seen.keys())[0]
        raise ArchiveError(f"{archive}: {missing!r} is in the archive or in its manifest alone")
    for name, found in seen.items():
        if found != manifest.files[name]:
            raise ArchiveError(f"{archive}: {name!r} is not as its manifest has it")
    for name, target in manifest.links.items():
        _check_link(name, target)
    return manifest


@contextlib.contextmanager
def _faults(archive: Path) -> Iterator[None]:
    """What a file that is no such archive does to those who read it."""
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f"{archive}: {error}") from None
    except (ValueError, OverflowError, FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"{archive}: a member that no backup has: {error}") from None


def _unpack(
    tar: tarfile.TarFile, into: Path, progress: Progress
) -> tuple[Manifest, dict[str, tuple[int, str]]]:
    seen: dict[str, tuple[int, str]] = {}
    total = 0
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined] # it would keep them all
        source = tar.extractfile(member) if member.isreg() else None
        if member.name == MANIFEST and source is not None:
            return _manifest(source, member.size), seen
        _check_member(member)
        target = into / member.name
        if source is None:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            continue
        if member.size > shutil.disk_usage(into).free - _ROOM:
            raise ArchiveError(f"there is no room for {member.name!r} ({member.size} bytes)")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen[member.name] = _write(source, target, member.mtime)
        total += member.size
        progress(len(seen), total)
    raise ArchiveError("its end is missing: there is no manifest")


def _check_member(member: tarfile.TarInfo) -> None:
    """ArchiveError unless `Writer` could have made it."""
    parts = member.name.split("/")
    if member.type not in {tarfile.REGTYPE, tarfile.DIRTYPE} or member.sparse is not None:
        raise ArchiveError(f"{member.name!r} is neither a file nor a folder")
    if (
        any(part in {"", ".", ".."} or "\0" in part for part in parts)
        or len(os.fsencode(member.name)) > _MAX_NAME
        or (parts[0] not in FOLDERS and member.name != DIRECTORY)
        or (member.name in FOLDERS and member.isreg())
    ):
        raise ArchiveError(f"{member.name[:200]!r} is no name of a backup")


def _check_link(name: str, target: str) -> None:
    """A user's active script leads to one in his folder of scripts, and nowhere else."""
    folder, dot, script = target.partition("/")
    home = name.removesuffix("/.dovecot.sieve").split("/")
    plain = len(home) == 3 and home[0] == "mail" and not {"", ".", ".."} & set(home)
    if not name.endswith("/.dovecot.sieve") or not plain or "\0" in name:
        raise ArchiveError(f"{name!r} is no active script")
    if folder != "sieve" or not dot or "/" in script or script in {"", ".", ".."} or "\0" in script:
        raise ArchiveError(f"{name!r} leads to {target!r}")


def _write(source: IO[bytes], target: Path, mtime: float) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := source.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    os.utime(target, (mtime, mtime))
    return size, digest.hexdigest()


def _manifest(source: IO[bytes], size: int) -> Manifest:
    if size > _MAX_MANIFEST:
        raise ArchiveError(f"its manifest has {size} bytes")
    try:
        table = json.loads(source.read())
        if table["format"] != FORMAT:
            raise ArchiveError(
                f"it has format {table['format']!r}, of iems {table.get('version')!r}; "
                f"expected {FORMAT}"
            )
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in
                 table["files"].items()}  # fmt: skip
        links = {str(name): str(target) for name, target in table["links"].items()}
        return Manifest(
            str(table["hostname"]), str(table["version"]), float(table["created"]), files, links
        )
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ArchiveError("its manifest is none") from None
