"""`iems quarantine` on the whole system: out of the store, through the agent, into the mailbox."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iems.codec.release import Release, encode
from iems.codec.signed import release_address
from iems.model.address import Address
from iems.store.quarantine import Quarantine
from tests.integration.conftest import Fresh
from tests.integration.stack.daemons import KEY_ID, SECRET
from tests.integration.stack.ground import AGENT_USER
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import LmtpClient, send
from tests.waiting import eventually

SENDER = "a@sender.example"
MESSAGE = b"Subject: kept\r\nMessage-ID: <%s@sender.example>\r\n\r\ntext of it\r\n"
OWN = "dnsbl/delegated listed choice quarantine"
THIRD = "third.bl.test"
CHECKS = f"""
[checks.dnsbl.third]
mode = "enforce"
zone = "{THIRD}"
default = {{ listed = "quarantine" }}
"""


@dataclass
class World:
    """A domain whose alice and bob want mail of listed clients in quarantine."""

    mailsystem: MailSystem
    fresh: Fresh
    alice: Mailbox
    bob: Mailbox

    @property
    def store(self) -> Quarantine:
        """The agent's."""
        return Quarantine(self.mailsystem.site.agent_state / "quarantine")

    def send(self, *to: Mailbox) -> str:
        """A message from the client of this test, which is then in quarantine: its id."""
        before = set(self.store.ids())
        text = MESSAGE % self.fresh.domain.encode()
        client = (self.fresh.ip, "mx.sender.example")
        recipients = [one.user for one in to]
        port = self.mailsystem.port()
        assert send(port, SENDER, recipients, text, client=client).accepted == tuple(recipients)
        found: list[str] = []

        def stored() -> bool:
            found[:] = set(self.store.ids()) - before
            return bool(found)

        eventually(stored, 30, lambda: self.mailsystem.agent.log())
        self.mailsystem.postfix.wait_empty()
        [name] = found
        return name

    def quarantine(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """The command, however it ends."""
        return self.mailsystem.iems_ends("quarantine", *words)

    def file(self, name: str) -> Path:
        """The stored message."""
        return self.store.message(name)


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The system with a list that the site enforces."""
    daemons = (mailsystem.milter, mailsystem.agent)
    file = mailsystem.site.write("conf.d/quarantine.toml", CHECKS)
    for daemon in daemons:
        daemon.stop()
        daemon.start()
    yield mailsystem
    file.unlink()
    for daemon in daemons:
        daemon.stop()
        daemon.start()


@pytest.fixture
def world(system: MailSystem, fresh: Fresh) -> World:
    """The domain of this test, and its client on the delegated list."""
    system.add_domain(fresh.domain)
    system.lists.list(DELEGATED, fresh.ip)
    alice, bob = (system.add_user(fresh.address(name), OWN) for name in ("alice", "bob"))
    return World(system, fresh, alice, bob)


def test_released_by_whom_it_was_for_and_by_nobody_else(world: World) -> None:
    name = world.send(world.alice)
    kept = world.file(name).read_bytes()
    assert world.file(name).owner() == AGENT_USER
    assert not world.alice.messages()
    denied = world.quarantine("release", name, "--as", world.bob.user)
    assert (denied.returncode, denied.stdout) == (1, b"")
    assert f"no message {name} in quarantine for user {world.bob.user}" in denied.stderr.decode()
    assert world.file(name).exists()
    listed = world.quarantine("list", "--json", "--as", world.alice.user)
    assert [row["id"] for row in json.loads(listed.stdout)] == [name]
    shown = world.quarantine("show", name, "--as", world.alice.user).stdout.decode()
    assert f"dnsbl/delegated listed: quarantine, chosen by user {world.alice.user}" in shown
    assert "Subject: kept" in shown
    done = world.quarantine("release", name, "--as", world.alice.user)
    assert (done.returncode, done.stdout.decode()) == (0, f"released {name} {world.alice.user}\n")
    [text] = world.alice.wait()
    assert text.endswith(kept), "Dovecot puts fields on top, and nobody else does"
    assert b"X-IEMS" not in text
    assert not list(world.file(name).parent.glob(f"*{name}*"))
    again = world.quarantine("release", name, "--as", world.alice.user)
    assert again.returncode == 1
    assert len(world.alice.messages()) == 1
    told: list[dict[str, Any]] = world.mailsystem.why(f"<{world.fresh.domain}@sender.example>", 3)
    kept_row, released = (row for row in told if row["recipient"] == world.alice.user)
    assert (kept_row["stage"], kept_row["action"]) == ("delivery", "quarantine")
    assert (released["stage"], released["action"]) == ("release", "deliver")
    assert released["details"]["released"] == name
    assert released["details"]["past"] == "dnsbl/delegated:listed"
    lines = world.mailsystem.iems("why", str(released["reference"])).decode()
    assert re.search(
        rf"released from quarantine by \S+, past dnsbl/delegated:listed: {name}", lines
    )


def test_the_administrator_of_the_domain_sees_and_releases_what_is_in_it(
    world: World, system: MailSystem
) -> None:
    carol = world.fresh.address("carol")
    system.add_user(carol)
    system.iems("domain", "admin", "add", world.fresh.domain, carol)
    name = world.send(world.alice, world.bob)
    listed = world.quarantine("list", "--json", "--as", carol)
    recipients = {row["recipient"] for row in json.loads(listed.stdout)}
    assert recipients == {world.alice.user, world.bob.user}
    # One after the other: the file stays for him who has not got it.
    assert world.quarantine("delete", name, "--as", world.alice.user).returncode == 0
    assert world.file(name).exists()
    done = world.quarantine("release", name, "--as", carol)
    assert done.stdout.decode() == f"released {name} {world.bob.user}\n"
    assert world.bob.wait()
    assert not world.alice.messages()
    assert not world.file(name).exists()


def test_what_the_site_enforced_the_administrator_alone_releases(
    world: World, system: MailSystem
) -> None:
    """And what else keeps it still does, until that is named as well."""
    system.lists.list(THIRD, world.fresh.ip)
    name = world.send(world.alice)
    for rule in ("dnsbl/third:listed", "dnsbl/delegated:listed"):
        done = world.quarantine("release", name, "--rule", rule, "--as", world.alice.user)
        expected = (77, "5.7.1") if "third" in rule else (1, "Still held: dnsbl/third:listed")
        assert done.returncode == expected[0]
        assert expected[1] in done.stderr.decode()
    held = world.quarantine("release", name, "--rule", "dnsbl/third:listed")
    assert held.returncode == 1
    assert "Still held: dnsbl/delegated:listed quarantine, chosen by user" in held.stderr.decode()
    assert not world.alice.messages()
    rules = ("--rule", "dnsbl/third:listed", "--rule", "dnsbl/delegated:listed")
    assert world.quarantine("release", name, *rules).returncode == 0
    assert world.alice.wait()


def test_dovecot_down_is_told_and_the_message_stays(world: World, system: MailSystem) -> None:
    name = world.send(world.alice)
    system.dovecot.stop()
    try:
        done = world.quarantine("release", name)
    finally:
        system.dovecot.start()
    assert done.returncode == 75
    assert f"{name} {world.alice.user}: 451 4.4" in done.stderr.decode()
    assert world.file(name).exists()
    assert world.quarantine("release", name).returncode == 0
    assert len(world.alice.wait()) == 1


def test_the_agent_down_is_told_and_the_message_stays(world: World, system: MailSystem) -> None:
    name = world.send(world.alice)
    system.agent.stop()
    try:
        done = world.quarantine("release", name)
        listed = world.quarantine("list", "--recipient", world.alice.user)
    finally:
        system.agent.start()
    assert done.returncode == 75
    assert "the agent cannot be asked" in done.stderr.decode()
    assert name in listed.stdout.decode()
    assert world.file(name).exists()


def test_many_releases_at_once_deliver_once(world: World) -> None:
    name = world.send(world.alice)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _n: world.quarantine("release", name).returncode, range(4)))
    assert done.count(0) == 1
    assert set(done) <= {0, 1, 75}
    world.alice.wait()
    assert len(world.alice.messages()) == 1


def test_a_token_of_another_key_and_none_move_nothing(world: World, system: MailSystem) -> None:
    """Whoever may connect to the agent is not believed for that."""
    name = world.send(world.alice)
    rules = (("dnsbl/delegated", "listed"),)
    wanted = Release(name, world.alice.user, rules, "site", "x", int(time.time()))
    with LmtpClient(system.site.agent_socket) as client:
        for token in ("", "x", encode(wanted, KEY_ID, b"x" * 32)):
            assert client.command(f"XRELEASE {token}").code == 535
        assert world.file(name).exists()
        assert not world.alice.messages()
        assert client.command(f"XRELEASE {encode(wanted, KEY_ID, SECRET)}").code == 250


def test_a_message_to_the_signed_address_releases_and_nothing_else_does(
    world: World, system: MailSystem
) -> None:
    """From a program that answers by itself, or to a forged address, it is taken and gone.

    Who else it is sent to gets it.
    """
    name = world.send(world.alice)
    alice, port = Address.parse(world.alice.user), system.port()
    rule = ("dnsbl/delegated", "listed")
    good, forged = (
        release_address(alice, name, world.alice.user, rule, key) for key in (SECRET, b"x" * 32)
    )
    vacation = b"Auto-Submitted: auto-replied (vacation)\r\nSubject: away\r\n\r\naway\r\n"
    asking = b"Subject: release\r\n\r\nprivate\r\n"
    for sender, to, text in (
        ("me@sender.example", forged, asking),
        ("me@sender.example", good, vacation),
        ("", good, asking),
    ):
        assert send(port, sender, [to], text).accepted == (to,)
        system.postfix.wait_empty()
        assert world.file(name).exists()
    assert not world.alice.messages()
    kept = world.file(name).read_bytes()
    for _time in range(2):
        both = (good, world.bob.user)
        assert send(port, "me@sender.example", both, asking).accepted == both
        system.postfix.wait_empty()
    [text] = world.alice.wait()
    assert text.endswith(kept)
    assert not world.file(name).exists()
    assert len(world.alice.messages()) == 1
    assert len(world.bob.messages()) == 2
    told: list[dict[str, Any]] = system.why(f"<{world.fresh.domain}@sender.example>", 3)
    assert [row["details"]["by"] for row in told if row["stage"] == "release"] == ["mail"]
    assert not [one for one in system.sent_out() if one.recipients == ("me@sender.example",)]
