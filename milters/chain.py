"""One SMTP connection as a plain state machine: events of the MTA in, replies and edits out.

It holds no pymilter, no thread and no clock of its own; adapter, golden scripts and benchmark all
drive this one object. What belongs to the connection and what belongs to a message are two objects:
a connection carries many messages (RFC 5321 section 3.3).

Failure: a directory that cannot answer, or a record that cannot be written before a refusal, is a
temporary failure. On mail that does not come by SMTP no recipient is ever refused, since Postfix
would keep such mail in maildrop for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from iems.codec.findings import Passed
from iems.codec.header import parse_header, unfold
from iems.codec.printable import printable
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.directory.resolve import Destination, resolve
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION, Client
from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Layer, decide
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.schema import Settings
from iems.store.keys import Key
from iems.store.records import Record, Recorder, RecordsError, details
from milters.checks.protocol import Check, Pending, Stage, View
from milters.edits import insertions, removals
from milters.refusal import line, refusal
from milters.reply import Continue, Edit, Reject, Reply, TempFail

COMMIT_SECONDS = 5.0
"""Seconds for a refusal's record; with the directory's and the resolver's 5 s each a RCPT stays
well below Postfix's milter_command_timeout of 30 s."""

_MAX_HEADER = 1 << 20
"""Bytes of header, as much as the agent takes: Postfix bounds each field (header_size_limit) and
not their number. A larger one is refused here, since a refusal by the agent would be a bounce."""

_MAX_FIELDS = 10_000
"""Header fields: 1 MiB of the shortest ones took 70 MB of memory for one message in the agent."""

_MAX_FORGED = 100
"""Forged fields that are removed: for each one Postfix reads its queue file from the start, and
8,000 took it 2.9 s of CPU, 50,000 more than 30 s."""


@dataclass(frozen=True)
class Runtime:
    """What every connection of a worker shares."""

    settings: Settings
    checks: tuple[Check, ...]
    directory: Directory
    key: Key
    recorder: Recorder
    log: Log
    meter: Meter
    clock: Callable[[], float]
    new_reference: Callable[[], str]


@dataclass
class _Connection:
    client: Client = field(default_factory=lambda: Client(None))
    channel: str = INTERNET
    resolved: str = ""
    helo: str = ""
    started: dict[Stage, list[tuple[Check, Pending]]] = field(default_factory=dict)


@dataclass
class _Message:
    reference: str
    sender: str
    sender_address: Address | None
    authenticated: str
    channel: str
    queue_id: str = ""
    accepted: list[tuple[Address, frozenset[Destination]]] = field(default_factory=list)
    unreadable: bool = False
    counted: set[Stage] = field(default_factory=set)
    header: list[tuple[bytes, bytes]] = field(default_factory=list)
    header_size: int = 0
    header_fields: int = 0
    started: dict[Stage, list[tuple[Check, Pending]]] = field(default_factory=dict)


class Chain:
    """The way of one connection; the methods are named after what the MTA says."""

    def __init__(self, runtime: Runtime) -> None:
        self._run = runtime
        self._connection = _Connection()
        self._message: _Message | None = None

    @property
    def reference(self) -> str:
        """The reference of the message under way, for the log."""
        return self._message.reference if self._message else "-"

    @property
    def queue_id(self) -> str:
        """Postfix's queue id, once it has told one."""
        return self._message.queue_id if self._message else ""

    def connect(self, client: Client, macros: Mapping[str, str]) -> Reply:
        """A client connected, or XCLIENT made it another one: nothing of before holds."""
        channel = macros.get("{daemon_name}") or INTERNET
        self._connection = _Connection(client, channel, macros.get("{client_resolve}", ""))
        self._message = None
        self._run.meter.count("connections_total", channel=channel)
        self._start(Stage.CONNECT, self._connection.started)
        return Continue()

    def helo(self, name: str) -> Reply:
        """HELO or EHLO; a new one ends the findings of the one before."""
        self._connection.helo = printable(name)
        self._start(Stage.HELO, self._connection.started)
        return Continue()

    def mail(self, sender: str, macros: Mapping[str, str]) -> Reply:
        """MAIL FROM begins a message and gives it its reference."""
        authenticated = macros.get("{auth_authen}", "")
        channel = self._connection.channel
        self._message = _Message(
            reference=self._run.new_reference(),
            sender=sender.removeprefix("<").removesuffix(">"),
            sender_address=_address(sender),
            authenticated=authenticated,
            channel=SUBMISSION if authenticated and channel == INTERNET else channel,
        )
        self._start(Stage.MAIL, self._message.started)
        return Continue()

    def rcpt(self, recipient: str, macros: Mapping[str, str]) -> Reply:
        """RCPT TO: refused where everyone whom it reaches refuses, else left to the agent."""
        message = self._open_message()
        message.queue_id = macros.get("i", message.queue_id)
        address = _address(recipient, self._run.settings.hostname)
        if address is None:
            message.unreadable = True
            return Continue()
        try:
            destinations = resolve(self._run.directory, address, self._lookup_deadline())
        except DirectoryUnavailable as error:
            return self._unavailable(message, "directory", str(error))
        seen = self._collect(message)
        decisions = self._decide(message, [(address, destinations)], seen)
        answer = self._answer(message, address, decisions, seen, "rcpt")
        if isinstance(answer, Continue):
            message.accepted.append((address, destinations))
        return answer

    def header(self, name: bytes, value: bytes) -> None:
        """One header field as Postfix received it, without its line end."""
        message = self._open_message()
        message.header_size += len(name) + len(value)
        message.header_fields += 1
        if not _excess(message):
            message.header.append((name, value))

    def end_of_headers(self) -> Reply:
        """All fields are known."""
        message = self._open_message()
        self._start(Stage.HEADERS, message.started)
        return Continue()

    def end_of_message(self, macros: Mapping[str, str]) -> tuple[Reply, tuple[Edit, ...]]:
        """The end of DATA: a refusal if every recipient's verdict is one, else our headers."""
        message = self._open_message()
        message.queue_id = macros.get("i", message.queue_id)
        seen = self._collect(message)
        self._message = None
        if excess := _excess(message):
            return self._too_large(message, excess), ()
        hostname, key = self._run.settings.hostname, self._run.key
        forged = removals(message.header, hostname)
        if len(forged) > _MAX_FORGED:
            return self._too_large(message, f"more than {_MAX_FORGED} forged header fields"), ()
        if Stage.HEADERS in message.started and not message.unreadable:
            decisions = self._decide(message, message.accepted, seen)
            answer = self._answer(message, None, decisions, seen, "end-of-message")
            if not isinstance(answer, Continue):
                return answer, ()
        self._report(message, seen)
        edits = insertions(self._passed(message, seen), key, hostname)
        return Continue(), (*forged, *edits)

    def abort(self) -> None:
        """RSET, or the client went away: the message is no more, the connection may go on."""
        self._message = None

    def close(self) -> None:
        """The connection ended."""
        self._message = None
        self._connection = _Connection()

    def _open_message(self) -> _Message:
        if self._message is None:
            raise ValueError("the MTA speaks of a message before MAIL")
        return self._message

    def _start(self, stage: Stage, into: dict[Stage, list[tuple[Check, Pending]]]) -> None:
        due = [check for check in self._run.checks if check.stage is stage]
        if due:
            view, deadline = self._view(stage), Deadline.after(self._run.settings.dns.timeout)
            into[stage] = [(check, check.start(view, deadline)) for check in due]

    def _view(self, stage: Stage) -> View:
        connection, message = self._connection, self._message
        block = None
        if message and stage is Stage.HEADERS:
            block = parse_header(b"".join(b"%s:%s\n" % pair for pair in message.header))
        return View(
            client=connection.client,
            helo=connection.helo,
            channel=message.channel if message else connection.channel,
            authenticated=message.authenticated if message else "",
            sender=message.sender_address if message else None,
            header=block,
            resolved=connection.resolved,
        )

    def _collect(self, message: _Message) -> tuple[Finding, ...]:
        """The findings of all checks under way that count for this message, in stage order."""
        view = self._view(Stage.RCPT)
        started = {**self._connection.started, **message.started}
        found = {
            stage: [
                finding
                for check, pending in running
                if check.applies(view)
                for finding in pending.result()
            ]
            for stage, running in started.items()
        }
        for stage in found.keys() - message.counted:
            message.counted.add(stage)
            for one in found[stage]:
                labels = {"check": one.check, "outcome": one.outcome, "band": one.band}
                self._run.meter.count("findings_total", **labels)
        return tuple(finding for stage in found.values() for finding in stage)

    def _lookup_deadline(self) -> Deadline:
        return Deadline.after(self._run.settings.directory.timeout)

    def _decide(
        self,
        message: _Message,
        accepted: Iterable[tuple[Address, frozenset[Destination]]],
        seen: tuple[Finding, ...],
    ) -> list[tuple[Destination, Decision]]:
        above = self._run.settings.layers(message.channel)
        return [
            (one, decide(seen, (*above, *_layers(one)), role=address.role or one.address.role))
            for address, destinations in accepted
            for one in sorted(destinations, key=lambda one: one.address.key)
        ]

    def _answer(
        self,
        message: _Message,
        address: Address | None,
        decisions: list[tuple[Destination, Decision]],
        seen: tuple[Finding, ...],
        stage: str,
    ) -> Reply:
        """The refusal that all decisions agree on, once its records are on disk; else Continue."""
        actions = {decision.action for _destination, decision in decisions}
        if message.channel == LOCAL or not actions or not actions <= {Action.REJECT, Action.DEFER}:
            return Continue()
        rejected = actions == {Action.REJECT}
        contact = self._run.settings.contact
        reply = refusal(address, decisions[0][1], contact, message.reference, rejected=rejected)
        records = [
            self._record(
                message,
                stage,
                decision.action.word,
                recipient=str(address or destination.address),
                subject=str(
                    destination.user.layer.subject if destination.user else destination.channel
                ),
                reply=line(reply),
                details=details(decision, seen),
            )
            for destination, decision in decisions
        ]
        for _destination, decision in decisions:
            self._count(stage, decision, f"{reply.code // 100}xx")
        checks = (reason.finding.check for reason in decisions[0][1].reasons)
        return self._refuse(message, reply, records, ",".join(checks))

    def _too_large(self, message: _Message, excess: str) -> Reply:
        reply = Reject(552, "5.3.4", f"{excess}; reference {message.reference}")
        record = self._record(message, "end-of-message", "reject", reply=line(reply))
        return self._refuse(message, reply, [record])

    def _refuse(
        self, message: _Message, reply: Reject | TempFail, records: list[Record], checks: str = ""
    ) -> Reply:
        """The refusal, once its records are on disk."""
        try:
            self._run.recorder.commit(records, Deadline.after(COMMIT_SECONDS))
        except RecordsError as error:
            return self._unavailable(message, "records", str(error))
        recipients = {one.recipient for one in records}
        self._run.log.event(
            message.reference,
            message.queue_id,
            stage=records[0].stage,
            action="reject" if isinstance(reply, Reject) else "defer",
            client=records[0].client,
            sender=message.sender,
            recipient=recipients.pop() if len(recipients) == 1 else "",
            reply=f"{reply.code} {reply.enhanced}",
            check=checks,
        )
        return reply

    def _count(self, stage: str, decision: Decision, reply: str) -> None:
        finding = decision.decisive.finding if decision.decisive else None
        self._run.meter.count(
            "verdicts_total",
            stage=stage,
            action=decision.action.word,
            check=finding.check if finding else "",
            band=finding.band if finding else "",
            reply=reply,
        )

    def _unavailable(self, message: _Message, cause: str, why: str) -> Reply:
        """A temporary failure, or on mail that does not come by SMTP the agent's own decision."""
        self._run.meter.count("temporary_failures_total", cause=cause)
        self._run.log.error("cannot decide now", reference=message.reference, why=why)
        if message.channel == LOCAL:
            return Continue()
        text = f"try again later; reference {message.reference}"
        return TempFail(451, "4.3.0", text)

    def _passed(self, message: _Message, seen: tuple[Finding, ...]) -> Passed:
        return Passed(
            message.reference,
            message.queue_id,
            message.channel,
            message.sender,
            int(self._run.clock()),
            seen,
        )

    def _report(self, message: _Message, seen: tuple[Finding, ...]) -> None:
        """One record, one log line and one count of a message that is let in."""
        self._run.meter.count("messages_total", channel=message.channel)
        ids = [value for name, value in message.header if name.lower() == b"message-id"]
        message_id = printable(unfold(ids[0])) if ids else ""
        self._run.recorder.add(
            self._record(
                message,
                "end-of-message",
                "accept",
                message_id=message_id,
                details=details(Decision(), seen),
            )
        )
        self._run.log.event(
            message.reference,
            message.queue_id,
            stage="end-of-message",
            action="accept",
            channel=message.channel,
            client=self._connection.client.ip or "",
            sender=message.sender,
            recipients=len(message.accepted),
            findings=",".join(f"{one.check}={one.outcome}" for one in seen),
            message_id=message_id,
        )

    def _record(self, message: _Message, stage: str, action: str, **more: Any) -> Record:  # noqa: ANN401
        return Record(
            reference=message.reference,
            stage=stage,
            action=action,
            queue_id=message.queue_id,
            channel=message.channel,
            client=self._connection.client.ip or "",
            sender=message.sender,
            time=self._run.clock(),
            **more,
        )


def _excess(message: _Message) -> str:
    """Which bound the header is over, if any."""
    if message.header_size > _MAX_HEADER:
        return f"more than {_MAX_HEADER} bytes of header"
    return f"more than {_MAX_FIELDS} header fields" if message.header_fields > _MAX_FIELDS else ""


def _address(text: str, default_domain: str = "") -> Address | None:
    try:
        return Address.parse(text, default_domain=default_domain)
    except AddressError:
        return None


def _layers(destination: Destination) -> tuple[Layer, ...]:
    user = destination.user
    return (user.domain_layer, user.layer) if user else ()
