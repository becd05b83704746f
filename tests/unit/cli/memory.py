"""A tree in memory that follows the `Store` protocol, and what the commands need to run on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from iems.directory.admin import Admin
from iems.directory.authority import Actor, Thing
from iems.directory.reader import DirectoryUnavailable
from iems.directory.store import (
    Attributes,
    Changes,
    EntryExistsError,
    Name,
    NoEntryError,
    Row,
    Write,
    WrongPasswordError,
)
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.settings.schema import Settings

DOMAINS: Name = (("ou", "domains"),)
CONTACTS: Name = (("ou", "contacts"),)


@dataclass
class Memory:
    """Entries by name; `down` names the methods that do not answer."""

    entries: dict[Name, dict[str, list[bytes]]] = field(
        default_factory=lambda: {DOMAINS: {}, CONTACTS: {}}
    )
    passwords: dict[Name, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def search(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Sequence[Row]:
        """See `Reader`."""
        self._called("search", deadline)
        wanted = [(attribute, value.lower().encode()) for attribute, value in any_of]
        return [
            Row(name, {one: values for one, values in entry.items() if one in attributes})
            for name, entry in self.entries.items()
            if name[-len(base) :] == base
            and any(
                value in [have.lower() for have in entry.get(attribute, ())]
                for attribute, value in wanted
            )
        ]

    def search_all(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        timeout: float,
    ) -> Sequence[Row]:
        """See `Store`."""
        return self.search(base, any_of, attributes, Deadline.after(timeout))

    def add(self, name: Name, attributes: Attributes, deadline: Deadline) -> None:
        """See `Store`."""
        self._called("add", deadline)
        if name[1:] not in self.entries:
            raise NoEntryError
        if name in self.entries:
            raise EntryExistsError
        self.entries[name] = {attribute: list(values) for attribute, values in attributes.items()}
        for password in self.entries[name].pop("userPassword", ()):
            self.passwords[name] = password.decode()

    def write(self, writes: Sequence[Write], deadline: Deadline) -> Sequence[Exception | None]:
        """See `Store`."""
        found: list[Exception | None] = []
        for one in writes:
            try:
                if one.attributes is not None:
                    self.add(one.name, one.attributes, deadline)
                else:
                    self.change(one.name, one.changes, deadline)
            except (EntryExistsError, NoEntryError) as error:
                found.append(error)
            else:
                found.append(None)
        return found

    def delete(self, name: Name, deadline: Deadline) -> None:
        """See `Store`."""
        self._called("delete", deadline)
        self._need(name)
        assert not [one for one in self.entries if one[1:] == name], "it has entries below it"
        del self.entries[name]

    def delete_tree(self, name: Name, timeout: float) -> None:
        """See `Store`."""
        self._called("delete_tree", Deadline.after(timeout))
        for one in [one for one in self.entries if one[-len(name) :] == name]:
            del self.entries[one]

    def change(self, name: Name, changes: Changes, deadline: Deadline) -> None:
        """See `Store`."""
        self._called("change", deadline)
        self._need(name)
        for attribute, (remove, add) in changes.items():
            values = self.entries[name].setdefault(attribute, [])
            for value in remove:
                values.remove(value)
            assert not set(add) & set(values)
            values += add

    def to_value(self, name: Name) -> bytes:
        """See `Reader`."""
        return ",".join("=".join(pair) for pair in name).encode()

    def from_value(self, value: bytes) -> Name:
        """See `Reader`."""
        pairs = (pair.partition("=") for pair in value.decode().split(","))
        return tuple((attribute, text) for attribute, _equals, text in pairs)

    def set_password(self, name: Name, password: str, deadline: Deadline) -> None:
        """See `Store`."""
        self._called("set_password", deadline)
        self._need(name)
        self.passwords[name] = password

    def change_password(self, name: Name, old: str, new: str, deadline: Deadline) -> None:
        """See `Store`."""
        self._called("change_password", deadline)
        if self.passwords.get(name) != old:
            raise WrongPasswordError
        self.passwords[name] = new

    def _need(self, name: Name) -> None:
        if name not in self.entries:
            raise NoEntryError

    def _called(self, method: str, deadline: Deadline) -> None:
        assert not deadline.expired
        self.asked.append(method)
        if method in self.down:
            raise DirectoryUnavailable("down")


@dataclass
class Bench:
    """An administrator's directory in memory, and what the audit was told."""

    store: Memory = field(default_factory=Memory)
    actor: Actor = Actor()  # noqa: RUF009 - frozen
    audited: list[str] = field(default_factory=list)

    @property
    def admin(self) -> Admin:
        """The directory for the actor."""

        def audit(actor: Actor, verb: str, thing: Thing, result: str) -> None:
            self.audited.append(f"{actor} {verb} {thing}: {result}")

        return Admin(self.store, self.actor, audit, 5.0)

    def run(self, command: ModuleType, *words: str) -> int:
        """One command with these words; its exit code."""
        parser = argparse.ArgumentParser(prog="iems")
        command.add_arguments(parser)
        arguments = parser.parse_args(words)
        code: int = command.entries.told(lambda: command.act(arguments, self.admin, settings()))
        return code


def settings() -> Settings:
    """A site with one check that may be chosen about and one that may not."""
    return from_table(
        {
            "version": 1,
            "hostname": "mail.example.test",
            "postmaster": "postmaster@example.test",
            "checks": {
                "iprev": {"mode": "delegate", "allow": {"mismatch": ["deliver", "tag", "junk"]}},
                "dnsbl": {"x": {"mode": "enforce", "zone": "bl.test"}},
            },
        }
    )
