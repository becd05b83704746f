"""A directory of users whose rules refuse senders by the envelope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iems.directory.mailsort import refused_values
from iems.directory.store import Name, Row
from iems.directory.tree import TreeDirectory, domain_entry, domain_values, user_entry, user_values
from iems.model.address import Address
from iems.serve.deadline import Deadline


@dataclass(frozen=True)
class Rows:
    """The entries of a tree."""

    rows: tuple[Row, ...]

    def to_value(self, name: Name) -> bytes:
        """See `Reader`; nothing here is named."""
        raise NotImplementedError

    def from_value(self, value: bytes) -> Name:
        """The same."""
        raise NotImplementedError

    def search(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Sequence[Row]:
        """See `Reader`."""
        del base, attributes, deadline
        wanted = [(attribute, value.encode()) for attribute, value in any_of]
        return [
            row
            for row in self.rows
            if any(value in row.attributes.get(attribute, ()) for attribute, value in wanted)
        ]


def refusing(users: Mapping[str, Mapping[str, str]]) -> TreeDirectory:
    """These users, each of whom refuses by pattern, with what the sender is told."""
    known = {Address.parse(user): refused for user, refused in users.items()}
    domains = [Row(domain_entry(one), domain_values(one)) for one in {x.domain for x in known}]
    rows = [
        Row(user_entry(user), {**user_values(user), **refused_values(refused)})
        for user, refused in known.items()
    ]
    return TreeDirectory(Rows((*domains, *rows)), 5.0, lambda _note: None)
