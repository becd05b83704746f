"""Postfix, the agent, Dovecot: what Postfix sends arrives, once each, whatever dies on the way."""

from __future__ import annotations

import contextlib
import email
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.store.records import search
from tests.integration.lmtp_agent import AgentDaemon, agent_on
from tests.integration.stack import deployed
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

MESSAGE = b"From: s@x.test\r\nSubject: x\r\n\r\nbody\r\n"
SENDER = "s@x.test"
DOMAIN = "post.box.test"


@dataclass
class Gate:
    """Between agent and Dovecot: passes everything on, and tells of every final reply first."""

    path: Path
    behind: Path
    heard: Callable[[], None] = lambda: None
    """Called with Dovecot's 250 in hand, before the agent hears it."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Gate:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self.path.chmod(0o666)
        self._listener.listen(50)
        self._begin(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in [self._listener, *self._open]:
            one.close()

    def _begin(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _peer = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            self._open += [near, far]
            far.connect(str(self.behind))
            self._begin(self._pass, near, far)
            self._begin(self._pass, far, near)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if b" Saved\r\n" in data:
                    self.heard()
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def post(ground: Ground) -> Iterator[Postfix]:
    """A Postfix that delivers to the agent, with aliases: `to-X` is X, `both-X-Y` is X and Y.

    What comes by `untraced` has no Received.
    """
    domain = DOMAIN.replace(".", r"\.")
    aliases = (
        rf"{{/^to[0-9]*-([a-z]+[0-9]+)@{domain}$$/ $$1@{DOMAIN}}}, "
        rf"{{/^both-([a-z]+[0-9]+)-([a-z]+[0-9]+)@{domain}$$/ $$1@{DOMAIN}, $$2@{DOMAIN}}}"
    )
    server = Postfix(
        ground,
        main={
            "virtual_mailbox_domains": DOMAIN,
            "virtual_mailbox_maps": "static:ok",
            "virtual_alias_maps": f"regexp:{{{aliases}}}",
            "virtual_transport": "iems-lmtp:unix:iems/lmtp.sock",
            "message_size_limit": "104857600",
            **deployed.transport(),
        },
        listeners=[
            Listener("internet", ground.port(), {"smtpd_discard_ehlo_keywords": "dsn"}),
            Listener("submission", ground.port(), {}),
            Listener("untraced", ground.port(), {"cleanup_service_name": "untraced"}),
        ],
        services=[
            deployed.service("iems-lmtp").line(),
            "untraced unix n - y - 0 cleanup",
            "  -o { header_checks = regexp:{{/^Received:/ IGNORE}} }",
        ],
    )
    with running(server):
        yield server
        left = server.entries()
        server.empty()
    assert not left, f"a test left mail in the queue: {left}"


@pytest.fixture(scope="module")
def gate(ground: Ground, dovecot: Dovecot) -> Iterator[Gate]:
    """The way from agent to Dovecot."""
    with Gate(ground.place("gate") / "s", dovecot.lmtp) as one:
        yield one


@pytest.fixture(scope="module")
def agent(ground: Ground, post: Postfix, gate: Gate) -> Iterator[AgentDaemon]:
    """The agent on the socket that Postfix delivers to."""
    smtp = f"127.0.0.1:{post.port()}"
    target = f"unix:{gate.path}"
    with agent_on(ground, post.sockets / "lmtp.sock", target, DOMAIN, smtp=smtp) as daemon:
        yield daemon


def queue_ids(post: Postfix, user: str) -> set[str]:
    """The queue ids under which Postfix delivered to this user."""
    return set(re.findall(rf"lmtp\[\d+\]: ([A-Za-z0-9]+): to=<{user}>", post.log(user)))


def test_what_postfix_says_of_a_message_is_understood(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    boxes = [agent.box(dovecot, action) for action in ("deliver", "junk", "reject", "discard")]
    message = b"Subject: x\r\n\r\n" + b"x" * 3000 + b"\r\n.dot\r\n"
    sent = send(post.port(), SENDER, [box.user for box in boxes], message)
    assert len(sent.accepted) == 4
    [text] = boxes[0].wait()
    assert b"\r\n\r\n" + b"x" * 3000 + b"\r\n.dot\r\n" in text
    # Without a milter there are no findings, and these users chose about temperror.
    boxes[1].wait(folder="Junk")
    boxes[2].wait(folder="Junk")
    post.wait_empty()
    assert not boxes[3].messages()
    [line] = agent.log(boxes[0].user)
    assert queue_ids(post, boxes[0].user) == {line.split()[2]}
    assert 'action="discard"' in agent.log(boxes[3].user)[0]


def test_each_recipient_has_a_reply_of_his_own(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    fine, later = agent.box(dovecot), agent.user("defer")
    full, unknown = dovecot.add_user(agent.user(), quota="*:bytes=1000"), f"nobody@{DOMAIN}"
    everyone = [fine.user, full.user, later, unknown, agent.box(dovecot).user]
    send(post.port(), "", everyone, MESSAGE + b"x" * 2000)
    expected = ("sent .*250 2.0", "bounced .*552 5.2.2", "deferred .*451 4.7.1")
    ends = dict(zip(everyone, (*expected, "bounced .*550 5.1.1", expected[0]), strict=True))
    eventually(lambda: all(" status=" in post.log(f"to=<{user}>") for user in everyone))
    for user, end in ends.items():
        assert re.search(f" status={end}", post.log(f"to=<{user}>")), post.log(user)
    post.empty()


def test_postfix_tells_queue_id_and_client(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    """By XFORWARD: no header field says it."""
    box = agent.box(dovecot)
    send(post.port("untraced"), SENDER, [box.user], MESSAGE, client=("192.0.2.44", "mx.x.test"))
    [text] = box.wait()
    assert b"192.0.2.44" not in text
    post.wait_empty()
    [queue_id] = queue_ids(post, box.user)
    [line] = agent.log(box.user)
    assert line.split()[2] == queue_id
    rows = eventually(lambda: search([agent.state / "records.sqlite"], queue_id))
    assert [row.client for row in rows] == ["192.0.2.44"]


def test_two_aliases_that_meet_in_one_mailbox(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    alice, bob = agent.box(dovecot), agent.box(dovecot)
    local = [box.user.partition("@")[0] for box in (alice, bob)]
    written = [
        f"both-{local[0]}-{local[1]}@{DOMAIN}",
        f"to1-{local[0]}@{DOMAIN}",
        f"to2-{local[0]}@{DOMAIN}",
    ]
    send(post.port(), SENDER, written, MESSAGE)
    [hers], [his] = alice.wait(), bob.wait()
    post.wait_empty()
    assert post.log(f"to=<{alice.user}>").count("status=sent") == 3
    assert len(alice.messages()) == 1
    assert hers.count(b"X-Original-To: ") == 1
    assert f"X-Original-To: {written[0]}\r\n".encode() in his
    assert alice.user.encode() not in his


def test_kill_9_after_dovecot_s_250_loses_nothing(
    post: Postfix, gate: Gate, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    box = agent.box(dovecot)
    killed = threading.Event()

    def kill() -> None:
        if not killed.is_set():
            killed.set()
            agent.kill()

    gate.heard = kill
    send(post.port(), SENDER, [box.user], MESSAGE)
    assert killed.wait(60)
    eventually(lambda: "status=deferred" in post.log(f"to=<{box.user}>"))
    gate.heard = lambda: None
    agent.again()
    post.flush()
    post.wait_empty()
    assert len(box.messages()) == 2


def test_kill_9_of_the_workers_at_any_moment_loses_nothing(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    box = agent.box(dovecot)
    with Flood(post, box) as flood:
        for _time in range(3):
            flood.more(15)
            for pid in set(agent.server.members()) - {agent.server.pid}:
                os.kill(pid, signal.SIGKILL)
        flood.more(15)
    post.flush()
    post.wait_empty(40)
    assert flood.arrived() == flood.numbers


def test_a_restart_under_load_delays_nothing_by_ten_seconds(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    box = agent.box(dovecot)
    with Flood(post, box) as flood:
        for what in (signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP):
            flood.more(10)
            agent.renew(what)
        flood.more(20)
    post.wait_empty()
    assert flood.arrived() == flood.numbers
    assert len(box.messages()) == len(flood.numbers)
    log = post.log(f"to=<{box.user}>")
    assert "status=deferred" not in log
    assert max(float(one) for one in re.findall(r" delay=([0-9.]+)", log)) < 10


@dataclass
class Flood:
    """Numbered messages from four senders at once, until the end of the block."""

    post: Postfix
    box: Mailbox
    numbers: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Flood:
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        assert not self.failures

    def more(self, count: int) -> None:
        """Wait until so many more were sent."""
        goal = len(self.numbers) + count
        eventually(lambda: len(self.numbers) >= goal or self.failures, 30)

    def arrived(self) -> set[int]:
        """The numbers of those in the mailbox."""
        found = (re.search(rb"Subject: number (\d+)\r\n", text) for text in self.box.messages())
        return {int(one.group(1)) for one in found if one}

    def _run(self, number: int) -> None:
        while not self._over.wait(0.05):
            text = f"Subject: number {number}\r\n\r\nbody\r\n".encode()
            if not send(self.post.port(), SENDER, [self.box.user], text).accepted:
                self.failures.append(f"{number} was not accepted")
                return
            self.numbers.add(number)
            number += 4


def test_the_delivered_report_comes_back(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    sender, asked, silent = (agent.box(dovecot) for _number in range(3))
    with Client(post.port("submission")) as smtp:
        smtp.command(f"MAIL FROM:<{sender.user}> ENVID=q+3D1")
        smtp.command(f"RCPT TO:<{asked.user}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@x.test")
        smtp.command(f"RCPT TO:<{silent.user}> NOTIFY=FAILURE")
        [reply] = smtp.data(MESSAGE)
        assert reply.code == 250
    [text] = sender.wait()
    asked.wait()
    silent.wait()
    post.wait_empty()
    report = email.message_from_bytes(text)
    assert report.get_content_type() == "multipart/report"
    assert report["Return-Path"] == "<>"
    assert b"Original-Envelope-Id: q=1\r\n" in text
    assert b"Original-Recipient: rfc822;o@x.test\r\n" in text
    assert f"Final-Recipient: rfc822; {asked.user}\r\n".encode() in text
    assert b"Action: delivered\r\nStatus: 2." in text
    assert silent.user.encode() not in text
    assert len(sender.messages()) == 1


def test_mail_with_utf8_in_its_header_and_its_domains(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    box = agent.box(dovecot)
    with Client(post.port()) as smtp:
        smtp.raw("MAIL FROM:<s@bücher.test> SMTPUTF8\r\n".encode())
        smtp.reply()
        smtp.command(f"RCPT TO:<{box.user}>")
        smtp.data("From: ü@bücher.test\r\nSubject: grüße\r\n\r\nbody\r\n".encode())
    [text] = box.wait()
    assert "Subject: grüße".encode() in text
    post.wait_empty()


def test_mail_from_sendmail_is_told_by_its_received(
    post: Postfix, agent: AgentDaemon, dovecot: Dovecot
) -> None:
    box = agent.box(dovecot)
    post.sendmail("-f", box.user, box.user, message=b"Subject: x\n\nbody\n")
    box.wait()
    post.wait_empty()
    [line] = agent.log(box.user)
    assert queue_ids(post, box.user) == {line.split()[2]}
