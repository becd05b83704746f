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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from iems.codec.printable import printable
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.directory.resolve import Destination, resolve
from iems.editing.assembly import Plan
from iems.edits.edit import EditUnavailable
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION, Client
from iems.model.finding import Finding
from iems.notices.removed import Removals
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
from milters.cure import cured
from milters.deciding import decided, of_all, refused, removing
from milters.draft import Draft, turn
from milters.editing import Editing
from milters.edits import forged, holds, insertions, leaving
from milters.exact import Exact
from milters.removing import Removed, removed
from milters.reply import Continue, Edit, Reject, Reply
from milters.signing import Signed, Signing
from milters.state import Connection, Message, Started, view
from milters.telling import HELD, REFUSED, Telling

_MAX_FORGED = 100
"""Forged fields that are removed: for each one Postfix reads its queue file from the start, and
8,000 took it 2.9 s of CPU, 50,000 more than 30 s."""


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

    plan: Plan = field(default_factory=Plan)
    """The edits of the site."""

    removals: Removals = field(default_factory=Removals)
    """What rules about attachments take out."""

    @functools.cached_property
    def due(self) -> Mapping[Stage, tuple[Check, ...]]:
        """The checks by the stage that begins them."""
        return {
            stage: tuple(check for check in self.checks if check.stage is stage) for stage in Stage
        }

    @functools.cached_property
    def telling(self) -> Telling:
        """Who writes down whom to tell of viruses."""
        return Telling(self.settings, self.account.log, self.account.clock)

    @functools.cached_property
    def signing(self) -> Signing:
        """Who signs."""
        return Signing(self.settings, self.signing_keys, self.directory, self.keyring.secret)

    @functools.cached_property
    def editing(self) -> Editing:
        """Who edits."""
        return Editing(self.plan, self.directory, self.settings.directory.timeout)


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
        run = self._run
        tagged = run.settings.milter.tag_spam_bounces
        return tagged or run.signing.on or run.editing.on or bool(self._readers)

    def _changes(self, message: Message) -> bool:
        """Whether the message may be edited or signed, for which its body is needed."""
        return self._run.signing.wants(message) or self._run.editing.wants(message)

    def _needs_body(self, message: Message) -> bool:
        """Whether a check reads it that is not in shadow, or it may be changed."""
        judged = self._readers - self._run.settings.shadows
        return bool(judged) or (message.channel != LOCAL and self._changes(message))

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
        settings = self._run.settings
        decisions = decided(settings, message, to, seen, Stage.RCPT)
        answer = Continue()
        # Whom header or DKIM may still allow is refused at the end of DATA, if at all.
        if refused(message, decisions) and refused(
            message, decided(settings, message, to, seen, Stage.RCPT, hope=True)
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
        if self._readers or self._changes(message):
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
        settings, key = self._run.settings, self._run.keyring.active
        seen = of_all(settings, message, self._collect(message))
        fakes = forged(message.block, settings.hostname)
        if len(fakes) > _MAX_FORGED:
            excess = f"more than {_MAX_FORGED} forged header fields"
            return self._answers.too_large(message, excess), ()
        cure = cured(settings, message, seen, message.draft().without(fakes))
        seen, stopped = cure.seen, cure.stopped
        if stopped and message.channel != LOCAL:
            answer = self._answers.refusal(message, None, stopped, seen, "end-of-message")
            self._exact.ended(message, answer)
            if not isinstance(answer, Continue):
                return self._stopped(message, seen, answer)
        draft = self._without_attachments(message, cure.draft, seen)
        if not isinstance(draft, Removed):
            return self._stopped(message, seen, draft)
        sealed = self._sealed(message, draft.draft)
        if not isinstance(sealed, tuple):
            return self._stopped(message, seen, sealed)
        signed, told = sealed
        held = (*holds(stopped), *draft.holds)
        spam, note = bounces.verdict(message, settings, self._run.keyring.secret)
        why = (f"held in the queue: {one.reason}" for one in held)
        self._run.account.let_in(message, seen, note, *why, *draft.notes, *told, signed.note)
        self._run.telling.tell(message, seen, HELD if held else "")
        passed = message.passed(settings.shown(seen), self._run.account.clock())
        ours = insertions(passed, settings.weighed(seen), key, settings.hostname, spam=spam)
        return Continue(), (*signed.draft.difference(), *ours, *held, *signed.edits)

    def _stopped(
        self, message: Message, seen: tuple[Finding, ...], answer: Reply
    ) -> tuple[Reply, tuple[Edit, ...]]:
        """The refusal; where it is for good a virus is told of: what is put off comes again."""
        if isinstance(answer, Reject):
            self._run.telling.tell(message, seen, REFUSED)
        return answer, ()

    def _without_attachments(
        self, message: Message, draft: Draft, seen: tuple[Finding, ...]
    ) -> Removed | Reply:
        """The message without what must not leave this host, or a refusal."""
        reasons = removing(self._run.settings, message, seen)
        try:
            done = removed(draft, self._run.removals, reasons)
        except OSError as error:
            done = Removed(draft, check=reasons[0].finding.check, unable=str(error))
        if message.channel == LOCAL or not done.holds:
            return done
        if done.unable:
            return self._answers.unavailable(message, "attachments", done.unable)
        return self._answers.unwanted(message, done.check, done.refused)

    def _sealed(self, message: Message, draft: Draft) -> tuple[Signed, tuple[str, ...]] | Reply:
        """The message as it goes on, edited and then signed, and what edits told; or a refusal."""
        run = self._run
        if not self._changes(message):
            return Signed(draft), ()
        try:
            with turn(draft, run.settings.milter.content_timeout):
                edited = run.editing.edited(message, draft)
                signed = run.signing.sign(message, edited.draft, int(run.account.clock()))
        except DirectoryUnavailable as error:
            why, answer = str(error), self._answers.unavailable(message, "directory", str(error))
        except OSError as error:
            why, answer = str(error), self._answers.unavailable(message, "spool", str(error))
        except EditUnavailable as error:
            why, answer = str(error), self._answers.waiting(message, error)
        else:
            refused = edited.rejected
            return self._answers.unwanted(message, *refused) if refused else (signed, edited.notes)
        if not isinstance(answer, Continue):
            return answer
        return Signed(draft, note=f"not signed: {why}"), (f"not edited: {why}",)

    def _unread(self, message: Message, fault: Exception) -> tuple[Reply, tuple[Edit, ...]]:
        """The message could not be kept for the checks that read it."""
        if isinstance(fault, TooLargeError):
            answer = self._answers.too_large(message, str(fault))
        else:
            answer = self._answers.unavailable(message, "spool", str(fault))
        if not isinstance(answer, Continue):
            return answer, ()
        settings = self._run.settings
        unseen = missing_findings(settings.checks)
        found = decided(settings, message, message.accepted, unseen, Stage.BODY)
        return answer, holds(leaving(found))

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


def _address(text: str, default_domain: str = "") -> Address | None:
    try:
        return Address.parse(text, default_domain=default_domain)
    except AddressError:
        return None
