"""A directory that is one TOML file: for milters beside an existing server, and for tests.

It is read once, when it is loaded, and never written; a change takes effect with the next reload.
Every fault of the file is reported with file, key, what stood there and what is expected.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from iems.directory.reader import Alias, CatchAll, Entry, User
from iems.model.address import Address, AddressError, domain_name
from iems.model.policy import Action, Kind, Layer, Rule, Subject
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError, Table, action, actions, join, text

_TABLES = frozenset({"domains", "users", "aliases"})


@dataclass(frozen=True, slots=True)
class TomlDirectory:
    """All of the file, in memory."""

    entries: Mapping[str, Entry]
    catch_alls: Mapping[str, CatchAll]
    layers: Mapping[str, Layer]

    @classmethod
    def load(cls, file: Path) -> TomlDirectory:
        """The directory in `file`; SettingsError tells all that is wrong with it."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([f"{file}: cannot be read: {error}"]) from None
        return cls.parse(text, str(file))

    @classmethod
    def parse(cls, text: str, file: str = "directory") -> TomlDirectory:
        """The directory in this text."""
        try:
            return _Reading(file).directory(tomllib.loads(text))
        except ValueError as error:
            raise SettingsError([f"{file}: cannot be read: {error}"]) from None
        except RecursionError:
            raise SettingsError([f"{file}: tables or lists are nested too deeply"]) from None

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """See `Directory`."""
        del deadline
        keys = (address.key for address in addresses)
        return {key: self.entries[key] for key in keys if key in self.entries}

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """See `Directory`."""
        del deadline
        return {name: self.catch_alls[name] for name in domains if name in self.catch_alls}

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """See `Directory`."""
        del deadline
        return {name: self.layers[name] for name in names if name in self.layers}


class _Reading:
    """One reading of a file; collects its faults."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._faults: list[str] = []

    def directory(self, table: Table) -> TomlDirectory:
        for name in table.keys() - _TABLES:
            self._fault(
                name, table[name], f"expected one of the tables {', '.join(sorted(_TABLES))}"
            )
        layers = self._domains(self._table(table, "domains"))
        entries: dict[str, Entry] = dict(self._users(self._table(table, "users"), layers))
        catch_alls = self._aliases(self._table(table, "aliases"), entries)
        if self._faults:
            raise SettingsError(self._faults)
        return TomlDirectory(entries, catch_alls, layers)

    def _domains(self, table: Table) -> dict[str, Layer]:
        layers: dict[str, Layer] = {}
        for name, content in table.items():
            key = join("domains", name)
            domain = self._domain(key, name)
            if domain is not None:
                layers[domain] = self._layer(key, content, Subject(Kind.DOMAIN, domain))
        return layers

    def _users(self, table: Table, layers: Mapping[str, Layer]) -> dict[str, User]:
        users: dict[str, User] = {}
        for name, content in table.items():
            key = join("users", name)
            address = self._address(key, name)
            if address is None:
                continue
            if address.domain not in layers:
                self._fault(key, name, "expected an address in one of the domains of [domains]")
                continue
            if address.key in users:
                self._fault(
                    key, name, "expected an address that differs from all others in more than case"
                )
            layer = self._layer(key, content, Subject(Kind.USER, address.key))
            users[address.key] = User(address, layer, layers[address.domain])
        return users

    def _aliases(self, table: Table, entries: dict[str, Entry]) -> dict[str, CatchAll]:
        catch_alls: dict[str, CatchAll] = {}
        for name, content in table.items():
            key = join("aliases", name)
            if not isinstance(content, list) or not content:
                self._fault(key, content, "expected a list of addresses that is not empty")
                continue
            found = [self._address(key, one) for one in content]
            targets = tuple(one for one in found if one is not None)
            if name.startswith("@"):
                domain = self._domain(key, name[1:])
                if domain is not None:
                    catch_alls[domain] = CatchAll(domain, targets)
                continue
            address = self._address(key, name)
            if address is not None:
                present = entries.get(address.key)
                user = present if isinstance(present, User) else None
                entries[address.key] = Alias(address, targets, user)
        return catch_alls

    def _layer(self, key: str, content: object, subject: Subject) -> Layer:
        if not isinstance(content, Mapping) or content.keys() - {"policy"}:
            self._fault(key, content, "expected a table with the key policy or an empty one")
            return Layer(subject)
        rules: dict[tuple[str, str], Rule] = {}
        policy = self._table(content, "policy", key)
        for check in policy:
            path = join(f"{key}.policy", check)
            for band, rule in self._table(policy, check, f"{key}.policy").items():
                rules[check, band] = self._rule(join(path, band), rule)
        return Layer(subject, rules)

    def _rule(self, key: str, content: object) -> Rule:
        if isinstance(content, str):
            return Rule(choice=self._action(key, content))
        if not isinstance(content, Mapping) or content.keys() - {"choice", "allow"}:
            self._fault(
                key, content, "expected an action or a table with the keys choice and allow"
            )
            return Rule()
        choice = self._action(key, content["choice"]) if "choice" in content else None
        if "allow" not in content:
            return Rule(choice=choice)
        try:
            allow = actions(content["allow"])
        except ValueError as error:
            self._fault(f"{key}.allow", content["allow"], str(error))
            return Rule(choice=choice)
        if choice is not None and choice not in allow:
            self._fault(
                f"{key}.choice", choice.word, "expected one of the actions of allow beside it"
            )
        return Rule(allow, choice)

    def _action(self, key: str, value: object) -> Action | None:
        try:
            return action(value)
        except ValueError as error:
            self._fault(key, value, str(error))
            return None

    def _domain(self, key: str, value: str) -> str | None:
        try:
            return domain_name(value)
        except AddressError as error:
            self._fault(key, value, f"expected a domain: {error}")
            return None

    def _address(self, key: str, value: object) -> Address | None:
        try:
            return Address.parse(text(value))
        except ValueError as error:
            told = f"an address: {error}" if isinstance(error, AddressError) else "an address"
            self._fault(key, value, f"expected {told}")
            return None

    def _table(self, table: Table, name: str, parent: str = "") -> Table:
        content = table.get(name, {})
        if isinstance(content, Mapping):
            return content
        self._fault(join(parent, name), content, "expected a table")
        return {}

    def _fault(self, key: str, value: object, told: str) -> None:
        self._faults.append(f"{self._file}: {key} is {value!r}; {told}")
