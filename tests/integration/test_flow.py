"""`flow` by the real daemon behind a real Postfix: four workers count as one, and none forgets."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from cli import queued
from cli.submitted import logins
from tests.integration.conftest import Fresh
from tests.integration.stack import daemons
from tests.integration.stack.clock import Clock
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.programs import iems
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import Client, Reply
from tests.waiting import eventually

SENDER, RECIPIENT = "a@sender.example", "bob@example.test"
MESSAGE = b"From: a@sender.example\r\nSubject: s\r\n\r\ntext\r\n"
WINDOW = 3600
SETTINGS = f"""
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"

[checks.flow]
mode = "enforce"
limits.bots = {{ count = "recipients", per = "user", limit = 2, window = {WINDOW}, hold = true }}
limits.hosts = {{ count = "messages", per = "network", limit = 3, window = {WINDOW} }}
"""


@dataclass
class Way:
    """A Postfix, the milter that it asks, and a next hop that may be busy."""

    site: Site
    milter: Daemon
    postfix: Postfix
    sink: Sink
    busy: threading.Event

    @property
    def port(self) -> int:
        """Where Postfix listens."""
        return self.postfix.port()

    def submit(self, login: str) -> Reply:
        """The same as `send`, from somebody who has logged in."""
        with Client(self.port, client=("198.18.253.1", "client.example")) as client:
            client.command(f"XCLIENT LOGIN={login}")
            client.command("EHLO client.example")
            sent = client.send(SENDER, [RECIPIENT], MESSAGE)
        return sent.data or sent.recipients[RECIPIENT]

    def iems(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `iems` as root."""
        return iems(self.site.settings, self.postfix.config, *words)

    def queues(self) -> list[str]:
        """In which queues messages are."""
        return sorted(one.queue for one in self.postfix.entries())

    def notices(self, about: str) -> int:
        """How many notices about somebody have come to postmaster."""
        return sum(
            one.recipients == ("postmaster@example.test",) and about.encode() in one.message
            for one in self.sink.caught()
        )

    def send(self, ip: str) -> Reply:
        """What is said to the recipient of one message, or at the end of it."""
        with Client(self.port, client=(ip, "mx.sender.example")) as client:
            sent = client.send(SENDER, [RECIPIENT], MESSAGE)
        return sent.data or sent.recipients[RECIPIENT]

    def codes(self, ip: str, count: int) -> list[int]:
        """The codes of so many messages, one after the other."""
        return [self.send(ip).code for _ in range(count)]


@pytest.fixture(scope="module")
def way(ground: Ground) -> Iterator[Way]:
    """The milter has four workers."""
    busy = threading.Event()

    def reply(recipient: str) -> str:
        late = busy.is_set() and recipient == RECIPIENT
        return "450 4.2.0 later" if late else "250 2.0.0 ok"

    with Sink(reply) as sink, NameServer("mail.example.test A 192.0.2.25") as names:
        milters = {"smtpd_milters": "unix:iems/flowmilter.sock"}
        postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
                # Nothing that waits is tried again, for then it is in another queue, or in none.
                **dict.fromkeys(("minimal_backoff_time", "maximal_backoff_time"), "1h"),
            },
            listeners=[Listener("internet", ground.port(), milters)],
        )
        site = Site(ground, postfix.sockets, SETTINGS, name="flow")
        directory = '[domains."example.test"]\n[users."bob@example.test"]\n'
        file = site.write("directory.toml", directory)
        site.write(
            "conf.d/servers.toml",
            f"""
dns = {{ servers = ["127.0.0.1:{names.port}"] }}
directory = {{ kind = "toml", file = "{file}" }}
milter = {{ workers = 4 }}
notices = {{ smtp = "127.0.0.1:{postfix.port()}" }}
""",
        )
        milter = daemons.milter(site)
        with running(milter), running(postfix):
            yield Way(site, milter, postfix, sink, busy)
            postfix.wait_empty()


def test_the_fourth_is_told_when_to_come_again(way: Way, fresh: Fresh) -> None:
    assert way.codes(fresh.ip, 3) == [250] * 3
    refused = way.send(fresh.ip)
    assert refused.code == 450
    told = rf"4\.7\.1 <{RECIPIENT}>: network {fresh.ip}: messages are limited to 3 within 1 h; "
    assert re.match(told + r"try again in (1 h|\d+ min); help: ", refused.text), refused
    assert way.send(fresh.ip6).code == 250


def test_four_workers_count_together(way: Way, fresh: Fresh) -> None:
    """Twelve connections at once, which no worker serves all of."""
    with ThreadPoolExecutor(12) as pool:
        codes = sorted(pool.map(lambda _: way.send(fresh.ip).code, range(12)))
    assert codes == [250] * 3 + [450] * 9


def test_a_reload_forgets_nothing(way: Way, fresh: Fresh) -> None:
    assert way.codes(fresh.ip, 3) == [250] * 3
    before = way.milter.workers()
    way.milter.reload()
    eventually(lambda: not set(before) & set(way.milter.workers()), 40, way.milter.log)
    assert way.send(fresh.ip).code == 450


def test_what_is_over_the_window_is_forgotten_and_a_restart_forgets_nothing(
    way: Way, fresh: Fresh
) -> None:
    assert way.codes(fresh.ip, 3) == [250] * 3
    clock = Clock(way.milter, way.site.milter_state / "status.json")
    with clock.running():
        assert way.send(fresh.ip).code == 450
        clock.set(WINDOW + WINDOW // 10 + 60)
        clock.seen(WINDOW + WINDOW // 10 + 60)
        assert way.codes(fresh.ip, 4) == [250] * 3 + [450]


def test_where_nothing_can_be_counted_mail_goes_on_and_the_log_says_why(
    way: Way, fresh: Fresh
) -> None:
    file = way.site.milter_state / "counters.sqlite"
    kept = file.with_name("kept")
    file.rename(kept)
    file.mkdir()
    try:
        assert way.codes(fresh.ip, 5) == [250] * 5
        assert "unable to open database file" in way.milter.log("nothing can be counted")
        assert "flow=temperror" in way.milter.log(fresh.ip)
    finally:
        file.rmdir()
        kept.rename(file)
    assert way.codes(fresh.ip, 4) == [250] * 3 + [450]


def test_an_account_that_sends_too_much_is_held_with_what_it_has_queued(
    way: Way, fresh: Fresh
) -> None:
    alice, bob = fresh.address("alice"), fresh.address("bob")
    way.postfix.wait_empty()  # what earlier tests sent would be put off, too
    way.busy.set()
    try:
        assert [way.submit(one).code for one in (alice, bob, alice)] == [250] * 3
        refused = way.submit(alice)
        assert refused.code == 450
        assert f"user {alice} has sent too much and is held until postmaster" in refused.text
        eventually(lambda: way.notices(alice) == 1, 30, way.milter.log)
        assert way.submit(bob).code == 250
        eventually(lambda: way.queues() == ["deferred"] * 4, 30, lambda: str(way.queues()))

        assert way.iems("flow", "hold").stdout == "held 1 accounts; 2 messages put on hold\n"
        wanted = ["deferred"] * 2 + ["hold"] * 2
        eventually(lambda: way.queues() == wanted, 30, lambda: str(way.queues()))
        [row] = json.loads(way.iems("flow", "list", "--json").stdout)
        assert (row["user"], row["why"]) == (alice, "recipients are limited to 2 within 1 h")

        way.milter.stop()
        way.milter.start()
        assert way.submit(alice).code == 450
        freed = way.iems("flow", "release", alice.upper())
        assert freed.stdout == f"released {alice}; 2 messages go on\n", freed
        eventually(lambda: way.queues() == ["deferred"] * 4, 30, lambda: str(way.queues()))
        assert way.submit(alice).code == 250
        assert way.iems("flow", "release", alice).returncode == 1
        assert way.iems("flow", "list").stdout == ""
    finally:
        way.busy.clear()
    way.postfix.flush()
    way.postfix.wait_empty()
    assert way.notices(alice) == 1


def test_an_account_can_be_held_by_hand(way: Way, fresh: Fresh) -> None:
    carol = fresh.address("carol")
    assert way.submit(carol).code == 250
    assert way.iems("flow", "hold", carol.upper()).returncode == 0
    assert way.submit(carol).code == 450
    assert carol in way.iems("flow", "list").stdout
    assert way.iems("flow", "release", carol).returncode == 0
    assert way.submit(carol).code == 250
    way.postfix.wait_empty()


def test_a_message_that_is_gone_meanwhile_hides_none(
    way: Way, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """postcat ends at the first message that it does not find."""
    monkeypatch.setenv("MAIL_CONFIG", str(way.postfix.config))
    dora = fresh.address("dora")
    way.postfix.wait_empty()  # what earlier tests sent would be put off, too
    way.busy.set()
    try:
        assert [way.submit(dora).code for _ in range(2)] == [250] * 2
        eventually(lambda: way.queues() == ["deferred"] * 2, 30, lambda: str(way.queues()))
        first, second = (one.queue_id for one in way.postfix.entries())
        [instance] = queued.instances()
        found = list(logins(instance, [first, "4Gone0000000z0", second]))
    finally:
        way.busy.clear()
    assert found == [(first, dora), (second, dora)]
    way.postfix.flush()
    way.postfix.wait_empty()
