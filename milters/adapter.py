"""Between libmilter and the chain: the only module that knows pymilter.

It translates callbacks to events and replies and edits to calls, and decides nothing. It asks the
MTA for no DATA, for the body only where a check reads it, and answers neither HELO, MAIL nor what
DATA brings, so that a message costs two round trips: what is refused, is refused at RCPT or at the
end. Postfix 3.7 keeps what needs no answer in its buffer (seen), so HELO and MAIL arrive with the
first RCPT; CONNECT is answered, and the questions that it raises are under way at once. Of pymilter
only the C module is used: its class layer costs as much as the calls themselves.

Failure: whatever the chain raises is logged with the message's reference and answered 451, so that
a defect of ours delays mail and loses none. So is an edit that the MTA does not take, and where it
has hung up meanwhile nobody hears the answer.

libmilter insists on making its own listening socket, and on taking HUP and TERM. So it gets a
private socket, over whose descriptor ours is laid before it accepts, and again a private one when
the worker drains. It runs in a thread of its own: a signal that the main thread ignores never
reaches libmilter's, and a stray one does no harm.
"""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import milter

from iems.codec.printable import printable
from iems.model.envelope import Client
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from milters.chain import Chain
from milters.reply import (
    ChangeHeader,
    Continue,
    DeleteRecipient,
    Edit,
    Hold,
    InsertHeader,
    Reject,
    ReplaceBody,
    Reply,
    TempFail,
)

_EDITS = milter.ADDHDRS | milter.CHGHDRS | milter.CHGBODY | milter.DELRCPT | milter.QUARANTINE
_ACTIONS = _EDITS | milter.SETSYMLIST
_SILENT = milter.P_NR_HELO | milter.P_NR_MAIL | milter.P_NR_HDR | milter.P_NR_EOH | milter.P_NR_BODY
_STEPS = milter.P_NODATA | milter.P_NOBODY | milter.P_NOUNKNOWN | milter.P_HDR_LEADSPC | _SILENT

_CONNECT = (
    *("j", "_", "{daemon_name}"),
    *("{client_addr}", "{client_name}", "{client_ptr}", "{client_resolve}"),
)
_MAIL = ("{auth_authen}", "{mail_addr}")
_RCPT = ("i", "{rcpt_addr}", "{rcpt_mailer}")
_END = ("i",)

_FOLDER = Path("/proc/self/fd")

_QUIET = 0.3
"""Seconds without a session until a draining worker ends: libmilter may just be accepting one."""

_TICK = 0.05
"""Seconds between two looks of a draining worker at its sessions."""

_CONTINUE = Continue()


def serve(make: Callable[[], Chain], listener: socket.socket, control: Control, log: Log) -> None:
    """Serve on `listener` until the worker drains, then see all sessions off.

    `make` gives the chain of a new connection. To be called from the main thread, once a process.
    RuntimeError when libmilter gives up: then the process must end and be replaced.
    """
    _register(make, log, control.meter)
    descriptor = _descriptor()
    os.dup2(listener.fileno(), descriptor, inheritable=False)
    name = listener.getsockname()
    ended = threading.Event()
    threading.Thread(target=_main, args=(ended, log), name="libmilter", daemon=True).start()
    while not control.draining.wait(1.0):
        if ended.is_set():
            raise RuntimeError("libmilter ended by itself")
    _turn_away(descriptor)
    _see_off(name, Deadline.after(control.limit), log)


def _main(ended: threading.Event, log: Log) -> None:
    try:
        milter.main()
    except milter.error as error:
        log.failure("libmilter failed", error)
    ended.set()


def _descriptor() -> int:
    """Let libmilter listen on a private name that is gone at once; the descriptor it listens on."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"{folder}/private"
        milter.setconn(f"unix:{name}")
        milter.opensocket(1)
        (descriptor,) = (one for one in _sockets() if _kind(one) == (name, True))
    return descriptor


def _turn_away(descriptor: int) -> None:
    """Lay a socket that nobody can find over the one on which libmilter accepts."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as nobody,
    ):
        nobody.setblocking(False)
        nobody.bind(f"{folder}/private")
        nobody.listen(1)
        os.dup2(nobody.fileno(), descriptor, inheritable=False)


def _see_off(name: str, deadline: Deadline, log: Log) -> None:
    """Wait until no session is left for a moment, or the deadline is over."""
    quiet = Deadline.after(_QUIET)
    pause = threading.Event()
    while True:
        # Before the look: on a busy machine the moment may be over between two of them.
        over = quiet.expired
        sessions = _sessions(name)
        if sessions and deadline.expired:
            log.warning("the drain ends with open sessions", sessions=sessions)
            return
        if sessions:
            quiet = Deadline.after(_QUIET)
        elif over:
            return
        pause.wait(_TICK)


def _sessions(name: str) -> int:
    """How many connections of the listener of this name are open: libmilter tells only later."""
    return sum(1 for one in _sockets() if _kind(one) == (name, False))


def _kind(descriptor: int) -> tuple[object, bool] | None:
    """Which name this socket has, and whether it listens."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as one:
            return one.getsockname(), bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return None  # closed meanwhile


def _sockets() -> set[int]:
    """The descriptors of this process that are sockets."""
    return {one for one in (int(entry.name) for entry in _FOLDER.iterdir()) if _is_socket(one)}


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False  # closed meanwhile, as that of the listing itself


def _register(make: Callable[[], Chain], log: Log, meter: Meter) -> None:
    def negotiate(context: milter.Context, options: list[int]) -> int:
        session = _Session(context, make(), log, meter)
        context.setpriv(session)
        return session.negotiate(options)

    milter.set_flags(_ACTIONS)
    milter.set_exception_policy(milter.TEMPFAIL)
    milter.set_connect_callback(lambda context, *words: context.getpriv().connect(*words))
    milter.set_helo_callback(lambda context, name: context.getpriv().helo(name))
    milter.set_envfrom_callback(lambda context, *words: context.getpriv().mail(words[0]))
    milter.set_envrcpt_callback(lambda context, *words: context.getpriv().rcpt(words[0]))
    milter.set_header_callback(lambda context, name, value: context.getpriv().header(name, value))
    milter.set_eoh_callback(lambda context: context.getpriv().end_of_headers())
    milter.set_body_callback(lambda context, piece: context.getpriv().body(piece))
    milter.set_eom_callback(lambda context: context.getpriv().end_of_message())
    milter.set_abort_callback(lambda context: context.getpriv().abort())
    milter.set_close_callback(lambda context: context.getpriv().close())
    milter.register("iems", negotiate=negotiate)


class _Session:
    """One connection. Each callback ends in one of libmilter's numbers and never in an exception.

    What the chain answers where the MTA waits for no answer is kept for the next one that it does
    wait for; a refusal before MAIL holds for the whole connection.
    """

    def __init__(self, context: milter.Context, chain: Chain, log: Log, meter: Meter) -> None:
        self._context = context
        self._chain = chain
        self._log = log
        self._meter = meter
        self._steps = 0
        self._field = milter.CONTINUE
        self._helo: Reply = _CONTINUE
        self._message: Reply = _CONTINUE

    def negotiate(self, options: list[int]) -> int:
        """Choose from the actions and steps that the MTA offers; name the macros we want."""
        actions, steps = options[:2]
        if actions & milter.SETSYMLIST:
            self._context.setsymlist(milter.M_CONNECT, " ".join(_CONNECT))
            self._context.setsymlist(milter.M_ENVFROM, " ".join(_MAIL))
            self._context.setsymlist(milter.M_ENVRCPT, " ".join(_RCPT))
            self._context.setsymlist(milter.M_EOM, " ".join(_END))
        wanted = _STEPS & ~milter.P_NOBODY if self._chain.reads_bodies else _STEPS
        self._steps = steps & wanted
        self._field = self._later(_CONTINUE, milter.P_NR_HDR)
        options[:] = [actions & _ACTIONS, self._steps, 0, 0]
        return milter.CONTINUE

    def connect(self, name: str, _family: int, address: object) -> int:
        """`address` is (IP address, port, ...) where the client has one."""
        ip, port = address[:2] if isinstance(address, tuple) else (None, 0)
        known = name if name != "unknown" and not name.startswith("[") else ""
        client = Client(ip, known, port)
        self._helo = _CONTINUE
        return self._reply(self._asked(lambda: self._chain.connect(client, self._macros(_CONNECT))))

    def helo(self, name: str) -> int:
        self._helo = self._asked(lambda: self._chain.helo(name))
        return self._later(self._helo, milter.P_NR_HELO)

    def mail(self, sender: bytes) -> int:
        text = sender.decode("utf-8", "surrogateescape")
        self._message = self._asked(lambda: self._chain.mail(text, self._macros(_MAIL)))
        return self._later(self._message, milter.P_NR_MAIL)

    def rcpt(self, recipient: bytes) -> int:
        if (kept := self._kept()) is not None:
            return self._reply(kept)
        text = recipient.decode("utf-8", "surrogateescape")
        with self._meter.timed("stage_seconds", stage="rcpt"):
            reply = self._asked(lambda: self._chain.rcpt(text, self._macros(_RCPT)))
        return self._reply(reply)

    def header(self, name: str, value: bytes) -> int:
        if isinstance(self._message, Continue):
            try:
                self._chain.header(name.encode("utf-8", "surrogateescape"), value)
            except Exception as error:  # noqa: BLE001 - see _asked; here a call less for each field
                self._message = self._failed(error, self._chain.reference)
        return self._field

    def end_of_headers(self) -> int:
        if isinstance(self._message, Continue):
            self._message = self._asked(self._chain.end_of_headers)
        return self._later(self._message, milter.P_NR_EOH)

    def body(self, piece: bytes) -> int:
        if isinstance(self._message, Continue):
            try:
                self._chain.body(piece)
            except Exception as error:  # noqa: BLE001 - see _asked; here a call less for each piece
                self._message = self._failed(error, self._chain.reference)
        return self._later(_CONTINUE, milter.P_NR_BODY)

    def end_of_message(self) -> int:
        if (kept := self._kept()) is not None:
            return self._reply(kept)
        reference = self._chain.reference
        try:
            with self._meter.timed("stage_seconds", stage="end-of-message"):
                reply, edits = self._chain.end_of_message(self._macros(_END))
            for edit in edits:
                self._apply(edit)
        except milter.error as error:
            self._log.warning("the MTA takes no edits", error=error, reference=reference)
            reply = self._delayed("mta", reference)
        except Exception as error:  # noqa: BLE001 - a message must not be lost by a defect of ours
            reply = self._failed(error, reference)
        return self._reply(reply)

    def abort(self) -> int:
        self._message = _CONTINUE
        return self._done(self._chain.abort)

    def close(self) -> int:
        self._context.setpriv(None)  # context and session hold each other
        return self._done(self._chain.close)

    def _asked(self, ask: Callable[[], Reply]) -> Reply:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - a message must not be lost by a defect of ours
            return self._failed(error, self._chain.reference)

    def _done(self, tell: Callable[[], None]) -> int:
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - libmilter must not see an exception
            self._failed(error, self._chain.reference)
        return milter.CONTINUE

    def _failed(self, error: Exception, reference: str) -> TempFail:
        self._log.failure("the chain failed", error, reference=reference)
        return self._delayed("internal", reference)

    def _delayed(self, cause: str, reference: str) -> TempFail:
        self._meter.count("temporary_failures_total", cause=cause)
        return TempFail(451, "4.3.0", f"internal error, try again later; reference {reference}")

    def _kept(self) -> Reply | None:
        """A refusal that the MTA did not wait for."""
        kept = self._message if isinstance(self._helo, Continue) else self._helo
        return None if isinstance(kept, Continue) else kept

    def _later(self, reply: Reply, step: int) -> int:
        return milter.NOREPLY if self._steps & step else self._reply(reply)

    def _reply(self, reply: Reply) -> int:
        if isinstance(reply, Continue):
            return milter.CONTINUE
        # libmilter takes a text for a format; Postfix makes one of every two percent signs.
        text = printable(reply.text).replace("%", "%%")
        try:
            self._context.setreply(str(reply.code), reply.enhanced, text)
        except (milter.error, ValueError) as error:
            self._log.failure("libmilter refuses a reply", error, reply=reply)
            return milter.TEMPFAIL
        return milter.REJECT if isinstance(reply, Reject) else milter.TEMPFAIL

    def _apply(self, edit: Edit) -> None:
        match edit:
            case InsertHeader(index, name, value):
                self._context.addheader(name.decode(), self._value(value), index)
            case ChangeHeader(name, occurrence, value):
                text = None if value is None else self._value(value)
                self._context.chgheader(name.decode(), occurrence, text)
            case DeleteRecipient(address):
                self._context.delrcpt(address)
            case Hold(reason):
                self._context.quarantine(printable(reason))
            case ReplaceBody(content):
                self._context.replacebody(content)
            case _:
                assert_never(edit)

    def _value(self, value: bytes) -> str:
        """The value as the MTA wants it: lines end in LF, and the blank after the colon is ours."""
        text = value.replace(b"\r\n", b"\n").decode()
        if not self._steps & milter.P_HDR_LEADSPC:
            return text.removeprefix(" ")
        return text if text.startswith((" ", "\t")) else f" {text}"

    def _macros(self, names: tuple[str, ...]) -> dict[str, str]:
        macros = {}
        for name in names:
            value = self._macro(name)
            if value:
                macros[name] = value
        return macros

    def _macro(self, name: str) -> str | None:
        try:
            return self._context.getsymval(name)
        except UnicodeDecodeError:
            return None  # an address in Latin-1, say: the chain has it from the command itself
