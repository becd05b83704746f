"""`iems bayes`: a real store, and the training daemon's own threads behind a real socket."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import entries
from cli.bayes import explain
from cli.main import main
from lmtp.bayes.score import Evidence, Label, Score, Verdict
from lmtp.bayes.store import Entry
from lmtp.bayes.tokens import key, tokens
from tests.unit.learning import test_worker
from tests.unit.learning.test_worker import CLASSIFIER, message, soon

ALICE, BOB = "alice@example.test", "bob@example.test"
SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
directory = {{ kind = "toml", file = "{0}/directory.toml" }}
bayes = {{ store = "{0}", socket = "{0}/s" }}
checks.bayes.mode = "{1}"
"""
DIRECTORY = """
domains."example.test" = {}
users."alice@example.test" = {}
users."bob@example.test".bayes = "off"
"""


@dataclass
class Site:
    """Settings, and a daemon that runs or does not."""

    daemon: test_worker.Bench
    capsys: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        self.mode("delegate")
        (self.folder / "directory.toml").write_text(DIRECTORY)

    @property
    def folder(self) -> Path:
        return self.daemon.folder

    def mode(self, mode: str) -> None:
        """The site's word."""
        (self.folder / "iems.toml").write_text(SETTINGS.format(self.folder, mode))

    def run(self, *words: str | Path) -> int:
        """The exit code; what was printed is kept."""
        settings = str(self.folder / "iems.toml")
        code = main(["--settings", settings, "bayes", *map(str, words)])
        told = self.capsys.readouterr()
        self.out, self.err = told.out, told.err
        return code

    def json(self, *words: str | Path) -> Any:  # noqa: ANN401 - what JSON holds
        """What a command tells programs."""
        assert self.run(*words, "--json") == 0, self.err
        return json.loads(self.out)

    def file(self, number: int) -> Path:
        """A message in a file."""
        file = self.folder / f"m{number}"
        file.write_bytes(message(number))
        return file

    def train(self, *lessons: tuple[int, Label, float | None], user: str = ALICE) -> None:
        """Trained messages with the score of before, a day apart, the last one now."""
        teacher = self.daemon.learner.trainer
        salt = self.daemon.store.load(user, soon()).salt
        for days, (number, label, score) in zip(range(len(lessons))[::-1], lessons, strict=True):
            text = message(number)
            features = teacher.classifier.features(tokens(text), salt)
            at = time.time() - 86400 * days
            entry = Entry(key(text), label, at, "move", score, features)
            teacher.learn(user, entry, soon())


@pytest.fixture
def site(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Site:
    """Its daemon does not run; nobody waits for a syslogd."""
    monkeypatch.setattr(entries, "_AUDIT_WAIT", 0.0)
    return Site(test_worker.Bench(tmp_path), capsys)


@pytest.fixture
def serving(site: Site) -> Iterator[Site]:
    """Its daemon runs."""
    with site.daemon.serving():
        yield site


HAM, SPAM = Label.HAM, Label.SPAM


def test_status_tells_what_was_trained_and_how_right_the_filter_was(site: Site) -> None:
    old = [(number, HAM, 9.0) for number in range(35)]
    site.train(*old, (40, SPAM, 1.0), (41, HAM, -1.0), (42, SPAM, -1.0), (43, SPAM, None))
    assert site.run("status", ALICE) == 0
    lines = dict(line.split(maxsplit=1) for line in site.out.splitlines())
    assert lines["alice@example.test:"] == "the filter is on"
    assert lines["trained"].startswith("36 ham, 3 spam; last 20")
    assert lines["journal"] == "39 messages"
    # The 4 of the last days, of which it said something about 3, and 26 older ones within 30 days.
    assert lines["right"] == "of 29 that he trained in 30 days: 2, 6.9 %"
    told = site.json("status", ALICE)
    assert (told["ham"], told["spam"], told["journal"], told["mode"]) == (36, 3, 39, "on")
    assert told["corrections"] == {
        "days": 30,
        "messages": 29,
        "right": 2,
        "accuracy_percent": pytest.approx(6.896, abs=0.001),
    }
    assert abs(told["last_trained"] - time.time()) < 600
    assert told["state_bytes"] > 1000
    assert told["judged"] == {"ham": 0, "unsure": 0, "spam": 0, "untrained": 0}


def test_status_of_who_has_trained_nothing(site: Site) -> None:
    assert site.run("status", BOB) == 1
    assert site.out == "bob@example.test: the filter is off\n  trained    nothing\n"


@pytest.mark.parametrize(
    ("mode", "alice", "bob"),
    [
        ("delegate", "on", "off"),
        ("enforce", "on", "on"),
        ("shadow", "shadow", "off"),
        ("off", "off", "off"),
    ],
)
def test_status_tells_whether_the_filter_is_on(site: Site, mode: str, alice: str, bob: str) -> None:
    site.mode(mode)
    told = {}
    for user in (ALICE, BOB):
        site.train((1, HAM, None), user=user)
        told[user] = site.json("status", user)["mode"]
    assert told == {ALICE: alice, BOB: bob}


def test_status_counts_what_was_judged(site: Site) -> None:
    site.train((1, HAM, None))
    test_worker.ALICE, before = ALICE, test_worker.ALICE
    try:
        site.daemon.seen(message(1), junk=False)
    finally:
        test_worker.ALICE = before
    assert site.json("status", ALICE)["judged"]["unsure"] == 1


def test_status_of_all(site: Site) -> None:
    site.train((1, HAM, None), (2, SPAM, None))
    site.train((1, SPAM, None), user=BOB)
    assert site.run("status") == 0
    head, alice, bob, total = site.out.splitlines()
    assert head.split() == ["USER", "HAM", "SPAM", "LAST", "BYTES", "CLASSIFIER"]
    assert alice.split()[:3] == [ALICE, "1", "1"]
    assert bob.split()[:3] == [BOB, "0", "1"]
    assert total == "2 users, 1 ham, 2 spam"
    rows = site.json("status")
    assert [(row["user"], row["ham"], row["damaged"]) for row in rows] == [
        (ALICE, 1, False),
        (BOB, 0, False),
    ]


def test_status_of_all_tells_who_is_damaged(site: Site) -> None:
    site.train((1, HAM, None))
    with site.daemon.store._file.transaction(soon()) as connection:
        connection.execute("UPDATE user SET ham = 7")
    assert site.run("status") == 0
    assert f"{ALICE:<40} damaged" in site.out
    assert site.json("status") == [{"user": ALICE, "damaged": True}]
    assert site.run("status", ALICE) == 75
    assert "is damaged" in site.err


def test_explain_tells_the_verdict_and_the_words(site: Site) -> None:
    site.train(*((number, (HAM, SPAM)[number % 2], None) for number in range(40)))
    told = site.json("explain", ALICE, site.file(41))
    assert told["key"] == key(message(41)).hex()
    assert (told["ham"], told["spam"], told["trained"]) == (20, 20, None)
    pulls = [abs(one["pull"]) for one in told["words"]]
    assert 1 <= len(pulls) <= 20
    assert pulls == sorted(pulls, reverse=True)
    assert site.run("explain", ALICE, site.file(1), "--words", "1") == 0
    verdict, trained, *words = site.out.splitlines()
    assert verdict.startswith("spam: probability 0.")
    assert verdict.endswith("by 20 ham and 20 spam")
    assert trained.startswith("trained as spam on 20")
    assert len(words) == 1


def test_explain_says_no_more_than_the_agent_would(site: Site) -> None:
    site.train(*((number, (HAM, SPAM)[number % 2], None) for number in range(40)))
    text = (site.folder / "iems.toml").read_text()
    told = {}
    for least in (20, 21):
        (site.folder / "iems.toml").write_text(text.replace("socket", f"least = {least}, socket"))
        told[least] = site.json("explain", ALICE, site.file(1))["verdict"]
    assert told == {20: "spam", 21: "untrained"}
    long = text.replace("socket", "max_message = 16384, socket")
    (site.folder / "iems.toml").write_text(long)
    (site.folder / "long").write_bytes(message(1) + b" \n" * 9000 + message(2))
    words = {one["word"] for one in site.json("explain", ALICE, site.folder / "long")["words"]}
    (site.folder / "iems.toml").write_text(text)
    more = {one["word"] for one in site.json("explain", ALICE, site.folder / "long")["words"]}
    assert words != more


def test_explain_by_who_has_trained_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(message(1))))
    assert site.run("explain", BOB, "-") == 0
    assert site.out.startswith("untrained: probability 0.5000")
    assert "\n" not in site.out.rstrip("\n")


def test_explain_shows_nothing_that_a_terminal_obeys(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Score(1.0, 0.7, Verdict.SPAM)
    word = Evidence("\x1b]0;x\x07\u202e", 1.0)
    found = explain.Explained(b"", score, CLASSIFIER.empty(), (word,), None)
    monkeypatch.setattr(explain, "explained", lambda *_given: found)
    assert site.run("explain", ALICE, site.file(1)) == 0
    assert site.out.splitlines()[1] == "   +1.00  ?]0;x??"


@pytest.mark.parametrize("words", [("missing",), ("",)])
def test_what_is_no_message_is_told(site: Site, words: tuple[str]) -> None:
    (site.folder / "empty").write_bytes(b" \r\n")
    name = site.folder / (words[0] or "empty")
    for verb in ("explain", "undo"):
        assert site.run(verb, ALICE, name) == 2
        assert str(name) in site.err


def test_undo_takes_a_message_or_its_key(serving: Site) -> None:
    serving.train((1, HAM, None), (2, SPAM, None), (3, SPAM, None))
    by_key = key(message(2)).hex().upper()
    assert serving.run("undo", ALICE, by_key) == 0
    assert serving.out == f"undone bayes of {ALICE}: {by_key.lower()}\n"
    assert serving.run("undo", ALICE, serving.file(3)) == 0
    assert [one.key for one in serving.daemon.store.journal(ALICE, soon())] == [key(message(1))]
    kept = serving.daemon.store.load(ALICE, soon())
    assert (kept.ham, kept.spam) == (1, 0)
    assert serving.run("undo", ALICE, serving.file(3)) == 1
    assert serving.err == "iems: nothing is known of this message\n"
    assert serving.run("undo", BOB, by_key) == 1


def test_reset_forgets_what_was_trained_and_seen(serving: Site) -> None:
    serving.train((1, HAM, None))
    serving.train((1, HAM, None), user=BOB)
    assert serving.run("reset", ALICE, "--yes") == 0
    assert serving.out == f"reset bayes of {ALICE}: forgotten\n"
    assert serving.daemon.store.users(soon()) == [BOB]
    assert serving.run("reset", ALICE, "--yes") == 0
    assert serving.out == f"reset bayes of {ALICE}: there was nothing\n"


def test_reset_asks_where_somebody_can_answer(
    serving: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    serving.train((1, HAM, None))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert serving.run("reset", ALICE) == 2
    assert "--yes" in serving.err
    for answer, code in (("", 1), ("n\n", 1), ("y\n", 0)):
        assert serving.daemon.store.users(soon()) == [ALICE]
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert serving.run("reset", ALICE) == code
        assert serving.out.startswith(f"Forget all that {ALICE} has trained? [y/N] ")
    assert serving.daemon.store.users(soon()) == []


def test_curve_is_a_page(site: Site) -> None:
    site.train(*((number, HAM, -1.0) for number in range(12)))
    target = site.folder / "curve.html"
    assert site.run("curve", ALICE, "--html", target) == 0
    assert site.out == f"written {target}: 12 messages of {ALICE}\n"
    page = target.read_text()
    assert f"How the filter of {ALICE} learns" in page
    assert page.count("<polyline") == 3
    assert site.run("curve", ALICE, "--html", "-") == 0
    assert site.out == page
    assert site.run("curve", ALICE, "--html", site.folder) == 1
    assert site.run("curve", BOB, "--html", target) == 1
    assert "has trained nothing" in site.err


DAEMON = [("undo", "0" * 32), ("reset", "--yes")]


@pytest.mark.parametrize(("verb", "word"), DAEMON)
def test_without_the_daemon_nothing_is_changed(site: Site, verb: str, word: str) -> None:
    site.train((1, HAM, None))
    assert site.run(verb, ALICE, word) == 75
    assert f"cannot reach {site.folder}/s" in site.err
    assert site.daemon.store.load(ALICE, soon()).ham == 1


@pytest.mark.parametrize(("verb", "word"), [*DAEMON, ("import", "m1")])
def test_what_is_done_later_is_not_said_to_be_done(
    site: Site, monkeypatch: pytest.MonkeyPatch, verb: str, word: str
) -> None:
    monkeypatch.setattr("lmtp.learning.server.WAIT", 0.01)
    site.train((1, HAM, None))
    given = site.file(1) if verb == "import" else word
    with site.daemon.serving(working=False):
        assert site.run(verb, ALICE, given) == 75
    assert site.err.startswith("iems: kept, to be done later\n")
    assert site.out == ""


def test_where_nobody_trains_that_is_told(site: Site) -> None:
    with suppress(FileNotFoundError):
        (site.folder / "bayes.sqlite").unlink()
    text = (site.folder / "iems.toml").read_text()
    (site.folder / "iems.toml").write_text(
        text.replace(f'store = "{site.folder}"', 'store = "/nowhere/bayes"')
    )
    assert site.run("status") == 75
    assert "/nowhere/bayes: no such folder" in site.err
