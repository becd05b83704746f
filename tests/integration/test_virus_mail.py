"""`virus` on the whole system, with a real clamd and a matrix: what becomes of mail.

A scanner that is gone, hangs or lies costs a deferral, and nothing passes unscanned meanwhile.
"""

from __future__ import annotations

import datetime
import email
import email.policy
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import pytest

from cli.owner import as_owner
from iems.store.owed import FILE, Owed
from iems.store.signingkeys import DomainKeys, make_folder
from tests import samples
from tests.contentfilter import ContentFilter, Serve, stream
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.scanned import LOCKED, together
from tests.integration.stack.clamd import Clamd
from tests.integration.stack.faults import hanging
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import HOSTNAME, POSTMASTER, MailSystem
from tests.integration.stack.postfix import Queued
from tests.integration.stack.slapd import BASE
from tests.integration.stack.smtp import Client as Submission
from tests.integration.stack.smtp import LmtpClient, Reply, send
from tests.integration.test_signing import passes
from tests.waiting import eventually

FAR = "someone@elsewhere.example"
PARTNER, TOLD, CURED = "203.0.113.201", "203.0.113.209", "203.0.113.217"
SIGNED = "cured.box.test"
SENDER = "a@sender.example"
SETTINGS = """
[checks.virus]
mode = "enforce"
timeout = 6.0
engines = {{ clamav = {{ kind = "clamd", server = "{server}" }} }}

[checks.virus.matrix."*"]
"*" = {{ infected = "reject", encrypted = "tag" }}

[checks.virus.matrix.office]
local = {{ infected = "quarantine" }}

[checks.virus.matrix.submission]
"*" = {{ notify = ["postmaster", "sender"] }}
local = {{ infected = "remove" }}

[checks.virus.matrix.local]
local = {{ infected = "remove" }}

[checks.virus.matrix.cured]
local = {{ infected = "remove", temperror = "deliver" }}

[checks.virus.matrix.told]
local = {{ infected = "quarantine", notify = ["recipient", "sender"] }}

[channels.office]
networks = ["203.0.113.200/29"]

[channels.told]
networks = ["203.0.113.208/29"]

[channels.cured]
networks = ["203.0.113.216/29"]
"""


class World:
    """The system with a domain of the test's own, in which alice has a mailbox."""

    def __init__(self, system: MailSystem, fresh: Fresh) -> None:
        self.system, self.fresh = system, fresh
        system.add_domain(fresh.domain)
        self.alice: Mailbox = system.add_user(fresh.address("alice"))

    def send(self, message: bytes, *to: str, client: str = "") -> Reply:
        """What is said at the end of the message; its subject is the domain."""
        named = message.replace(b"Subject: s", f"Subject: {self.fresh.domain}".encode())
        where = (client or self.fresh.ip, "mx.sender.example")
        recipients = to or (self.alice.user,)
        sent = send(self.system.port(), SENDER, recipients, named, client=where)
        assert {one.code for one in sent.recipients.values()} == {250}
        assert sent.data is not None
        return sent.data


@pytest.fixture(scope="module")
def scanning(mailsystem: MailSystem, clamd: Clamd) -> Iterator[MailSystem]:
    """The system with the scanner and a matrix, and keys of a domain and of the host."""
    folder = mailsystem.site.etc / "keys/dkim"
    make_folder(folder)
    now = datetime.datetime.now(datetime.UTC)
    files = [
        DomainKeys(domain).prepared(kind, "", now).activated(now).write(folder)
        for domain, kind in ((SIGNED, "ed25519"), (HOSTNAME, "rsa"))
    ]
    with mailsystem.settings("virus", SETTINGS.format(server=clamd.address)):
        yield mailsystem
    for file in files:
        file.unlink()


@pytest.fixture
def world(scanning: MailSystem, fresh: Fresh) -> World:
    """A domain of the test's own."""
    return World(scanning, fresh)


def test_nothing_is_wrong_with_the_settings(scanning: MailSystem) -> None:
    assert b"nothing is wrong" in scanning.iems("check", "--strict")
    table = scanning.iems("virus-matrix", "show").decode().splitlines()
    assert "office      local        quarantine  tag        quarantine  defer      -" in table
    assert any(line.endswith("  postmaster, sender") for line in table)


def test_a_virus_is_refused_and_clean_mail_delivered(world: World) -> None:
    reply = world.send(samples.ATTACHED)
    assert reply.code == 550
    assert "the message carries a virus (clamav: Test.Eicar.UNOFFICIAL)" in reply.text
    reference = reply.text.rpartition("reference ")[2].split()[0]
    told = world.system.iems("why", reference).decode()
    assert "virus infected: reject, enforced by site" in told
    assert world.send(samples.mixed(samples.TEXT)).code == 250
    (one,) = world.alice.wait()
    assert b"hello" in one
    assert world.send(LOCKED).code == 250
    world.system.postfix.wait_empty()
    copies = world.alice.wait(2)
    assert sum(b"X-IEMS-Verdict: tag" in copy for copy in copies) == 1


def test_the_matrix_keeps_it_in_quarantine_and_it_is_released_past_that_rule(world: World) -> None:
    assert world.send(samples.ATTACHED, client=PARTNER).code == 250
    user, system = world.alice.user, world.system
    eventually(lambda: len(system.quarantined_for(user)) == 1, 20)
    system.postfix.wait_empty()
    assert world.alice.messages() == []
    (told,) = json.loads(system.iems("quarantine", "list", "--recipient", user, "--json"))
    system.iems("quarantine", "release", told["id"])
    assert world.alice.wait()


def test_a_delivered_to_that_the_sender_wrote_hides_no_virus(world: World) -> None:
    """For alice it is a mail loop, too, which alone would be Junk behind the queue."""
    system, alice = world.system, world.alice
    bob = system.add_user(world.fresh.address("bob"))
    forged = f"Delivered-To: {alice.user}\r\n".encode() + samples.ATTACHED
    assert world.send(forged, alice.user, bob.user, client=PARTNER).code == 250
    eventually(lambda: all(len(system.quarantined_for(one.user)) == 1 for one in (alice, bob)), 20)
    system.postfix.wait_empty()
    for box in (alice, bob):
        assert box.messages() == box.messages("Junk") == []


@pytest.mark.parametrize(
    "findings", [b"", b"X-IEMS-Findings: v=1; k=k1; virus=clean\r\n"], ids=["lost", "forged"]
)
def test_what_nobody_has_looked_at_waits_behind_the_queue(world: World, findings: bytes) -> None:
    """As if a milter had not been asked, or somebody else had sealed what it found."""
    user, system = world.alice.user, world.system
    trace = f"Received: by {HOSTNAME} (Postfix) id 4XyZ; {formatdate()}\r\n".encode()
    with LmtpClient(system.site.agent_socket) as client:
        sent = client.send(SENDER, [user], trace + findings + samples.ATTACHED)
    assert sent.each[user].code == 451
    assert sent.each[user].text.startswith("4.7.1 Not taken yet")
    reference = sent.each[user].text.rpartition("ref=")[2]
    told = system.iems("why", reference).decode()
    assert "virus temperror: defer, enforced by site" in told
    assert world.alice.messages() == world.alice.messages("Junk") == []


def test_it_does_not_leave_in_company_nor_by_sendmail(world: World) -> None:
    """What sendmail(1) hands in cannot be refused, and is held in the queue."""
    user, system = world.alice.user, world.system
    system.iems("user", "set", user, "--forward", FAR, "--keep")
    assert world.send(samples.ATTACHED, client=PARTNER).code == 550
    text = samples.ATTACHED.replace(b"\r\n", b"\n")
    system.postfix.sendmail("-f", user, FAR, message=text)

    def held() -> list[Queued]:
        entries = system.postfix.entries()
        return [one for one in entries if one.sender == user and one.queue == "hold"]

    eventually(lambda: bool(held()), 20)
    (one,) = held()
    system.why(one.queue_id)
    told = system.iems("why", one.queue_id).decode()
    assert "held in the queue: virus infected is reject: the message carries a virus" in told
    system.iems("queue", "delete", "--sender", user, "--queue", "hold", "--yes")
    system.postfix.wait_empty()
    assert all(user not in str(one) for one in system.sent_out())
    assert world.alice.messages() == []


def test_bounces_of_our_own_are_scanned_and_delivered(world: World) -> None:
    """They pass the milter, or the agent would defer them."""
    user, system = world.alice.user, world.system
    nobody = world.fresh.address("nobody")
    system.postfix.sendmail("-f", user, nobody, message=b"Subject: x\n\ntext\n")
    assert b"Undelivered Mail" in world.alice.wait()[0]
    system.postfix.wait_empty()


def notice(message: bytes) -> EmailMessage:
    """What somebody is told."""
    return email.message_from_bytes(message, policy=email.policy.default)


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@pytest.fixture
def postmaster(scanning: MailSystem) -> Iterator[Mailbox]:
    """A mailbox of his, for the time of the test."""
    scanning.slapd.add(tree.domain(HOSTNAME))
    yield scanning.add_user(POSTMASTER)
    scanning.slapd.delete(f"iemsDomainName={HOSTNAME},ou=domains,{BASE}")


def test_who_is_told_and_that_never_one_whom_somebody_else_has_named(
    world: World, postmaster: Mailbox
) -> None:
    """Postmaster and alice of what she sent with her login, bob of what came in her name."""
    system, alice = world.system, world.alice
    bob = system.add_user(world.fresh.address("bob"))
    system.iems("user", "set", alice.user, "--language", "de")
    forged = send(
        *(system.port(), alice.user, [bob.user], samples.ATTACHED),
        client=(TOLD, "mx.sender.example"),
    )
    with Submission(system.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(alice.user, system.password(alice.user))
        own = smtp.send(alice.user, [FAR], samples.ATTACHED)
    assert forged.data is not None
    assert own.data is not None
    assert (forged.data.code, own.data.code) == (250, 550)
    told = notice(alice.wait()[0])
    assert told["Subject"] == "Nachrichten mit einem Virus: 1"
    assert (told["Return-Path"], told["Auto-Submitted"]) == ("<>", "auto-generated")
    assert "Von Ihnen" in text_of(told)
    assert "Test.Eicar.UNOFFICIAL: abgelehnt" in text_of(told)
    assert f"Empfänger: {FAR}" in text_of(told)
    told = notice(bob.wait()[0])
    assert f"Sender: {alice.user}" in text_of(told)
    assert "Test.Eicar.UNOFFICIAL: in quarantine" in text_of(told)
    eventually(lambda: len(system.quarantined_for(bob.user)) == 1, 20)

    def told_postmaster() -> list[EmailMessage]:
        """Of servers that earlier tests stopped he may be told as well."""
        notices = map(notice, postmaster.messages())
        return [one for one in notices if one["Subject"] == "Messages with a virus: 1"]

    (told,) = eventually(told_postmaster, 20)
    assert f"Sender: {alice.user}" in text_of(told)
    assert f"Recipients: {FAR}" in text_of(told)
    state = system.site.milter_state
    with as_owner(state), closing(Owed(state / FILE)) as owed:
        left = [owed.take(one.user, time.time()) for one in (alice, bob)]
    assert left == [([], 0), ([], 0)]
    system.postfix.wait_empty()
    assert (len(alice.messages()), len(bob.messages())) == (1, 1)


REMOVED = b"was removed. It carried a virus: Test."


@pytest.mark.parametrize(
    "name", ["base64", "by its digest", "zip in tar in a message", "uuencoded", "TNEF"]
)
def test_what_carries_a_virus_is_removed_and_the_rest_delivered(
    world: World, clamd: Clamd, name: str
) -> None:
    assert world.send(samples.PLAIN[name], client=CURED).code == 250
    (copy,) = world.alice.wait()
    assert b"hello" in copy
    assert REMOVED in copy.replace(b"=\r\n", b"").replace(b"\r\n", b" ")
    assert together(clamd, copy) == {}
    assert world.system.quarantined_for(world.alice.user) == []


def test_what_is_sent_here_is_signed_without_its_virus(
    world: World, clamd: Clamd, tmp_path: Path
) -> None:
    system = world.system
    system.add_domain(SIGNED)
    sender = system.add_user(f"alice@{SIGNED}").user
    message = samples.ATTACHED.replace(b"From: a@sender.example", f"From: {sender}".encode())
    with Submission(system.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(sender, system.password(sender))
        assert smtp.send(sender, [world.alice.user], message).accepted == (world.alice.user,)
    (copy,) = world.alice.wait()
    assert b"hello" in copy
    assert REMOVED in copy.replace(b"\r\n", b" ")
    assert together(clamd, copy) == {}
    assert passes(system, copy, tmp_path) == 1


@pytest.mark.parametrize("name", ["a line that begins as a delimiter", "a multipart in base64"])
def test_what_only_some_readers_see_is_not_removed_and_not_delivered(
    world: World, name: str
) -> None:
    """It is refused, and what cannot be refused is in quarantine as it came."""
    reply = world.send(samples.DOUBTFUL[name], client=CURED)
    assert reply.code == 550
    assert "not removed: " in reply.text
    user, system = world.alice.user, world.system
    text = samples.DOUBTFUL[name].replace(b"\r\n", b"\n")
    system.postfix.sendmail("-f", SENDER, user, message=text)
    (kept,) = eventually(lambda: system.quarantined_for(user), 20)
    assert samples.DOUBTFUL[name].partition(b"\r\n\r\n")[2] in kept
    system.postfix.wait_empty()
    assert world.alice.messages() == []


def dying(answers: Iterable[bytes]) -> Serve:
    """Gives these answers, and then none."""
    left = iter(answers)

    def serve(link: socket.socket, _over: threading.Event) -> None:
        if stream(link) != b"zVERSION\0" and (answer := next(left, b"")):
            link.sendall(b"stream: " + answer + b"\0")

    return serve


FOUND = b"Test.Eicar FOUND"


def lying(link: socket.socket, _over: threading.Event) -> None:
    stream(link)
    link.sendall(b"stream: OK and more\0")


def cut(link: socket.socket, _over: threading.Event) -> None:
    stream(link)
    link.sendall(b"stream: OK")


def flooding(link: socket.socket, _over: threading.Event) -> None:
    stream(link)
    for _piece in range(1000):
        link.sendall(b"stream: OK" * 10_000)


@pytest.mark.timeout(300)  # the last of its process: all servers end with it
def test_nothing_passes_while_the_scanner_hangs_lies_or_is_gone(world: World, clamd: Clamd) -> None:
    clean = samples.mixed(samples.TEXT)

    def deferred(message: bytes, why: str) -> None:
        reply = world.send(message)
        assert reply.code == 450
        assert why in reply.text

    with hanging(clamd.server):
        deferred(clean, "(clamav: gives no answer in time)")
    assert world.send(samples.ATTACHED).code == 550
    clamd.server.kill()
    clamd.server.gone()
    try:
        for message in (clean, samples.ATTACHED):
            deferred(message, "(clamav: cannot be asked: Connection refused)")
        lies = {
            lying: "gives no verdict",
            cut: "an answer that is not whole",
            flooding: "more than",
        }
        for serve, why in lies.items():
            with ContentFilter(serve, clamd.port):
                deferred(samples.ATTACHED, why)
        # The message, its text, its file, and then the rest: which is not delivered unseen.
        with ContentFilter(dying([FOUND, b"OK", FOUND]), clamd.port) as server:
            reply = world.send(samples.ATTACHED, client=CURED)
            assert reply.code == 550
            assert "not removed: of the rest no virus scanner has looked at" in reply.text
            assert server.asked >= 4
    finally:
        clamd.start()
    assert world.send(samples.ATTACHED).code == 550
    assert world.send(clean).code == 250
    assert len(world.alice.wait()) == 1
