"""`content` with a real spamd and a real rspamd, each under its own user, behind a real Postfix.

Rules of the filters' own say what they were told of client and sender. A filter that is gone or
hangs costs a deferral in bounded time, and is told of by `iems status`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cli.status import backends
from iems.codec import findings
from iems.codec.header import parse_header
from iems.model.finding import Finding
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.serve.status import published
from iems.store.spool import MemoryBody, Spooled
from milters.checks.content import ENGINES
from milters.engines.engine import Mail
from tests.integration.stack import daemons
from tests.integration.stack.daemons import KEY_ID, SECRET, Daemon, Site
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.rspamd import Rspamd
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import Client, Reply
from tests.integration.stack.spamd import Spamd
from tests.waiting import eventually

CLIENT = ("198.18.254.1", "mx.sender.example")
SENDER = "alice@sender.example"
SEEN = {"SAW_CLIENT", "SAW_SENDER"}
TIMEOUT = 3.0
BODIES = {
    "ham": (b"Hello.\r\n", 0.2, set[str]()),
    "unsure": (b"the casino\r\n", 3.7, {"WORD_CASINO"}),
    "spam": (b"casino and lottery\r\n", 6.7, {"WORD_CASINO", "WORD_LOTTERY"}),
    "certain": (
        b"casino, lottery, pills\r\n",
        10.7,
        {"WORD_CASINO", "WORD_LOTTERY", "WORD_PILLS"},
    ),
}
SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"

[checks.content]
mode = "delegate"
engine = "{engine}"
server = "{server}"
timeout = {timeout}
default = {{ certain = "reject" }}
"""


def message(body: bytes) -> bytes:
    return b"From: %s\r\nTo: bob@example.test\r\nSubject: s\r\n\r\n" % SENDER.encode() + body


class Way:
    """One filter, and one milter that asks it, in front of a Postfix of its own."""

    def __init__(self, engine: str, scanner: Spamd | Rspamd, site: Site, milter: Daemon) -> None:
        self.engine, self.scanner, self.site, self.milter = engine, scanner, site, milter
        self.port = 0
        self.sink: Sink | None = None

    def send(self, body: bytes) -> Reply:
        """What is said at the end of the message."""
        with Client(self.port, client=CLIENT, helo="helo.sender.example") as client:
            sent = client.send(SENDER, ["bob@example.test"], message(body))
        assert sent.data is not None
        return sent.data

    def finding(self, reply: Reply) -> Finding:
        """What was found about a message that was taken."""
        assert self.sink is not None
        assert reply.code == 250, reply
        caught = self.sink.wait(reply.text.rpartition(" ")[2])
        (field,) = parse_header(caught.message.replace(b"\r\n", b"\n")).named(b"x-iems-findings")
        (one,) = findings.decode(field.value, {KEY_ID: SECRET}.get).findings
        return one

    def up(self) -> bool | None:
        """What `iems status` says of the filter; None before it has looked."""
        return backends(published(self.site.milter_state / "status.json")).get("content")


@pytest.fixture(scope="module", params=["spamd", "spamd-unix", "rspamd", "rspamd-unix"])
def way(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Way]:
    """The whole way of a message."""
    engine, _dash, unix = str(request.param).partition("-")
    kinds: dict[str, type[Spamd | Rspamd]] = {"spamd": Spamd, "rspamd": Rspamd}
    scanner = kinds[engine](ground, unix=bool(unix))
    with (
        running(scanner),
        Sink() as sink,
        NameServer("mail.example.test A 192.0.2.25") as names,
    ):
        name = f"c{request.param}"
        postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
                "lmtp_send_xforward_command": "yes",
            },
            listeners=[
                Listener(
                    "internet", ground.port(), {"smtpd_milters": f"unix:iems/{name}milter.sock"}
                )
            ],
        )
        with running(postfix):
            settings = SETTINGS.format(engine=engine, server=scanner.address, timeout=TIMEOUT)
            site = Site(ground, postfix.sockets, settings, name=name)
            file = site.write(
                "directory.toml", '[domains."example.test"]\n[users."bob@example.test"]'
            )
            site.write(
                "conf.d/servers.toml",
                f"""
dns = {{ servers = ["127.0.0.1:{names.port}"], timeout = 5.0 }}
directory = {{ kind = "toml", file = "{file}" }}
milter = {{ workers = 1 }}
""",
            )
            milter = daemons.milter(site)
            milter.start()
            try:
                one = Way(engine, scanner, site, milter)
                one.port, one.sink = postfix.listeners["internet"].port, sink
                yield one
            finally:
                milter.stop()


@pytest.mark.parametrize("word", ["ham", "unsure", "spam"])
def test_a_score_becomes_its_band_with_rules_as_evidence(way: Way, word: str) -> None:
    """The filter's own rules match on the client and the sender that it is told of."""
    body, score, rules = BODIES[word]
    found = way.finding(way.send(body))
    assert (found.outcome, found.band) == (word, "" if word == "ham" else word)
    assert found.score == pytest.approx(score)
    told = dict(found.evidence)
    assert told["engine"] == way.engine
    assert set(told["rules"].split(",")) == rules | SEEN


def test_what_the_policy_refuses_is_refused(way: Way) -> None:
    reply = way.send(BODIES["certain"][0])
    assert reply.code == 550
    assert "the content filter is certain that the message is spam" in reply.text
    assert "WORD" not in reply.text


def test_the_bytes_arrive_whatever_they_are(way: Way) -> None:
    """Up to the largest that is scanned, 8-bit and NUL among them; above it nothing is sent."""
    odd = bytes(range(1, 10)) + bytes(range(14, 256)) + b"\r\n.\r\n..\r\ncasino and lottery\r\n"
    assert way.finding(way.send(odd)).band == "spam"
    large = b"casino and lottery\r\n" + b"a line of a large message\r\n" * 18_000
    assert way.finding(way.send(large)).band == "spam"
    found = way.finding(way.send(large + b"a line of a large message\r\n" * 3_000))
    assert (found.outcome, found.band) == ("large", "")


def test_many_at_once_get_each_its_own_verdict(way: Way) -> None:
    """More than there are connections to the filter."""
    words = ["ham", "unsure", "spam"] * 6
    with ThreadPoolExecutor(len(words)) as threads:
        replies = list(threads.map(lambda word: way.send(BODIES[word][0]), words))
    assert [way.finding(reply).outcome for reply in replies] == words


def test_a_message_may_end_without_a_line_end(way: Way) -> None:
    """The filter itself, since Postfix hands no such message on."""
    head, _gap, body = message(b"casino and lottery").rpartition(b"casino")
    mail = Mail(Spooled(head, MemoryBody(b"casino" + body)), "mail.example.test")
    engine = ENGINES[way.engine](Server.parse(way.scanner.address))
    assert engine.scan(mail, Deadline.after(10)).score == pytest.approx(6.5, abs=0.15)


@pytest.mark.timeout(120)
def test_a_filter_that_hangs_or_is_gone_defers_in_time_and_is_told_of(way: Way) -> None:
    eventually(lambda: way.up() is True, 40, lambda: way.milter.log())
    way.scanner.server.pause()
    try:
        began = time.monotonic()
        reply = way.send(b"Hello.\r\n")
        assert time.monotonic() - began < TIMEOUT + 8
        assert reply.code == 450
        assert "the content filter gives no answer in time" in reply.text
    finally:
        way.scanner.server.resume()
    assert way.finding(way.send(b"Hello.\r\n")).outcome == "ham"
    way.scanner.stop()
    try:
        reply = way.send(b"Hello.\r\n")
        assert reply.code == 450
        assert "the content filter cannot be asked" in reply.text, "and not: no answer in time"
        eventually(lambda: way.up() is False, 40, lambda: way.milter.log())
        assert 'backend="content"' in way.milter.log("a server does not answer")
    finally:
        way.scanner.start()
    assert way.finding(way.send(b"Hello.\r\n")).outcome == "ham"
