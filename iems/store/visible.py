"""Which records a user may see: his own, those of domains that he administers, and no others."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from iems.model.policy import Kind
from iems.store.records import Record


def visible(records: Iterable[Record], user: str, domains: Collection[str]) -> list[Record]:
    """Those that a user may see who administers these domains: his, and of messages that he got.

    What a message is (its sender, its client, what was found) stands in records of no recipient;
    they are shown for the messages of which one for him is among the records.
    """
    rows = list(records)
    his = [row for row in rows if row.recipient and _belongs(row, user, domains)]
    references = {row.reference for row in his}
    return [
        row for row in rows if row in his or (not row.recipient and row.reference in references)
    ]


def _belongs(record: Record, user: str, domains: Collection[str]) -> bool:
    """Whether whose policy was asked, else the recipient, is this user or in these domains."""
    kind, _blank, name = record.subject.casefold().partition(" ")
    whose = name if kind in {Kind.USER.value, Kind.DOMAIN.value} else record.recipient.casefold()
    return whose == user or whose.rpartition("@")[2] in domains
