"""`flow` by the real daemon behind a real Postfix: four workers count as one, and none forgets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack import daemons
from tests.integration.stack.clock import Clock
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.postfix import Listener, Postfix
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
limits.hosts = {{ count = "messages", per = "network", limit = 3, window = {WINDOW} }}
"""


@dataclass
class Way:
    """A Postfix, and the milter that it asks."""

    site: Site
    milter: Daemon
    port: int

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
    with Sink() as sink, NameServer("mail.example.test A 192.0.2.25") as names:
        milters = {"smtpd_milters": "unix:iems/flowmilter.sock"}
        postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
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
""",
        )
        milter = daemons.milter(site)
        with running(milter), running(postfix):
            yield Way(site, milter, postfix.port())
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
