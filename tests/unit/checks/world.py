"""What tests of checks are made of: a site, views, and a resolver that the test controls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iems.codec.header import parse_header
from iems.dns.resolver import Answer, Resolver, Rtype, Status, Then
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, Client
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.settings.schema import Settings
from iems.store.counterfile import CounterFile
from milters.checks.guard import Guard
from milters.checks.protocol import Tools, View

OWN = "198.51.100.7"
RELAY = "203.0.113.9"
SITE_TABLE: Mapping[str, object] = {
    "version": 1,
    "hostname": "mail.example.test",
    "postmaster": "postmaster@example.test",
    "own_networks": ["127.0.0.0/8", "::1/128", "198.51.100.0/24"],
    "trusted_relays": ["203.0.113.0/24", "2001:db8:77::/48"],
}


def site(**changes: object) -> Settings:
    """The settings of a site with an own network and trusted relays."""
    return from_table({**SITE_TABLE, **changes})


def tools(
    resolver: Resolver, guard: Guard | None = None, counters: CounterFile | None = None
) -> Tools:
    """What checks of this site are made with; without a guard nothing was ever published."""
    nowhere = Path("/nowhere")
    return Tools(
        site(),
        resolver,
        guard or Guard(nowhere / "health.json"),
        counters or CounterFile(nowhere / "counters.sqlite"),
    )


def view(
    ip: str | None,
    *,
    channel: str = INTERNET,
    authenticated: str = "",
    header: bytes | None = None,
    resolved: str = "",
    name: str = "",
    helo: str = "helo.test",
    sender: str = "",
) -> View:
    """A view of a client; `header` as the milter gets it, `sender` as MAIL says it."""
    try:
        address = Address.parse(sender)
    except AddressError:
        address = None
    return View(
        client=Client(ip, name),
        helo=helo,
        channel=channel,
        authenticated=authenticated,
        sender=address,
        header=None if header is None else parse_header(header),
        resolved=resolved,
        envelope_from=sender,
    )


class Asked:
    """A question whose answer the test gives, at once or later; until then it is a time-out."""

    def __init__(self, answer: Answer | None, then: Then | None) -> None:
        self.waits: list[float] = []
        self._answer: Answer | None = None
        self._then = then
        if answer is not None:
            self.give(answer)

    def give(self, answer: Answer) -> None:
        """The answer arrives."""
        self._answer = answer
        if self._then is not None and answer.status.definite:
            self._then(answer)

    @property
    def collected(self) -> int:
        """How often somebody wanted the answer; `waits` are the seconds he would have waited."""
        return len(self.waits)

    def result(self, deadline: Deadline) -> Answer:
        """The answer, if it has arrived."""
        self.waits.append(deadline.remaining())
        return self._answer or Answer(Status.TIMEOUT)


class Answers:
    """A resolver; what it was asked stands in `asked`, in order."""

    def __init__(self, answers: Mapping[tuple[str, Rtype], Answer] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, Rtype]] = []
        self.questions: dict[tuple[str, Rtype], Asked] = {}

    def ask(self, name: str, rtype: Rtype, then: Then | None = None) -> Asked:
        """The answer that the test has for it, or none yet."""
        self.asked.append((name, rtype))
        question = Asked(self.answers.get((name, rtype)), then)
        self.questions[name, rtype] = question
        return question


def found(*records: str) -> Answer:
    """An answer with records."""
    return Answer(Status.FOUND, records, 60)


NXDOMAIN = Answer(Status.NXDOMAIN)
