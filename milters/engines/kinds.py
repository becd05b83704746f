"""The kinds of virus scanners, and what the settings say of each: `[checks.virus.engines.NAME]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from iems.model.server import Server
from iems.settings import read
from iems.settings.read import SettingsError, Where, join, read_table, setting
from milters.engines.clamd import Clamd
from milters.engines.command import Command
from milters.engines.icap import Icap
from milters.engines.proven import Proven
from milters.engines.scanner import Scanner, Verdict

_NAME = re.compile(r"[A-Za-z0-9-]{1,30}")
_SERVICE = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{1,200}")


class Kind(Protocol):
    """What is written of one scanner."""

    def made(self, folder: Path) -> Scanner:
        """The scanner; opens nothing. What it must write for a while goes into `folder`."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClamdSettings:
    """`kind = "clamd"`."""

    server: Server = setting(
        read.server, "where it listens", example='"unix:/run/clamav/clamd.ctl"'
    )

    def made(self, folder: Path) -> Scanner:  # noqa: ARG002 - the protocol's
        """The scanner."""
        return Clamd(self.server)


@read.reads("path and query of a URL, without the first slash")
def _service(value: object) -> str:
    if not isinstance(value, str) or not _SERVICE.fullmatch(value):
        raise ValueError("expected path and query of a URL, without the first slash")
    return value


@dataclass(frozen=True, kw_only=True)
class IcapSettings:
    """`kind = "icap"`."""

    server: Server = setting(read.server, "where it listens", example='"inet:127.0.0.1:1344"')
    service: str = setting(_service, "the service of the server", example='"avscan"')

    def made(self, folder: Path) -> Scanner:  # noqa: ARG002 - the protocol's
        """The scanner."""
        return Proven(Icap(self.server, self.service))


@read.reads("list of whole numbers from 0 to 255")
def _codes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError("expected a list of whole numbers from 0 to 255")
    return tuple(map(read.integer(0, 255), value))


@read.reads("list of texts, the first one an absolute path")
def _command(value: object) -> tuple[str, ...]:
    words = read.texts(value)
    if not words or not words[0].startswith("/"):
        raise ValueError("expected a list of texts, the first one an absolute path")
    return words


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """`kind = "command"`."""

    command: tuple[str, ...] = setting(
        _command, "program and arguments", example='["/usr/bin/scan", "/dev/stdin"]'
    )
    clean: tuple[int, ...] = setting(_codes, "exit codes", (0,))
    infected: tuple[int, ...] = setting(_codes, "exit codes", (1,))
    encrypted: tuple[int, ...] = setting(_codes, "exit codes", ())
    unscanned: tuple[int, ...] = setting(_codes, "exit codes", ())

    def made(self, folder: Path) -> Scanner:
        """The scanner."""
        codes = {code: verdict for verdict in Verdict for code in getattr(self, verdict.value)}
        return Proven(Command(self.command, codes, folder))

    @property
    def twice(self) -> list[int]:
        """Exit codes that would say two things."""
        codes = [code for verdict in Verdict for code in getattr(self, verdict.value)]
        return sorted({code for code in codes if codes.count(code) > 1})


KINDS: Mapping[str, type[ClamdSettings | IcapSettings | CommandSettings]] = MappingProxyType(
    {"clamd": ClamdSettings, "icap": IcapSettings, "command": CommandSettings}
)


def parse(given: object, key: str, where: Where) -> Mapping[str, Kind]:
    """The table `engines`; SettingsError names file, key, value, expected."""
    if not isinstance(given, Mapping) or not given:
        raise SettingsError([f"{where(key)}: {key} is {given!r}; expected a table of scanners"])
    engines: dict[str, Kind] = {}
    faults: list[str] = []
    for name, table in given.items():
        path = join(key, name)
        if not _NAME.fullmatch(name):
            faults.append(f"{where(path)}: {path}; expected a name of letters, digits, -")
        try:
            engines[name] = _kind(table, path, where)
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError(faults)
    return engines


def _kind(table: object, key: str, where: Where) -> Kind:
    if not isinstance(table, Mapping):
        raise SettingsError([f"{where(key)}: {key} is {table!r}; expected a table"])
    word, path = table.get("kind"), join(key, "kind")
    kind = KINDS.get(word) if isinstance(word, str) else None
    if kind is None:
        words = ", ".join(KINDS)
        raise SettingsError([f"{where(path)}: {path} is {word!r}; expected one of {words}"])
    rest = {name: value for name, value in table.items() if name != "kind"}
    one = read_table(kind, rest, key, where)
    if isinstance(one, CommandSettings) and one.twice:
        raise SettingsError([f"{where(key)}: {key} says two things of exit code {one.twice[0]}"])
    return one
