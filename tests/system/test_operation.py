"""Running the server: provisioning again, bad settings, restarts under load.

These tests stop and change things; each leaves the machine as it found it.
"""

from __future__ import annotations

import json
import re
import threading

import pytest

from tests.system import mail
from tests.system.mail import Account, marker, message
from tests.system.provision import CLONE, changes, met_ours, provision, recap
from tests.system.server import DOMAIN, SENDER, Server
from tests.system.test_passing import agent_stopped
from tests.system.test_services import submission
from tests.system.world import CLEAN, ON_ENFORCED
from tests.waiting import eventually

LONGEST_DELAY = 10.0
"""Seconds that a restart of the agent may delay a message: what the project promises."""

FLOW = """\
[checks.flow]
mode = "enforce"
limits.none = { count = "recipients", per = "user", limit = 0, window = 3600, hold = true }
"""
"""Whoever has logged in and names a recipient is held."""


def test_the_first_run_prints_the_way_of_a_message(server: Server) -> None:
    told = (server.machine.logs / "first.log").read_text()
    assert recap(told)[1] == 0
    assert "found in INBOX" in told
    assert "delivery for" in told


def test_nothing_listens_before_it_is_configured(server: Server) -> None:
    met_ours(server.machine)
    assert not server.machine.path("/usr/sbin/policy-rc.d").exists()


def test_the_second_run_changes_nothing(server: Server) -> None:
    told = provision(server.machine, log="second")
    assert recap(told) == (0, 0), changes(told)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("postfix/main.cf.j2", "virtual_transprt = nowhere"),
        ("dovecot/dovecot.conf.j2", "service lmtp {"),
        ("iems/iems.toml.j2", "colour = 3"),
    ],
)
def test_make_mailserver_keeps_what_works(server: Server, name: str, fault: str) -> None:
    """A configuration that fails its own check ends the run and takes nothing's place."""
    template = server.machine.path(f"{CLONE}/templates/{name}")
    text, before = template.read_text(), configuration(server)
    template.write_text(f"{text}\n{fault}\n")
    try:
        told = provision(server.machine, log="broken", check=False)
    finally:
        template.write_text(text)
    assert recap(told)[1] == 1, told[-2000:]
    assert configuration(server) == before
    assert server.account("bob").wait_for(server.deliver(CLEAN, ["bob"]))[0] == "INBOX"


def configuration(server: Server) -> str:
    """A digest of everything that the playbook writes below /etc."""
    files = "/etc/postfix/*.cf /etc/dovecot/*.conf /etc/iems/*.toml"
    return server.machine.shell(f"cat {files} | sha256sum")


def test_a_reload_refuses_settings_that_are_wrong(server: Server) -> None:
    server.settings("zz-broken.toml", '[checks.dnsbl.x]\nmode = "perhaps"\n')
    try:
        told = server.machine.run("iems", "check", check=False)
        assert told.returncode == 78
        assert "zz-broken.toml" in told.stdout + told.stderr
        server.machine.run("systemctl", "reload", "iems-milter", "iems-lmtp", check=False)
        word = server.deliver(CLEAN, ["bob"])
        assert server.account("bob").wait_for(word)[0] == "INBOX"
        assert server.send(ON_ENFORCED, ["bob"], b"").data is None
    finally:
        server.settings("zz-broken.toml", "")
    server.reload()


def test_the_agent_restarted_under_load_delays_nothing(server: Server) -> None:
    """Five messages a second, four restarts: all arrive once, none later than 10 s."""
    words: list[str] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.2):
            words.append(server.deliver(CLEAN, ["bob", "carol"]))

    sender = threading.Thread(target=load)
    logged = len(server.maillog())
    sender.start()
    try:
        for restart in range(1, 5):
            _at_least(words, 15 * restart)
            server.machine.run("systemctl", "restart", "iems-lmtp", timeout=120)
    finally:
        stop.set()
        sender.join()
    server.wait_for_empty_queue()
    for who in ("bob", "carol"):
        arrived = server.account(who).subjects("INBOX")
        assert {arrived.count(word) for word in words} == {1}
    sent = [
        re.search(r" delay=([\d.]+),.* status=sent", line) for line in server.maillog()[logged:]
    ]
    delays = [float(found[1]) for found in sent if found]
    assert len(delays) >= 2 * len(words)
    assert max(delays) <= LONGEST_DELAY, max(delays)


def _at_least(words: list[str], count: int) -> None:
    eventually(lambda: len(words) >= count, 60, "the load goes on")


def test_the_milter_restarted_refuses_nobody(server: Server) -> None:
    for _restart in range(3):
        server.machine.run("systemctl", "restart", "iems-milter", timeout=120)
        server.deliver(CLEAN, ["bob"])


def test_without_the_milter_mail_waits_at_the_sender(server: Server) -> None:
    units = ("iems-milter.socket", "iems-milter.service")
    server.machine.run("systemctl", "stop", *units)
    try:
        with mail.connect(server.host, source=server.world.client(CLEAN)) as session:
            assert 400 <= session.mail(SENDER)[0] < 500
    finally:
        server.machine.run("systemctl", "start", *units)
    server.deliver(CLEAN, ["bob"])


def test_without_the_directory_nobody_is_unknown(server: Server) -> None:
    server.machine.run("systemctl", "stop", "slapd")
    try:
        with mail.connect(server.host, source=server.world.client(CLEAN)) as session:
            session.mail(SENDER)
            for who in ("bob", "nobody-of-that-name"):
                assert 400 <= session.rcpt(f"{who}@{DOMAIN}")[0] < 500
    finally:
        server.machine.run("systemctl", "start", "slapd")
    # Each process of Postfix that holds a connection notices with its next question.
    eventually(lambda: server.send(CLEAN, ["bob"], b"").data, 10, "mail is taken again")


def test_what_a_held_account_has_queued_is_put_on_hold_by_itself(server: Server) -> None:
    """And goes on when it is released; what others have queued is left alone."""
    alice, carol = server.account("alice"), server.account("carol")
    with agent_stopped(server):
        words = dict(submitted(server, one) for one in (carol, carol, alice))
        *hers, other = words
        server.settings("zz-flow.toml", FLOW)
        try:
            server.machine.run("systemctl", "reload", "iems-milter")
            eventually(lambda: refused(server, carol), 30, "carol is held")
            eventually(
                lambda: set(hers) <= on_hold(server), 60, lambda: f"{hers}: {server.queue()}"
            )
            assert other not in on_hold(server)
            server.iems("flow", "release", carol.address)
            assert not on_hold(server) & set(hers)
        finally:
            server.iems("flow", "release", carol.address, check=False)
            server.settings("zz-flow.toml", "")
            server.machine.run("systemctl", "reload", "iems-milter")
    server.machine.run("postqueue", "-f")
    for word in words.values():
        assert server.account("bob").wait_for(word)[0] == "INBOX"


def submitted(server: Server, account: Account) -> tuple[str, str]:
    """A message to bob from somebody who has logged in: its queue id and its marker."""
    word = marker()
    data = message(word, sender=account.address, to=f"bob@{DOMAIN}")
    with submission(server, account) as session:
        outcome = mail.transact(session, account.address, [f"bob@{DOMAIN}"], data)
    assert outcome.data is not None, outcome
    found = re.search(r"queued as (\w+)", outcome.data.text)
    assert found, outcome
    return found[1], word


def refused(server: Server, account: Account) -> bool:
    """Whether he is told to come again later with a recipient."""
    with submission(server, account) as session:
        session.mail(account.address)
        return session.rcpt(f"bob@{DOMAIN}")[0] == 450


def on_hold(server: Server) -> set[str]:
    """The queue ids of what is on hold."""
    entries = [json.loads(line) for line in server.queue()]
    return {one["queue_id"] for one in entries if one["queue_name"] == "hold"}


def test_a_reboot_brings_everything_back(server: Server) -> None:
    server.machine.reboot()
    assert server.machine.shell("systemctl --failed --plain --no-legend") == ""
    word = server.deliver(CLEAN, ["bob"])
    assert server.account("bob").wait_for(word)[0] == "INBOX"
    assert server.send(ON_ENFORCED, ["bob"], b"").data is None
