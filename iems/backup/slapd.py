"""The directory of this machine's slapd, whole: out as LDIF, and in as a new database.

`slapcat` and `slapadd` are slapd's own, and run as its user; passwords stay hashes. A new database
is built beside the one that runs, from slapd's own configuration, so that what slapd would not take
is found before anything is touched; then the two change places while slapd is stopped. What does
not work is a `SlapdError` with the program's words.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iems.backup.archive import ArchiveError

_LIMIT = 600
"""Seconds for one program; 100,000 entries take 30."""

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class SlapdError(Exception):
    """slapd or one of its programs failed."""


def _stop() -> None:
    _run(("service", "slapd", "stop"))


def _start() -> None:
    _run(("service", "slapd", "start"))


@dataclass(frozen=True, slots=True)
class Slapd:
    """slapd's configuration, the user it runs as, the top of the tree, and how it is restarted."""

    base: str
    config: Path = Path("/etc/ldap/slapd.d")
    user: str = "openldap"
    stop: Callable[[], None] = _stop
    start: Callable[[], None] = _start

    def entries(self) -> dict[str, bytes]:
        """All entries by their names, as they stood at one moment."""
        return read(self._slapcat("-b", self.base))

    def domains(self) -> dict[str, bytes]:
        """Those from `ou=domains` and `ou=contacts` on.

        slapcat of OpenLDAP 2.5 has `-s` for it, and crashes.
        """
        return {name: entry for name, entry in self.entries().items() if _below(name, self.base)}

    @contextmanager
    def built(self, entries: Iterable[bytes]) -> Iterator[Path]:
        """A database of these entries, those above others first; removed at the end."""
        where = self._database()
        folder = where.with_name(f".{where.name}-{secrets.token_hex(4)}")
        self._own("mkdir", "-m", "700", str(folder), str(folder / "slapd.d"), str(folder / "data"))
        try:
            config = self._slapcat("-n", "0").replace(
                f"olcDbDirectory: {where}\n".encode(), f"olcDbDirectory: {folder}/data\n".encode()
            )
            self._slapadd(folder, config, "-n", "0")
            self._slapadd(folder, ldif(entries), "-q", "-b", self.base)
            yield folder / "data"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def swap(self, data: Path) -> None:
        """Let slapd run on this database; if it does not start, on the one before."""
        where = self._database()
        before = data.with_name("before")
        self.stop()
        os.rename(where, before)  # noqa: PTH104
        os.rename(data, where)  # noqa: PTH104
        try:
            self.start()
        except SlapdError:
            os.rename(where, data)  # noqa: PTH104
            os.rename(before, where)  # noqa: PTH104
            self.start()
            raise

    def _database(self) -> Path:
        """The folder of the database that holds the tree."""
        for entry in re.split(rb"\n\n+", self._slapcat("-n", "0")):
            if re.search(rb"^olcSuffix: %s$" % re.escape(self.base.encode()), entry, re.MULTILINE):
                found = re.search(rb"^olcDbDirectory: (.+)$", entry, re.MULTILINE)
                if found:
                    return Path(os.fsdecode(found[1]))
        raise SlapdError(f"{self.config}: no database of {self.base}")

    def _slapcat(self, *words: str) -> bytes:
        return self._own("slapcat", "-F", str(self.config), "-o", "ldif-wrap=no", *words)

    def _slapadd(self, folder: Path, text: bytes, *words: str) -> None:
        self._own("slapadd", "-F", str(folder / "slapd.d"), *words, stdin=text)

    def _own(self, *words: str, stdin: bytes = b"") -> bytes:
        return _run(("runuser", "-u", self.user, "--", *words), stdin)


def ldif(entries: Iterable[bytes]) -> bytes:
    """Entries as one LDIF file."""
    return b"\n\n".join(entries) + b"\n"


def read(text: bytes) -> dict[str, bytes]:
    """The entries of an LDIF file by their names; ArchiveError where slapcat writes no such."""
    entries = {}
    for block in re.split(rb"\n\n+", re.sub(rb"\r?\n ", b"", text).replace(b"\r\n", b"\n")):
        lines = [line for line in block.splitlines() if not line.startswith(b"#")]
        if not lines:
            continue
        if any(not re.match(rb"[A-Za-z0-9.;-]+:(?!<)", line) for line in lines):
            raise ArchiveError(f"the directory holds a line that is no value: {lines[0][:200]!r}")
        entries[_name(lines[0])] = b"\n".join(lines)
    return entries


def below_domains(entries: Mapping[str, bytes], base: str) -> None:
    """ArchiveError unless all of them are at or below `ou=domains` or `ou=contacts`."""
    for name in entries:
        if not _below(name, base):
            raise ArchiveError(
                f"the directory holds {name!r}, which is not below ou=domains or ou=contacts"
            )


def users(entries: Iterable[str]) -> list[str]:
    """The users among the names, as addresses."""
    found = (re.match(r"uid=([^,]+),iemsdomainname=([^,]+),", name) for name in entries)
    return sorted(f"{one[1]}@{one[2]}" for one in found if one)


def domains(entries: Iterable[str]) -> list[str]:
    """The domains among the names."""
    found = (re.match(r"iemsdomainname=([^,]+),ou=", name) for name in entries)
    return sorted(one[1] for one in found if one)


def _below(name: str, base: str) -> bool:
    tops = [f"ou={top},{base}".casefold() for top in ("domains", "contacts")]
    return any(name == top or name.endswith(f",{top}") for top in tops)


def _name(line: bytes) -> str:
    try:
        if line.startswith(b"dn:: "):
            return base64.b64decode(line[5:], validate=True).decode().casefold()
        if line.startswith(b"dn: "):
            return line[4:].decode().casefold()
    except ValueError:
        pass
    raise ArchiveError(f"the directory holds an entry without a name: {line[:200]!r}")


def _run(words: Iterable[str], stdin: bytes = b"") -> bytes:
    command = tuple(words)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=_LIMIT,
            env={"PATH": _PATH, "LANG": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise SlapdError(f"{' '.join(command)}: not done within {_LIMIT} s") from None
    if done.returncode != 0:
        told = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise SlapdError(f"{' '.join(command)}: {told[-1000:]}")
    return done.stdout
