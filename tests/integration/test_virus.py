"""`virus` with a real clamd under its own user: what it finds, and what becomes of such mail.

clamd alone first, with every sample; then Postfix, milter, agent and Dovecot with a matrix. A
scanner that is gone, hangs or lies costs a deferral, and nothing passes unscanned meanwhile.
"""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage

import pytest

from cli.owner import as_owner
from iems.codec.header import split_message
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.store.owed import FILE, Owed
from iems.store.spool import MemoryBody, Spooled
from milters.checks.virus import seen_by
from milters.engines.clamd import Clamd as Client
from milters.engines.engine import EngineError
from milters.engines.icap import Icap
from milters.engines.proven import Proven
from milters.engines.readings import whole
from milters.engines.scanner import EICAR, Octets, Verdict
from tests import samples
from tests.contentfilter import ContentFilter, stream
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack.clamd import STREAM, Clamd
from tests.integration.stack.faults import hanging
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.icap import Icap as IcapServer
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import HOSTNAME, POSTMASTER, MailSystem
from tests.integration.stack.postfix import Queued
from tests.integration.stack.slapd import BASE
from tests.integration.stack.smtp import Client as Submission
from tests.integration.stack.smtp import Reply, send
from tests.tricks.octets import TRICKS
from tests.waiting import eventually

FAR = "someone@elsewhere.example"
PARTNER, TOLD = "203.0.113.201", "203.0.113.209"
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

[checks.virus.matrix.told]
local = {{ infected = "quarantine", notify = ["recipient", "sender"] }}

[channels.office]
networks = ["203.0.113.200/29"]

[channels.told]
networks = ["203.0.113.208/29"]
"""
LOCKED = samples.mixed(samples.TEXT, samples.part(samples.encrypted(b"x" * 100)))


def spooled(message: bytes) -> Spooled:
    header, body = split_message(message)
    return Spooled(header, MemoryBody(body))


def alone(clamd: Clamd, message: bytes) -> Verdict:
    """What clamd says of the message as it is, whatever other readers would find."""
    one = Client(Server.parse(clamd.address))
    return one.scan(whole(spooled(message)), Deadline.after(20)).verdict


def together(clamd: Clamd, message: bytes) -> dict[Verdict, str]:
    """What it says of all readings."""
    one = Client(Server.parse(clamd.address))
    return dict(seen_by(one, spooled(message), Deadline.after(20)))


@pytest.mark.parametrize("name", samples.PLAIN)
def test_clamd_finds_by_itself(clamd: Clamd, name: str) -> None:
    assert alone(clamd, samples.PLAIN[name]) is Verdict.INFECTED
    assert list(together(clamd, samples.PLAIN[name])) == [Verdict.INFECTED]


@pytest.mark.parametrize("name", samples.DOUBTFUL)
def test_what_clamd_misses_is_found_in_another_reading(clamd: Clamd, name: str) -> None:
    """Where it finds one of these by itself some day, the reading costs time for nothing."""
    assert alone(clamd, samples.DOUBTFUL[name]) is Verdict.CLEAN
    assert list(together(clamd, samples.DOUBTFUL[name])) == [Verdict.INFECTED]


def test_no_trick_hides_it(clamd: Clamd) -> None:
    said = {name: set(together(clamd, made(samples.ARCHIVE))) for name, made in TRICKS.items()}
    stopped = {Verdict.INFECTED, Verdict.UNSCANNED}
    assert {name: seen for name, seen in said.items() if seen.isdisjoint(stopped)} == {}


def test_clamd_is_told_that_it_gets_a_message(clamd: Clamd) -> None:
    one = Client(Server.parse(clamd.address))
    bare = one.scan(Octets.of(samples.HIDDEN), Deadline.after(20))
    assert bare.verdict is Verdict.CLEAN
    assert alone(clamd, samples.HIDDEN) is Verdict.INFECTED


def test_what_is_clean_encrypted_or_too_large(clamd: Clamd, ground: Ground) -> None:
    """Behind a port and behind a unix socket: it closes while more is sent to it."""
    clean = samples.mixed(samples.TEXT, samples.part(samples.zipped(b"x" * 100)))
    assert together(clamd, clean) == {}
    assert together(clamd, LOCKED) == {Verdict.ENCRYPTED: "Heuristics.Encrypted.Zip"}
    large = samples.HEADER + b"\r\n" + EICAR + b"\r\n" + bytes(2 * STREAM)
    with running(Clamd(ground)) as other:
        for one in (clamd, other):
            said = together(one, large)
            assert said == {Verdict.UNSCANNED: "larger than StreamMaxLength"}
        assert alone(other, samples.ATTACHED) is Verdict.INFECTED


def test_the_same_clamd_behind_icap(clamd: Clamd, ground: Ground) -> None:
    """One that has lost its clamd gives no verdict; one that never had it finds all clean."""
    within = Deadline.after(30)
    with running(IcapServer(ground, clamd)) as server:
        one = Proven(Icap(Server.parse(server.address), "avscan"))
        assert one.ping(within) == ""
        for message in (*samples.PLAIN.values(), *samples.DOUBTFUL.values()):
            assert list(seen_by(one, spooled(message), within)) == [Verdict.INFECTED]
        assert dict(seen_by(one, spooled(LOCKED), within)) == {
            Verdict.ENCRYPTED: "Heuristics.Encrypted.Zip"
        }
        for sign in (b"%PDF-1.4\n", b"\x89PNG\r\n\x1a\n", b"BM"):
            assert one.scan(Octets.of(sign + EICAR), within).verdict is Verdict.INFECTED
        clean = samples.mixed(samples.TEXT, samples.part(bytes(STREAM // 2)))
        assert dict(seen_by(one, spooled(clean), within)) == {}
        other = Proven(Icap(Server.parse(server.address), "nothing"))
        assert other.ping(within) == "answers with error 404"
        clamd.stop()
        try:
            with pytest.raises(EngineError, match="answers with error 500"):
                one.scan(Octets.of(EICAR), within)
            with running(IcapServer(ground, clamd)) as without:
                bare = Icap(Server.parse(without.address), "avscan")
                assert bare.scan(Octets.of(EICAR), within).verdict is Verdict.CLEAN
                with pytest.raises(EngineError, match="does not find the test virus"):
                    Proven(bare).scan(Octets.of(b"x"), within)
        finally:
            clamd.start()


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
    """The system with the scanner and a matrix."""
    with mailsystem.settings("virus", SETTINGS.format(server=clamd.address)):
        yield mailsystem


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
    assert len(system.quarantined_for(bob.user)) == 1

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
    finally:
        clamd.start()
    assert world.send(samples.ATTACHED).code == 550
    assert world.send(clean).code == 250
    assert len(world.alice.wait()) == 1
