"""The directory as the daemons see it: values, and the protocol that every directory follows.

A directory is asked in batches: a whole batch costs one search. It tells what stands under exactly
the addresses asked; what an address leads to is `iems.directory.resolve`. Policies come as layers.
A directory that cannot answer, or answers nonsense, raises `DirectoryUnavailable`: that is a
temporary failure (4xx) and never "no such user".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from iems.directory.person import NOBODY, Person
from iems.model.address import Address
from iems.model.policy import Layer, MailingList
from iems.serve.deadline import Deadline


class DirectoryUnavailable(Exception):  # noqa: N818 - a state of the world, not our error
    """The directory gave no answer that can be relied on; the message says what went wrong."""


@dataclass(frozen=True, slots=True)
class User:
    """A mailbox, with its owner's policy and that of its domain.

    `refusal` says why mail to it is refused (`iems.directory.account`); empty where it is taken.
    `language` holds the languages that its owner prefers (RFC 2798 section 2.7), `person` what else
    is known of him. `bayes` is what he wants of his own filter; empty where he has said nothing.
    `facts` is whether his script asks what was found in a message.
    """

    address: Address
    layer: Layer
    domain_layer: Layer
    refusal: str = ""
    language: str = ""
    bayes: str = ""
    facts: bool = False
    person: Person = field(default_factory=lambda: NOBODY, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for other addresses (Postfix: virtual_alias_maps).

    An alias comes before the mailbox of the same address, which is then `user`: with itself among
    its targets it keeps a copy there. A user's own forward addresses are such targets. One with an
    entry of its own is a `mailing_list`, whether it has a policy or not.
    """

    address: Address
    targets: tuple[Address, ...]
    user: User | None = None
    mailing_list: MailingList | None = None


@dataclass(frozen=True, slots=True)
class CatchAll:
    """Where mail for every address of `domain` goes that is neither a user nor an alias.

    With `other` it goes to the same local part there, and `targets` is empty.
    """

    domain: str
    targets: tuple[Address, ...]
    other: str = ""


Entry: TypeAlias = User | Alias


class Directory(Protocol):
    """What every directory can tell; each method is one search at most, and thread-safe.

    Each raises `DirectoryUnavailable`, at the latest when the deadline has come.
    """

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """What stands under these addresses, by `Address.key`; unknown ones are missing."""
        ...

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """The catch-all aliases (`@domain`) of these domains, by domain."""
        ...

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """Those of these domains that are ours, with the policy of each."""
        ...


def user_of(entry: Entry | None) -> User | None:
    """The mailbox under an address, whether or not an alias comes before it."""
    return entry.user if isinstance(entry, Alias) else entry
