"""Whose policy counts for a recipient: the directory asked for all recipients at once.

The recipient is the final one, after aliases; through which lists a copy comes is told by where the
directory has the address lead that the sender wrote, if it leads to him at all. One that the
directory does not know may still be known to the next hop, which then decides; only an address in a
domain of ours that stands for nothing is an unknown user. A directory that does not answer is
`DirectoryUnavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from iems.directory.account import closed
from iems.directory.person import NOBODY, Person
from iems.directory.reader import Directory, Entry, user_of
from iems.directory.resolve import UnreasonableAlias, resolve
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, LOCAL
from iems.model.policy import Decision, Kind, Layer, MailingList, Subject
from iems.serve.deadline import Deadline
from lmtp.commands import Recipient


@dataclass(frozen=True, slots=True)
class Target:
    """One recipient and what is known of it; `layers` are those below the channel's."""

    recipient: Recipient
    address: Address | None
    """None where the text is no address as we know them; the next hop decides about it."""
    channel: str
    layers: tuple[Layer, ...] = ()
    known: bool = True
    """False only where the directory says that there is no such user."""
    closed: Decision | None = None
    """The refusal of an account that takes no mail."""
    lists: tuple[MailingList, ...] = ()
    language: str = ""
    """The languages that he prefers, as the directory has them."""
    bayes: str = ""
    """What he has said of his own filter."""
    facts: bool = False
    """Whether his script asks what was found in a message."""
    person: Person = field(default_factory=lambda: NOBODY, compare=False, repr=False)
    """What else is known of the owner of the mailbox."""

    @property
    def speakers(self) -> tuple[Layer, ...]:
        """Its domain, its owner and the lists on the way."""
        return (*self.layers, *(one.layer for one in self.lists))

    @property
    def key(self) -> str:
        """What two recipients have in common that are the same mailbox."""
        return self.address.key if self.address else self.recipient.address

    def joined(self, other: Target) -> Target:
        """One mailbox that comes twice: a list counts only where both come through it."""
        return replace(self, lists=tuple(one for one in self.lists if one in other.lists))

    @property
    def subject(self) -> Subject | None:
        """Who owns the innermost layer."""
        return self.layers[-1].subject if self.layers else None

    @property
    def user(self) -> str:
        """The address of the mailbox's owner; empty where it has none."""
        subject = self.subject
        return subject.name if subject and subject.kind is Kind.USER else ""

    @property
    def role(self) -> bool:
        """Whether this is postmaster@ or abuse@."""
        return self.address is not None and self.address.role


def find_targets(
    directory: Directory, recipients: Sequence[Recipient], deadline: Deadline
) -> list[Target]:
    """One target for each recipient, in their order."""
    addresses = [_address(recipient) for recipient in recipients]
    present = [address for address in addresses if address is not None]
    asked = {address.key: address for address in present}
    bases = (address.without_extension() for address in present)
    asked.update((base.key, base) for base in bases if base is not None)
    entries = directory.find(asked.values(), deadline)
    domains = directory.domains({address.domain for address in present}, deadline)
    lists = _Lists(directory, deadline)
    targets = []
    for recipient, address in zip(recipients, addresses, strict=True):
        if address is None or address.domain not in domains:
            targets.append(Target(recipient, address, INTERNET))
            continue
        found = _entries(address, entries)
        user = next((user for user in map(user_of, found) if user), None)
        layers = (user.domain_layer, user.layer) if user else (domains[address.domain],)
        refusal = closed(user) if user else None
        passed = lists.passed(recipient, address)
        told = (user.language, user.bayes, user.facts, user.person) if user else ()
        targets.append(
            Target(recipient, address, LOCAL, layers, bool(found), refusal, passed, *told)
        )
    return targets


class _Lists:
    """Through which lists copies of one transaction come."""

    def __init__(self, directory: Directory, deadline: Deadline) -> None:
        self._directory = directory
        self._deadline = deadline
        self._known: dict[str, dict[str, tuple[MailingList, ...]]] = {}

    def passed(self, recipient: Recipient, final: Address) -> tuple[MailingList, ...]:
        """The lists between the address that the sender wrote and the final one."""
        written = parsed(recipient.original)
        if written is None or written.key == final.key:
            return ()
        if written.key not in self._known:
            self._known[written.key] = self._led_to(written)
        return self._known[written.key].get(final.key, ())

    def _led_to(self, written: Address) -> dict[str, tuple[MailingList, ...]]:
        try:
            found = resolve(self._directory, written, self._deadline)
        except UnreasonableAlias:
            return {}  # Postfix has led the message somewhere all the same, or somebody else has
        return {one.address.key: one.lists for one in found}


def _entries(address: Address, entries: Mapping[str, Entry]) -> list[Entry]:
    """What stands under the address, and under the address without its extension."""
    base = address.without_extension()
    keys = (address.key, base.key) if base else (address.key,)
    return [entries[key] for key in keys if key in entries]


def _address(recipient: Recipient) -> Address | None:
    return parsed(recipient.address)


def parsed(text: str) -> Address | None:
    """The address; None where the text is none as we know them."""
    try:
        return Address.parse(text)
    except AddressError:
        return None
