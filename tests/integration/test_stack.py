"""The private servers themselves: each does what the tests believe of it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import Fresh
from tests.integration.stack import process
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.packets import ask
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.process import Server, processes_in
from tests.integration.stack.programs import MissingProgramError, need
from tests.integration.stack.rbldnsd import Rbldnsd, reverse
from tests.integration.stack.slapd import BASE, Slapd
from tests.integration.stack.smtp import Client, LmtpClient, send
from tests.integration.stack.unbound import Unbound
from tests.waiting import eventually

MESSAGE = b"From: a@sender.example\r\nSubject: one\r\n\r\n.dot\r\n"


def test_postfix_answers_each_recipient_and_delivers(
    postfix: Postfix, dovecot: Dovecot, fresh: Fresh
) -> None:
    box = dovecot.add_user(fresh.address("good"))
    good, bad = box.user, fresh.address("unknown")
    sent = send(postfix.port(), "a@sender.example", [good, bad], MESSAGE)
    assert sent.recipients[good].code == 250
    assert sent.recipients[bad].code == 550
    assert sent.accepted == (good,)
    assert box.wait()[0].endswith(b"\r\n\r\n.dot\r\n")
    postfix.wait_empty()
    postfix.sendmail("-f", good, good, message=MESSAGE)
    box.wait(2)


def test_the_queue_and_the_log_can_be_read(ground: Ground) -> None:
    postfix = Postfix(
        ground,
        main={"virtual_mailbox_domains": "box.test", "virtual_mailbox_maps": "static:ok"}
        | {"virtual_transport": f"lmtp:inet:127.0.0.1:{ground.port()}"},
        listeners=[Listener("internet", ground.port(), {})],
    )
    with running(postfix):
        send(postfix.port(), "a@sender.example", ["a@box.test"], MESSAGE)
        eventually(lambda: "Connection refused" in str(postfix.entries()))
        eventually(lambda: "status=deferred" in postfix.log("to=<a@box.test>"))
        eventually(lambda: _hold(postfix) == [one.queue_id for one in postfix.entries()] != [])
        postfix.flush()
        postfix.empty()


def _hold(postfix: Postfix) -> list[str]:
    """What is said to be held while the test holds every deferred message."""
    with ExitStack() as stack:
        for file in (postfix.queue / "deferred").glob("*/*"):
            fcntl.flock(stack.enter_context(file.open()), fcntl.LOCK_SH)
        return postfix.held()


def test_client_addresses_are_chosen_by_xclient(postfix: Postfix, fresh: Fresh) -> None:
    with Client(postfix.port(), client=(fresh.ip, "mail.sender.example")) as smtp:
        smtp.command("MAIL FROM:<a@sender.example>")
        smtp.command(f"RCPT TO:<{fresh.address('unknown')}>")
    eventually(lambda: f"from mail.sender.example[{fresh.ip}]" in postfix.log("NOQUEUE: reject"))


def test_dovecot_delivers_by_lmtp_and_shows_it_by_imap(dovecot: Dovecot, fresh: Fresh) -> None:
    box = dovecot.add_user(fresh.address("alice"))
    with LmtpClient(dovecot.lmtp) as lmtp:
        sent = lmtp.send("a@sender.example", [box.user, fresh.address("nobody")], MESSAGE)
        junk = b"X-IEMS-Verdict: junk; ref=1\r\n" + MESSAGE
        lmtp.send("a@sender.example", [box.user], junk)
    assert sent.accepted == (box.user,)
    assert sent.recipients[fresh.address("nobody")].code == 550
    (inbox,) = box.wait()
    assert inbox.endswith(b"Subject: one\r\n\r\n.dot\r\n")
    (junked,) = box.wait(folder="Junk")
    assert b"X-IEMS-Verdict" in junked
    assert "Junk" in box.folders()


def test_dovecot_refuses_over_quota(dovecot: Dovecot, fresh: Fresh) -> None:
    box = dovecot.add_user(fresh.address("full"), quota="*:bytes=1000")
    with LmtpClient(dovecot.lmtp) as lmtp:
        sent = lmtp.send("a@sender.example", [box.user], MESSAGE + b"x" * 2000)
    reply = sent.data or sent.recipients[box.user]
    assert reply.code == 552, reply


def test_slapd_keeps_its_tree_over_a_restart(ground: Ground) -> None:
    server = Slapd(ground)
    with running(server):
        server.add(f"dn: ou=domains,{BASE}\nobjectClass: organizationalUnit\nou: domains\n")
    with running(server):
        server.delete(f"ou=domains,{BASE}")


def test_rbldnsd_lists_and_delists_and_tells_what_it_was_asked(
    rbldnsd: Rbldnsd, fresh: Fresh
) -> None:
    zone = rbldnsd.zones[0]
    for address in (fresh.ip, fresh.ip6):
        name = f"{reverse(address)}.{zone}"
        rbldnsd.list(zone, address)
        assert ask(rbldnsd.port, name) == ("127.0.0.2",)
        rbldnsd.delist(zone, address)
        assert ask(rbldnsd.port, name) == ()
        assert {one.rtype for one in rbldnsd.asked(name)} == {"A"}
    rbldnsd.test_entries(zone, there=False)
    rbldnsd.test_entries(zone, there=True)


def test_unbound_knows_what_it_is_told_and_asks_the_blacklists(
    unbound: Unbound, rbldnsd: Rbldnsd, fresh: Fresh
) -> None:
    unbound.add(f"mail.{fresh.domain}. A 192.0.2.7")
    assert ask(unbound.port, f"mail.{fresh.domain}") == ("192.0.2.7",)
    assert ask(unbound.port, f"other.{fresh.domain}") == ()
    zone = rbldnsd.zones[1]
    rbldnsd.list(zone, fresh.ip)
    listed = f"{reverse(fresh.ip)}.{zone}"
    assert ask(unbound.port, listed) == ("127.0.0.2",)
    names = (f"mail.{fresh.domain}", f"other.{fresh.domain}", listed)
    assert [unbound.asked(name) for name in names] == [1, 1, 1]


def test_a_server_that_stays_is_told_and_killed(ground: Ground) -> None:
    folder = ground.place("stubborn")
    script = "trap '' TERM; sleep 1000 & wait; wait"
    server = Server("stubborn", ["sh", "-c", script], folder / "output")
    ground.started(server)
    eventually(lambda: len(server.members()) == 2)
    with pytest.raises(AssertionError, match="did not stop"):
        server.stop(within=0.2)
    assert not server.members()


def test_a_stranger_with_the_number_of_a_server_that_ended_is_none_of_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process ids come again: on a machine of 32,768 within one run of all tests."""
    folder, real = ground.place("numbers"), process._session
    server, stranger = (
        Server(name, ["sleep", "1000"], folder / name) for name in ("server", "stranger")
    )
    ground.started(server)
    assert server.members() == (server.pid,)
    server.stop()
    ground.started(stranger)
    numbers = {stranger.pid: server.pid}
    monkeypatch.setattr(process, "_session", lambda pid: numbers.get(pid, real(pid)))
    assert server.members() == ()
    monkeypatch.undo()
    stranger.stop()


def test_a_missing_program_is_an_error_that_names_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name, **_options: None)
    with pytest.raises(MissingProgramError, match="apt-get install rbldnsd unbound"):
        need("unbound", "rbldnsd")


@pytest.mark.usefixtures("postfix")
def test_two_instances_of_postfix_stand_side_by_side(ground: Ground) -> None:
    other = Postfix(ground, main={}, listeners=[Listener("submission", ground.port(), {})])
    with running(other), Client(other.port("submission")) as smtp:
        assert smtp.ehlo.code == 250


def test_a_killed_run_leaves_nothing() -> None:
    program = (
        "import sys\n"
        "from tests.integration.stack.ground import Ground\n"
        "from tests.integration.stack.process import Server\n"
        "ground = Ground()\n"
        "server = Server('lives on', ['sleep', '1000'], ground.folder / 'output')\n"
        "ground.started(server)\n"
        "print(ground.folder, server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        folder, pid = run.stdout.readline().split()
        assert processes_in({int(pid)})
        run.kill()
    eventually(lambda: not processes_in({int(pid)}) and not Path(folder).exists())
