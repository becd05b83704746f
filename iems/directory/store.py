"""A tree of named entries, as `iems.directory` uses an LDAP server; nothing of mail in here.

Names and searches are data; the adapter (`iems.directory.ldap`) makes the text of them, so that no
character of an address can mean anything in a filter or a name. Every method raises
`DirectoryUnavailable` when there is no answer by the deadline that can be relied on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from iems.serve.deadline import Deadline

Name: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of attribute and value, the innermost first, relative to the top of the tree."""

Attributes: TypeAlias = Mapping[str, Sequence[bytes]]

Changes: TypeAlias = Mapping[str, tuple[Sequence[bytes], Sequence[bytes]]]
"""By attribute: the values that are taken from it, and those that it is given."""


def differences(have: Attributes, wanted: Attributes) -> Changes:
    """What makes of an entry one that has exactly the wanted values of the wanted attributes."""
    both = {
        attribute: (
            [value for value in have.get(attribute, ()) if value not in values],
            [value for value in values if value not in have.get(attribute, ())],
        )
        for attribute, values in wanted.items()
    }
    return {attribute: change for attribute, change in both.items() if any(change)}


class EntryExistsError(Exception):
    """There is an entry of this name already."""


class NoEntryError(Exception):
    """There is no entry of this name."""


class WrongPasswordError(Exception):
    """The server does not let the entry's owner in with this password."""


class WriteRefusedError(Exception):
    """The server understood and said no; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry that a search gave, with those of its attributes that were asked for."""

    name: Name
    attributes: Attributes

    def texts(self, attribute: str) -> tuple[str, ...]:
        """The values of an attribute; UnicodeDecodeError where one is no UTF-8."""
        return tuple(value.decode("utf-8") for value in self.attributes.get(attribute, ()))


@dataclass(frozen=True, slots=True)
class Write:
    """One entry to be made with these attributes, or where they are None, to be changed so."""

    name: Name
    attributes: Attributes | None = None
    changes: Changes = field(default_factory=dict)


class Reader(Protocol):
    """What can be asked."""

    def to_value(self, name: Name) -> bytes:
        """The name of an entry as the value of an attribute that names entries."""
        ...

    def from_value(self, value: bytes) -> Name:
        """The name in such a value, which need be no entry's; ValueError where it is none."""
        ...

    def search(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Sequence[Row]:
        """The entries below `base` of which one of these pairs of attribute and value is true."""
        ...


class Store(Reader, Protocol):
    """What can be changed. `NoEntryError` and `WriteRefusedError` are for all to raise."""

    def search_all(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        timeout: float,
    ) -> Sequence[Row]:
        """As `search`, for any number of entries: `timeout` seconds for each part of the answer."""
        ...

    def add(self, name: Name, attributes: Attributes, deadline: Deadline) -> None:
        """Make an entry; `EntryExistsError` where there is one.

        A userPassword in clear is hashed by the server; where it would not be, it is refused.
        """
        ...

    def write(self, writes: Sequence[Write], deadline: Deadline) -> Sequence[Exception | None]:
        """Many at once, none waiting for another; for each None, or what `add` or `change` raises.

        `DirectoryUnavailable` where it cannot be known what became of all of them.
        """
        ...

    def delete(self, name: Name, deadline: Deadline) -> None:
        """Remove an entry that has none below it."""
        ...

    def delete_tree(self, name: Name, timeout: float) -> None:
        """Remove an entry and all below it, which takes `timeout` seconds for each at most.

        Where there is none, or some is gone meanwhile, that is no error.
        """
        ...

    def change(self, name: Name, changes: Changes, deadline: Deadline) -> None:
        """Make all of these changes of an entry at once, or none."""
        ...

    def set_password(self, name: Name, password: str, deadline: Deadline) -> None:
        """Give the entry a password, which the server hashes (RFC 3062)."""
        ...

    def change_password(self, name: Name, old: str, new: str, deadline: Deadline) -> None:
        """The same, as who has the old one; `WrongPasswordError` where it lets nobody in."""
        ...
