"""When users' passwords end: slapd's own rules (slapo-ppolicy(5)), and how old each password is.

Only reads. A password without a time of its last change never ends for slapd, so it has no end
here either; nor has that of an account that is disabled, which lets nobody in anyhow. Rules are
those that stand below `ou=passwords`. What makes no sense is left out with a note.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from iems.directory.account import refusal
from iems.directory.store import Name, Row
from iems.directory.tree import DOMAINS, KIND, Note, user_named
from iems.model.address import Address, AddressError
from iems.serve.deadline import Deadline

RULES: Name = (("ou", "passwords"),)
DEFAULT: Name = (("cn", "users"), *RULES)
"""What holds for a user whose entry names no other rules (`olcPPolicyDefault`)."""

_AGE, _CHANGED, _RULES = "pwdMaxAge", "pwdChangedTime", "pwdPolicySubentry"
_USERS = "(objectClass=iemsUser)(pwdChangedTime>=%s)(pwdChangedTime<=%s)(!(iemsDisabled=*))"
_FORM = "%Y%m%d%H%M%SZ"
_TIME = re.compile(r"(\d{14})(?:\.\d+)?Z")


class Scanner(Protocol):
    """A tree that is read a page at a time (`iems.directory.ldap.LdapStore`)."""

    def scan(
        self,
        base: Name,
        template: str,
        values: Sequence[str],
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Iterator[Row]:
        """Every entry below `base` that the filter fits."""
        ...

    def to_value(self, name: Name) -> bytes:
        """The name of an entry as the value of an attribute that names entries."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """The password of this user ends at this time of the epoch; does he take mail himself?"""

    address: Address
    ends: int
    takes_mail: bool


def endings(
    store: Scanner, now: float, within: float, note: Note, deadline: Deadline
) -> Iterator[Ending]:
    """All passwords that end from `now` on and `within` seconds of it, in no order."""
    for rules, age in _ages(store, note, deadline).items():
        named = store.to_value(rules).decode()
        whose = "(!(pwdPolicySubentry=*))" if rules == DEFAULT else "(pwdPolicySubentry=%s)"
        span = [_text(now - age), _text(now - age + within)]
        values = span if rules == DEFAULT else [*span, named]
        wanted = (KIND, _CHANGED)
        for row in store.scan(DOMAINS, f"(&{_USERS}{whose})", values, wanted, deadline):
            try:
                yield _ending(row, age)
            except ValueError as error:
                note(f"{row.name}: the end of the password is not known: {error}")


def _ages(store: Scanner, note: Note, deadline: Deadline) -> Mapping[Name, int]:
    """The rules under which passwords end, with the seconds that they last."""
    found: dict[Name, int] = {}
    for row in store.scan(RULES, "(&(objectClass=pwdPolicy)(pwdMaxAge=*))", (), (_AGE,), deadline):
        try:
            age = int(_one(row, _AGE))
        except ValueError as error:
            note(f"{row.name}: {_AGE} is left out: {error}")
            continue
        if age > 0:
            found[row.name] = age
    return found


def _ending(row: Row, age: int) -> Ending:
    """ValueError where it makes no sense. Whose it is says its name, which nobody can forge."""
    try:
        address = Address.parse(user_named(row.name))
    except AddressError as error:
        raise ValueError(str(error)) from None
    changed = _TIME.fullmatch(_one(row, _CHANGED))
    if changed is None:
        raise ValueError(f"{_CHANGED} is no time")
    since = calendar.timegm(time.strptime(changed[1], _FORM[:-1]))
    kind = _one(row, KIND) if KIND in row.attributes else ""
    return Ending(address, since + age, not refusal("", kind))


def _one(row: Row, attribute: str) -> str:
    values = row.texts(attribute)
    if len(values) != 1:
        raise ValueError(f"{len(values)} values of {attribute}; expected one")
    return values[0]


def _text(moment: float) -> str:
    return time.strftime(_FORM, time.gmtime(max(0.0, moment)))
