"""From files to `Settings`: `iems.toml`, then `conf.d/*.toml` beside it in the order of names.

A key of a later file takes the place of the same key of an earlier one; tables are joined. Only
files that end in .toml count. Every fault of every file is reported, with the file it stands in.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iems.model.envelope import INTERNET, LOCAL
from iems.model.policy import Kind, Layer, Subject
from iems.settings.bayes import BayesSettings
from iems.settings.edits import read_edits
from iems.settings.policy import (
    AT_DELIVERY,
    Channel,
    DestinationTable,
    SourceTable,
    policy_faults,
    policy_layer,
    read_checks,
    undone,
)
from iems.settings.read import SettingsError, Table, Where, join, read_table, somewhere
from iems.settings.schema import AgentSettings, MilterSettings, SenderSettings, Settings
from iems.settings.shared import SharedSettings

DEFAULT_FILE = Path("/etc/iems/iems.toml")
_MAX_FILE = 4 << 20


@dataclass(frozen=True)
class Written:
    """Settings as they stand in files: `where` names the file of a key, and the digest changes with
    every value."""

    settings: Settings
    where: Where
    digest: str

    def fingerprint(self, program: MilterSettings | AgentSettings | BayesSettings) -> str:
        """The digest of all that `program` reads when it starts: secrets and directory, too."""
        directory = self.settings.directory
        # The training daemon asks the directory as the agent does.
        account = self.settings.agent if isinstance(program, BayesSettings) else program
        own = account.ldap_password_file if directory.kind == "ldap" else directory.file
        edits = (file for edit in self.settings.edits for file in edit.files)
        notices = self.settings.attachments.notices.values()
        files = [self.settings.keys.findings, own, *notices, *edits]
        shared: SharedSettings = self.settings.bayes
        if isinstance(program, MilterSettings):
            files += sorted(self.settings.signing.keys.glob("*.toml"))
            shared = self.settings.counters
        if shared.logs_in:
            files.append(shared.password_file)
        whole = hashlib.sha256(self.digest.encode())
        for file in files:
            try:
                whole.update(hashlib.sha256(file.read_bytes()).digest())
            except OSError:
                whole.update(b"none")  # a fault that is told where it is read
        return whole.hexdigest()


def load(file: Path = DEFAULT_FILE) -> Settings:
    """The settings in `file` and its `conf.d`; SettingsError tells all that is wrong."""
    return read_files(file).settings


def read_files(file: Path = DEFAULT_FILE) -> Written:
    """The same, and where each key stands."""
    table: dict[str, object] = {}
    origin: dict[str, Path] = {}

    def where(key: str) -> str:
        """A key that is missing belongs where its table stands."""
        while key and key not in origin:
            key = key.rpartition(".")[0]
        return str(origin.get(key, file))

    try:
        for one in (file, *sorted((file.parent / "conf.d").glob("*.toml"))):
            _merge(table, _parse(one), "", one, origin)
        digest = hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode())
        return Written(from_table(table, where), where, digest.hexdigest())
    except RecursionError:
        raise SettingsError([f"{file}: tables or lists are nested too deeply"]) from None


def from_table(table: Table, where: Where = somewhere) -> Settings:
    """The settings in a parsed table."""
    rest = dict(table)
    faults: list[str] = []
    readers = {
        "checks": read_checks,
        "channels": _channels,
        "destinations": _destinations,
        "edits": read_edits,
    }
    for name, read in readers.items():
        try:
            rest[name] = read(_table(rest.get(name, {}), name, where), where)
        except SettingsError as error:
            faults += error.faults
            rest[name] = {}
    try:
        settings = read_table(Settings, rest, "", where)
        faults += _sender_faults(settings.senders, where)
        faults += _policy_faults(settings, where)
    except SettingsError as error:
        faults += error.faults
    if faults:
        raise SettingsError(faults)
    return settings


def _sender_faults(senders: SenderSettings, where: Where) -> list[str]:
    if senders.blocked in senders.allow:
        return []
    words = ", ".join(one.word for one in sorted(senders.allow))
    return [
        f"{where('senders.blocked')}: senders.blocked is {senders.blocked.word!r}; expected one of "
        f"senders.allow, {words}"
    ]


def _policy_faults(settings: Settings, where: Where) -> list[str]:
    """A channel stands below the site, a destination below the site and any channel."""
    site, faults = settings.site_layer, list[str]()
    for name, channel in settings.channels.items():
        key = f"{join('channels', name)}.policy"
        faults += policy_faults([site], channel.layer, key, where)
    for name, layer in settings.destinations.items():
        key = f"{join('destinations', name)}.policy"
        for above in ([site], *([site, one.layer] for one in settings.channels.values())):
            faults += policy_faults(above, layer, key, where)
    return list(dict.fromkeys(faults))


def _channels(table: Table, where: Where) -> Mapping[str, Channel]:
    channels: dict[str, Channel] = {}
    faults: list[str] = []
    for name, content in table.items():
        key = join("channels", name)
        try:
            given = read_table(SourceTable, _table(content, key, where), key, where)
            if name == LOCAL and given.networks:
                path = f"{key}.networks"
                faults.append(
                    f"{where(path)}: {path} makes clients of the network {LOCAL!r}, where nothing "
                    "is refused; expected another channel"
                )
            policy = _table(given.policy, f"{key}.policy", where)
            layer = policy_layer(Subject(Kind.CHANNEL, name), policy, f"{key}.policy", where)
            channels[name] = Channel(layer, given.networks)
        except SettingsError as error:
            faults += error.faults
    owners: dict[object, str] = {}
    for name, channel in channels.items():
        for network in channel.networks:
            if owners.setdefault(network, name) != name:
                key = f"{join('channels', name)}.networks"
                faults.append(f"{where(key)}: {key} holds {network}, as does {owners[network]}")
    if faults:
        raise SettingsError(faults)
    return channels


def _destinations(table: Table, where: Where) -> Mapping[str, Layer]:
    """Only mail that leaves this host has a policy of its own here: users have theirs."""
    layers: dict[str, Layer] = {}
    faults: list[str] = []
    for name, content in table.items():
        key = join("destinations", name)
        if name != INTERNET:
            faults.append(f"{where(key)}: {key} has no policy here; expected {INTERNET} alone")
            continue
        try:
            given = read_table(DestinationTable, _table(content, key, where), key, where)
            policy = _table(given.policy, f"{key}.policy", where)
            subject = Subject(Kind.CONNECTOR, name)
            layer = policy_layer(subject, policy, f"{key}.policy", where)
            faults += undone(layer, f"{key}.policy", where)
            faults += [
                f"{where(path)}: {path} is asked at delivery to a mailbox; expected another check"
                for path in (join(f"{key}.policy", check) for check in AT_DELIVERY & policy.keys())
            ]
            layers[name] = layer
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError(faults)
    return layers


def _table(value: object, key: str, where: Where) -> Table:
    if not isinstance(value, Mapping):
        raise SettingsError([f"{where(key)}: {key} is {value!r}; expected a table"])
    return value


def _parse(file: Path) -> Table:
    try:
        with file.open("rb") as opened:
            return tomllib.loads(opened.read(_MAX_FILE).decode())
    except (OSError, ValueError) as error:
        raise SettingsError([f"{file}: cannot be read: {error}"]) from None


def _merge(
    into: dict[str, object], table: Table, key: str, file: Path, origin: dict[str, Path]
) -> None:
    for name, value in table.items():
        path = join(key, name)
        present = into.get(name)
        origin[path] = file
        if isinstance(value, Mapping):
            inner = dict(present) if isinstance(present, Mapping) else {}
            into[name] = inner
            _merge(inner, value, path, file, origin)
        else:
            into[name] = value
