"""What a check is: it looks at a connection or a message and says what it saw.

A check never decides, never touches the wire and never blocks in `start`: what it has to wait for
it waits for in `Pending.result`, and no longer than the deadline it was given; where it can only
then ask on, it has as long again, or a client who dawdles would get by. A check that cannot
find out says so by the band `temperror`; it raises nothing. Findings of CONNECT and HELO hold for
the connection, those of the later stages for one message. At RCPT a check is started for each
recipient: what it finds is held against him, and stays with the message only where he is let in.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from iems.dns.resolver import Resolver
from iems.model.address import Address
from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.serve.deadline import Deadline
from iems.settings.schema import Settings
from iems.store.counterfile import CounterFile
from iems.store.counters import Counters
from iems.store.spool import Spooled
from milters.checks.guard import Guard


class Stage(enum.IntEnum):
    """The last fact that a check needs, in the order in which SMTP gives them."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    HEADERS = 4
    BODY = 5


@dataclass(frozen=True, slots=True)
class View:
    """What is known so far; what is not known yet is empty or None.

    `resolved` is Postfix's own word about the client's names, its macro `{client_resolve}`:
    `OK`, `FORGED`, `FAIL`, `TEMP`, or empty where the MTA does not say. `envelope_from` is the
    sender as MAIL said it, without its brackets, `""` for `<>`; `sender` is it as an address.
    `header` is there from stage HEADERS on and `message`, the whole of it, from stage BODY on, both
    with line ends as the client sent them. `running` gives the checks started by the time that it
    is called.
    """

    client: Client
    helo: str
    channel: str
    authenticated: str
    sender: Address | None
    header: HeaderBlock | None
    resolved: str = ""
    envelope_from: str = ""
    message: Spooled | None = None
    running: Running = field(default=tuple, repr=False, compare=False)

    def found(self, name: str) -> tuple[Finding, ...]:
        """What the check of this name found, as far as it applies; to be called from `result`."""
        return tuple(
            finding
            for check, pending in self.running()
            if check.name == name and check.applies(self)
            for finding in pending.result()
        )


class Pending(Protocol):
    """What a check has under way."""

    def result(self) -> tuple[Finding, ...]:
        """The findings; blocks for what `start` was given at most, may be called again."""
        ...


Running: TypeAlias = "Callable[[], Iterable[tuple[Check, Pending]]]"


class Check(Protocol):
    """One check of one name; used by many connections, and so by many threads, at once."""

    @property
    def name(self) -> str:
        """The name of its findings (`iprev`, `dnsbl/spamlist`)."""
        ...

    @property
    def stage(self) -> Stage:
        """When it is started. Two checks of one name and different stages may stand together."""
        ...

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Send the questions and return at once."""
        ...

    def applies(self, view: View) -> bool:
        """Whether the findings count, asked before they are used, with all that is known by then.

        Questions leave at CONNECT, but that the client is one of our users is known at MAIL.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What checks are made with."""

    site: Settings
    resolver: Resolver
    guard: Guard
    counters: Counters

    @classmethod
    def within(cls, site: Settings, resolver: Resolver, state: Path) -> Tools:
        """With files in the folder `state` alone, whatever server counts; none is opened yet."""
        guard, counters = Guard(state / "health.json"), CounterFile(state / "counters.sqlite")
        return cls(site, resolver, guard, counters)


@dataclass(frozen=True, slots=True)
class Known:
    """A `Pending` whose findings need no waiting."""

    findings: tuple[Finding, ...] = ()

    def result(self) -> tuple[Finding, ...]:
        """The findings."""
        return self.findings
