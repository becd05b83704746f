"""The agent in front of a real Dovecot: what that takes for a line, a header, and an address."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtp.bayes.tokens import key, tokens
from tests.integration.lmtp_agent import AgentDaemon, agent_on
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import AGENT_USER, Ground, owned, running
from tests.integration.stack.smtp import LmtpClient, Sent
from tests.unit.lmtp.test_headers import FORMS
from tests.waiting import eventually

DOMAIN = "dove.box.test"
MESSAGE = b"From: s@x.test\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture(scope="module")
def agent(ground: Ground, dovecot: Dovecot) -> Iterator[AgentDaemon]:
    """The daemon before the Dovecot of the run."""
    place = owned(ground.place("lmtp"), AGENT_USER, AGENT_USER, 0o755)
    with agent_on(ground, place / "s", f"unix:{dovecot.lmtp}", DOMAIN) as daemon:
        yield daemon


def send(agent: AgentDaemon, recipients: list[str], message: bytes, *options: str) -> Sent:
    """One message through the agent, with genuine findings."""
    with LmtpClient(agent.socket) as client:
        queue_id = f"4Dove{abs(hash(tuple(recipients)))}"
        assert client.command(f"XFORWARD IDENT={queue_id}").code == 250
        return client.send("s@x.test", recipients, agent.field(queue_id) + message, options=options)


def body(text: bytes) -> bytes:
    """What stands behind the header."""
    return text.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\n"])
def test_dovecot_ends_data_at_bare_newlines(
    agent: AgentDaemon, dovecot: Dovecot, end: bytes
) -> None:
    """The reason why dots are doubled after every LF."""
    assert ends_data(dovecot, agent.box(dovecot).user, end)


@pytest.mark.parametrize("end", [b"\r.\r", b"\r.\r\n", b"\r.\n", b"\r\n.\r"])
def test_dovecot_does_not_end_data_at_bare_returns(
    agent: AgentDaemon, dovecot: Dovecot, end: bytes
) -> None:
    """The reason why a dot after a bare CR is left alone."""
    assert not ends_data(dovecot, agent.box(dovecot).user, end)


def ends_data(dovecot: Dovecot, user: str, end: bytes) -> bool:
    """Whether a message ends so for Dovecot: then it takes the rest for commands."""
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as file:
        connection.settimeout(60)
        connection.connect(str(dovecot.lmtp))
        file.readline()
        connection.sendall(f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{user}>\r\nDATA\r\n".encode())
        while not file.readline().startswith(b"354"):
            continue
        connection.sendall(b"Subject: x\r\n\r\nbody" + end + b"rest\r\n.\r\nQUIT\r\n")
        codes = [line[:3] for line in file]
    assert (codes[0], codes[-1]) == (b"250", b"221")
    return len(codes) > 2


@pytest.mark.parametrize(
    "text",
    [
        b"a\n.\nMAIL FROM:<evil@x.test>\r\n",
        b"a\n.\r\nRCPT TO:<evil@x.test>\r\n",
        b"a\r.\r\nMAIL FROM:<evil@x.test>\r\n",
        b"\r\n..\r\n...\r\n.a\r\n",
        b"\n.\n.\n..\n\r\n",
        b"\r\r\n.\n\n.\r\r\n",
        b"a\0b\r\n\xff\xfe\r\n",
        b"x" * 5000 + b"\r\n" + b"." * 5000 + b"\r\n",
    ],
)
def test_any_text_arrives_as_it_was_and_ends_where_it_ended(
    agent: AgentDaemon, dovecot: Dovecot, text: bytes
) -> None:
    box = agent.box(dovecot)
    sent = send(agent, [box.user], b"Subject: x\r\n\r\n" + text)
    assert sent.accepted == (box.user,)
    [stored] = box.wait()
    assert lines(body(stored)) == lines(text)


def lines(text: bytes) -> list[bytes]:
    """The lines as IMAP can show them: it knows no other line end than CRLF, and no NUL."""
    return [line.rstrip(b"\r") for line in text.replace(b"\0", b"\x80").split(b"\n")]


@pytest.mark.parametrize("form", FORMS)
def test_no_forged_verdict_files_in_junk(agent: AgentDaemon, dovecot: Dovecot, form: bytes) -> None:
    box = agent.box(dovecot)
    assert send(agent, [box.user], form.replace(b" junk", b" junk; ref=1") + MESSAGE).accepted
    [stored] = box.wait()
    assert b"x-iems" not in stored.lower()
    assert not box.messages("Junk")


def test_each_outcome_ends_where_it_should(agent: AgentDaemon, dovecot: Dovecot) -> None:
    boxes = {action: agent.box(dovecot, action) for action in ("deliver", "tag", "junk", "discard")}
    rejected = agent.box(dovecot, "reject")
    everyone = [*(box.user for box in boxes.values()), rejected.user, agent.user("quarantine")]
    sent = send(agent, everyone, MESSAGE)
    assert set(sent.accepted) == set(everyone)
    assert b"X-IEMS" not in boxes["deliver"].wait()[0]
    assert b"X-IEMS-Verdict: tag; ref=" in boxes["tag"].wait()[0]
    assert b"X-IEMS-Verdict: junk; ref=" in boxes["junk"].wait(folder="Junk")[0]
    assert rejected.wait(folder="Junk")
    assert not boxes["junk"].messages()
    assert not boxes["discard"].messages()
    assert len(list((agent.state / "quarantine").glob("*.eml"))) == 1


def test_over_quota_is_dovecot_s_own_word(agent: AgentDaemon, dovecot: Dovecot) -> None:
    full = dovecot.add_user(agent.user(), quota="*:bytes=1000")
    fine = agent.box(dovecot)
    sent = send(agent, [full.user, fine.user], MESSAGE + b"x" * 2000)
    assert sent.each[full.user].code == 552
    assert sent.each[full.user].text.startswith("5.2.2")
    assert sent.accepted == (fine.user,)


def test_a_user_whom_only_the_directory_knows(agent: AgentDaemon, dovecot: Dovecot) -> None:
    ghost, fine = agent.user(), agent.box(dovecot)
    sent = send(agent, [ghost, fine.user, f"nobody@{DOMAIN}", "x@elsewhere.test"], MESSAGE)
    assert [str(reply)[:9] for reply in sent.each.values()] == [
        "550 5.1.1",
        "250 2.0.0",
        "550 5.1.1",
        "550 5.1.1",
    ]


def test_the_original_recipient_and_the_secret_of_bcc(agent: AgentDaemon, dovecot: Dovecot) -> None:
    one, other, bcc = (agent.box(dovecot) for _number in range(3))
    with LmtpClient(agent.socket) as client:
        client.command("MAIL FROM:<s@x.test>")
        client.command(f"RCPT TO:<{one.user}>")
        client.command(f"RCPT TO:<{other.user}>")
        client.command(f"RCPT TO:<{bcc.user}> ORCPT=rfc822;secret@{DOMAIN}")
        client.command(f"RCPT TO:<{bcc.user}> ORCPT=rfc822;second@{DOMAIN}")
        assert [reply.code for reply in client.data(MESSAGE, 4)] == [250] * 4
    [hidden] = bcc.wait()
    assert f"X-Original-To: secret@{DOMAIN}\r\n".encode() in hidden
    assert b"Delivered-To: " + bcc.user.encode() in hidden.replace(b"<", b"")
    for box in (one, other):
        [text] = box.wait()
        for name in (b"secret@", b"X-Original-To", bcc.user.encode()):
            assert name not in text


def test_a_message_that_was_here_before_is_a_loop(agent: AgentDaemon, dovecot: Dovecot) -> None:
    box = agent.box(dovecot)
    send(agent, [box.user], MESSAGE)
    [text] = box.wait()
    sent = send(agent, [box.user], text)
    # Nobody knows whose message it is, so a refusal could be a bounce to anybody.
    assert sent.each[box.user].code == 250
    [again] = box.messages("Junk")
    assert again.count(b"Delivered-To:") == 2


def test_utf8_addresses_are_for_each_recipient(agent: AgentDaemon, dovecot: Dovecot) -> None:
    box = agent.box(dovecot)
    with LmtpClient(agent.socket) as client:
        client.raw("MAIL FROM:<s@bücher.test> SMTPUTF8\r\n".encode())
        client.raw(f"RCPT TO:<ü@{DOMAIN}>\r\nRCPT TO:<{box.user}>\r\n".encode())
        client.raw("RCPT TO:<ü@elsewhere.test>\r\n".encode())
        assert [client.reply().code for _number in range(4)] == [250] * 4
        replies = client.data("Subject: grüße\r\n\r\nbody\r\n".encode(), 3)
    assert [str(reply)[:9] for reply in replies] == ["550 5.1.1", "250 2.0.0", "553 5.6.7"]
    [text] = box.wait()
    assert "Subject: grüße".encode() in text
    assert b"Return-Path: <s@xn--bcher-kva.test>" in text


KNOWN = (
    b"Authentication-Results: mail.example.test; spf=pass smtp.mailfrom=s@x.test\r\n"
    b"Received: from a.x.test (a.x.test [192.0.2.1])\r\n\tby mail.example.test (Postfix) with ESMTP"
    b" id 4Dove\r\n\tfor <info@dove.box.test>; Fri, 27 Nov 2026 09:00:00 +0000 (UTC)\r\n"
    b"Message-ID: <1@x.test>\r\n"
)
"""What the milter and Postfix put before a message of somebody else."""


@pytest.mark.parametrize("action", ["deliver", "junk"])
@pytest.mark.parametrize(
    "message",
    [
        KNOWN + MESSAGE,
        KNOWN.replace(b"Message-ID: <1@x.test>\r\n", b"") + MESSAGE,
        KNOWN + b"Subject: a\0b\xff\r\n\tc\r\n\r\n\xe4\n.\n" + b"x" * 5000,
        KNOWN + b"Content-Type: text/html\r\n\r\n<p>one</p>\n" * 40_000,
    ],
    ids=["with an id", "without", "odd bytes", "a long one"],
)
def test_a_filter_sees_the_same_in_the_mailbox_as_at_delivery(
    agent: AgentDaemon, dovecot: Dovecot, message: bytes, action: str
) -> None:
    """Also where a client has put it back into a mailbox."""
    box = agent.box(dovecot, action)
    folder = "Junk" if action == "junk" else "INBOX"
    with LmtpClient(agent.socket) as client:
        assert client.command("XFORWARD IDENT=4Dove").code == 250
        client.command("MAIL FROM:<s@x.test>")
        client.command(f"RCPT TO:<{box.user}> ORCPT=rfc822;info@{DOMAIN}")
        came = agent.field("4Dove") + message
        assert client.data(came)[0].code == 250
    [stored] = box.wait(folder=folder)
    assert b"X-Original-To" in stored
    box.append(folder, stored.replace(b"\0", b"\x80"))
    for text in (stored, *box.wait(2, folder)):
        assert key(text) == key(came)
        if b"\0" not in came:  # IMAP has another octet for it
            assert tokens(text) == tokens(came)


@pytest.mark.timeout(240)
def test_two_messages_of_100_megabytes_at_once(agent: AgentDaemon, dovecot: Dovecot) -> None:
    boxes = [agent.box(dovecot) for _number in range(2)]
    done: list[int] = []

    def send_to(user: str) -> None:
        done.append(huge(agent, user))

    threads = [threading.Thread(target=send_to, args=(box.user,)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert done == [250, 250]
    peaks = agent.memory()
    assert max(peaks) < 100 * 1024, peaks
    for box in boxes:
        path = dovecot.folder / "mail" / DOMAIN / box.user.partition("@")[0] / "Maildir/new"
        [file] = path.iterdir()
        assert file.stat().st_size > 95_000_000
        file.unlink()
    assert not list((agent.state / "spool").iterdir())


def huge(agent: AgentDaemon, user: str) -> int:
    """The code of the reply to a message of 100 million bytes."""
    line = b"y" * 998 + b"\r\n"
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as file:
        connection.connect(str(agent.socket))
        connection.sendall(f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{user}>\r\nDATA\r\n".encode())
        while not file.readline().startswith(b"354"):
            continue
        connection.sendall(b"Subject: x\r\n\r\n")
        for _block in range(1000):
            connection.sendall(line * 100)
        connection.sendall(b".\r\n")
        return int(file.readline()[:3])


def test_dovecot_away_is_a_delay_and_its_return_is_noticed(ground: Ground) -> None:
    place = owned(ground.place("lmtp"), AGENT_USER, AGENT_USER, 0o755)
    other = Dovecot(ground)
    with agent_on(ground, place / "s", f"unix:{other.lmtp}", DOMAIN) as agent:
        with running(other):
            box = agent.box(other)
            assert send(agent, [box.user], MESSAGE).accepted
        sent = send(agent, [box.user], MESSAGE)
        assert str(sent.each[box.user]).startswith("451 4.4.1")
        with running(other):
            assert send(agent, [box.user], MESSAGE).accepted
            box.wait(2)


def test_recipients_whose_bytes_are_equal_share_a_transaction(
    agent: AgentDaemon, dovecot: Dovecot
) -> None:
    """Dovecot's Received has the id of the transaction."""
    kinds = ("deliver", "tag", "junk", "deliver", "junk", "reject")
    boxes = [agent.box(dovecot, kind) for kind in kinds]
    assert len(send(agent, [box.user for box in boxes], MESSAGE).accepted) == len(kinds)
    folders = ["Junk" if kind in {"junk", "reject"} else "INBOX" for kind in kinds]
    texts = [box.wait(folder=folder)[0] for box, folder in zip(boxes, folders, strict=True)]
    found = [re.search(rb"\r\n\tid (\S+)\r\n", text) for text in texts]
    ids = [one.group(1) for one in found if one]
    shared = {
        one: [kind for kind, own in zip(kinds, ids, strict=True) if own == one] for one in ids
    }
    assert sorted(shared.values()) == [["deliver"] * 2, ["junk", "junk", "reject"], ["tag"]]


def test_each_channel_has_its_own_next_hop(ground: Ground, dovecot: Dovecot) -> None:
    place = owned(ground.place("lmtp"), AGENT_USER, AGENT_USER, 0o755)
    domain, outside = "hops.box.test", "someone@elsewhere.test"
    other = Dovecot(ground)
    hops = f"unix:{dovecot.lmtp}", f"unix:{other.lmtp}"
    with running(other), agent_on(ground, place / "s", hops[0], domain, internet=hops[1]) as agent:
        here, there = agent.box(dovecot), other.add_user(outside)
        strangers = dovecot.add_user(outside), other.add_user(here.user)
        assert len(send(agent, [here.user, outside], MESSAGE).accepted) == 2
        here.wait()
        there.wait()
        assert not any(box.messages() for box in strangers)


def test_the_spool_is_the_agent_s_own(agent: AgentDaemon) -> None:
    spool: Path = agent.state / "spool"
    assert spool.owner() == AGENT_USER
    assert spool.stat().st_mode & 0o777 == 0o750


def test_what_a_killed_worker_left_in_quarantine_goes_when_it_is_old(
    ground: Ground, dovecot: Dovecot
) -> None:
    place = owned(ground.place("lmtp"), AGENT_USER, AGENT_USER, 0o755)
    agent = AgentDaemon(ground, place / "s", f"unix:{dovecot.lmtp}", "swept.box.test")
    folder = agent.state / "quarantine"
    folder.mkdir()
    owned(folder, AGENT_USER, AGENT_USER, 0o750)
    old, new = folder / ".old.eml", folder / ".new.eml"
    for half in (old, new):
        half.write_bytes(b"half")
    os.utime(old, (0, 0))
    with running(agent):
        eventually(lambda: agent.log("removed from quarantine"))
        assert sorted(folder.iterdir()) == [new]
