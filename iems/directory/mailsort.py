"""Rules of users as the directory keeps them: text that means something to `sieve` alone.

Beside it stands whom these rules refuse by the envelope sender, and whether they ask what was found
in a message, for milter and agent to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from iems.directory.admin import Admin
from iems.directory.authority import Thing
from iems.directory.policy import MAX_SENDERS, read_senders, read_told, told_value
from iems.directory.store import Attributes, Write, differences
from iems.directory.tree import (
    ADDRESS,
    FACTS,
    MAILSORT,
    REFUSED,
    SENDER,
    TARGET,
    TOLD,
    canonical,
    user_entry,
)
from iems.model.address import Address
from iems.model.policy import Kind, Subject
from iems.serve.deadline import Deadline

LARGEST = 1 << 20
"""Bytes of the rules of one user."""

_SECONDS = 30.0
"""For one change: a server that writes to disk takes longer than one that is asked."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one user's entry says; `allowed` are patterns of his own list of senders.

    `refused` is by pattern what the sender is told, empty for what the site says.
    `facts` is whether his script is told what was found in a message.
    """

    text: bytes = b""
    refused: Mapping[str, str] = field(default_factory=dict)
    facts: bool = False
    allowed: frozenset[str] = frozenset()


class Shelf:
    """The rules of all users, for one actor; each question and change is authorised."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def read(self, user: Address) -> Stored:
        """His rules; NoEntryError where there is no such user."""
        self._admin.authorise("show", _thing(user))
        row = self._admin.user(user, MAILSORT)
        subject = Subject(Kind.USER, user.key)
        senders = read_senders(row.attributes.get(SENDER, ()), subject, _unheard)
        told = read_told(row.attributes.get(TOLD, ()), subject, _unheard)
        return Stored(
            next(iter(row.attributes.get(MAILSORT, ())), b""),
            {pattern: told.get(pattern, "") for pattern in row.texts(REFUSED)},
            "TRUE" in row.texts(FACTS),
            frozenset(pattern for pattern, one in senders.items() if one.allows),
        )

    def write(self, user: Address, text: bytes) -> bool:
        """Keep these rules, or none where the text is empty; whether they are others.

        ValueError where they are too large.
        """
        if len(text) > LARGEST:
            raise ValueError(f"the rules have {len(text)} bytes; expected at most {LARGEST}")
        return self._change(user, {MAILSORT: [text] if text else []})

    def derive(self, user: Address, patterns: Mapping[str, str], *, facts: bool) -> bool:
        """Have exactly these envelope senders refused, and his script told what was found or not.

        The senders are told the texts, where they are not empty.
        Whether anything changed; ValueError where the senders are more than count.
        """
        if len(patterns) > MAX_SENDERS:
            raise ValueError(f"{len(patterns)} senders are refused; at most {MAX_SENDERS} count")
        known = {FACTS: [b"TRUE"] if facts else []}
        return self._change(user, {**refused_values(patterns), **known})

    def others(self, user: Address) -> tuple[str, ...]:
        """The other addresses by which he alone is written to, sorted: aliases that lead to nobody
        else, and his name in domains that are other names of his own.
        """
        rows = self._admin.rows((TARGET, canonical(user)), (TARGET, f"@{user.domain}"))
        found = set()
        for row in rows:
            targets, [address] = row.texts(TARGET), row.texts(ADDRESS)
            if targets == (f"@{user.domain}",):
                found.add(f"{user.local}{address}")
            elif targets == (canonical(user),) and not address.startswith("@"):
                found.add(address)
        return tuple(sorted(found))

    def _change(self, user: Address, wanted: Attributes) -> bool:
        thing = _thing(user)
        self._admin.authorise("set", thing)
        changes = differences(self._admin.user(user, MAILSORT).attributes, wanted)
        if not changes:
            return False
        write = Write(user_entry(user), None, changes)
        [failure] = self._admin.write([(thing, write)], Deadline.after(_SECONDS))
        if failure is not None:
            raise failure
        return True


def refused_values(patterns: Mapping[str, str]) -> Attributes:
    """The attributes that say who is refused, and what he is told."""
    told = [told_value(*one) for one in sorted(patterns.items()) if one[1]]
    return {REFUSED: [one.encode() for one in sorted(patterns)], TOLD: told}


def _unheard(_note: str) -> None:
    """Of what is left out the daemons tell who read it for mail."""


def _thing(user: Address) -> Thing:
    return Thing("mailsort", user.key)
