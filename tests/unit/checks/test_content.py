"""`content`: the finding of a score, and filters that die, hang and lie."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from iems.model.envelope import LOCAL, SUBMISSION
from iems.model.finding import Finding
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.store.spool import MemoryBody, Spooled
from milters.assembly import content_engine
from milters.checks import content
from milters.checks.protocol import Check, Pending, Stage, View
from milters.engines.engine import Mail, Verdict
from milters.engines.rspamd import Rspamd
from milters.engines.spamd import Spamd
from tests.contentfilter import ContentFilter, Serve, answering, request, scoring, symbols
from tests.held import threads_since
from tests.unit.checks.world import OWN, RELAY, Answers, site, tools, view
from tests.waiting import eventually

CLIENT = "192.0.2.1"
KEY = "checks.content"
NOBODY = "inet:127.0.0.1:1"


def check(server: str, **options: object) -> Check:
    table = {"engine": "spamd", "server": server, **options}
    (one,) = content.make("", content.parse(table, KEY), tools(Answers()))
    assert one.stage is Stage.BODY
    assert one.name == "content"
    return one


def message(
    score: str = "", size: int = 0, ip: str = CLIENT, channel: str = "internet", user: str = ""
) -> View:
    """A message that names its score, from a client; `size` is its body's."""
    header = f"X-Score: {score}\r\nSubject: s\r\n\r\n".encode()
    seen = view(ip, header=header, channel=channel, authenticated=user)
    return dataclasses.replace(seen, message=Spooled(header, MemoryBody(b"x" * size)))


def finding(one: Check, seen: View, seconds: float = 5) -> Finding:
    pending = one.start(seen, Deadline.after(seconds))
    (found,) = pending.result()
    assert pending.result() == (found,)
    assert found.check == "content"
    return found


def hanging(link: socket.socket, over: threading.Event) -> None:
    request(link)
    over.wait(10)


@pytest.mark.parametrize(
    ("score", "word"),
    [
        *(("-5.0", "ham"), ("0.0", "ham"), ("2.4", "ham")),
        *(("2.5", "unsure"), ("4.9", "unsure"), ("5.0", "spam"), ("9.9", "spam")),
        *(("10.0", "certain"), ("999.0", "certain")),
    ],
)
def test_each_threshold_begins_a_band(score: str, word: str) -> None:
    with ContentFilter(scoring) as server:
        found = finding(check(server.address), message(score))
    assert (found.outcome, found.band) == (word, "" if word == "ham" else word)
    assert found.score == float(score)


def test_thresholds_are_the_site_s() -> None:
    with ContentFilter(scoring) as server:
        one = check(server.address, unsure=-3, spam=4, certain=4)
        words = [finding(one, message(score)).outcome for score in ("-3.1", "-3.0", "3.9", "4.0")]
    assert words == ["ham", "unsure", "unsure", "certain"]


def test_the_evidence_is_score_threshold_and_rules_and_the_reason_has_none_of_it() -> None:
    with ContentFilter(scoring) as server:
        found = finding(check(server.address), message("7.5 A_RULE,B_RULE"))
        bare = finding(check(server.address), message("1.0"))
    assert dict(found.evidence) == {
        "engine": "spamd",
        "score": "7.5",
        "threshold": "5",
        "rules": "A_RULE,B_RULE",
    }
    assert found.reason == "the content filter takes the message for spam"
    assert dict(bare.evidence) == {"engine": "spamd", "score": "1", "threshold": "2.5"}
    assert bare.reason == ""


def test_rule_names_are_bounded_and_printable() -> None:
    assert content.evidence_of(("A", "B\xe4\r\n")) == "A,B???"
    many = content.evidence_of(tuple(f"RULE_{number:05}" for number in range(10_000)))
    assert len(many) <= 400
    assert many.startswith("RULE_00000,RULE_00001,")
    assert many.endswith(",...")
    assert len(content.evidence_of(("x" * 5000,))) <= 100
    with ContentFilter(answering(symbols("7.0", "\0\x1b,\x7f" * 5000))) as server:
        found = finding(check(server.address), message())
    assert all(value.isascii() and value.isprintable() for _name, value in found.evidence)


def test_a_larger_message_is_not_scanned() -> None:
    head = message("99.0").message
    assert head is not None
    with ContentFilter(scoring) as server:
        one = check(server.address, max_size=1024)
        found = finding(one, message("99.0", size=1025 - head.size))
        assert server.asked == 0
        assert finding(one, message("99.0", size=1024 - head.size)).outcome == "certain"
    assert (found.outcome, found.band) == ("large", "")
    assert found.reason == "the message of 1025 bytes is not scanned: max_size is 1024"


@pytest.mark.parametrize(
    "exempt",
    [
        message("99.0", ip=OWN),
        message("99.0", channel=LOCAL),
        message("99.0", channel=SUBMISSION),
        message("99.0", user="alice"),
        view(CLIENT),
    ],
    ids=["own network", "local", "submission", "authenticated", "no message"],
)
def test_exempt_mail_is_not_scanned_and_starts_no_thread(exempt: View) -> None:
    before = set(threading.enumerate())
    one = check(NOBODY)
    assert one.start(exempt, Deadline.after(5)).result() == ()
    assert threads_since(before) == 0


def test_channels_and_users_are_scanned_as_told() -> None:
    with ContentFilter(scoring) as server:
        one = check(server.address, channels=["submission"], exempt_authenticated=False)
        mine = message("99.0", channel=SUBMISSION, user="alice")
        assert one.applies(mine)
        assert finding(one, mine).outcome == "certain"
        assert not one.applies(message())


def told(seen: View) -> Mail:
    """What the filter hears of a client."""
    mails: list[Mail] = []

    class Engine(Spamd):
        def scan(self, mail: Mail, deadline: Deadline) -> Verdict:  # noqa: ARG002
            mails.append(mail)
            return Verdict(0.0)

    one = check(NOBODY)
    assert isinstance(one, content.Content)
    finding(dataclasses.replace(one, engine=Engine(Server())), seen)
    return mails[0]


def test_behind_a_trusted_relay_its_own_client_is_told() -> None:
    header = b"Received: from helo.far (mx.far [192.0.2.77]) by relay\r\nX: y\r\n\r\n"
    seen = view(RELAY, header=header, name="relay.example", sender="a@sender.example")
    mail = told(dataclasses.replace(seen, message=Spooled(header, MemoryBody(b""))))
    assert (mail.ip, mail.name, mail.helo) == ("192.0.2.77", "", "helo.far")
    direct = view(CLIENT, header=header, name="mx.near", sender="a@sender.example")
    mail = told(dataclasses.replace(direct, message=Spooled(header, MemoryBody(b""))))
    assert (mail.ip, mail.name, mail.helo) == (CLIENT, "mx.near", "helo.test")
    assert (mail.sender, mail.host) == ("a@sender.example", "mail.example.test")


def temperror(found: Finding) -> str:
    assert (found.outcome, found.band, found.score) == ("temperror", "temperror", None)
    assert found.evidence == (("engine", "spamd"),)
    return found.reason


def test_a_filter_that_is_down_or_lies() -> None:
    assert temperror(finding(check(NOBODY), message())) == (
        "the content filter cannot be asked: Connection refused"
    )
    for answer in (b"", b"\0" * 1000, symbols("7.5", "A")[:-1], b"HTTP/1.1 200 OK\r\n\r\n{}"):
        with ContentFilter(answering(answer)) as server:
            temperror(finding(check(server.address), message()))


def test_start_waits_for_nothing_and_a_filter_that_hangs_costs_the_time_limit() -> None:
    with ContentFilter(hanging) as server:
        one = check(server.address, timeout=1.5)
        began = time.monotonic()
        pending = one.start(message(), Deadline.after(30))
        assert time.monotonic() - began < 1
        eventually(lambda: server.asked == 1)
        (found,) = pending.result()
        assert 1.4 < time.monotonic() - began < 8
        assert temperror(found) == "the content filter gives no answer in time"
        began = time.monotonic()
        assert pending.result() == (found,)
        assert time.monotonic() - began < 1


def test_the_deadline_of_all_checks_bounds_it_too() -> None:
    with ContentFilter(hanging) as server:
        began = time.monotonic()
        temperror(finding(check(server.address, timeout=30), message(), 0.3))
        assert time.monotonic() - began < 8


class Stuck:
    """An engine that heeds no deadline: it has each message until it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.begun = 0
        self._lock = threading.Lock()

    def scan(self, _mail: Mail, _deadline: Deadline) -> Verdict:
        with self._lock:
            self.begun += 1
        self.release.wait(20)
        return Verdict(7.5)

    def ping(self, _deadline: Deadline) -> str:
        return ""


def stuck(**options: object) -> tuple[Stuck, Check]:
    engine, one = Stuck(), check(NOBODY, **options)
    assert isinstance(one, content.Content)
    return engine, dataclasses.replace(one, engine=engine)


def test_no_more_messages_are_with_the_filter_than_connections() -> None:
    engine, one = stuck(connections=3)
    before = set(threading.enumerate())
    under_way: list[Pending] = [one.start(message(), Deadline.after(30)) for _ in range(60)]
    try:
        eventually(lambda: engine.begun == 3)
        assert threads_since(before) == 3
        assert engine.begun == 3
    finally:
        engine.release.set()
    assert {pending.result()[0].outcome for pending in under_way} == {"spam"}
    assert engine.begun == 60


def test_a_message_whose_turn_does_not_come_in_time_is_not_sent() -> None:
    engine, one = stuck(connections=1, timeout=1.0)
    first = one.start(message(), Deadline.after(30))
    eventually(lambda: engine.begun == 1)
    try:
        began = time.monotonic()
        assert (
            temperror(finding(one, message())) == "the content filter had no time for the message"
        )
        assert time.monotonic() - began < 8
    finally:
        engine.release.set()
    assert first.result()[0].outcome == "spam"
    assert finding(one, message()).outcome == "spam"
    assert engine.begun == 2


def test_a_filter_that_hangs_leaves_no_thread_stuck() -> None:
    with ContentFilter(hanging) as server:
        one = check(server.address, timeout=0.2, connections=2)
        for _round in range(3):
            began = time.monotonic()
            under_way: list[Pending] = [one.start(message(), Deadline.after(30)) for _ in range(9)]
            for pending in under_way:
                temperror(pending.result()[0])
            assert time.monotonic() - began < 8


def test_without_a_thread_to_be_had_there_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refused)
    reason = temperror(finding(check(NOBODY), message()))
    assert reason == "the content filter cannot be asked: no thread could be started"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"engine": "bogofilter"}, "checks.content.engine is 'bogofilter'; expected one of"),
        ({"server": "localhost"}, "checks.content.server is 'localhost'; expected unix:/PATH"),
        ({"server": 783}, "checks.content.server is 783; expected"),
        ({"unsure": 6}, "checks.content.unsure is 6.0; expected at most spam, 5.0"),
        ({"certain": 4.0}, "checks.content.spam is 5.0; expected at most certain, 4.0"),
        ({"max_size": 1}, "checks.content.max_size is 1; expected"),
        ({"connections": 0}, "checks.content.connections is 0; expected"),
        ({"timeout": 0}, "checks.content.timeout is 0; expected"),
        ({"port": 783}, "checks.content.port is no setting"),
    ],
)
def test_wrong_options(change: dict[str, object], fault: str) -> None:
    table = {"engine": "spamd", "server": NOBODY, **change}
    with pytest.raises(SettingsError) as caught:
        content.parse(table, KEY, lambda key: f"FILE({key})")
    assert any(one.partition(": ")[2].startswith(fault) for one in caught.value.faults)
    assert all(one.startswith(f"FILE({KEY}") for one in caught.value.faults)


def test_engine_and_server_must_be_given() -> None:
    with pytest.raises(SettingsError) as caught:
        content.parse({}, KEY)
    assert [one.split()[1] for one in caught.value.faults] == [f"{KEY}.engine", f"{KEY}.server"]


def test_the_engine_of_the_settings_is_looked_after() -> None:
    table = {"mode": "delegate", "engine": "rspamd", "server": "inet:127.0.0.1:11333"}
    assert content_engine(site(checks={"content": table})) == Rspamd(
        Server(ip="127.0.0.1", port=11333)
    )
    assert content_engine(site(checks={"content": {**table, "mode": "off"}})) is None
    assert content_engine(site()) is None


def test_both_engines_stand_behind_the_same_check() -> None:
    body = b'{"score": 7.5, "symbols": {"A_RULE": {"score": 7.5}}}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    serves: dict[str, Serve] = {"rspamd": answering(answer), "spamd": scoring}
    found = {}
    for engine, serve in serves.items():
        with ContentFilter(serve) as server:
            found[engine] = finding(check(server.address, engine=engine), message("7.5 A_RULE"))
    assert found["rspamd"].evidence[1:] == found["spamd"].evidence[1:]
    assert found["rspamd"].band == found["spamd"].band == "spam"
