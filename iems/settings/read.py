"""Tables of TOML into frozen dataclasses: one reader a field, and errors that can be fixed by.

Every error is a `SettingsError` that names file, key, what stood there and what is expected. All
errors of a table are reported together, unknown keys among them. What a field carries beside its
reader (meaning, unit, default, example) is what the reference of settings is made of.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from iems.model.address import Address, AddressError, domain_name
from iems.model.policy import WHOLE, Action
from iems.model.server import NOWHERE, Server

Table = Mapping[str, object]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Where = Callable[[str], str]
"""The file in which a key stands."""
T = TypeVar("T")
REQUIRED = object()
LANGUAGES = ("en", "de")
"""Those in which users are written to; the first one is for who prefers none of them."""

RELOAD, RESTART, AT_ONCE = "reload", "restart", "at once"
"""When a changed setting takes effect: at the daemon's next reload or start, or with the next call
of a command."""


def somewhere(_key: str) -> str:
    """The place of settings that stand in no file."""
    return "settings"


class SettingsError(Exception):
    """One or more faults, each on a line of its own: `FILE: KEY is VALUE; expected ...`."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Reader(Generic[T]):
    """From a value of TOML to ours, ValueError where it is none; `kind` says which values it takes.

    A reader without a kind leaves a table to another one, which is described on its own.
    """

    kind: str
    parse: Callable[[object], T]

    def __call__(self, value: object) -> T:
        """The value read."""
        return self.parse(value)


def reads(kind: str) -> Callable[[Callable[[object], T]], Reader[T]]:
    """Makes a function the reader of values of this kind."""
    return lambda parse: Reader(kind, parse)


@dataclass(frozen=True)
class Setting:
    """What the schema says of a key beside its default: the reference is made of it.

    `example` is a value as TOML writes it, given where the default shows too little.
    """

    read: Reader[Any]
    doc: str
    unit: str = ""
    example: str = ""
    effect: str = RELOAD


def setting(
    read: Reader[T],
    doc: str,
    default: object = REQUIRED,
    unit: str = "",
    example: str = "",
    effect: str = RELOAD,
) -> Any:  # noqa: ANN401 - what dataclasses.field returns, too
    """A dataclass field that is read from TOML; without a default the key must be given."""
    metadata = {"setting": Setting(read, doc, unit, example, effect)}
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default_factory=lambda: default, metadata=metadata)


def section(kind: type[Any], doc: str) -> Any:  # noqa: ANN401 - what dataclasses.field returns, too
    """A dataclass field that is a table of its own."""
    return dataclasses.field(metadata={"section": kind, "doc": doc})


def read_table(kind: type[T], table: Table, key: str, where: Where = somewhere) -> T:
    """`table` as an instance of the dataclass `kind`; `where(key)` names the file of a key."""
    faults: list[str] = []
    values: dict[str, object] = {}
    fields = {one.name: one for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in fields:
            path = join(key, name)
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(fields)}"
            faults.append(f"{where(path)}: {path} is no setting{hint}")
    for name, one in fields.items():
        path = join(key, name)
        try:
            if "section" in one.metadata:
                values[name] = _section(one.metadata["section"], table.get(name, {}), path, where)
            elif name in table:
                values[name] = one.metadata["setting"].read(table[name])
            elif one.default_factory is dataclasses.MISSING:
                faults.append(f"{where(path)}: {path} is missing; {_wanted(one)}")
        except SettingsError as error:
            faults += error.faults
        except ValueError as error:
            faults.append(f"{where(path)}: {path} is {table[name]!r}; {error}")
    if faults:
        raise SettingsError(faults)
    return kind(**values)


def _wanted(one: dataclasses.Field[Any]) -> str:
    about: Setting = one.metadata["setting"]
    return f"expected {about.doc}, as in {one.name} = {about.example}"


def join(key: str, name: str) -> str:
    """The dotted key of `name` in the table `key`, quoted as TOML wants it."""
    bare = name.replace("_", "").replace("-", "").isalnum() and name.isascii()
    return f"{key}.{name}".lstrip(".") if bare else f'{key}."{name}"'.lstrip(".")


def _section(kind: type[T], table: object, path: str, where: Where) -> T:
    if not isinstance(table, Mapping):
        raise SettingsError([f"{where(path)}: {path} is {table!r}; expected a table"])
    return read_table(kind, table, path, where)


def elsewhere(kind: str = "") -> Reader[Any]:
    """The value as it is: a table that a reader of its own reads."""
    return Reader(kind, lambda value: value)


@reads("text on one line")
def text(value: object) -> str:
    """A string that is not empty and stays on one line."""
    if not isinstance(value, str) or not value or any(ord(letter) < 0x20 for letter in value):
        raise ValueError("expected a string on one line")
    return value


@reads("`true` or `false`")
def flag(value: object) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def one_of(*words: str) -> Reader[str]:
    """A reader of one of these words."""

    @reads("one of " + ", ".join(f"`{word}`" for word in words))
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return str(value)

    return read


def integer(least: int, most: int) -> Reader[int]:
    """A reader of whole numbers in this range."""
    kind = f"whole number from {least} to {most}"

    @reads(kind)
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"expected a {kind}")
        return value

    return read


def number(least: float, most: float) -> Reader[float]:
    """A reader of numbers in this range."""
    kind = f"number from {least} to {most}"

    @reads(kind)
    def read(value: object) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not least <= value <= most
        ):
            raise ValueError(f"expected a {kind}")
        return float(value)

    return read


@reads("absolute path")
def path(value: object) -> Path:
    """An absolute path."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("expected an absolute path")
    return Path(value)


@reads("absolute path, or empty")
def path_if_any(value: object) -> Path | None:
    """An absolute path, or none."""
    return None if value == "" else path(value)


@reads("`unix:/PATH` or `inet:ADDRESS:PORT`")
def server(value: object) -> Server:
    """Where a server listens."""
    return Server.parse(text(value))


@reads("`unix:/PATH`, `inet:ADDRESS:PORT` or empty")
def server_if_any(value: object) -> Server:
    """The same, or nowhere."""
    return NOWHERE if value == "" else server(value)


@reads("text on one line, or empty")
def text_if_any(value: object) -> str:
    """A string on one line."""
    return "" if value == "" else text(value)


@reads("mailbox address")
def address(value: object) -> Address:
    """A mailbox address."""
    try:
        return Address.parse(text(value))
    except AddressError as error:
        raise ValueError(f"expected a mailbox address: {error}") from None


@reads("mailbox address or empty")
def address_if_any(value: object) -> Address | None:
    """The same, or nobody's."""
    return None if value == "" else address(value)


@reads("`HOST:PORT`")
def host_and_port(value: object) -> str:
    """Where a server listens, by a name or address."""
    host, _colon, port = text(value).rpartition(":")
    if not host or not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536):
        raise ValueError("expected HOST:PORT")
    return text(value)


@reads("host name with its domain")
def host_name(value: object) -> str:
    """A fully qualified domain name."""
    try:
        name = domain_name(text(value))
    except AddressError as error:
        raise ValueError(f"expected a host name: {error}") from None
    if "." not in name:
        raise ValueError("expected a host name with its domain")
    return name


@reads("list of texts")
def texts(value: object) -> tuple[str, ...]:
    """A list of strings."""
    if not isinstance(value, list):
        raise ValueError("expected a list of strings")
    return tuple(text(one) for one in value)


@reads("list of whole numbers from 1 to 365")
def days(value: object) -> tuple[int, ...]:
    """A list of numbers of days."""
    if not isinstance(value, list):
        raise ValueError("expected a list of whole numbers from 1 to 365")
    return tuple(map(integer(1, 365), value))


@reads("list of host names with their domains")
def host_names(value: object) -> tuple[str, ...]:
    """A list of fully qualified domain names."""
    return tuple(host_name(one) for one in texts(value))


@reads("`true`, `false` or list of domains")
def everywhere(value: object) -> bool | frozenset[str]:
    """Yes or no, or yes for these domains."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise ValueError("expected true, false or a list of domains")
    try:
        return frozenset(domain_name(one) for one in texts(value))
    except AddressError as error:
        raise ValueError(f"expected a list of domains: {error}") from None


@reads("list of IP networks; a bare address is a host")
def networks(value: object) -> tuple[Network, ...]:
    """A list of IP networks (`192.0.2.0/24`, `2001:db8::/32`)."""
    try:
        return tuple(ipaddress.ip_network(one) for one in texts(value))
    except ValueError as error:
        raise ValueError(f"expected a list of IP networks: {error}") from None


def action(value: object) -> Action:
    """The word of an action."""
    return Action.parse(text(value))


def actions(value: object) -> frozenset[Action]:
    """A list of the words of actions."""
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of actions that is not empty")
    return frozenset(action(one) for one in value)


_WHOLE = ", ".join(f"`{one.word}`" for one in sorted(WHOLE))


@reads(f"one of {_WHOLE}")
def whole_action(value: object) -> Action:
    """The word of what is done with a whole message."""
    return among(action(value), WHOLE)


@reads(f"list of {_WHOLE}")
def whole_actions(value: object) -> frozenset[Action]:
    """A list of such words."""
    return frozenset(among(one, WHOLE) for one in actions(value))


def among(chosen: Action, may: frozenset[Action]) -> Action:
    """The action if it can be done; else ValueError, for there is no part to remove."""
    if chosen not in may:
        words = ", ".join(one.word for one in sorted(may))
        raise ValueError(f"expected one of {words}, for there is no part to {chosen.word}")
    return chosen


@reads("table: channel to `unix:PATH` or `inet:HOST:PORT`; `local` must be in it")
def upstreams(value: object) -> Mapping[str, str]:
    """A table of LMTP servers by destination channel."""
    if not isinstance(value, Mapping) or "local" not in value:
        raise ValueError("expected a table with the key local")
    for name, target in value.items():
        kind, _colon, rest = str(target).partition(":")
        host, _colon, port = rest.rpartition(":")
        unix = kind == "unix" and rest.startswith("/")
        if not unix and not (kind == "inet" and host and port.isdecimal()):
            raise ValueError(f"expected unix:/PATH or inet:HOST:PORT for {name}")
    return dict(value)
