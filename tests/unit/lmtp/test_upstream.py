"""The next hop: what it is told, what it replies, and what happens when it breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from lmtp.client import Parcel
from lmtp.commands import Mail, Recipient
from lmtp.upstream import Upstream
from tests.unit.lmtp.parts import Hop

TEXT = b"Subject: x\r\n\r\nbody\r\n"
EVERYTHING = ("PIPELINING", "8BITMIME", "SIZE 1000", "SMTPUTF8", "DSN")


def parcel(*addresses: str, mail: Mail | None = None, text: bytes = TEXT) -> Parcel:
    """A parcel for these recipients."""
    recipients = tuple(Recipient(address) for address in addresses or ("a@b.test",))
    return Parcel(mail or Mail("s@x.test"), recipients, len(text), lambda: [text])


def deliver(upstream: Upstream, one: Parcel, seconds: float = 20) -> list[str]:
    """The replies as text."""
    return [str(answer) for answer in upstream.deliver(one, Deadline.after(seconds)).replies]


@pytest.fixture
def hop(tmp_path: Path) -> Iterator[Hop]:
    """A next hop."""
    with Hop(tmp_path / "hop") as one:
        yield one


@pytest.fixture
def upstream(hop: Hop) -> Iterator[Upstream]:
    """Its pool."""
    one = Upstream(hop.target, "mail.example.test")
    yield one
    one.close()


def test_replies_are_passed_on_as_they_are(hop: Hop, upstream: Upstream) -> None:
    hop.rcpt = {"b@b.test": "550 5.1.1 <b@b.test> User doesn't exist"}
    hop.final = {
        "c@b.test": "552-5.2.2 <c@b.test> Quota exceeded\r\n552 5.2.2 (mailbox is full)",
        "d@b.test": "451 4.2.0 <d@b.test> Later, \xe9",
    }
    assert deliver(upstream, parcel("a@b.test", "b@b.test", "c@b.test", "d@b.test")) == [
        "250 2.0.0 Saved",
        "550 5.1.1 <b@b.test> User doesn't exist",
        "552 5.2.2 <c@b.test> Quota exceeded 5.2.2 (mailbox is full)",
        "451 4.2.0 <d@b.test> Later, \xe9",
    ]
    assert hop.taken[0].data == TEXT + b".\r\n"


def test_only_what_is_announced_is_sent(hop: Hop, upstream: Upstream) -> None:
    mail = Mail("s@x.test", 5, True, True, "FULL", "QQ")
    recipient = Recipient("a@b.test", "rfc822;o@b.test", "o@b.test", frozenset({"SUCCESS"}))
    one = Parcel(mail, (recipient,), len(TEXT), lambda: [TEXT])
    hop.extensions = ("PIPELINING",)
    assert not upstream.deliver(one, Deadline.after(20)).reports
    upstream.close()
    hop.extensions = EVERYTHING
    assert upstream.deliver(one, Deadline.after(20)).reports
    assert [(taken.mail, taken.recipients) for taken in hop.taken] == [
        ("MAIL FROM:<s@x.test>", ["RCPT TO:<a@b.test>"]),
        (
            f"MAIL FROM:<s@x.test> SIZE={len(TEXT)} BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=QQ",
            ["RCPT TO:<a@b.test> NOTIFY=SUCCESS ORCPT=rfc822;o@b.test"],
        ),
    ]


def test_a_server_without_pipelining(hop: Hop, upstream: Upstream) -> None:
    hop.extensions = ()
    assert deliver(upstream, parcel("a@b.test", "b@b.test")) == ["250 2.0.0 Saved"] * 2


def test_utf8_addresses_need_smtputf8(hop: Hop, upstream: Upstream) -> None:
    utf8 = Mail("s@x.test", utf8=True)
    one = parcel("ü@b.test", "a@b.test", "b@bü.test", mail=utf8)
    answers = deliver(upstream, one)
    assert answers[0].startswith("553 5.6.7")
    assert answers[1:] == ["250 2.0.0 Saved"] * 2
    assert hop.taken[0].recipients == ["RCPT TO:<a@b.test>", "RCPT TO:<b@xn--b-eha.test>"]
    from_utf8 = parcel("a@b.test", mail=Mail("ü@x.test", utf8=True))
    assert deliver(upstream, from_utf8)[0].startswith("553 5.6.7")
    assert deliver(upstream, parcel("ü@b.test", mail=utf8))[0].startswith("553 5.6.7")
    assert len(hop.taken) == 1
    upstream.close()
    hop.extensions = EVERYTHING
    assert deliver(upstream, parcel("ü@b.test", mail=utf8)) == ["250 2.0.0 Saved"]
    assert hop.taken[-1].recipients == ["RCPT TO:<ü@b.test>"]


@pytest.mark.parametrize(
    ("moment", "reply"),
    [("mail", "452 4.3.1 Full"), ("start", "451 4.3.0 No"), ("mail", "550 5.7.1 Not you")],
)
def test_a_refusal_of_all_is_the_reply_of_each(
    hop: Hop, upstream: Upstream, moment: str, reply: str
) -> None:
    setattr(hop, moment, reply)
    assert deliver(upstream, parcel("a@b.test", "b@b.test")) == [reply] * 2
    setattr(hop, moment, {"mail": "250 OK", "start": "354 OK"}[moment])
    assert deliver(upstream, parcel()) == ["250 2.0.0 Saved"]


def test_nobody_is_left_after_rcpt(hop: Hop, upstream: Upstream) -> None:
    hop.rcpt = {"a@b.test": "552 5.2.2 Full"}
    assert deliver(upstream, parcel()) == ["552 5.2.2 Full"]
    assert deliver(upstream, parcel("b@b.test")) == ["250 2.0.0 Saved"]


@pytest.mark.parametrize(
    "reply", ["nonsense", "200-a\r\n250 b", "999 x", "", "250-" + "x" * 3000, "354 more"]
)
def test_replies_that_make_no_sense_are_a_delay(hop: Hop, upstream: Upstream, reply: str) -> None:
    hop.final = {"a@b.test": reply}
    assert deliver(upstream, parcel())[0].startswith("451 4.5.0")


def test_421_closes_another_connection_than_the_client_s(hop: Hop, upstream: Upstream) -> None:
    hop.final = {"a@b.test": "421 4.3.2 Shutting down"}
    assert deliver(upstream, parcel()) == ["451 4.3.2 Shutting down"]
    hop.final, hop.greeting = {}, "421 4.3.2 Shutting down"
    assert deliver(upstream, parcel()) == ["451 4.3.2 Shutting down"]
    hop.greeting = "554 Go away"
    assert deliver(upstream, parcel())[0].startswith("451 4.3.2")


def test_connections_are_used_again(hop: Hop, upstream: Upstream) -> None:
    for _number in range(3):
        assert deliver(upstream, parcel()) == ["250 2.0.0 Saved"]
    assert hop.connections == 1


def test_a_pooled_connection_that_was_closed_is_not_used(hop: Hop, upstream: Upstream) -> None:
    deliver(upstream, parcel())
    hop.cut()
    assert deliver(upstream, parcel()) == ["250 2.0.0 Saved"]
    assert hop.connections == 2


def test_a_connection_with_a_reply_too_many_is_not_used_again(hop: Hop, upstream: Upstream) -> None:
    hop.final = {"a@b.test": "250 2.0.0 Saved\r\n250 2.0.0 And once more"}
    assert deliver(upstream, parcel()) == ["250 2.0.0 Saved"]
    assert deliver(upstream, parcel("b@b.test")) == ["250 2.0.0 Saved"]
    assert hop.connections == 2
    assert len(hop.taken) == 2


def test_250_to_data_is_no_delivery(hop: Hop, upstream: Upstream) -> None:
    hop.start = "250 2.0.0 Saved"
    assert deliver(upstream, parcel())[0].startswith("451 4.5.0")


@pytest.mark.parametrize("moment", ["mail", "data"])
def test_a_pooled_connection_that_dies_is_replaced_once(
    hop: Hop, upstream: Upstream, moment: str
) -> None:
    deliver(upstream, parcel())
    hop.moments[moment] = lambda: hop.connections == 2
    assert deliver(upstream, parcel()) == ["250 2.0.0 Saved"]
    assert hop.connections == 2
    hop.moments[moment] = lambda: False
    assert deliver(upstream, parcel())[0].startswith("451 4.4.2")
    assert hop.connections == 3


def test_a_server_that_shuts_down_is_asked_anew(hop: Hop, upstream: Upstream) -> None:
    deliver(upstream, parcel())

    def shut_down() -> bool:
        hop.mail = "421 4.3.2 Shutting down" if hop.connections == 1 else "250 OK"
        return True

    hop.moments["mail"] = shut_down
    assert deliver(upstream, parcel()) == ["250 2.0.0 Saved"]
    assert hop.connections == 2


@pytest.mark.parametrize("moment", ["text", "final"])
@pytest.mark.parametrize("size", [100, 3_000_000])
def test_after_the_message_nothing_is_tried_again(
    hop: Hop, upstream: Upstream, moment: str, size: int
) -> None:
    deliver(upstream, parcel())
    hop.moments[moment] = lambda: False
    one = parcel("a@b.test", "b@b.test", text=b"x" * 98 + b"\r\n" * (size // 100))
    answers = deliver(upstream, one)
    assert len(answers) == 2
    assert all(answer.startswith("451 4.4.2") for answer in answers)
    assert hop.connections == 1
    assert len(hop.taken) == (1 if moment == "text" else 2)


def test_who_was_answered_before_the_loss_keeps_his_reply(hop: Hop, upstream: Upstream) -> None:
    hop.rcpt = {"c@b.test": "550 5.1.1 Unknown"}
    hop.final = {"b@b.test": "junk"}
    answers = deliver(upstream, parcel("a@b.test", "b@b.test", "c@b.test"))
    assert [answer[:9] for answer in answers] == ["250 2.0.0", "451 4.5.0", "550 5.1.1"]


def test_a_refusal_at_rcpt_stands_when_the_connection_is_lost_in_the_text(
    hop: Hop, upstream: Upstream
) -> None:
    hop.rcpt = {"b@b.test": "550 5.1.1 Unknown"}
    hop.moments["text"] = lambda: False
    answers = deliver(upstream, parcel("a@b.test", "b@b.test"))
    assert [answer[:9] for answer in answers] == ["451 4.4.2", "550 5.1.1"]


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    for target in (f"unix:{tmp_path}/nothing", "inet:127.0.0.1:1", "inet:[::1]:1"):
        upstream = Upstream(target, "mail.example.test")
        assert deliver(upstream, parcel())[0].startswith("451 4.4.1")


def test_a_server_that_is_slow_meets_the_deadline(hop: Hop, upstream: Upstream) -> None:
    held = threading.Event()
    hop.moments["final"] = lambda: held.wait(20)
    assert deliver(upstream, parcel(), seconds=0.2)[0].startswith("451 4.4.7")
    held.set()
    assert deliver(upstream, parcel(), seconds=0)[0].startswith("451 4.4")


def test_a_spool_that_cannot_be_read_never_ends_the_message(hop: Hop, upstream: Upstream) -> None:
    def broken() -> Iterable[bytes]:
        yield TEXT
        raise OSError("disk")

    one = Parcel(Mail(""), (Recipient("a@b.test"),), 10, broken)
    assert deliver(upstream, one)[0].startswith("451 4.3.0")
    assert not hop.taken


def test_dots_are_doubled(hop: Hop, upstream: Upstream) -> None:
    deliver(upstream, parcel(text=b".a\r\n.\r\nb\n.\n.c"))
    assert hop.taken[0].data == b"..a\r\n..\r\nb\n..\n..c\r\n.\r\n"
