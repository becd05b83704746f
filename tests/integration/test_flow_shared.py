"""Two MTAs, each a milter and a Postfix of its own, that count on one Redis or for themselves."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from cli.status import backends
from iems.serve.status import published
from tests.integration.conftest import Fresh
from tests.integration.stack import daemons
from tests.integration.stack.clock import Clock
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.faults import hanging
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.programs import iems
from tests.integration.stack.redis import Redis
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import Client, Reply
from tests.waiting import eventually

SENDER, BOB = "a@sender.example", "bob@example.test"
MESSAGE = b"From: a@sender.example\r\nSubject: s\r\n\r\ntext\r\n"
LIMIT = 3
SETTINGS = f"""
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
exact = true
exact_splits = 2

[checks.flow]
mode = "enforce"
limits.bots = {{ count = "recipients", per = "user", limit = {LIMIT}, window = 3600, hold = true }}
limits.hosts = {{ count = "messages", per = "network", limit = {LIMIT}, window = 3600 }}

[checks.header.offer]
mode = "delegate"
field = "Subject"
test = "contains"
value = "offer"
default = {{ matched = "deliver" }}
"""
DIRECTORY = """
[domains."example.test"]
[users."bob@example.test"]
[users."strict@example.test"]
policy = { "header/offer" = { matched = "reject" } }
"""
SERVERS = """
dns = {{ servers = ["127.0.0.1:{names}"] }}
directory = {{ kind = "toml", file = "{directory}" }}
notices = {{ smtp = "127.0.0.1:{smtp}" }}
"""
COUNTERS = """
counters = {{ server = "{server}", user = "iems", password_file = "{password}" }}
"""
RIGHTS = "user default off\nuser iems on >secret ~iems:* +@all -@dangerous"


@dataclass(frozen=True)
class Mta:
    """A Postfix and the milter that it asks."""

    site: Site
    milter: Daemon
    postfix: Postfix

    def reply(self, ip: str, *recipients: str, login: str = "") -> Reply:
        """What is said to the last recipient who is refused, or at the end of the message."""
        with Client(self.postfix.port(), client=(ip, "mx.sender.example")) as client:
            if login:
                client.command(f"XCLIENT LOGIN={login}")
                client.command("EHLO client.example")
            sent = client.send(SENDER, recipients or [BOB], MESSAGE)
        refused = [one for one in sent.recipients.values() if one.code != 250]
        return refused[-1] if refused else (sent.data or Reply(0, "nothing was said"))

    def codes(self, ip: str, count: int) -> list[int]:
        """The codes of so many messages, one after the other."""
        return [self.reply(ip).code for _ in range(count)]

    def counts_on(self, text: str) -> None:
        """Serve with these settings of the counters, and with no others."""
        before = set(self.milter.workers())
        self.site.write("conf.d/counters.toml", text)
        self.milter.reload()
        eventually(lambda: not before & set(self.milter.workers()), 40, self.milter.log)

    def woke(self, user: str) -> bool:
        """Whether root's unit, which looks after the queue, was told of who is held."""
        file = self.site.milter_state / "held"
        return file.exists() and user in file.read_text()

    def queued(self, queues: list[str]) -> bool:
        """Whether there are just these messages, in these queues."""
        return sorted(one.queue for one in self.postfix.entries()) == queues

    def backend(self) -> bool | None:
        """Whether the server of the counters answered at the last look."""
        return backends(published(self.site.milter_state / "status.json")).get("counters")

    def iems(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `iems` as root on this machine."""
        return iems(self.site.settings, self.postfix.config, *words)

    def live(self) -> tuple[bool, str]:
        """What `iems check --live` says of the counters."""
        rows = json.loads(self.iems("check", "--live", "--json").stdout)["live"]
        [one] = [row for row in rows if row["name"] == "counters"]
        return one["ok"], one["text"]


@dataclass(frozen=True)
class Pair:
    """Two of them, and what they share."""

    one: Mta
    two: Mta
    redis: Redis
    sink: Sink
    busy: threading.Event

    def notices(self, about: str) -> int:
        """How many notices about somebody have come to postmaster."""
        return sum(
            one.recipients == ("postmaster@example.test",) and about.encode() in one.message
            for one in self.sink.caught()
        )


@pytest.fixture(scope="module")
def pair(ground: Ground) -> Iterator[Pair]:
    busy = threading.Event()

    def reply(recipient: str) -> str:
        late = busy.is_set() and recipient == BOB
        return "450 4.2.0 later" if late else "250 2.0.0 ok"

    with (
        Sink(reply) as sink,
        NameServer("mail.example.test A 192.0.2.25") as names,
        running(Redis(ground, RIGHTS)) as redis,
    ):
        one, two = (_mta(ground, sink, names) for _ in "ab")
        for mta in (one, two):
            password = mta.site.write("keys/counters", "secret\n")
            counters = COUNTERS.format(server=redis.address, password=password)
            mta.site.write("conf.d/counters.toml", counters)
        clock = Clock(two.milter, two.site.milter_state / "status.json")
        clock.set(-86_400)
        two.milter.server.environment |= clock.environment
        with running(one.milter), running(one.postfix), running(two.milter), running(two.postfix):
            clock.seen(-86_400)
            yield Pair(one, two, redis, sink, busy)
            for mta in (one, two):
                mta.postfix.wait_empty()


def _mta(ground: Ground, sink: Sink, names: NameServer) -> Mta:
    postfix = Postfix(
        ground,
        main={
            "virtual_mailbox_domains": "example.test",
            "virtual_mailbox_maps": "static:ok",
            "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
            # Nothing that waits is tried again, for then it is in another queue, or in none.
            **dict.fromkeys(("minimal_backoff_time", "maximal_backoff_time"), "1h"),
        },
        listeners=[
            Listener("internet", ground.port(), {"smtpd_milters": "unix:iems/sharedmilter.sock"})
        ],
    )
    site = Site(ground, postfix.sockets, SETTINGS, name="shared")
    directory = site.write("directory.toml", DIRECTORY)
    places = SERVERS.format(names=names.port, directory=directory, smtp=postfix.port())
    site.write("conf.d/servers.toml", places)
    return Mta(site, daemons.milter(site), postfix)


def test_two_mtas_count_as_one_though_their_clocks_differ(pair: Pair, fresh: Fresh) -> None:
    one, two = pair.one, pair.two
    assert one.codes(fresh.ip, 2) == [250] * 2
    assert two.codes(fresh.ip, 2) == [250, 450]
    refused = one.reply(fresh.ip)
    assert refused.code == 450
    assert f"network {fresh.ip}: messages are limited to 3 within 1 h; try again" in refused.text
    assert not list(one.site.milter_state.glob("counters.sqlite*"))


def test_without_the_setting_each_counts_for_itself(pair: Pair, fresh: Fresh) -> None:
    before = (pair.two.site.etc / "conf.d/counters.toml").read_text()
    pair.two.counts_on("")
    try:
        assert pair.one.codes(fresh.ip, LIMIT + 1) == [250] * LIMIT + [450]
        assert pair.two.codes(fresh.ip, LIMIT + 1) == [250] * LIMIT + [450]
    finally:
        pair.two.counts_on(before)
    assert pair.two.reply(fresh.ip).code == 450


def test_recipients_are_put_off_as_often_as_one_mta_would(pair: Pair, fresh: Fresh) -> None:
    who = (BOB, "strict@example.test")
    replies = [mta.reply(fresh.ip, *who) for mta in (pair.one, pair.two, pair.one)]
    assert [one.code for one in replies] == [452, 452, 250], replies


def test_an_account_that_is_held_is_held_on_all_until_one_releases_it(
    pair: Pair, fresh: Fresh
) -> None:
    """What it has queued is each machine's own."""
    alice, one, two = fresh.address("alice"), pair.one, pair.two
    for mta in (one, two):
        mta.postfix.wait_empty()
    pair.busy.set()
    try:
        codes = [mta.reply(fresh.ip, login=alice).code for mta in (one, two, one, two)]
        assert codes == [250, 250, 250, 450]
        refused = one.reply(fresh.ip, login=alice)
        assert f"user {alice} has sent too much and is held until postmaster" in refused.text
        for mta, count in ((one, 2), (two, 1)):
            eventually(partial(mta.woke, alice), 30, mta.milter.log)
            [row] = json.loads(mta.iems("flow", "list", "--json").stdout)
            assert (row["user"], row["why"]) == (alice, "recipients are limited to 3 within 1 h")
            eventually(partial(mta.queued, ["deferred"] * count), 30)
            held = mta.iems("flow", "hold").stdout
            assert held == f"held 1 accounts; {count} messages put on hold\n"
        eventually(lambda: pair.notices(alice), 30, one.milter.log)
        freed = two.iems("flow", "release", alice)
        assert freed.stdout == f"released {alice}; 1 messages go on\n", freed
        assert one.queued(["hold"] * 2)
        assert one.iems("flow", "list").stdout == ""
        assert one.reply(fresh.ip, login=alice).code == 250
        freed = one.iems("flow", "release", alice)
        assert freed.stdout == f"released {alice}; 2 messages go on\n", freed
    finally:
        pair.busy.clear()
    for mta in (one, two):
        mta.postfix.flush()
        mta.postfix.wait_empty()
    assert pair.notices(alice) == 1


@pytest.mark.timeout(120)
def test_while_the_server_hangs_or_is_down_mail_goes_on_uncounted(pair: Pair, fresh: Fresh) -> None:
    one, redis = pair.one, pair.redis
    begun = len(one.milter.log())

    def since() -> str:
        return one.milter.log()[begun:]

    assert one.codes(fresh.ip, LIMIT + 1) == [250] * LIMIT + [450]
    with hanging(redis.server):
        assert one.codes(fresh.ip, 3) == [250] * 3
        assert "gives no answer in time" in since()
        assert "flow=temperror" in since()
    redis.server.kill()
    try:
        assert one.codes(fresh.ip, 2) == [250] * 2
        one.counts_on((one.site.etc / "conf.d/counters.toml").read_text())
        assert one.codes(fresh.ip, 2) == [250] * 2, "of workers that began without it"
        ok, text = one.live()
        assert not ok
        assert text.startswith(f"nothing is counted: {redis.address}: cannot be asked: ")
        eventually(lambda: one.backend() is False, 40, one.milter.log)
        assert 'backend="counters"' in since()
        assert "secret" not in since()
    finally:
        redis.start()
    assert one.live() == (True, f"{redis.address} counts")
    eventually(lambda: one.codes(fresh.ip, LIMIT + 1)[-1] == 450, 40, one.milter.log)
