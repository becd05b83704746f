"""`virus`: the findings of what scanners say, and scanners that die, hang and lie."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iems.codec.header import split_message
from iems.model.envelope import LOCAL, SUBMISSION
from iems.model.finding import Finding
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.store.spool import MemoryBody, Spooled
from milters.assembly import scanners
from milters.checks import virus
from milters.checks.protocol import Check, Pending, Stage, View
from milters.engines.clamd import Clamd
from milters.engines.command import Command
from milters.engines.engine import EngineError
from milters.engines.icap import Icap
from milters.engines.proven import Proven
from milters.engines.scanner import Octets, Scanned, Scanner, Verdict
from tests import samples
from tests.contentfilter import ContentFilter, scanning, stream
from tests.held import threads_since
from tests.unit.checks.world import OWN, Answers, site, tools, view
from tests.waiting import eventually

CLIENT = "192.0.2.1"
KEY = "checks.virus"
NOBODY = "inet:127.0.0.1:1"


def check(*servers: str, **options: object) -> Check:
    """With a scanner for each address, named a, b and so on."""
    engines = {
        name: {"kind": "clamd", "server": one} for name, one in zip("abc", servers, strict=False)
    }
    table = {"engines": engines, **options}
    (one,) = virus.make("", virus.parse(table, KEY), tools(Answers()))
    assert one.stage is Stage.BODY
    assert one.name == "virus"
    return one


def message(content: bytes | str = "", **client: str) -> View:
    """A message, or one that names what a scanner finds in it."""
    if isinstance(content, str):
        field = f"X-Virus: {content}\r\n" if content else ""
        content = f"{field}Subject: s\r\n\r\ntext\r\n".encode()
    header, body = split_message(content)
    seen = view(client.pop("ip", CLIENT), header=header, **client)
    return dataclasses.replace(seen, message=Spooled(header, MemoryBody(body)))


def findings(one: Check, seen: View, seconds: float = 5) -> tuple[Finding, ...]:
    pending = one.start(seen, Deadline.after(seconds))
    found = pending.result()
    assert pending.result() == found
    assert {finding.check for finding in found} == {"virus"}
    return found


def finding(one: Check, seen: View, seconds: float = 5) -> Finding:
    (found,) = findings(one, seen, seconds)
    return found


def temperror(found: Finding) -> str:
    assert (found.outcome, found.band) == ("temperror", "temperror")
    return found.reason


def hanging(link: socket.socket, over: threading.Event) -> None:
    stream(link)
    over.wait(10)


@pytest.fixture
def clamd() -> Iterator[ContentFilter]:
    """One that finds what a message names."""
    with ContentFilter(scanning) as server:
        yield server


@pytest.mark.parametrize(
    ("name", "band", "reason"),
    [
        ("Test.Eicar", "infected", "the message carries a virus (a: Test.Eicar)"),
        (
            "Heuristics.Encrypted.Zip",
            "encrypted",
            "the message carries an encrypted archive (a: Heuristics.Encrypted.Zip)",
        ),
        (
            "Heuristics.Limits.Exceeded.MaxFiles",
            "unscanned",
            "the message cannot be scanned for viruses (a: Heuristics.Limits.Exceeded.MaxFiles)",
        ),
        (
            "silence",
            "temperror",
            "no virus scanner has looked at the message (a: closes the connection without an "
            "answer)",
        ),
    ],
)
def test_bands(clamd: ContentFilter, name: str, band: str, reason: str) -> None:
    found = finding(check(clamd.address), message(name))
    assert (found.outcome, found.band, found.reason) == (band, band, reason)
    assert [one for one, _value in found.evidence] == ["a"]


def test_clean_has_no_band(clamd: ContentFilter) -> None:
    found = finding(check(clamd.address), message())
    assert (found.outcome, found.band, found.reason) == ("clean", "", "")
    assert found.evidence == (("engines", "a"),)


@pytest.mark.parametrize(
    "who",
    [
        message("Test.Eicar", ip=OWN),
        message("Test.Eicar", channel=LOCAL),
        message("Test.Eicar", channel=SUBMISSION),
        message("Test.Eicar", authenticated="alice"),
    ],
    ids=["own network", "local", "submission", "authenticated"],
)
def test_everybody_s_mail_is_scanned(clamd: ContentFilter, who: View) -> None:
    one = check(clamd.address)
    assert one.applies(who)
    assert finding(one, who).band == "infected"


class Scripted:
    """A scanner that finds `name` in what holds these bytes."""

    def __init__(self, wanted: bytes, verdict: Verdict, name: str = "Found") -> None:
        self.wanted, self.said = wanted, Scanned(verdict, name)
        self.asked = 0

    def scan(self, octets: Octets, _deadline: Deadline) -> Scanned:
        self.asked += 1
        hit = self.wanted in b"".join(octets.pieces())
        return self.said if hit else Scanned(Verdict.CLEAN)

    def ping(self, _deadline: Deadline) -> str:
        return ""


class Failing(Scripted):
    """A scanner that gives no verdict."""

    def __init__(self) -> None:
        super().__init__(b"", Verdict.CLEAN)

    def scan(self, octets: Octets, _deadline: Deadline) -> Scanned:  # noqa: ARG002
        raise EngineError("answers with an error")


def asking(**by: Scanner) -> Check:
    one = check(NOBODY)
    assert isinstance(one, virus.Virus)
    return dataclasses.replace(one, scanners=by)


def test_any_hit_counts_and_then_nothing_else_matters() -> None:
    infected = Scripted(b"x", Verdict.INFECTED, "One")
    other = Scripted(b"x", Verdict.INFECTED, "Two")
    locked = Scripted(b"x", Verdict.ENCRYPTED, "Zip")
    seen = message(b"Subject: x\r\n\r\n")
    found = finding(asking(a=infected, b=Scripted(b"y", Verdict.INFECTED)), seen)
    assert found.reason == "the message carries a virus (a: One)"
    found = finding(asking(a=infected, b=other), seen)
    assert found.evidence == (("a", "One"), ("b", "Two"))
    found = finding(asking(a=Failing(), b=locked, c=infected), seen)
    assert found.band == "infected"
    bands = [one.band for one in findings(asking(a=Failing(), b=locked), seen)]
    assert sorted(bands) == ["encrypted", "temperror"]


def test_a_virus_in_another_reading_outweighs_what_was_found_before() -> None:
    class Both(Scripted):
        def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
            whole = b"".join(octets.pieces()).startswith(b"From iems\n")
            hit = super().scan(octets, deadline)
            return Scanned(Verdict.ENCRYPTED, "Zip") if whole else hit

    seen = message(samples.DOUBTFUL["padding within base64"])
    both = Both(samples.ARCHIVE, Verdict.INFECTED, "Deep")
    found = finding(asking(a=both), seen)
    assert (found.band, found.evidence) == ("infected", (("a", "Deep"),))
    none = finding(asking(a=Both(b"\xff" * 99, Verdict.INFECTED)), seen)
    assert none.band == "encrypted"


def test_more_than_is_looked_at_is_unscanned_and_never_clean() -> None:
    deep = b"Content-Type: message/rfc822\r\n\r\n" * 100 + b"x"
    found = finding(asking(a=Scripted(b"y" * 9, Verdict.INFECTED)), message(deep))
    assert found.band == "unscanned"
    assert "a structure that is too deep" in found.reason
    found = finding(asking(a=Scripted(b"x", Verdict.INFECTED)), message(deep))
    assert found.band == "infected"


def test_a_larger_message_is_not_scanned(clamd: ContentFilter) -> None:
    one = check(clamd.address, max_size=1024)
    content = b"X-Virus: Test.Eicar\r\nSubject: s\r\n\r\n"
    content += b"x" * (1025 - len(content))
    found = finding(one, message(content))
    assert (found.outcome, found.band) == ("unscanned", "unscanned")
    assert "1025 bytes, and max_size is 1024" in found.reason
    assert clamd.asked == 0
    assert finding(one, message(content[:-1])).band == "infected"


def test_a_message_that_was_not_kept_is_not_clean(clamd: ContentFilter) -> None:
    temperror(finding(check(clamd.address), view(CLIENT)))


def test_a_scanner_that_is_down_or_lies() -> None:
    assert "(a: cannot be asked: Connection refused)" in temperror(
        finding(check(NOBODY), message())
    )

    def noise(link: socket.socket, _over: threading.Event) -> None:
        stream(link)
        link.sendall(b"stream: OK")

    with ContentFilter(noise) as server:
        temperror(finding(check(server.address), message()))


def test_a_scanner_that_hangs_costs_the_time_limit() -> None:
    with ContentFilter(hanging) as server:
        began = time.monotonic()
        found = finding(check(server.address, timeout=0.5), message(), 60)
        assert 0.4 < time.monotonic() - began < 30
        assert "(a: gives no answer in time)" in temperror(found)
        began = time.monotonic()
        temperror(finding(check(server.address), message(), 0.3))
        assert time.monotonic() - began < 30, "the deadline of all checks bounds it, too"


class Stuck(Scripted):
    """A scanner that heeds no deadline: it has each message until it is released."""

    def __init__(self) -> None:
        super().__init__(b"", Verdict.INFECTED)
        self.release = threading.Event()
        self.over = False
        self._lock = threading.Lock()

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        with self._lock:
            said = super().scan(octets, deadline)
        self.release.wait(20)
        self.over = True
        return said


def test_no_more_messages_are_with_scanners_than_connections() -> None:
    engine = Stuck()
    one = check(NOBODY, connections=3)
    assert isinstance(one, virus.Virus)
    one = dataclasses.replace(one, scanners={"a": engine})
    before = set(threading.enumerate())
    under_way: list[Pending] = [one.start(message(), Deadline.after(30)) for _ in range(20)]
    try:
        eventually(lambda: engine.asked == 3)
        assert threads_since(before) == 3
    finally:
        engine.release.set()
    assert {pending.result()[0].band for pending in under_way} == {"infected"}


def test_a_message_whose_turn_does_not_come_is_not_sent() -> None:
    """`start` itself waits for nothing: with the first message the scanner is stuck."""
    engine = Stuck()
    one = check(NOBODY, connections=1, timeout=0.3)
    assert isinstance(one, virus.Virus)
    one = dataclasses.replace(one, scanners={"a": engine})
    long = dataclasses.replace(one.settings, timeout=30.0)
    first = dataclasses.replace(one, settings=long).start(message(), Deadline.after(30))
    eventually(lambda: engine.asked == 1)
    assert not engine.over
    try:
        assert "had no time for the message" in temperror(finding(one, message()))
    finally:
        engine.release.set()
    assert first.result()[0].band == "infected"
    assert engine.asked == 1


def test_without_a_thread_to_be_had_there_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refused)
    assert "no thread could be started" in temperror(finding(check(NOBODY), message()))


def test_a_message_that_cannot_be_read_is_no_clean_one(clamd: ContentFilter) -> None:
    class Broken(MemoryBody):
        def pieces(self) -> Iterator[bytes]:
            raise OSError(5, "Input/output error")

    seen = dataclasses.replace(message(), message=Spooled(b"Subject: s\r\n", Broken(b"x")))
    temperror(finding(check(clamd.address), seen))


def test_names_are_printable_and_bounded() -> None:
    long = Scripted(b"", Verdict.INFECTED, "\0\x1b\xe4" * 500)
    found = finding(asking(a=long), message())
    assert len(found.reason) < 200
    assert found.reason.isascii()
    assert found.reason.isprintable()


COMMAND: Mapping[str, object] = {"kind": "command", "command": ["/usr/bin/scan"]}
ENGINE: Mapping[str, object] = {"kind": "clamd", "server": NOBODY}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"engines": {}}, f"{KEY}.engines is {{}}; expected a table of scanners"),
        ({"engines": "clamd"}, f"{KEY}.engines is 'clamd'; expected a table of scanners"),
        ({"engines": {"a": 1}}, f"{KEY}.engines.a is 1; expected a table"),
        ({"engines": {"a.b": ENGINE}}, f'{KEY}.engines."a.b"; expected a name of letters'),
        ({"engines": {"a": {**ENGINE, "kind": "x"}}}, f"{KEY}.engines.a.kind is 'x'; expected"),
        ({"engines": {"a": {"kind": "clamd"}}}, f"{KEY}.engines.a.server is missing"),
        ({"engines": {"a": {**ENGINE, "port": 1}}}, f"{KEY}.engines.a.port is no setting"),
        (
            {"engines": {"a": {"kind": "icap", "server": NOBODY, "service": "a b"}}},
            f"{KEY}.engines.a.service is 'a b'; expected path and query of a URL",
        ),
        (
            {"engines": {"a": {"kind": "command", "command": ["scan"]}}},
            f"{KEY}.engines.a.command is ['scan']; expected a list of texts, the first one an",
        ),
        (
            {"engines": {"a": {**COMMAND, "clean": [256]}}},
            f"{KEY}.engines.a.clean is [256]; expected a whole number from 0 to 255",
        ),
        (
            {"engines": {"a": {**COMMAND, "unscanned": [2, 1]}}},
            f"{KEY}.engines.a says two things of exit code 1",
        ),
        ({"max_size": 1}, f"{KEY}.max_size is 1; expected"),
        ({"channels": ["internet"]}, f"{KEY}.channels is no setting"),
    ],
)
def test_wrong_options(change: dict[str, object], fault: str) -> None:
    table = {"engines": {"a": ENGINE}, **change}
    with pytest.raises(SettingsError) as caught:
        virus.parse(table, KEY, lambda key: f"FILE({key})")
    assert any(one.partition(": ")[2].startswith(fault) for one in caught.value.faults)
    assert all(one.startswith(f"FILE({KEY}") for one in caught.value.faults)


def test_the_scanners_of_the_settings_are_looked_after() -> None:
    icap = {"kind": "icap", "server": NOBODY, "service": "avscan"}
    table = {"mode": "enforce", "engines": {"a": ENGINE, "b": icap, "c": COMMAND}}
    found = scanners(site(checks={"virus": table}))
    assert found == {
        "virus/a": Clamd(Server.parse(NOBODY)),
        "virus/b": Proven(Icap(Server.parse(NOBODY), "avscan")),
        "virus/c": Proven(
            Command(
                ("/usr/bin/scan",),
                {0: Verdict.CLEAN, 1: Verdict.INFECTED},
                Path("/var/lib/iems/milter/spool"),
            )
        ),
    }
    assert scanners(site(checks={"virus": {**table, "mode": "off"}})) == {}
    assert scanners(site()) == {}
