"""One SMTP connection as a plain state machine: events of the MTA in, replies and edits out.

It holds no pymilter, no thread and no clock of its own; adapter, golden scripts and benchmark all
drive this one object. What belongs to the connection and what belongs to a message are two objects:
a connection carries many messages (RFC 5321 section 3.3).

Failure: a directory or a spool that cannot answer is a temporary failure (`milters/answer.py`). On
mail that does not come by SMTP no recipient is ever refused, since Postfix would keep such mail in
maildrop for ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from iems.codec.delivered import delivered_to
from iems.codec.printable import printable
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.directory.resolve import Destination, resolve
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION, Client
from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Layer, Ruling, allowed, decide, rule, through
from iems.serve.deadline import Deadline
from iems.settings.policy import missing_findings
from iems.settings.schema import Settings
from iems.store.counters import Counters
from iems.store.keys import Keyring
from iems.store.signingkeys import DomainKeys
from iems.store.spool import Spool, TooLargeError
from milters import bounces
from milters.account import EXACT, Account
from milters.answer import Answers
from milters.checks.protocol import Check, Stage, View
from milters.edits import holds, insertions, leaving, removals
from milters.exact import Exact
from milters.reply import Continue, Edit, Reply
from milters.signing import Signed, Signing
from milters.state import Connection, Message, Started, view

_MAX_FORGED = 100
"""Forged fields that are removed: for each one Postfix reads its queue file from the start, and
8,000 took it 2.9 s of CPU, 50,000 more than 30 s."""

_REFUSED = frozenset({Action.REJECT, Action.DEFER})


@dataclass(frozen=True)
class Runtime:
    """What every connection of a worker shares."""

    settings: Settings
    checks: tuple[Check, ...]
    directory: Directory
    keyring: Keyring
    spool: Spool
    account: Account
    counters: Counters
    new_reference: Callable[[], str]
    signing_keys: Mapping[str, DomainKeys] = field(default_factory=dict)
    """By domain; none where nothing is sent on."""

    @functools.cached_property
    def due(self) -> Mapping[Stage, tuple[Check, ...]]:
        """The checks by the stage that begins them."""
        return {
            stage: tuple(check for check in self.checks if check.stage is stage) for stage in Stage
        }

    @functools.cached_property
    def signing(self) -> Signing:
        """Who signs."""
        return Signing(self.settings, self.signing_keys, self.directory)


class Chain:
    """The way of one connection; the methods are named after what the MTA says."""

    def __init__(self, runtime: Runtime) -> None:
        self._run = runtime
        self._answers = Answers(runtime.account, runtime.settings.contact)
        self._exact = Exact(runtime.settings, runtime.checks, runtime.counters, runtime.account)
        self._readers = {check.name for check in runtime.due[Stage.BODY]}
        self._connection = Connection()
        self._message: Message | None = None

    @property
    def reads_bodies(self) -> bool:
        """Whether anybody wants to see bodies."""
        tagged = self._run.settings.milter.tag_spam_bounces
        return tagged or self._run.signing.on or bool(self._readers)

    def _needs_body(self, message: Message) -> bool:
        """Whether a check reads it that is not in shadow, or a signature covers it."""
        judged = self._readers - self._run.settings.shadows
        signs = message.channel != LOCAL and self._run.signing.wants(message)
        return bool(judged) or signs

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
        self.abort()
        listener = macros.get("{daemon_name}") or INTERNET
        channel = self._run.settings.source(listener, client.ip)
        self._connection = Connection(client, listener, channel, macros.get("{client_resolve}", ""))
        self._run.account.meter.count("connections_total", channel=channel)
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
        listener, channel = self._connection.listener, self._connection.channel
        self.abort()
        self._message = Message(
            reference=self._run.new_reference(),
            client=self._connection.client.ip or "",
            sender=sender.removeprefix("<").removesuffix(">"),
            sender_address=_address(sender),
            authenticated=authenticated,
            channel=SUBMISSION if authenticated and listener == INTERNET else channel,
        )
        self._start(Stage.MAIL, self._message.started)
        return Continue()

    def rcpt(self, recipient: str, macros: Mapping[str, str]) -> Reply:
        """RCPT TO: refused where everyone whom it reaches refuses, else left to the agent."""
        message = self._open_message()
        message.queue_id = macros.get("i", message.queue_id)
        hostname = self._run.settings.hostname
        # The macro is the address as Postfix understands it, without the comments and blanks that
        # the client may have put in.
        told = macros.get("{rcpt_addr}", recipient)
        address = _address(told, hostname) or _address(recipient, hostname)
        if address is None:
            answer = self._answers.unreadable(message, recipient)
            return self._unresolved(message, Address(recipient, ""), answer)
        deadline = Deadline.after(self._run.settings.directory.timeout)
        try:
            destinations = resolve(self._run.directory, address, deadline)
        except DirectoryUnavailable as error:
            answer = self._answers.unavailable(message, "directory", str(error))
            return self._unresolved(message, address, answer)
        before = message.another()
        self._start(Stage.RCPT, message.started)
        seen = self._collect(message)
        to, known = [(address, destinations)], self._view(Stage.RCPT)
        decisions = self._decide(message, to, seen, Stage.RCPT)
        answer = Continue()
        # Whom header or DKIM may still allow is refused at the end of DATA, if at all.
        if self._refuses(message, decisions) and self._refuses(
            message, self._decide(message, to, seen, Stage.RCPT, hope=True)
        ):
            answer = self._answers.refusal(message, address, decisions, seen, "rcpt")
        elif apart := self._exact.apart(message, address, destinations, seen, known):
            record = self._run.account.put_off(message, address, apart)
            answer = self._answers.refuse(message, apart, [record], EXACT)
        if isinstance(answer, Continue):
            message.accepted.append((address, destinations))
        message.settle(before, let_in=isinstance(answer, Continue))
        return answer

    @staticmethod
    def _unresolved(message: Message, address: Address, answer: Reply) -> Reply:
        """What goes on though nobody knows where it leads may leave."""
        if isinstance(answer, Continue):
            message.accepted.append((address, frozenset({Destination(address, INTERNET)})))
        return answer

    def header(self, name: bytes, value: bytes) -> None:
        """One header field as Postfix received it, without its line end."""
        self._open_message().add_field(name, value)

    def end_of_headers(self) -> Reply:
        """All fields are known."""
        message = self._open_message()
        self._start(Stage.HEADERS, message.started)
        if self._run.settings.milter.tag_spam_bounces:
            message.keep_report(bounces.LIMIT)
        if self._readers or self._run.signing.wants(message):
            message.keep(self._run.spool, self._run.settings.agent.max_message)
        return Continue()

    def body(self, piece: bytes) -> None:
        """The next bytes of the body."""
        self._open_message().add_body(piece)

    def end_of_message(self, macros: Mapping[str, str]) -> tuple[Reply, tuple[Edit, ...]]:
        """The end of DATA: a refusal if every recipient's verdict is one, else our headers."""
        message = self._open_message()
        try:
            message.queue_id = macros.get("i", message.queue_id)
            return self._ended(message)
        finally:
            self.abort()

    def _ended(self, message: Message) -> tuple[Reply, tuple[Edit, ...]]:
        message.finish()
        if message.excess:
            return self._answers.too_large(message, message.excess), ()
        if message.fault is not None and self._needs_body(message):
            return self._unread(message, message.fault)
        self._start(Stage.BODY, message.started)
        seen = self._of_all(message, self._collect(message))
        hostname, key = self._run.settings.hostname, self._run.keyring.active
        forged = removals(message.header, hostname)
        if len(forged) > _MAX_FORGED:
            excess = f"more than {_MAX_FORGED} forged header fields"
            return self._answers.too_large(message, excess), ()
        stopped = self._stopped(message, seen)
        if stopped and message.channel != LOCAL:
            answer = self._answers.refusal(message, None, stopped, seen, "end-of-message")
            self._exact.ended(message, answer)
            if not isinstance(answer, Continue):
                return answer, ()
        signed = self._signed(message)
        if not isinstance(signed, Signed):
            return signed, ()
        held = holds(stopped)
        spam, note = bounces.verdict(message, self._run.settings, self._run.keyring.secret)
        notes = (note, *(f"held in the queue: {one.reason}" for one in held), signed.note)
        self._run.account.let_in(message, seen, *filter(None, notes))
        told = self._run.settings.weighed(seen)
        passed = message.passed(self._run.settings.shown(seen), self._run.account.clock())
        edits = insertions(passed, told, key, hostname, spam=spam)
        return Continue(), (*forged, *edits, *held, *signed.edits)

    def _signed(self, message: Message) -> Signed | Reply:
        try:
            return self._run.signing.sign(message, int(self._run.account.clock()))
        except DirectoryUnavailable as error:
            cause, why = "directory", str(error)
        except OSError as error:
            cause, why = "spool", str(error)
        answer = self._answers.unavailable(message, cause, why)
        return Signed(note=f"not signed: {why}") if isinstance(answer, Continue) else answer

    def _stopped(
        self, message: Message, seen: tuple[Finding, ...]
    ) -> list[tuple[Destination, Decision]]:
        """The decisions that keep a whole message from going on; none where it does."""
        message.had = delivered_to(message.block)
        late = not message.started.keys().isdisjoint({Stage.HEADERS, Stage.BODY})
        destinations = [one for _address, found in message.accepted for one in found]
        said = (layer for one in destinations for layer in one.speakers)
        if not (message.had or late or any(layer.senders or layer.headers for layer in said)):
            return []
        decisions = self._decide(message, message.accepted, seen, Stage.BODY)
        return decisions if self._refuses(message, decisions) else leaving(decisions)

    def _unread(self, message: Message, fault: Exception) -> tuple[Reply, tuple[Edit, ...]]:
        """The message could not be kept for the checks that read it."""
        if isinstance(fault, TooLargeError):
            answer = self._answers.too_large(message, str(fault))
        else:
            answer = self._answers.unavailable(message, "spool", str(fault))
        if not isinstance(answer, Continue):
            return answer, ()
        unseen = missing_findings(self._run.settings.checks)
        return answer, holds(leaving(self._decide(message, message.accepted, unseen, Stage.BODY)))

    def abort(self) -> None:
        """RSET, or the client went away: the message is no more, the connection may go on."""
        if self._message is not None:
            self._message.close()
        self._message = None

    def close(self) -> None:
        """The connection ended."""
        self.abort()
        self._connection = Connection()

    def _open_message(self) -> Message:
        if self._message is None:
            raise ValueError("the MTA speaks of a message before MAIL")
        return self._message

    def _start(self, stage: Stage, into: Started) -> None:
        due = self._run.due[stage]
        if not due:
            return
        settings = self._run.settings
        seconds = settings.milter.content_timeout if stage is Stage.BODY else settings.dns.timeout
        others, deadline = self._view(stage, settings.shadows), Deadline.after(seconds)
        into[stage] = []
        for check in due:
            # Only who is in shadow himself sees what others in shadow find.
            seen = self._view(stage) if check.name in settings.shadows else others
            into[stage].append((check, check.start(seen, deadline)))

    def _view(self, stage: Stage, hidden: frozenset[str] = frozenset()) -> View:
        return view(self._connection, self._message, stage, hidden)

    def _collect(self, message: Message) -> tuple[Finding, ...]:
        """The findings of all checks under way that count for this message, in stage order."""
        known = self._view(Stage.RCPT)
        started = {**self._connection.started, **message.started}
        found = {
            stage: [
                finding
                for check, pending in running
                if check.applies(known)
                for finding in pending.result()
            ]
            for stage, running in started.items()
        }
        for stage in found.keys() - message.counted:
            message.counted.add(stage)
            self._run.account.findings(found[stage])
        return tuple(finding for stage in found.values() for finding in stage)

    def _of_all(self, message: Message, seen: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Without what was found of one recipient, if it would refuse another, or keep it back."""
        own = message.of_one() if len(message.accepted) > 1 else ()
        if not own:
            return seen
        decisions = self._decide(message, message.accepted, own, Stage.RCPT)
        reasons = (reason for _destination, decision in decisions for reason in decision.reasons)
        strong = {reason.finding for reason in reasons if reason.action >= Action.DEFER}
        return tuple(one for one in seen if one not in strong)

    def _decide(
        self,
        message: Message,
        accepted: Sequence[tuple[Address, frozenset[Destination]]],
        seen: tuple[Finding, ...],
        stage: Stage,
        *,
        hope: bool = False,
    ) -> list[tuple[Destination, Decision]]:
        settings = self._run.settings
        reached = [one for _address, destinations in accepted for one in destinations]
        # One direction for all: of what goes to outside as well no copy must slip through there.
        inside = all(one.channel == LOCAL for one in reached)
        above = settings.layers(message.channel, LOCAL if inside else INTERNET)
        facts = None
        if any(one.listed for one in reached):
            weighed = settings.weighed(seen)
            facts = message.facts(weighed, settings.trusted_relays, whole=stage is Stage.BODY)

        def ruling_of(*layers: Layer) -> Ruling | None:
            return rule(layers, facts, hope=hope) if facts else None

        def decided(address: Address, one: Destination) -> Decision:
            own = (*settings.beneath(one.channel), *one.layers)
            role, leaves = address.role or one.address.role, one.channel != LOCAL
            ruling = ruling_of(*one.layers)
            found = (*seen, *message.own.of(one.speakers)) if stage is Stage.BODY else seen
            first = decide(found, (*above, *own), role=role, leaves=leaves, ruling=ruling)
            return through(first, one.lists, found, above, own, ruling_of, role=role, leaves=leaves)

        found = [
            (one, message.closed(one) or decided(address, one))
            for address, destinations in accepted
            for one in sorted(destinations, key=lambda one: one.address.key)
        ]
        # Postfix took an address that we do not find, by a match of its own: what is enforced holds
        # for everybody, whoever he is.
        unknown = [address for address, destinations in accepted if not destinations]
        if unknown:
            forced = [one for one in seen if len(allowed(one.check, one.band, above)) == 1]
            found += [(Destination(one, LOCAL), decide(forced, above)) for one in unknown]
        return found

    def _refuses(self, message: Message, decisions: list[tuple[Destination, Decision]]) -> bool:
        """Whether all decisions agree on a refusal, where one can be made."""
        actions = {decision.action for _destination, decision in decisions}
        return bool(actions) and actions <= _REFUSED and message.channel != LOCAL


def _address(text: str, default_domain: str = "") -> Address | None:
    try:
        return Address.parse(text, default_domain=default_domain)
    except AddressError:
        return None
