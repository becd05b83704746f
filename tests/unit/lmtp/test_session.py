"""The conversation of one connection, over a real socket, with an agent that is scripted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.store.spool import Spool
from lmtp.reply import Reply, reply
from lmtp.session import Limits, Session
from lmtp.transaction import Transaction
from lmtp.wire import Wire
from tests.unit.lmtp.parts import Heard
from tests.waiting import eventually

OK = reply(250, "2.0.0", "Saved")
MESSAGE = b"Subject: x\r\n\r\nbody\r\n.\r\n"


@dataclass
class Seen:
    """What the agent was given."""

    sender: str
    recipients: tuple[str, ...]
    forward: dict[str, str]
    header: bytes
    body: bytes


@dataclass
class Scripted:
    """An agent that keeps what it sees and answers as it is told."""

    answer: Callable[[Transaction], Sequence[Reply]] = lambda one: [OK] * len(one.recipients)
    seen: list[Seen] = field(default_factory=list)

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """See `Deliver`."""
        message = transaction.message
        self.seen.append(
            Seen(
                transaction.mail.sender,
                tuple(one.address for one in transaction.recipients),
                dict(transaction.forward),
                message.header,
                b"".join(message.body.pieces()),
            )
        )
        return self.answer(transaction)

    def release(self, token: str) -> Reply:
        """See `lmtp.release`."""
        if token == "fault":
            raise RuntimeError("a secret")
        return reply(250, "2.0.0", f"Released {token}")


@dataclass
class Caller:
    """The client's end."""

    connection: socket.socket
    session: Session
    agent: Scripted
    log: Heard
    thread: threading.Thread

    def __post_init__(self) -> None:
        self._file = self.connection.makefile("rb")

    def say(self, data: bytes) -> None:
        """Send octets."""
        self.connection.sendall(data)

    def hear(self, count: int = 1) -> list[str]:
        """So many replies; of a multi-line one the last line."""
        replies: list[str] = []
        while len(replies) < count:
            line = self._file.readline().decode()
            if line[3:4] != "-":
                replies.append(line.rstrip("\r\n"))
        return replies

    def ask(self, data: bytes, count: int = 1) -> list[str]:
        """Send and hear."""
        self.say(data)
        return self.hear(count)

    def codes(self, data: bytes, count: int) -> list[int]:
        """The codes of the replies."""
        return [int(one[:3]) for one in self.ask(data, count)]

    @property
    def over(self) -> bool:
        """Whether the session has ended; waits for it."""
        self.thread.join(10)
        return not self.thread.is_alive()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self.connection.close()


@contextmanager
def calling(folder: Path, agent: Scripted, limits: Limits) -> Iterator[Caller]:
    """A client that has been greeted."""
    near, far = socket.socketpair()
    log = Heard()
    spool = Spool(folder)
    session = Session(Wire(near), "mail.example.test", spool, agent, agent.release, log, limits)
    thread = threading.Thread(target=session.run, daemon=True)
    far.settimeout(10)
    caller = Caller(far, session, agent, log, thread)
    thread.start()
    try:
        assert caller.hear() == ["220 mail.example.test LMTP"]
        yield caller
    finally:
        caller.close()
        thread.join(10)
        near.close()
    assert not thread.is_alive()


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    """A client of a session with small limits."""
    with calling(
        tmp_path, Scripted(), Limits(message=100_000, recipients=3, errors=5, idle=10)
    ) as one:
        yield one


def test_what_is_announced(caller: Caller) -> None:
    caller.say(b"LHLO me\r\n")
    lines = [caller._file.readline().decode().rstrip() for _line in range(9)]
    assert [line[4:] for line in lines] == [
        "mail.example.test",
        "PIPELINING",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "SIZE 100000",
        "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
        "XRELEASE",
    ]


def test_a_release_has_its_own_command_outside_of_transactions(caller: Caller) -> None:
    assert caller.codes(b"XRELEASE early\r\n", 1) == [503]
    caller.ask(b"LHLO me\r\n")
    assert caller.ask(b"XRELEASE one.two\r\n", 1) == ["250 2.0.0 Released one.two"]
    assert caller.codes(b"MAIL FROM:<>\r\nXRELEASE inside\r\n", 2) == [250, 503]


def test_a_release_that_fails_tells_nothing_of_why(caller: Caller) -> None:
    caller.ask(b"LHLO me\r\n")
    [answer] = caller.ask(b"XRELEASE fault\r\n", 1)
    assert answer.startswith("451 4.3.0 Internal error; ref=")
    [line] = [line for line in caller.log.lines if "release failed" in line]
    assert answer.rpartition("=")[2] in line
    assert caller.codes(b"NOOP\r\n", 1) == [250]


def test_a_pipelined_transaction_and_a_second_one(caller: Caller) -> None:
    group = (
        b"LHLO me\r\nXFORWARD IDENT=4XyZ\r\nMAIL FROM:<s@x.test>\r\n"
        b"RCPT TO:<a@b.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
    )
    assert caller.codes(group, 6) == [250, 250, 250, 250, 250, 354]
    assert caller.codes(MESSAGE, 2) == [250, 250]
    assert caller.codes(b"MAIL FROM:<>\r\nRCPT TO:<c@b.test>\r\nDATA\r\n", 3) == [250, 250, 354]
    assert caller.codes(b".\r\nQUIT\r\n", 2) == [250, 221]
    first, second = caller.agent.seen
    assert first == Seen(
        "s@x.test", ("a@b.test", "b@b.test"), {"IDENT": "4XyZ"}, b"Subject: x\r\n", b"\r\nbody\r\n"
    )
    assert second == Seen("", ("c@b.test",), {}, b"", b"")
    assert caller.over


def test_each_recipient_has_its_reply(caller: Caller) -> None:
    caller.agent.answer = lambda _one: [
        Reply(250, (b"2.0.0 Saved",)),
        Reply(552, (b"5.2.2 Over", b"5.2.2 quota")),
        Reply(451, (b"4.3.0 Later",)),
    ]
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\n", 2)
    caller.ask(b"RCPT TO:<a@b.test>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\nDATA\r\n", 4)
    caller.say(MESSAGE)
    lines = [caller._file.readline().decode().rstrip() for _line in range(4)]
    assert lines == ["250 2.0.0 Saved", "552-5.2.2 Over", "552 5.2.2 quota", "451 4.3.0 Later"]


def test_the_order_of_commands(caller: Caller) -> None:
    assert caller.codes(b"MAIL FROM:<>\r\n", 1) == [503]
    assert caller.codes(b"LHLO me\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 3) == [250, 503, 503]
    assert caller.codes(b"MAIL FROM:<>\r\nXFORWARD IDENT=x\r\n", 2) == [250, 503]
    assert caller.codes(b"DATA\r\n", 1) == [503]
    assert caller.codes(b"DATA\r\n", 1) == [421]
    assert caller.over


def test_rset_forgets(caller: Caller) -> None:
    caller.ask(
        b"LHLO me\r\nXFORWARD IDENT=old\r\nMAIL FROM:<old@x.test>\r\nRCPT TO:<old@b.test>\r\n", 4
    )
    assert caller.codes(b"RSET\r\nDATA\r\n", 2) == [250, 503]
    caller.ask(b"MAIL FROM:<new@x.test>\r\nRCPT TO:<new@b.test>\r\nDATA\r\n", 3)
    caller.ask(MESSAGE)
    assert [(one.sender, one.recipients, one.forward) for one in caller.agent.seen] == [
        ("new@x.test", ("new@b.test",), {})
    ]


@pytest.mark.parametrize(
    "command", [b"HELO me", b"EHLO me", b"EXPN x", b"\xff\xfe", b"", b"AUTH PLAIN"]
)
def test_what_lmtp_does_not_know(caller: Caller, command: bytes) -> None:
    assert caller.codes(command + b"\r\nVRFY x\r\nLHLO\r\n", 3)[1:] == [252, 501]
    assert caller.codes(b"RSET x\r\nDATA x\r\n", 2) == [501, 501]


def test_errors_are_counted(caller: Caller) -> None:
    assert caller.codes(b"WHAT\r\n" * 6, 6) == [500] * 5 + [421]
    assert caller.over


def test_a_line_too_long_is_an_error_and_no_command(caller: Caller) -> None:
    assert caller.codes(b"NOOP " + b"x" * 5000 + b"\r\nNOOP\r\n", 2) == [500, 250]


def test_too_many_recipients(caller: Caller) -> None:
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\n", 2)
    assert caller.codes(b"RCPT TO:<a@b.test>\r\n" * 4, 4) == [250, 250, 250, 452]


def test_a_message_too_large(caller: Caller) -> None:
    assert caller.codes(b"LHLO me\r\nMAIL FROM:<> SIZE=100001\r\n", 2) == [250, 552]
    caller.ask(b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n", 4)
    caller.say(b"Subject: x\r\n\r\n" + b"x" * 200_000 + b"\r\n.\r\n")
    assert [one[:9] for one in caller.hear(2)] == ["552 5.3.4", "552 5.3.4"]
    assert caller.codes(b"NOOP\r\n", 1) == [250]
    assert not caller.agent.seen


def test_a_header_too_large(tmp_path: Path) -> None:
    with calling(tmp_path, Scripted(), Limits(message=10_000_000)) as caller:
        caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 4)
        caller.say(b"X-A: y\r\n" * 200_000 + b"\r\nbody\r\n.\r\n")
        assert caller.hear()[0].startswith("552 5.3.4")
        assert not caller.agent.seen


def test_a_spool_that_is_full_is_a_delay(tmp_path: Path) -> None:
    with calling(tmp_path / "missing", Scripted(), Limits(message=10_000_000)) as caller:
        caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 4)
        caller.say(b"X: y\r\n\r\n" + b"x" * 1_000_000 + b"\r\n.\r\n")
        assert caller.hear()[0].startswith("452 4.3.1")
        assert "spool" in caller.log.lines[0]


@pytest.mark.parametrize(
    "failure", [ValueError("the secret of alice"), OSError(5, "secret"), MemoryError()]
)
def test_an_exception_is_a_delay_for_each_recipient_and_tells_nothing(
    caller: Caller, failure: Exception
) -> None:
    def fail(_one: Transaction) -> Sequence[Reply]:
        raise failure

    caller.agent.answer = fail
    caller.ask(b"LHLO me\r\nXFORWARD IDENT=4XyZ\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n", 4)
    caller.ask(b"RCPT TO:<b@b.test>\r\nDATA\r\n", 2)
    answers = caller.ask(MESSAGE, 2)
    assert all(one.startswith("451 4.3.0") and "secret" not in one for one in answers)
    reference = answers[0].partition("ref=")[2]
    (line,) = caller.log.lines
    assert reference in line
    assert "4XyZ" in line
    assert type(failure).__name__ in line
    assert caller.codes(b"NOOP\r\n", 1) == [250]


def test_an_agent_with_too_few_replies_is_a_fault_of_ours(caller: Caller) -> None:
    caller.agent.answer = lambda _one: []
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 4)
    assert caller.codes(MESSAGE, 1) == [451]


def test_smuggled_commands_stay_text(caller: Caller) -> None:
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 4)
    smuggled = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nSubject: evil\r\n\r\n"
    text = b"a\n.\n" + smuggled + b"a\n.\r\n" + smuggled + b"a\r.\r\n" + smuggled
    assert caller.codes(b"Subject: x\r\n\r\n" + text + b".\r\nNOOP\r\n", 2) == [250, 250]
    assert [one.body for one in caller.agent.seen] == [b"\r\n" + text]


def test_a_client_that_says_nothing(tmp_path: Path) -> None:
    with calling(tmp_path, Scripted(), Limits(message=1000, idle=0.05)) as caller:
        assert caller.hear()[0].startswith("421 4.4.2")
        assert caller.over


def test_a_message_that_breaks_off_is_no_message(caller: Caller) -> None:
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 4)
    caller.say(b"Subject: x\r\n\r\nbody\r\n.")
    caller.connection.shutdown(socket.SHUT_WR)
    assert caller.over
    assert not caller.agent.seen


def test_a_session_that_has_to_leave_ends_after_its_transaction(caller: Caller) -> None:
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\n", 2)
    assert not caller.session.leave()
    assert caller.codes(b"RCPT TO:<a@b.test>\r\nDATA\r\n", 2) == [250, 354]
    assert caller.codes(MESSAGE, 2) == [250, 421]
    assert caller.over
    assert len(caller.agent.seen) == 1


def test_a_kept_connection_is_told_to_leave_with_the_next_command(caller: Caller) -> None:
    transact(caller)
    eventually(caller.session.leave)
    assert caller.codes(b"RSET\r\n", 1) == [421]
    assert caller.over


def test_a_client_that_tried_its_connection_may_go_on(caller: Caller) -> None:
    transact(caller)
    assert caller.codes(b"RSET\r\n", 1) == [250]
    for _time in range(3):
        assert not caller.session.leave()
    caller.ask(b"MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n", 3)
    assert caller.codes(MESSAGE, 2) == [250, 421]
    assert caller.over


@pytest.mark.parametrize("after", [b"", b"LHLO me\r\n", b"RSET\r\n"])
def test_a_client_that_goes_on_to_nothing_is_not_waited_for(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, after: bytes
) -> None:
    if after:
        caller.ask(after)
    assert not caller.session.leave()
    monkeypatch.setattr("lmtp.session.EXPECTED", 0.0)
    eventually(caller.session.leave)
    assert caller.codes(b"MAIL FROM:<>\r\n", 1) == [421]
    assert caller.over


def transact(caller: Caller) -> None:
    """One message."""
    caller.ask(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n", 4)
    assert caller.ask(MESSAGE)[0].startswith("250")
