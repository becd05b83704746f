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
from iems.directory.reader import Alias, Directory, user_of
from iems.directory.resolve import DELIMITER, MAX_DEPTH, MAX_RESULTS
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

    Where their owners forward their mail to is not looked at.
    """
    found: set[str] = set()
    seen: set[str] = set()
    frontier = [group]
    for _step in range(MAX_DEPTH):
        frontier = [one for one in frontier if one.key not in seen][:MAX_RESULTS]
        if not frontier:
            break
        seen |= {one.key for one in frontier}
        entries = directory.find(frontier, deadline).values()
        found |= {user.address.key for user in map(user_of, entries) if user}
        groups = (one for one in entries if isinstance(one, Alias) and one.mailing_list)
        frontier = [target for one in groups for target in one.targets]
    return frozenset(found)


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
    base = address.without_extension(DELIMITER)
    return frozenset({address.key, base.key if base else address.key})
