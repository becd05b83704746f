"""Which mail an edit is for: facts of a message in, yes or no out.

Whom an address stands for is asked of the directory, which may be unavailable. From is what the
sender wrote: of mail that came without a login it is a claim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from iems.codec.author import authors
from iems.codec.encoded import decoded
from iems.codec.header import unfold
from iems.directory.reader import Alias, CatchAll, Directory, Entry, user_of
from iems.directory.resolve import DELIMITER, MAX_DEPTH, MAX_RESULTS, with_bases
from iems.model.address import Address, AddressError
from iems.model.message import HeaderBlock
from iems.serve.deadline import Deadline
from iems.settings.edits import ANYWHERE, NEVER, ONLY, OUTSIDE, EditTable, Whom

_ANSWERS = (b"in-reply-to", b"references", b"x-forwarded-message-id")
_PREFIX = re.compile(
    r"\s*(?:re|aw|sv|vs|antw|odp|ynt|r|rif|fw|fwd|wg|tr|rv|enc|vb|doorst)\s*(?:\[\d+\]\s*)?:",
    re.IGNORECASE,
)
"""What mail programs put before the subject of what is answered or forwarded."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one message; `login` is who has logged in, `author` whom From names, if it is one."""

    channel: str
    outside: bool
    author: Address | None
    login: Address | None
    recipients: Sequence[Address]
    answers: bool


def author(header: HeaderBlock) -> Address | None:
    """The one address in From; None where there is another number of them."""
    found = authors([field.value for field in header.named(b"from")])
    if not found.sole:
        return None
    try:
        return Address.parse("{}@{}".format(*found.addresses[0]))
    except AddressError:
        return None


def answers(header: HeaderBlock) -> bool:
    """Whether the message answers or forwards another, as far as its header says."""
    if any(header.named(name) for name in _ANSWERS):
        return True
    subjects = header.named(b"subject")
    return bool(subjects) and _PREFIX.match(decoded(unfold(subjects[0].value))) is not None


def due(which: EditTable, facts: Facts, members: Callable[[Address], Collection[str]]) -> bool:
    """Whether the edit is for this message; `members` gives the keys of whom an address reaches."""
    if facts.channel not in which.channels:
        return False
    if which.direction != ANYWHERE and facts.outside != (which.direction == OUTSIDE):
        return False
    if which.replies == (NEVER if facts.answers else ONLY):
        return False
    sender = facts.login or facts.author
    if which.senders and not _among(facts.author or sender, sender, which.senders, members):
        return False
    return not which.recipients or all(
        _among(one, one, which.recipients, members) for one in facts.recipients
    )


def members(directory: Directory, group: Address, deadline: Deadline) -> frozenset[str]:
    """The keys of the mailboxes that an alias or list leads to; DirectoryUnavailable.

    As mail gets there: a target may have a `+extension`, or stand in a domain that is another name
    for one. Where owners of mailboxes forward their mail to is not looked at.
    """
    found: set[str] = set()
    seen: set[str] = set()
    frontier = [group]
    for _step in range(MAX_DEPTH):
        frontier = [one for one in frontier if one.key not in seen][:MAX_RESULTS]
        if not frontier:
            break
        seen |= {one.key for one in frontier}
        there = directory.find(with_bases(frontier), deadline)
        entries = {one: there.get(one.key) or there.get(_base(one).key) for one in frontier}
        found |= {user.address.key for user in map(user_of, entries.values()) if user}
        unknown = {one.domain for one, entry in entries.items() if entry is None}
        others = directory.find_catch_all(unknown, deadline) if unknown else {}
        frontier = [
            target
            for one, entry in entries.items()
            for target in _targets(one, entry, others.get(one.domain))
        ]
    return frozenset(found)


def _targets(one: Address, entry: Entry | None, other: CatchAll | None) -> tuple[Address, ...]:
    """Whom an address of a group stands for."""
    if entry is None:
        return (Address(one.local, other.other),) if other and other.other else ()
    return entry.targets if isinstance(entry, Alias) and entry.mailing_list else ()


def _among(
    shown: Address | None,
    person: Address | None,
    whom: Whom,
    members: Callable[[Address], Collection[str]],
) -> bool:
    """Whether who is `shown`, or the `person` behind, is one of these."""
    if shown is None or person is None:
        return False
    if shown.domain in whom:
        return True
    addresses = [one for one in whom if isinstance(one, Address)]
    if not {one.key for one in addresses}.isdisjoint(_keys(shown)):
        return True
    own = _keys(person)
    return any(not own.isdisjoint(members(one)) for one in addresses)


def _keys(address: Address) -> frozenset[str]:
    return frozenset({address.key, _base(address).key})


def _base(address: Address) -> Address:
    return address.without_extension(DELIMITER) or address
