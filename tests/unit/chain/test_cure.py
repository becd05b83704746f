"""What carries a virus is taken out of a message, or the message does not go on."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.codec.header import parse_header, split_message
from iems.mime.transfer import decodings
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.store.owed import FILE, Owed
from milters import cure
from milters.checks import virus
from milters.checks.virus import Virus
from milters.draft import turn
from milters.engines.clamd import MAIL
from milters.engines.engine import EngineError
from milters.engines.scanner import EICAR, Octets, Scanned, Verdict
from milters.reply import Hold, Reject, ReplaceBody, TempFail
from tests import samples
from tests.unit.chain.test_virus import Found
from tests.unit.chain.world import SETTINGS, World, rcpt

VIRUS = """
[checks.virus]
mode = "enforce"
notify = ["recipient"]
engines = {{ a = {kind}, b = {kind} }}
[checks.virus.matrix."*"]
local = {{ infected = "remove", encrypted = "{encrypted}", temperror = "deliver" }}
internet = {{ infected = "{outside}", temperror = "deliver" }}
"""
ATTACHMENT = """
[checks.attachment.x]
mode = "enforce"
name = "x"
default = { matched = "reject" }
"""
KIND = '{ kind = "clamd", server = "unix:/nowhere" }'
OTHER = b"no virus but for the other scanner"
OTHERS = {"dnsbl/hard": "listed", "attachment/x": "matched"}
LOCKED = b"a locked archive"
NOTICE = b"was removed. It carried a virus: Test.Eicar."
TEXT = samples.TEXT
INFECTED = samples.part(EICAR, name="a.com")


@dataclass
class Scanner:
    """Finds a virus that is there as it is, or in base64 in a message."""

    sign: bytes = EICAR
    asked: list[bytes] = field(default_factory=list)
    dies: int = 1000
    """Which question it does not answer any more."""

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        assert not deadline.expired
        data = b"".join(octets.pieces())
        self.asked.append(data)
        if len(self.asked) >= self.dies:
            raise EngineError("has died")
        for sign, name in ((self.sign, "Test.Eicar"), (LOCKED, "Heuristics.Encrypted.Zip")):
            within = data.startswith(MAIL) and samples.lines(sign)[:40] in data
            if sign in data or within:
                return Scanned(Verdict.ENCRYPTED if sign == LOCKED else Verdict.INFECTED, name)
        return Scanned(Verdict.CLEAN)

    def ping(self, deadline: Deadline) -> str:
        del deadline
        return ""


class Exact(Scanner):
    """Knows a file by all of its octets."""

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        data = b"".join(octets.pieces())
        known = data == self.sign or data.startswith(MAIL)
        return super().scan(octets, deadline) if known else Scanned(Verdict.CLEAN)


@dataclass
class Clinic:
    """A worker with two scanners."""

    folder: Path
    threads: ThreadPoolExecutor
    first: Scanner = field(default_factory=Scanner)
    second: Scanner = field(default_factory=lambda: Scanner(OTHER))
    outside: str = "remove"
    encrypted: str = "deliver"
    world: World = field(default_factory=World)
    found: tuple[tuple[str, str, str], ...] = ()
    holds: tuple[str, ...] = ()

    def send(
        self, message: bytes, *to: str, channel: str = "internet", also: str = ""
    ) -> bytes | Reject | TempFail:
        """What goes on of the message, or the refusal."""
        text = VIRUS.format(kind=KIND, outside=self.outside, encrypted=self.encrypted)
        settings = from_table(
            tomllib.loads(f'{SETTINGS}[milter]\nstate = "{self.folder}"\n{ATTACHMENT}{text}')
        )
        table = settings.checks[-1]
        options = virus.parse(table.options, table.key)
        check = Virus(options, {"a": self.first, "b": self.second}, self.threads)
        self.world.use(check, *([Found(also, OTHERS[also])] if also else []))
        self.world.runtime = replace(self.world.runtime, settings=settings)
        chain = self.world.connect(daemon=channel)
        chain.mail("<a@sender.example>", {})
        rcpt(chain, *(to or ("bob",)))
        head, body = split_message(message)
        for one in parse_header(head).fields:
            chain.header(one.name, one.value)
        chain.end_of_headers()
        chain.body(body.removeprefix(b"\r\n"))
        answer, edits = chain.end_of_message({"i": "4QueueId"})
        self.holds = tuple(one.reason for one in edits if isinstance(one, Hold))
        if isinstance(answer, (Reject, TempFail)):
            return answer
        told = self.world.recorder.added[-1].details["findings"]
        assert isinstance(told, list)
        rows = [one for one in told if one["check"] == "virus"]
        self.found = tuple((one["outcome"], one["band"], one["reason"]) for one in rows)
        bodies = [one.content for one in edits if isinstance(one, ReplaceBody)]
        return bodies[0] if bodies else body

    def refused(self, message: bytes, *to: str, **more: str) -> str:
        answer = self.send(message, *to, **more)
        assert isinstance(answer, Reject), answer
        return answer.text


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    with ThreadPoolExecutor(2) as threads:
        yield Clinic(tmp_path, threads)


@pytest.mark.parametrize(
    "message",
    [
        samples.mixed(TEXT, INFECTED),
        samples.mixed(INFECTED, TEXT),
        samples.mixed(
            TEXT,
            b"Content-Type: message/rfc822\r\n\r\n" + samples.mixed(TEXT, INFECTED),
            boundary="YY",
        ),
        samples.HEADER + b"\r\nhello\r\n" + samples.uuencoded(EICAR, "a.com"),
        samples.HEADER + b"\r\nhello\r\n" + samples.yenc(EICAR, "a.com"),
    ],
    ids=["attached", "first", "in a message", "uuencoded", "yEnc"],
)
def test_what_carries_a_virus_goes_and_the_rest_stays(clinic: Clinic, message: bytes) -> None:
    made = clinic.send(message)
    assert isinstance(made, bytes)
    assert b"hello" in made
    assert NOTICE.replace(b" ", b"") in made.replace(b"=\r\n", b"").replace(b" ", b"")
    assert samples.lines(EICAR)[:40] not in made
    assert clinic.found == (
        ("removed", "", "a virus was removed from the message (a: Test.Eicar)"),
    )
    with closing(Owed(clinic.folder / FILE)) as owed:
        ((told,), _more) = owed.take("bob@example.test", 1.0)
    assert (told.done, told.virus) == ("removed", "Test.Eicar")


def test_a_text_that_is_one_is_a_notice(clinic: Clinic) -> None:
    made = clinic.send(samples.HEADER + b"\r\n" + EICAR + b"\r\n")
    assert isinstance(made, bytes)
    assert NOTICE in made.replace(b"\r\n", b" ")
    assert EICAR not in made


def test_of_a_text_the_file_in_it_goes_alone(clinic: Clinic) -> None:
    """Though somebody finds it in the text as well."""
    text = samples.uuencoded(EICAR, "a.com")
    clinic.second = Scanner(text.splitlines()[1])
    made = clinic.send(samples.HEADER + b"\r\nhello\r\n" + text)
    assert isinstance(made, bytes)
    assert b"hello" in made


def test_a_file_is_scanned_as_each_reader_decodes_it(clinic: Clinic) -> None:
    """Some overlook padding within base64."""
    body = samples.lines(EICAR) + samples.lines(b"more")
    _first, other = decodings("base64", body)
    clinic.first = Exact(other)
    made = clinic.send(samples.mixed(TEXT, INFECTED + samples.lines(b"more")))
    assert isinstance(made, bytes)
    assert NOTICE in made


def test_another_action_removes_nothing(clinic: Clinic) -> None:
    clinic.outside = "tag"
    message = samples.mixed(TEXT, INFECTED)
    assert clinic.send(message, "away", channel="submission") == split_message(message)[1]
    assert clinic.found[0][:2] == ("infected", "infected")


def test_what_is_held_for_something_else_waits_without_its_virus(clinic: Clinic) -> None:
    """Whoever lets it go does not look for one."""
    made = clinic.send(samples.mixed(TEXT, INFECTED), "away", channel="local", also="attachment/x")
    assert isinstance(made, bytes)
    assert len(clinic.holds) == 1
    assert NOTICE in made


def test_several_of_several_scanners(clinic: Clinic) -> None:
    other = samples.part(OTHER, name="b.com")
    made = clinic.send(samples.mixed(TEXT, INFECTED, samples.part(b"innocent"), other))
    assert isinstance(made, bytes)
    assert made.count(b"was removed") == 2
    assert samples.lines(b"innocent") in made


def test_it_is_removed_for_all_and_before_it_leaves(clinic: Clinic) -> None:
    made = clinic.send(samples.mixed(TEXT, INFECTED), "bob", "away", channel="submission")
    assert isinstance(made, bytes)
    assert NOTICE in made
    clinic.outside = "reject"
    text = clinic.refused(samples.mixed(TEXT, INFECTED), "bob", "away", channel="submission")
    assert "not removed" not in text


HIDDEN = TEXT + b"--XXmore\r\n" + INFECTED
"""A second part for those who take a line that begins as a delimiter for one."""


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (samples.mixed(TEXT, b"X-Odd: " + EICAR + b"\r\n\r\nhello"), "it is in none of its files"),
        (samples.mixed(HIDDEN), "it is in none of its files"),
        (samples.mixed(HIDDEN, INFECTED), "of the rest the message carries a virus"),
        (
            samples.mixed(TEXT, INFECTED, samples.part(b"x").replace(b": base64", b": base-64")),
            "not removed: malformed: odd-encoding",
        ),
    ],
    ids=["in no file", "for some readers", "and for all as well", "malformed"],
)
def test_what_cannot_be_removed_is_refused(clinic: Clinic, message: bytes, why: str) -> None:
    text = clinic.refused(message)
    assert "the message carries a virus (a: Test.Eicar)" in text
    assert why in text
    assert clinic.world.recorder.committed[-1].action == "reject"


@pytest.mark.parametrize("dies", [2, 3, 4])
def test_a_scanner_that_dies_lets_nothing_pass(clinic: Clinic, dies: int) -> None:
    """Though the matrix delivers what no scanner has looked at."""
    clinic.first = Scanner(dies=dies)
    text = clinic.refused(samples.mixed(TEXT, INFECTED))
    assert "not removed: " in text
    assert "has died" in text
    assert len(clinic.first.asked) >= dies


def test_one_that_found_nothing_is_asked_about_the_rest(clinic: Clinic) -> None:
    clinic.second = Scanner(OTHER, dies=2)
    assert "b: has died" in clinic.refused(samples.mixed(TEXT, INFECTED))


def test_what_cannot_be_refused_is_held_or_the_agent_s(clinic: Clinic) -> None:
    clinic.first = Scanner(dies=2)
    clinic.send(samples.mixed(TEXT, INFECTED), "away", channel="local")
    (held,) = clinic.holds
    assert held.startswith("virus infected is reject: the message carries a virus")
    clinic.first = Scanner(dies=2)
    assert clinic.send(samples.mixed(TEXT, INFECTED), "bob", channel="local")
    assert clinic.holds == ()
    ((outcome, band, reason),) = clinic.found
    assert (outcome, band) == ("infected", "infected")
    assert "not removed: " in reason


def test_what_is_sent_by_sendmail_is_cured_too(clinic: Clinic) -> None:
    made = clinic.send(samples.mixed(TEXT, INFECTED), "away", channel="local")
    assert isinstance(made, bytes)
    assert NOTICE in made
    assert clinic.holds == ()


def test_what_is_refused_for_something_else_is_not_taken_apart(clinic: Clinic) -> None:
    assert clinic.refused(samples.mixed(TEXT, INFECTED), also="dnsbl/hard")
    assert len(clinic.first.asked) == 1


@pytest.mark.parametrize("encrypted", ["deliver", "reject"])
def test_an_archive_that_is_encrypted_is_seen_then(clinic: Clinic, encrypted: str) -> None:
    clinic.encrypted = encrypted
    message = samples.mixed(TEXT, INFECTED, samples.part(LOCKED))
    if encrypted == "reject":
        assert "the message carries an encrypted archive" in clinic.refused(message)
        return
    made = clinic.send(message)
    assert isinstance(made, bytes)
    assert samples.lines(LOCKED) in made
    assert [outcome for outcome, _band, _reason in clinic.found] == ["removed", "encrypted"]


def test_more_files_than_are_looked_at(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    message = samples.mixed(TEXT, INFECTED)
    monkeypatch.setattr(cure, "_MOST", 1)
    assert "more than 1 files" in clinic.refused(message)
    monkeypatch.setattr(cure, "_MOST", 2)
    assert isinstance(clinic.send(message), bytes)


def test_more_than_is_edited(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milters.draft.LIMIT", 100)
    assert "not removed: it has more than 100 bytes" in clinic.refused(
        samples.mixed(TEXT, INFECTED)
    )


def test_large_messages_are_taken_apart_one_after_the_other(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milters.draft.LIGHT", 0)
    monkeypatch.setattr(cure, "turn", lambda draft, _seconds, lock: turn(draft, 0.05, lock))
    message = samples.mixed(TEXT, INFECTED)
    with cure._turn:
        assert "not removed: other messages take too long" in clinic.refused(message)
    assert not cure._turn.locked()
