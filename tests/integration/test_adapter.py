"""The adapter between libmilter and a small chain: over the protocol, and behind a real Postfix.

The milter runs under its own user: as root libmilter would behave otherwise (it would not unlink
a socket).
"""

from __future__ import annotations

import email
import functools
import json
from collections.abc import Iterator

import pytest

from iems.codec.header import parse_header, split_message
from tests.fakemta.filter import CONTINUE
from tests.fakemta.milter import MilterFilter
from tests.fakemta.script import Connect
from tests.integration.stack.ground import Ground
from tests.integration.stack.sink import Caught
from tests.integration.stack.smtp import Reply
from tests.integration.stack.telling import MESSAGE, Setting, started
from tests.waiting import eventually


@pytest.fixture(scope="module")
def setting(ground: Ground) -> Iterator[Setting]:
    """Started once for all tests of the module."""
    with started(ground) as one:
        yield one


ODD = (
    b"X-Same: 1\r\nSubject:  odd \tblanks \r\nX-Same:  2\r\nReceived: from one\r\n\tby two\r\n"
    b"X-SAME:3\r\nX-8-Bit: \xe4\xff\r\nX-Empty:\r\nReceived: from three\r\n"
)
"""A header that nobody would write so."""


def seen(caught: Caught) -> list[list[object]]:
    """The events that the chain told of in its header."""
    value = email.message_from_bytes(caught.message)["X-Seen"]
    events = json.loads(bytes.fromhex("".join(value.split())))
    assert isinstance(events, list)
    return events


def test_every_event_reaches_the_chain(setting: Setting) -> None:
    caught = setting.delivered(setting.send("alice", "bob"))
    connect, *others = seen(caught)
    assert connect[:2] == ["connect", "127.0.0.1"]
    macros = connect[3]
    assert isinstance(macros, dict)
    assert macros["{daemon_name}"] == "internet"
    assert {"j", "_", "{client_addr}", "{client_name}", "{client_resolve}"} <= macros.keys()
    assert others == [
        ["helo", "client.example"],
        ["mail", "<a@sender.example>", ["{mail_addr}"]],
        ["rcpt", "<alice@example.test>", False],
        ["rcpt", "<bob@example.test>", True],
        ["header", "From", " <a@sender.example>"],
        ["header", "Subject", "  two blanks"],
        ["end of headers"],
        ["body", "text\r\n"],
        ["end of message", True],
    ]


def test_the_message_arrives_as_it_was_but_for_the_edits(setting: Setting) -> None:
    message = (
        b"X-Forged: one\r\nSubject:  two blanks\r\n of  two\tlines \r\nX-Old: old\r\n"
        b"X-FORGED: \xe4\xff\r\n\r\nbody \xe4\r\n"
    )
    caught = setting.delivered(setting.send(message=message))
    head, _, body = caught.message.partition(b"\r\n\r\n")
    assert body == b"body \xe4\r\n"
    assert head.startswith(b"X-Worker: ")
    assert b"\r\nX-Seen: 5b" in head
    assert b"\r\nSubject:  two blanks\r\n of  two\tlines \r\nX-Old: new value\r\n" in head + b"\r\n"
    assert b"forged" not in head.lower()
    assert ["header", "X-FORGED", " \xe4\xff"] in seen(caught)


REWRITTEN = {
    "nothing but the body": ODD + b"\r\nother\r\n",
    "no body": ODD + b"\r\n",
    "odd lines": ODD + b"\r\n\r\n.\r\n..\r\nlone\rCR\r\n" + b"long" * 240 + b"\r\n \r\n\r\n",
    "all fields gone": b"\r\nbody\r\n",
    "a new header": b"Content-Type: text/plain;\r\n\tcharset=utf-8\r\nTo: \xc3\xbc\r\n\r\n",
    "of three the second gone": ODD.replace(b"X-Same:  2\r\n", b"") + b"\r\n",
    "of three the second changed": ODD.replace(b"X-Same:  2", b"x-same:\t two\r\n b") + b"\r\n",
    "a field within": ODD.replace(b"X-SAME", b"X-New: 1\r\nReceived: x\r\nX-SAME") + b"\r\n",
    "fields behind": ODD + b"X-Same: 4\r\nMIME-Version: 1.0\r\nX-Same: 5\r\n\r\n",
    "another order": b"".join(reversed(ODD.splitlines(keepends=True)[:3])) + b"\r\nbody\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", REWRITTEN)
def test_of_a_rewritten_message_each_byte_arrives(setting: Setting, name: str) -> None:
    told = ODD + b"\r\n" + REWRITTEN[name].hex(" ", 400).replace(" ", "\r\n").encode() + b"\r\n"
    caught = setting.delivered(setting.send("rewritten", message=told))
    own = parse_header(split_message(caught.message)[0]).fields[0]
    assert b"client.example" in own.value
    assert caught.message.removeprefix(own.raw) == REWRITTEN[name]


def test_a_recipient_is_removed(setting: Setting) -> None:
    caught = setting.delivered(setting.send("alice", "gone"))
    assert caught.recipients == ("alice@example.test",)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("reject", "550 5.7.1 not wanted"),
        ("tempfail", "450 4.7.1 not now"),
        ("percent", "550 5.7.1 100% sure??of %s and caf?"),
        ("badcode", "451 4.7.1"),
        ("boom", "451 4.3.0 internal error, try again later; reference REFERENCE"),
    ],
)
class TestRefusal:
    """The same answer at whatever stage, given at RCPT."""

    def test_of_a_recipient_touches_no_other(
        self, setting: Setting, word: str, expected: str
    ) -> None:
        sent = setting.send("alice", word, "bob")
        assert _starts(sent.recipients[f"{word}@example.test"], expected)
        caught = setting.delivered(sent)
        assert caught.recipients == ("alice@example.test", "bob@example.test")

    def test_at_mail_ends_with_the_message(
        self, setting: Setting, word: str, expected: str
    ) -> None:
        with setting.client() as client:
            refused = client.send(f"{word}@sender.example", ["alice@example.test"], MESSAGE)
            assert _starts(refused.recipients["alice@example.test"], expected)
            sent = client.send("a@sender.example", ["alice@example.test"], MESSAGE)
        setting.delivered(sent)

    def test_at_helo_holds_for_the_connection(
        self, setting: Setting, word: str, expected: str
    ) -> None:
        with setting.client(f"{word}.example") as client:
            for _ in range(2):
                sent = client.send("a@sender.example", ["alice@example.test"], MESSAGE)
                assert _starts(sent.recipients["alice@example.test"], expected)


def _starts(reply: Reply, expected: str) -> bool:
    assert str(reply).replace("<", "").startswith(expected) or expected in str(reply), reply
    return True


@pytest.mark.parametrize("word", ["endboom", "endreject"])
def test_a_refusal_at_the_end(setting: Setting, word: str) -> None:
    sent = setting.send("alice", word)
    assert sent.data is not None
    assert sent.data.code == {"endboom": 451, "endreject": 550}[word]


def test_a_field_that_the_chain_cannot_bear_delays_the_message(setting: Setting) -> None:
    sent = setting.send(message=b"X-Boom: 1\r\n" + MESSAGE)
    assert sent.data is not None
    assert str(sent.data).startswith("451 4.3.0 internal error")
    log = setting.milter.tail(1000)
    assert 'reference="REFERENCE" traceback="Traceback' in log
    assert "a field that the chain cannot bear" in log


def test_bytes_that_are_no_utf8_are_no_reason_to_refuse(setting: Setting) -> None:
    # Postfix refuses them itself unless smtputf8_enable is off.
    mta = MilterFilter(str(setting.socket))
    macros = {"{mail_addr}": "caf\udce9@b.example", "i": "QUEUEID"}
    assert mta.connect(Connect("192.0.2.1", "client.example"), macros) == CONTINUE
    assert mta.helo("caf\udce9.example", macros) == CONTINUE
    assert mta.mail("<caf\udce9@b.example>", macros) == CONTINUE
    assert mta.rcpt("<\udce9@example.test>", macros) == CONTINUE
    assert mta.end_of_message(macros).answer == CONTINUE
    mta.quit()


def test_an_mta_that_hangs_up_at_the_end_is_no_defect_of_ours(setting: Setting) -> None:
    def told() -> bool:
        mta = MilterFilter(str(setting.socket))
        mta.connect(Connect("192.0.2.1", "client.example"), {})
        mta.mail("<hung.up@sender.example>", {})
        mta.rcpt("<bob@example.test>", {})
        mta.end_and_vanish({"i": "QUEUEID"})
        return 'the MTA takes no edits error="cannot' in since()

    def since() -> str:
        return setting.milter.log.read_text()[before:]

    before = len(setting.milter.log.read_text())
    eventually(told, 15, lambda: setting.milter.tail(20))
    assert "the chain failed" not in since()


def test_messages_on_one_connection_do_not_touch_each_other(setting: Setting) -> None:
    with setting.client() as client:
        first = client.send("a@sender.example", ["alice@example.test"], b"X-A: 1\r\n\r\n")
        client.command("MAIL FROM:<reset@sender.example>")
        client.command("RCPT TO:<reset@example.test>")
        client.command("RSET")
        second = client.send("b@sender.example", ["bob@example.test"], b"X-B: 1\r\n\r\n")
    assert [event[1] for event in seen(setting.delivered(first)) if event[0] == "header"] == ["X-A"]
    events = seen(setting.delivered(second))
    assert [event[1] for event in events if event[0] in {"mail", "rcpt", "header"}] == [
        *("<b@sender.example>", "<bob@example.test>", "X-B")
    ]


def test_rset_reaches_the_chain(setting: Setting) -> None:
    with setting.client() as client:
        for _time in range(3):
            client.command("MAIL FROM:<reset@sender.example>")
            client.command("RSET")
        sent = client.send("a@sender.example", ["alice@example.test"], MESSAGE)
    assert chains(setting.delivered(sent))[1] == 3


def test_lost_connections_leave_no_chain_behind(setting: Setting) -> None:
    """Lost by the client before Postfix, and with Postfix itself, at every stage."""
    for stages in range(5):
        with setting.client() as client:
            words = ("MAIL FROM:<a@sender.example>", "RCPT TO:<bob@example.test>", "DATA", "X: 1")
            for word in words[:stages]:
                client.raw(f"{word}\r\n".encode())
                if word != "X: 1":
                    client.reply()
            client.drop()
        mta = MilterFilter(str(setting.socket))
        macros: dict[str, str] = {}
        mta.connect(Connect("192.0.2.1", "client.example"), macros)
        steps = (
            functools.partial(mta.helo, "client.example", macros),
            functools.partial(mta.mail, "<a@sender.example>", macros),
            functools.partial(mta.rcpt, "<bob@example.test>", macros),
            functools.partial(mta.header, b"X", b" 1", macros),
        )
        for step in steps[:stages]:
            step()
        mta.vanish()
    held: dict[bytes, int] = {}

    def only_the_own() -> bool:
        caught = setting.delivered(setting.send())
        worker = caught.message.partition(b"X-Worker: ")[2].split()[0]
        held[worker] = chains(caught)[0]
        return len(held) == 2 and set(held.values()) == {1}

    eventually(only_the_own, 15, lambda: f"chains by worker: {held}")


def chains(caught: Caught) -> tuple[int, int]:
    """How many chains the worker holds, and how many messages of this one were aborted."""
    held, aborted = email.message_from_bytes(caught.message)["X-Chains"].split()
    return int(held), int(aborted)
