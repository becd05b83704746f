"""What a directory says of who owns a mailbox, by the names that templates know it by.

Each value is one line; what an entry does not say is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from iems.model.address import Address

ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "name": "cn",
        "given_name": "givenName",
        "surname": "sn",
        "title": "title",
        "department": "ou",
        "organisation": "o",
        "phone": "telephoneNumber",
        "mobile": "mobile",
        "street": "street",
        "postal_code": "postalCode",
        "place": "l",
    }
)
"""The attribute of inetOrgPerson (RFC 2798) that each stands in; of several values the first."""

MAIL = "mail"
"""The address of the mailbox itself."""

Person: TypeAlias = Mapping[str, str]

NOBODY: Person = MappingProxyType(dict.fromkeys((*ATTRIBUTES, MAIL), ""))

LONGEST = 400
"""Letters of a value."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def person(values: Mapping[str, str], address: Address) -> Person:
    """All that is known, from what the entry of this mailbox says."""
    lines = {name: line(value) for name, value in values.items() if value}
    return MappingProxyType({**NOBODY, **lines, MAIL: str(address)})


def line(value: str) -> str:
    """A value as it is known: one line, without white space around it."""
    return " ".join(_CONTROL.sub(" ", value[:LONGEST]).split())
