"""One message through the checks, the policy and the edits, without a server.

The milter's chain and the agent are the real ones; what stands around them is made here: the MTA's
side of the milter (envelope, edits, its own Received), records in a folder of one's own, and a next
hop that takes every copy and keeps it. Nothing is sent, and nothing of the site is written to.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import assert_never

from iems.codec import authres
from iems.codec import findings as findings_field
from iems.codec.header import parse_header, split_message
from iems.directory.reader import Directory
from iems.directory.resolve import resolve
from iems.dns.resolver import Resolver
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.dns.zonefile import ZoneFileError, ZoneResolver
from iems.model.address import Address
from iems.model.envelope import INTERNET, LOCAL, Client
from iems.model.finding import Finding
from iems.model.message import Field
from iems.notices.removed import Removals
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.policy import missing_findings
from iems.settings.schema import Settings
from iems.store.keys import Key, Keyring
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, new_reference, search
from iems.store.spool import MemoryBody, Spool, Spooled
from lmtp.agent import Agent
from lmtp.client import Delivered, Parcel
from lmtp.commands import Mail, Recipient
from lmtp.dsn import Reports
from lmtp.editing import Editor
from lmtp.judging import Judge
from lmtp.provenance import Origin
from lmtp.reply import reply
from lmtp.transaction import Transaction
from milters.account import Account
from milters.assembly import build_checks
from milters.chain import Chain, Runtime
from milters.checks.protocol import Tools
from milters.plugins.family import running
from milters.refusal import line
from milters.reply import (
    ChangeHeader,
    Continue,
    DeleteRecipient,
    Edit,
    Hold,
    InsertHeader,
    ReplaceBody,
    Reply,
)

QUEUE_ID = "4REHEARSED0000z"
_SECONDS = 30.0
_LINE_END = re.compile(rb"\r?\n")
_PIECE = 65535
"""Bytes of a body at once, as Postfix sends them."""


@dataclass(frozen=True)
class Message:
    """What a client would send; `authenticated` is his login, `""` without one."""

    client: Client
    helo: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    channel: str = INTERNET
    authenticated: str = ""


@dataclass(frozen=True)
class Copy:
    """The message as one final recipient gets it, and the name of the next hop."""

    recipient: str
    upstream: str
    content: bytes


@dataclass
class Outcome:
    """What was answered, found, decided and handed on.

    `replies` are those to each RCPT, `end` that to the message, empty where no RCPT was accepted;
    `held` says why it stays in the queue; `relayed` are the final recipients who are not ours,
    `copies` what goes to mailboxes.
    """

    reference: str = ""
    replies: list[tuple[str, str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    end: str = ""
    held: str = ""
    findings: tuple[Finding, ...] = ()
    authentication_results: str = ""
    records: list[Record] = field(default_factory=list)
    relayed: list[str] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)


def resolver_of(zone: Path | None, site: Settings) -> Resolver:
    """The DNS, or a zone file instead; ValueError where it cannot be read."""
    if zone is None:
        return StubResolver(servers(site.dns.servers), site.dns.timeout)
    try:
        return ZoneResolver(zone.read_text(encoding="utf-8"))
    except (OSError, ZoneFileError) as error:
        raise ValueError(f"{zone}: {error}") from None


def rehearse(
    message: Message, site: Settings, directory: Directory, resolver: Resolver, folder: Path
) -> Outcome:
    """Run the message; `folder` is an empty one for what is kept meanwhile."""
    log = Log.open("iems-try", path=folder / "nobody")
    recorder = Recorder(folder / "records.sqlite")
    key = Key("rehearsal", secrets.token_bytes(32))
    tools = Tools.within(site, resolver, folder)
    runtime = Runtime(
        # Of a message that has not come nobody is told: what is written down goes with the folder.
        settings=replace(site, milter=replace(site.milter, state=folder)),
        checks=build_checks(tools),
        directory=directory,
        keyring=Keyring(key, {key.id: key}),
        spool=Spool(folder),
        account=Account(recorder, log, Meter(), time.time),
        counters=tools.counters,
        new_reference=new_reference,
        removals=Removals.of(site),
    )
    outcome = Outcome()
    judge = Judge.of(site, log, Meter())
    judge = replace(judge, memory=None) if judge else None
    try:
        with running(runtime.checks, None):
            queued = _smtp(message, Chain(runtime), site, outcome)
        if queued is not None:
            _note(queued.fields, key, outcome)
        if queued is not None and not outcome.held:
            agent = _agent(runtime, recorder, log, folder, outcome, judge)
            _deliver(message, queued, agent, outcome)
    finally:
        if judge:
            judge.store.close()
        recorder.close(Deadline.after(_SECONDS))
    outcome.records = search([folder / "records.sqlite"], outcome.reference)
    return outcome


@dataclass(frozen=True)
class _Queued:
    """The message as the queue gets it: its header fields, and what is behind the empty line."""

    fields: list[bytes]
    body: bytes


def _smtp(message: Message, chain: Chain, site: Settings, outcome: Outcome) -> _Queued | None:
    """The session; None where nothing is queued."""
    chain.connect(message.client, {"{daemon_name}": message.channel})
    chain.helo(message.helo)
    login = {"{auth_authen}": message.authenticated} if message.authenticated else {}
    chain.mail(f"<{message.sender}>", login)
    outcome.reference = chain.reference
    for recipient in message.recipients:
        macros = {"i": QUEUE_ID} if outcome.accepted else {}
        answer = chain.rcpt(f"<{recipient}>", macros)
        outcome.replies.append((recipient, _shown(answer, "250 2.1.5 Ok")))
        if isinstance(answer, Continue):
            outcome.accepted.append(recipient)
    if not outcome.accepted:
        return None
    fields, body = _parts(message.content)
    for one in fields:
        chain.header(one.name, one.value)
    chain.end_of_headers()
    for at in range(0, len(body), _PIECE):
        chain.body(body[at : at + _PIECE])
    answer, edits = chain.end_of_message({"i": QUEUE_ID})
    outcome.end = _shown(answer, "250 2.0.0 Ok")
    outcome.held = next((one.reason for one in edits if isinstance(one, Hold)), "")
    if not isinstance(answer, Continue):
        return None
    bodies = [one.content for one in edits if isinstance(one, ReplaceBody)]
    return _Queued(_edited([one.raw for one in fields], edits, site.hostname), [body, *bodies][-1])


def _parts(content: bytes) -> tuple[tuple[Field, ...], bytes]:
    """Header fields and body, with the line ends of SMTP."""
    header, rest = split_message(_LINE_END.sub(b"\r\n", content))
    if header and not header.endswith(b"\n"):
        header += b"\r\n"
    return parse_header(header).fields, rest.removeprefix(b"\r\n")


def _edited(fields: list[bytes], edits: Iterable[Edit], hostname: str) -> list[bytes]:
    """The fields after the milter's edits, as Postfix applies them: its own Received is the first.

    Deletions count the fields as they were received, insertions as they will be delivered.
    """
    came = f"Received: by {hostname} (Postfix) id {QUEUE_ID}; {formatdate()}\r\n"
    done = [came.encode(), *fields]
    for edit in edits:
        match edit:
            case InsertHeader(index, name, value):
                done.insert(index, b"%s: %s\r\n" % (name, value.lstrip()))
            case ChangeHeader(name, occurrence, value):
                key = name.strip().lower()
                places = [at for at, raw in enumerate(done) if _key(raw) == key]
                place = [*places, len(done)][occurrence - 1]
                new = b"" if value is None else _LINE_END.sub(b"\r\n", value.lstrip())
                done[place : place + 1] = [b"%s: %s\r\n" % (name, new)] if new else []
            case Hold() | ReplaceBody():
                pass  # told on their own
            case DeleteRecipient():
                raise ValueError("the chain takes no recipient away")
            case _:
                assert_never(edit)
    return done


def _key(raw: bytes) -> bytes:
    return raw.partition(b":")[0].strip().lower()


def _note(fields: Iterable[bytes], key: Key, outcome: Outcome) -> None:
    """The findings that travel, and the results for everybody to read."""
    block = parse_header(b"".join(fields))
    (passed,) = block.named(findings_field.NAME)
    outcome.findings = findings_field.decode(passed.value, {key.id: key.secret}.get).findings
    results = block.named(authres.NAME)
    if results:
        value = b" ".join(results[0].value.split())
        outcome.authentication_results = value.decode("ascii", "replace")


def _deliver(message: Message, queued: _Queued, agent: Agent, outcome: Outcome) -> None:
    """Expand the recipients as Postfix does, and hand those who are ours to the agent."""
    finals: dict[str, Recipient] = {}
    for recipient in outcome.accepted:
        address = Address.parse(recipient, default_domain=agent.settings.hostname)
        found = resolve(agent.directory, address, Deadline.after(_SECONDS))
        for one in sorted(found, key=lambda one: one.address.key):
            if one.channel == LOCAL:
                final = Recipient(str(one.address), f"rfc822;{recipient}", recipient)
                finals.setdefault(one.address.key, final)
            else:
                outcome.relayed.append(str(one.address))
    if finals:
        mail = Mail(message.sender, eight_bit=True, utf8=True)
        forward = {"IDENT": QUEUE_ID, "ADDR": message.client.ip or ""}
        whole = Spooled(b"".join(queued.fields), MemoryBody(b"\r\n" + queued.body))
        agent.deliver(Transaction(mail, tuple(finals.values()), forward, whole))


def _agent(
    runtime: Runtime,
    recorder: Recorder,
    log: Log,
    folder: Path,
    outcome: Outcome,
    judge: Judge | None,
) -> Agent:
    site, keyring = runtime.settings, runtime.keyring
    origin = Origin(site.hostname, keyring.secret, missing_findings(site.checks), new_reference)
    return Agent(
        settings=site,
        directory=runtime.directory,
        origin=origin,
        upstreams={name: _NextHop(name, outcome.copies) for name in site.agent.upstreams},
        recorder=recorder,
        quarantine=Quarantine(folder / "quarantine"),
        reports=Reports("", site.hostname, log),
        spool=runtime.spool,
        editor=Editor.of(site),
        log=log,
        meter=Meter(),
        judge=judge,
    )


@dataclass(frozen=True)
class _NextHop:
    """Takes every copy, and keeps it."""

    name: str
    copies: list[Copy]

    def deliver(self, parcel: Parcel, deadline: Deadline) -> Delivered:
        del deadline
        content = b"".join(parcel.pieces())
        self.copies.extend(Copy(one.address, self.name, content) for one in parcel.recipients)
        taken = reply(250, "2.0.0", f"Taken by {self.name}")
        return Delivered([taken] * len(parcel.recipients), reports=True)


def _shown(answer: Reply, taken: str) -> str:
    """The reply as Postfix gives it, `taken` where the milter has nothing against it."""
    return taken if isinstance(answer, Continue) else line(answer)
