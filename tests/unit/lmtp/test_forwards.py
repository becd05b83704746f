"""Forwards to spam@ and ham@: whose filter they train, what of them, and what is answered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.codec.findings import Passed, encode
from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.serve.deadline import Deadline
from iems.store.records import Record
from iems.store.spool import MemoryBody, Spooled
from lmtp import forwards
from lmtp.commands import Mail, parse_rcpt
from lmtp.forwards import MOST, Forwards
from lmtp.learning.protocol import Answer, Conversation
from lmtp.transaction import Transaction
from tests.unit.lmtp.conftest import LISTED, SECRET, Office
from tests.unit.lmtp.test_attached import MESSAGE, ONE, TWO, forward

USER = "quarantine@b.test"
TAKEN = "250 2.0.0 Taken"
TRAINING = """
[users."spam@c.test"]
[domains."c.test"]
[aliases]
"spam@b.test" = ["spam@b.test"]
"ham@b.test" = ["ham@b.test"]
"""


@dataclass
class Daemon:
    """What trains, as far as it answers: `done` once for each request, and True at last."""

    path: Path
    done: list[bool] = field(default_factory=list)
    asked: list[tuple[str, str, str, bytes]] = field(default_factory=list)

    def __enter__(self) -> Daemon:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(5)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            with connection:
                self._one(Conversation(connection))

    def _one(self, conversation: Conversation) -> None:
        deadline = Deadline.after(10)
        wanted = conversation.request(deadline)
        data = conversation.input(1 << 20, deadline).head
        self.asked.append((wanted.verb, wanted.user, wanted.options["label"], data))
        assert wanted.options["source"] == "forward"
        conversation.answer(Answer(self.done.pop(0) if self.done else True, "a reason"), deadline)


@dataclass(frozen=True)
class Desk:
    """Forwards before an agent, and the daemon behind them."""

    office: Office
    front: Forwards
    daemon: Daemon
    records: list[Record]

    def send(
        self,
        *to: str,
        data: bytes = b"",
        login: str = USER,
        header: bytes = b"",
        sender: str = USER,
    ) -> list[str]:
        """The replies to what somebody sends; the message of one of two parts unless given."""
        channel = "submission" if login else "internet"
        passed = Passed("ref012345678", "4XyZ", channel, sender, 5, (LISTED,), login)
        value = encode(passed, "k1", SECRET)
        top, _end, body = (data or forward(MESSAGE + b"\r\n" + ONE)).partition(b"\r\n\r\n")
        block = b"X-IEMS-Findings:" + value + b"\r\n" + header + top + b"\r\n"
        message = Spooled(block, MemoryBody(b"\r\n" + body))
        parsed = tuple(parse_rcpt(f"TO:<{one}>", utf8=True) for one in to)
        taken = Transaction(Mail(sender), parsed, {"IDENT": "4XyZ"}, message)
        return [str(answer) for answer in self.front.deliver(taken)]

    def log(self, word: str) -> list[str]:
        """The lines of the log that hold it."""
        return [line for line in self.office.log.lines if word in line]


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    """A desk in a site with spam@ and ham@, and a user who is called spam elsewhere."""
    agent = office.agent
    directory = TomlDirectory.parse(
        TRAINING + f'[domains."b.test"]\n[users."{USER}"]\n[users."deliver@b.test"]\n'
    )
    path = office.folder / "bayes.sock"
    records: list[Record] = []
    front = Forwards(agent, directory, agent.origin, path, office.log, records.append)
    with Daemon(path) as daemon:
        yield Desk(office, front, daemon, records)


def test_each_attached_message_trains_the_filter_of_the_login(desk: Desk) -> None:
    data = forward(MESSAGE + b"\r\n" + ONE, MESSAGE + b"\r\n" + TWO)
    assert desk.send("SPAM@b.test", data=data, sender="alias@b.test") == [TAKEN]
    assert desk.daemon.asked == [("train", USER, "spam", ONE), ("train", USER, "spam", TWO)]
    assert desk.send("ham@b.test", data=data) == [TAKEN]
    assert desk.daemon.asked[2:] == [("train", USER, "ham", ONE), ("train", USER, "ham", TWO)]
    assert not desk.office.taken
    [line, _other] = desk.log("forward")
    assert f'user="{USER}" messages="2" reply="{TAKEN}"' in line
    [record, other] = desk.records
    assert (record.recipient, record.subject) == ("SPAM@b.test", f"user {USER}")
    assert (record.action, other.action, record.reply) == ("spam", "ham", TAKEN)
    note = f"attached messages that the filter of {USER} is trained by: 2"
    assert record.details == {"notes": [note]}


def test_the_others_of_a_transaction_get_it(desk: Desk) -> None:
    replies = desk.send("deliver@b.test", "spam@b.test", "spam@c.test")
    assert [one[:3] for one in replies] == ["250", "250", "250"]
    assert replies[1] == TAKEN
    [taken] = desk.office.taken
    assert taken.recipients == ["RCPT TO:<deliver@b.test>", "RCPT TO:<spam@c.test>"]
    assert len(desk.daemon.asked) == 1


def test_a_defect_keeps_nobody_else_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_message: bytes) -> Iterator[bytes]:
        raise RuntimeError("broken")

    monkeypatch.setattr(forwards, "attached", broken)
    replies = desk.send("deliver@b.test", "spam@b.test")
    assert [one[:9] for one in replies] == ["250 2.0.0", "451 4.3.0"]
    assert len(desk.office.taken) == 1
    assert desk.log("forward failed")


def test_a_forward_that_waits_for_its_turn_gives_up_early(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwards, "_TURN", 0.01)
    with desk.front._turn:
        assert desk.send("spam@b.test") == ["451 4.3.0 No time is left; try again"]
    assert not desk.daemon.asked
    assert desk.send("spam@b.test") == [TAKEN]


def test_who_has_not_logged_in_trains_nothing_and_gets_no_bounce(desk: Desk) -> None:
    assert desk.send("spam@b.test", login="") == [TAKEN]
    assert not desk.daemon.asked
    [line] = desk.log("trains nothing")
    assert 'why="nobody logged in"' in line
    [record] = desk.records
    assert (record.recipient, record.subject, record.reply) == ("spam@b.test", "", TAKEN)
    assert record.details == {"notes": ["nothing is trained: nobody logged in"]}


@pytest.mark.parametrize("header", [b"Auto-Submitted: auto-replied\r\n", b"Precedence: bulk\r\n"])
def test_an_automatic_message_asks_for_nothing(desk: Desk, header: bytes) -> None:
    assert desk.send("ham@b.test", header=header) == [TAKEN]
    assert desk.send("ham@b.test", sender="") == [TAKEN]
    assert not desk.daemon.asked


@pytest.mark.parametrize("login", ["nobody@b.test", "root"])
def test_a_login_without_a_mailbox_has_no_filter(desk: Desk, login: str) -> None:
    assert desk.send("spam@b.test", login=login)[0].startswith("550 5.7.1")
    assert not desk.daemon.asked


def test_what_was_not_attached_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = b"Subject: Fwd\r\n\r\n> offer\r\n"
    assert desk.send("spam@b.test", data=plain)[0].startswith("550 5.6.0 No message is attached")
    many = forward(*[MESSAGE + b"\r\n" + ONE] * (MOST + 1))
    assert desk.send("spam@b.test", data=many)[0].startswith("550 5.6.0 More than")
    monkeypatch.setattr(forwards, "LARGEST", 100)
    assert desk.send("spam@b.test")[0].startswith("552 5.3.4")
    assert not desk.daemon.asked


def test_it_is_taken_once_the_daemon_has_all_of_it(desk: Desk) -> None:
    data = forward(MESSAGE + b"\r\n" + ONE, MESSAGE + b"\r\n" + TWO)
    desk.daemon.done += [True, False]
    assert desk.send("spam@b.test", data=data)[0].startswith("451 4.3.0")
    assert 'messages="1" reply="451' in desk.log("forward")[0]
    assert desk.send("spam@b.test", data=data) == [TAKEN]
    assert [one[3] for one in desk.daemon.asked] == [ONE, TWO, ONE, TWO]


def test_without_a_daemon_or_directory_it_comes_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.daemon.path.unlink()
    assert desk.send("spam@b.test")[0].startswith("451 4.3.0")

    def down(*_arguments: object) -> None:
        raise DirectoryUnavailable("down")

    monkeypatch.setattr(TomlDirectory, "find", down)
    assert (
        desk.send("spam@b.test", "deliver@b.test") == ["451 4.3.0 Directory is not available"] * 2
    )
    assert not desk.office.taken
