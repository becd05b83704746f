"""What is known of a connection, and of one message on it: two objects with lives of their own.

A connection carries many messages (RFC 5321 section 3.3); RSET, MAIL and the end of DATA end a
message, a new CONNECT or the MTA's farewell end the connection.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from iems.codec.findings import Passed
from iems.codec.header import parse_header
from iems.codec.headers import OwnFindings
from iems.codec.senders import facts
from iems.directory.account import closed, looped
from iems.directory.resolve import Destination
from iems.dns.suffixes import shared
from iems.model.address import Address
from iems.model.classes import PolicyClass
from iems.model.envelope import INTERNET, LOCAL, Client
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.model.policy import Decision
from iems.model.senders import Facts
from iems.settings.read import Network
from iems.store.spool import Incoming, Spool, Spooled, TooLargeError
from milters.checks.protocol import Check, Pending, Stage, View
from milters.draft import Draft

MAX_HEADER = 1 << 20
"""Bytes of header, as much as the agent takes: Postfix bounds each field (header_size_limit) and
not their number. A larger one is refused here, since a refusal by the agent would be a bounce."""

MAX_FIELDS = 10_000
"""Header fields: 1 MiB of the shortest ones took 70 MB of memory for one message in the agent."""

_PASSED_ON = (b"received", b"x-sieve")
"""Fields of mail that was delivered before, or that a Sieve script made: no milter sees the first
Received, which is that of this machine, and Pigeonhole marks by the other what it sends."""

Pairs: TypeAlias = list[tuple[Check, Pending]]
Started: TypeAlias = dict[Stage, Pairs]
"""The checks under way by the stage that began them."""


@dataclass
class Connection:
    """Who connected, and the checks that look at that."""

    client: Client = field(default_factory=lambda: Client(None))
    listener: str = INTERNET
    channel: str = INTERNET
    resolved: str = ""
    helo: str = ""
    started: Started = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Company:
    """Who a recipient may be in a transaction with: classes of those whom his address reaches.

    `exact` is whether his domain wants it to be so.
    """

    classes: frozenset[PolicyClass]
    exact: bool

    def suits(self, other: Company) -> bool:
        """Whether both may be in one."""
        return self.classes == other.classes or not (self.exact or other.exact)


@dataclass
class Message:
    """One transaction from MAIL on; `accepted` are the recipients with whom they reach.

    `companies` are theirs, each once, where classes are kept apart, and then it is `parted` if
    anybody was put off. `had` is who has had the
    message before, by its header; nobody, until that is whole.
    """

    reference: str
    client: str
    sender: str
    sender_address: Address | None
    authenticated: str
    channel: str
    queue_id: str = ""
    accepted: list[tuple[Address, frozenset[Destination]]] = field(default_factory=list)
    companies: set[Company] = field(default_factory=set)
    parted: bool = False
    had: frozenset[str] = frozenset()
    counted: set[Stage] = field(default_factory=set)
    header: list[tuple[bytes, bytes]] = field(default_factory=list)
    header_size: int = 0
    started: Started = field(default_factory=dict)
    incoming: Incoming | None = None
    whole: Spooled | None = None
    fault: Exception | None = None
    report: bytearray | None = None
    report_limit: int = 0

    @property
    def sent_on(self) -> bool:
        """Whether mail of this machine was delivered before, or made by a Sieve script."""
        return self.channel == LOCAL and any(self.block.named(name) for name in _PASSED_ON)

    @property
    def direction(self) -> str:
        """The destination that counts for all: of what goes to outside as well no copy must slip
        through there."""
        return direction(one for _address, destinations in self.accepted for one in destinations)

    @property
    def leaves(self) -> bool:
        """Whether it goes to anybody outside."""
        found = (one for _address, destinations in self.accepted for one in destinations)
        return any(one.channel == INTERNET for one in found)

    def closed(self, destination: Destination) -> Decision | None:
        """The refusal of mail to a mailbox of ours that takes none, or has had this message."""
        if destination.channel != LOCAL:
            return None
        return looped() if destination.address.key in self.had else closed(destination.user)

    def facts(
        self, findings: Iterable[Finding], relays: Iterable[Network], *, whole: bool
    ) -> Facts:
        """Who sent it; before the message is `whole`, as far as the envelope tells."""
        fields = [value for name, value in self.header if name.rstrip().lower() == b"from"]
        return facts(
            findings,
            self.sender_address,
            self.client,
            relays,
            shared().registered,
            fields if whole else None,
        )

    def another(self) -> Pairs:
        """Begin another recipient; what is kept of those before him, for `settle`."""
        self.counted.discard(Stage.RCPT)
        return self.started.pop(Stage.RCPT, [])

    def settle(self, before: Pairs, *, let_in: bool) -> None:
        """What was found of a recipient goes with him, or stays where he is the first let in."""
        found = self.started.setdefault(Stage.RCPT, before)
        if before or not let_in or not any(pending.result() for _check, pending in found):
            self.started[Stage.RCPT] = before

    def of_one(self) -> tuple[Finding, ...]:
        """What was found of one recipient and stays with the message."""
        kept = self.started.get(Stage.RCPT, [])
        return tuple(one for _check, pending in kept for one in pending.result())

    def keep(self, spool: Spool, limit: int) -> None:
        """Begin to keep the whole message, of at most `limit` bytes, for checks that read it."""
        self.incoming = spool.receive(limit)
        self.write(self.block.raw + b"\r\n")

    def keep_report(self, limit: int) -> None:
        """Begin to keep the first bytes of the body where it may be one of Postfix's bounces."""
        if self.channel == LOCAL and not self.sender:
            self.report, self.report_limit = bytearray(), limit

    def add_body(self, piece: bytes) -> None:
        """The next bytes of the body, for whoever keeps any."""
        if self.report is not None:
            self.report += piece[: self.report_limit - len(self.report)]
        self.write(piece)

    def write(self, piece: bytes) -> None:
        """Keep the next bytes, if any are kept; what goes wrong is told at the end of DATA."""
        if self.incoming is None or self.fault is not None:
            return
        try:
            self.incoming.write(piece)
        except (TooLargeError, OSError) as error:
            self.fault = error

    def finish(self) -> None:
        """All bytes are here: what was kept can be read as `whole`."""
        if self.incoming is None or self.fault is not None:
            return
        try:
            self.whole = self.incoming.finish()
        except OSError as error:
            self.fault = error

    def close(self) -> None:
        """Free what is kept of it."""
        if self.incoming is not None:
            self.incoming.close()

    def draft(self) -> Draft:
        """The message as Postfix holds it, to be edited."""
        return Draft(self.block, self.block, self.whole.body if self.whole else None)

    def passed(self, findings: tuple[Finding, ...], now: float) -> Passed:
        """What goes with it to the agent; `now` in seconds of the epoch."""
        told = self.reference, self.queue_id, self.channel, self.sender
        return Passed(*told, int(now), findings, self.authenticated)

    def add_field(self, name: bytes, value: bytes) -> None:
        """One more header field; no more are kept than show which bound the header is over."""
        self.header_size += len(name) + len(value)
        if self.header_size <= MAX_HEADER and len(self.header) <= MAX_FIELDS:
            self.header.append((name, value))

    @functools.cached_property
    def block(self) -> HeaderBlock:
        """The header with line ends as the client sent them; to be asked for when it is whole.

        Postfix gives folds as LF and the body's line ends as CRLF.
        """
        fields = b"".join(b"%s:%s\r\n" % pair for pair in self.header)
        return parse_header(fields.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    @functools.cached_property
    def own(self) -> OwnFindings:
        """What rules of domains and lists find in the header."""
        return OwnFindings(self.block)

    @property
    def excess(self) -> str:
        """Which bound the header is over, if any."""
        if self.header_size > MAX_HEADER:
            return f"more than {MAX_HEADER} bytes of header"
        return f"more than {MAX_FIELDS} header fields" if len(self.header) > MAX_FIELDS else ""


def direction(reached: Iterable[Destination]) -> str:
    """`local` where all of them are mailboxes here."""
    return LOCAL if all(one.channel == LOCAL for one in reached) else INTERNET


def view(
    connection: Connection, message: Message | None, stage: Stage, hidden: frozenset[str]
) -> View:
    """What a check of this stage is told; not what the checks find that are hidden from it."""
    block = None
    if message and stage in {Stage.HEADERS, Stage.BODY}:
        block = message.block
    return View(
        client=connection.client,
        helo=connection.helo,
        channel=message.channel if message else connection.channel,
        authenticated=message.authenticated if message else "",
        sender=message.sender_address if message else None,
        header=block,
        resolved=connection.resolved,
        envelope_from=message.sender if message else "",
        message=message.whole if message else None,
        running=functools.partial(_running, connection, message, hidden),
    )


def _running(
    connection: Connection, message: Message | None, hidden: frozenset[str]
) -> Iterator[tuple[Check, Pending]]:
    """The checks started by the time that somebody asks."""
    for started in (connection.started, message.started if message else {}):
        for pairs in started.values():
            yield from (pair for pair in pairs if pair[0].name not in hidden)
