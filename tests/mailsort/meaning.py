"""What rules mean, carried out in Python as `sieve/mailsort/rule.py` says it: nothing but obvious.

It shares no code with the compiler, and the differential test holds what Pigeonhole does of the
compiled script against it. Time is no matter of it: `Facts.now` is the moment of delivery.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sieve.mailsort.rule import (
    Action,
    AddressTest,
    BodyTest,
    Book,
    Condition,
    Copy,
    DateTest,
    Delete,
    Discard,
    FindingTest,
    Flag,
    Forward,
    Group,
    HeaderTest,
    KnownTest,
    Mailsort,
    MarkRead,
    Move,
    Notify,
    Operator,
    Party,
    Quantity,
    Reject,
    Reply,
    Rule,
    ScoreTest,
    SizeTest,
    Stop,
    Test,
    TimeTest,
    Vacation,
    VerdictTest,
    WeekdayTest,
)
from tests.mailsort.message import Message

INBOX = "INBOX"
JUNK = "junk"


@dataclass(frozen=True)
class Facts:
    """What is known of a delivery beside the bytes of the message.

    `sender` is empty where the envelope has none; `findings` is the band of each check; `score` is
    a percentage. `original` is the address before aliases, `recipient` where it is not known.
    """

    sender: str
    recipient: str
    now: datetime.datetime
    original: str | None = None
    verdict: str | None = None
    score: int | None = None
    findings: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[Book] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """What becomes of a message: folders with the flags it has there, INBOX among them.

    Flags are lower case. `forwards` and the keys of `notified` are addresses; with them stands the
    text. `reply` is whose text the sender is answered with.
    """

    files: Mapping[str, frozenset[str]]
    forwards: tuple[str, ...] = ()
    reply: Reply | Vacation | None = None
    notified: Mapping[str, str] = field(default_factory=dict)
    rejected: str | None = None

    @property
    def inbox(self) -> frozenset[str] | None:
        """The flags in INBOX; None if it is not there."""
        return self.files.get(INBOX)


def outcome(mailsort: Mailsort, message: bytes, facts: Facts, trash: str = "Trash") -> Outcome:
    """What the rules make of this message; `trash` is the folder of what is deleted."""
    run = _Run(Message(message), facts, trash, mailsort.vacation)
    rules = [one for one in mailsort.rules if one.enabled]
    run.be_away(rules)
    for rule in rules:
        if holds(rule.condition, run.message, facts) and run.does(rule):
            break
    return run.outcome()


class _Run:
    """One message on its way through the rules."""

    def __init__(
        self, message: Message, facts: Facts, trash: str, vacation: Vacation | None
    ) -> None:
        self.message = message
        self.facts = facts
        self.trash = trash
        self.vacation = vacation
        self.flags: frozenset[str] = frozenset()
        self.files: dict[str, frozenset[str]] = {}
        self.forwards: dict[str, str] = {}
        self.notified: dict[str, str] = {}
        self.reply: Reply | Vacation | None = None
        self.to_be_answered = False
        self.rejected: str | None = None
        self.kept = True

    def be_away(self, rules: list[Rule]) -> None:
        """The vacation, before all rules."""
        if self.vacation is None or not self.vacation.enabled:
            return
        today = DateTest(self.vacation.since, self.vacation.until)
        refused = any(
            isinstance(action, Reject) and holds(rule.condition, self.message, self.facts)
            for rule in rules
            for action in rule.actions
        )
        if holds(today, self.message, self.facts) and not refused:
            self.answer(self.vacation)

    def does(self, rule: Rule) -> bool:
        """Carries out one rule; whether it is the last."""
        for action in rule.actions:
            if isinstance(action, MarkRead):
                self.flags |= {"\\seen"}
            elif isinstance(action, Flag):
                self.flags |= {one.lower() for one in action.flags}
        for action in rule.actions:
            if self.ends(action):
                return True
        return any(isinstance(action, Stop) for action in rule.actions)

    def ends(self, action: Action) -> bool:
        """Carries out one action; whether nothing comes after it."""
        match action:
            case Move(folder):
                self.file(folder)
                self.kept = False
            case Delete():
                self.file(self.trash)
                self.kept = False
            case Copy(folder):
                self.file(folder)
            case Forward(to, keep) if self.facts.verdict != JUNK:
                for address in to:
                    self.forwards.setdefault(address.lower(), address)
                self.kept = self.kept and keep
            case Reply():
                self.answer(action)
                self.to_be_answered |= self.facts.verdict != JUNK
            case Notify(to, text):
                self.notified.setdefault(to, text)
            case Discard():
                self.kept = False
                return True
            case Reject(text):
                self.kept = False
                if not (self.files or self.forwards or self.to_be_answered):
                    self.rejected = text
                return True
        return False

    def file(self, folder: str) -> None:
        self.files.setdefault(folder, self.flags)

    def answer(self, text: Reply | Vacation) -> None:
        aliases = self.vacation.addresses if self.vacation else ()
        if self.reply is None and answerable(self.message, self.facts, aliases):
            self.reply = text

    def outcome(self) -> Outcome:
        if self.kept:
            self.file(INBOX)
        return Outcome(
            self.files, tuple(self.forwards.values()), self.reply, self.notified, self.rejected
        )


def holds(condition: Condition | None, message: Message, facts: Facts) -> bool:
    """Whether a condition is true of a message."""
    if condition is None:
        return True
    if isinstance(condition, Group):
        each = [holds(one, message, facts) for one in condition.of]
        match condition.quantity:
            case Quantity.ALL:
                return all(each)
            case Quantity.ANY:
                return any(each)
            case Quantity.NONE:
                return not any(each)
    return _tested(condition, message, facts)


def _tested(test: Test, message: Message, facts: Facts) -> bool:
    match test:
        case AddressTest(party, Operator.EXISTS):
            return _party_exists(party, message, facts)
        case AddressTest(party, operator, values):
            return fits(operator, values, addresses(party, message, facts))
        case HeaderTest(name, Operator.EXISTS):
            return bool(message.fields(name))
        case HeaderTest(name, operator, values):
            return fits(operator, values, message.fields(name))
        case BodyTest(operator, values):
            return fits(operator, values, message.texts())
        case SizeTest(over, octets):
            size = len(message.octets)
            return size > octets if over else size < octets
        case DateTest(since, until):
            today = facts.now.date()
            return (since is None or since <= today) and (until is None or today <= until)
        case TimeTest(since, until):
            now = facts.now.time()
            if since <= until:
                return since <= now < until
            return since <= now or now < until
        case WeekdayTest(days):
            return facts.now.isoweekday() % 7 in days
        case VerdictTest(words):
            return facts.verdict in words
        case ScoreTest(over):
            return facts.score is not None and facts.score > over
        case FindingTest(check, bands):
            return facts.findings.get(check) in bands
        case KnownTest(books):
            return not facts.known.isdisjoint(books)


_FIELDS = {
    Party.FROM: ("From",),
    Party.SENDER: ("Sender",),
    Party.REPLY_TO: ("Reply-To",),
    Party.TO: ("To",),
    Party.CC: ("Cc",),
    Party.RECIPIENT: ("To", "Cc", "Bcc"),
}


def addresses(party: Party, message: Message, facts: Facts) -> list[str]:
    """The addresses that are tested; the null sender is an empty one."""
    match party:
        case Party.ENVELOPE_FROM:
            return [facts.sender]
        case Party.ENVELOPE_TO:
            return [facts.recipient]
        case Party.ORIGINAL_TO:
            return [facts.original or facts.recipient]
    return [address for name in _FIELDS[party] for address in message.addresses(name)]


def _party_exists(party: Party, message: Message, facts: Facts) -> bool:
    if party in _FIELDS:
        return any(message.fields(name) for name in _FIELDS[party])
    return any(addresses(party, message, facts))


def fits(operator: Operator, values: tuple[str, ...], texts: list[str]) -> bool:
    """Whether one of the values fits one of the texts."""
    fit = _FITS[operator]
    return any(fit(_folded(value), _folded(text)) for value in values for text in texts)


def _folded(text: str) -> bytes:
    """Octets, the capitals of ASCII made small: the comparator `i;ascii-casemap`."""
    return text.encode("utf-8", "surrogatepass").lower()


def _in_domain(value: bytes, text: bytes) -> bool:
    domain = text.rpartition(b"@")[2]
    return b"@" in text and (domain == value or domain.endswith(b"." + value))


def _matches(value: bytes, text: bytes) -> bool:
    """Wildcards (RFC 5228, 2.7.1): a character is an octet."""
    pattern = re.sub(
        rb"\\(.)|(\*)|(\?)|(.)",
        lambda found: (
            b".*"
            if found[2]
            else b"."
            if found[3]
            else re.escape(found[1] if found[1] is not None else found[4])
        ),
        value,
        flags=re.DOTALL,
    )
    return re.fullmatch(pattern, text, re.DOTALL) is not None


_FITS: dict[Operator, Callable[[bytes, bytes], bool]] = {
    Operator.IS: lambda value, text: value == text,
    Operator.CONTAINS: lambda value, text: value in text,
    Operator.MATCHES: _matches,
    Operator.REGEX: lambda value, text: re.search(value, text, re.DOTALL) is not None,
    Operator.IN_DOMAIN: _in_domain,
}

_LIST = ("Id", "Help", "Subscribe", "Unsubscribe", "Post", "Owner", "Archive")
_PROGRAMS = re.compile(r"mailer-daemon|listserv|majordomo|owner-.*|.*-request", re.IGNORECASE)


def answerable(message: Message, facts: Facts, aliases: tuple[str, ...]) -> bool:
    """Whether a person wrote to this one himself (RFC 3834, RFC 5230 section 4.5 and 4.6)."""
    mine = {one.lower() for one in (facts.recipient, *aliases)}
    named = (
        address.lower()
        for name in ("To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc")
        for address in message.addresses(name)
    )
    automatic = any(
        one.partition(";")[0].strip().lower() != "no" for one in message.fields("Auto-Submitted")
    )
    bulk = any(one.lower() in ("bulk", "junk", "list") for one in message.fields("Precedence"))
    return (
        facts.verdict != JUNK
        and facts.sender.lower() not in ("", *mine)
        and not _PROGRAMS.fullmatch(facts.sender.rpartition("@")[0])
        and not automatic
        and not bulk
        and not any(message.fields(f"List-{one}") for one in _LIST)
        and any(one in mine for one in named)
    )
