"""Mailsort: ordered rules about a user's incoming mail, as values.

What a list of rules means is settled here and nowhere else; the compiler (`sieve.compiling`) and
the interpreter of the tests agree on it for every message.

Rules are met in their order, and one that is not enabled is none. A rule whose condition holds does
its actions; then the next rule is met, unless it said `Stop`, `Reject` or `Discard`, after which no
other is.

- Flags (`Flag`, `MarkRead`) of a rule come first, wherever they stand in it: they are on what that
  rule and all later ones file, and on what stays in INBOX.
- `Move` and `Delete` file the message and take it out of INBOX; `Copy` files it and does not.
- `Forward` takes it out of INBOX unless `keep`. Mail with a junk verdict is never forwarded, and so
  stays.
- A folder gets the message once, an address gets it once and is notified once, and one reply is
  sent at most: whatever comes first. The vacation comes before all rules, and there is none to a
  message that an enabled rule with `Reject` would match.
- `Discard` and `Reject` say that it is not kept, and are the last that their rule does. What was
  done before stands, and where it was filed, forwarded or to be answered nothing is rejected any
  more, even if the sender is one who gets no answer, such as a list; junk is not to be answered.
- A message of which nothing was said stays in INBOX.

Texts are compared without heed of the case of ASCII letters (`i;ascii-casemap`, RFC 4790), after
RFC 2047 was decoded; a character is an octet of UTF-8. White space around a field is none of it. A
test with several values holds if one of them fits one of the fields.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


class Operator(enum.Enum):
    """How a text is compared: `matches` knows `*`, `?` and `\\`; `regex` is POSIX extended."""

    IS = "is"
    CONTAINS = "contains"
    MATCHES = "matches"
    REGEX = "regex"
    EXISTS = "exists"
    IN_DOMAIN = "in-domain"

    @property
    def of_values(self) -> bool:
        """Whether it compares with values; `exists` asks for the field alone."""
        return self is not Operator.EXISTS


class Party(enum.Enum):
    """Whose address is tested: of the envelope (RFC 5321) or of a field (RFC 5322).

    `original-to` is the address the sender wrote to, before aliases; `recipient` is To, Cc or Bcc.
    """

    ENVELOPE_FROM = "envelope-from"
    ENVELOPE_TO = "envelope-to"
    ORIGINAL_TO = "original-to"
    FROM = "from"
    SENDER = "sender"
    REPLY_TO = "reply-to"
    TO = "to"
    CC = "cc"
    RECIPIENT = "recipient"

    @property
    def of_envelope(self) -> bool:
        """Whether it is known before any header is."""
        return self in {Party.ENVELOPE_FROM, Party.ENVELOPE_TO}


class Book(enum.Enum):
    """Where the author of a message is looked for."""

    ADDRESS_BOOK = "address-book"
    ALLOW_LIST = "allow-list"


class Weekday(enum.IntEnum):
    """As Sieve counts them (RFC 5260)."""

    SUNDAY = 0
    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6


@dataclass(frozen=True, slots=True)
class AddressTest:
    """An address, without its display name; `in-domain` is the domain itself or one below it.

    A field that holds no address is compared as it stands.
    """

    party: Party
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderTest:
    """A field by its name, decoded; Subject and List-Id are such."""

    name: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BodyTest:
    """The text parts of a message, decoded; `is`, `contains`, `matches` or `regex`."""

    operator: Operator
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SizeTest:
    """More octets than that, or fewer; never as many."""

    over: bool
    octets: int


@dataclass(frozen=True, slots=True)
class DateTest:
    """The day of delivery, in the server's time zone; both ends belong to it, one may be open."""

    since: datetime.date | None = None
    until: datetime.date | None = None


@dataclass(frozen=True, slots=True)
class TimeTest:
    """The time of delivery, from `since` until before `until`; over midnight if it is later."""

    since: datetime.time
    until: datetime.time


@dataclass(frozen=True, slots=True)
class WeekdayTest:
    """The day of the week of delivery."""

    days: tuple[Weekday, ...]


@dataclass(frozen=True, slots=True)
class VerdictTest:
    """The agent's verdict for this user is one of these: `tag`, `junk`."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """The user's own filter gives more than so many percent for spam, 0 to 99."""

    over: int


@dataclass(frozen=True, slots=True)
class FindingTest:
    """A check found one of these bands (`dnsbl/zen`, `listed`); `virus` is such a check."""

    check: str
    bands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownTest:
    """The author stands in one of these books."""

    books: tuple[Book, ...]


class Quantity(enum.Enum):
    """How many of several conditions have to hold."""

    ALL = "all"
    ANY = "any"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions together; never empty."""

    quantity: Quantity
    of: tuple[Condition, ...]


Test: TypeAlias = (
    AddressTest
    | HeaderTest
    | BodyTest
    | SizeTest
    | DateTest
    | TimeTest
    | WeekdayTest
    | VerdictTest
    | ScoreTest
    | FindingTest
    | KnownTest
)
Condition: TypeAlias = Group | Test


@dataclass(frozen=True, slots=True)
class Move:
    """Into this folder (its levels parted by `/`), which is made if there is none."""

    folder: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Into this folder too."""

    folder: str


@dataclass(frozen=True, slots=True)
class Forward:
    """To these addresses; its envelope sender is what the server makes of redirects."""

    to: tuple[str, ...]
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """With these IMAP flags or keywords (`\\Flagged`, `$Label1`)."""

    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MarkRead:
    """As if it had been read."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Into the folder for what is deleted."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Thrown away, and nobody is told."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refused with this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Answered with this text, to each sender once in so many days (1 to 30).

    Who gets no answer of a `Vacation` gets none of this.
    """

    text: str
    subject: str = ""
    days: int = 7


@dataclass(frozen=True, slots=True)
class Notify:
    """A short mail to this address that one has come."""

    to: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """No later rule is met."""


Action: TypeAlias = (
    Move | Copy | Forward | Flag | MarkRead | Delete | Discard | Reject | Reply | Notify | Stop
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; without a condition it holds for every message."""

    name: str
    condition: Condition | None
    actions: tuple[Action, ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Vacation:
    """Who is away says so: to each sender once in `days`, from `since` to `until`, both included.

    `addresses` are the user's others, by which he may have been written to. Never answered are
    lists, bulk, mail of programs (RFC 3834), null senders, junk, and who wrote to none of them.
    """

    text: str
    subject: str = ""
    html: str = ""
    days: int = 7
    since: datetime.date | None = None
    until: datetime.date | None = None
    addresses: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Mailsort:
    """All that one user, domain or site says."""

    rules: tuple[Rule, ...] = ()
    vacation: Vacation | None = None


def asks_facts(mailsort: Mailsort) -> bool:
    """Whether a rule asks what only the agent can tell its script."""
    each = (one for rule in mailsort.rules if rule.enabled for one in tests(rule.condition))
    return any(isinstance(one, ScoreTest | FindingTest | KnownTest) for one in each)


def tests(condition: Condition | None) -> Iterator[Test]:
    """Every test in a condition, however deep."""
    if isinstance(condition, Group):
        for one in condition.of:
            yield from tests(one)
    elif condition is not None:
        yield condition
