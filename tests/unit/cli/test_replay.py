"""`iems replay`: its arguments, what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cli.main import main
from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Kind, Reason, Subject
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder, details

LISTED = Finding("dnsbl/soft", "listed", "listed", "client 192.0.2.66 is listed by soft")
HARD = Finding("dnsbl/hard", "listed", "listed", "client 192.0.2.66 is listed by hard")


def record(user: str, action: Action, finding: Finding = LISTED) -> Record:
    reason = Reason(finding, action, Subject(Kind.SITE), enforced=False)
    return Record(
        "REF1",
        "delivery",
        action.word,
        recipient=user,
        subject=f"user {user}",
        channel="internet",
        details=details(Decision(action, (reason,)), [finding]),
    )


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., int]:
    (tmp_path / "iems.toml").write_text(
        f"""
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
milter = {{ state = "{tmp_path}" }}
agent = {{ state = "{tmp_path}/lmtp" }}
[checks.dnsbl.soft]
mode = "delegate"
zone = "soft.test"
allow = {{ listed = ["deliver", "junk", "reject"] }}
[checks.dnsbl.hard]
mode = "enforce"
zone = "hard.test"
default = {{ listed = "reject" }}
"""
    )
    (tmp_path / "directory.toml").write_text(
        '[domains."example.test"]\n[users."alice@example.test"]\n[users."bob@example.test"]\n'
    )
    recorder = Recorder(tmp_path / "records.sqlite")
    rows = [record("alice@example.test", Action.JUNK)] * 2 + [
        record("bob@example.test", Action.JUNK),
        record("bob@example.test", Action.REJECT, HARD),
    ]
    recorder.commit(rows, Deadline.after(5))
    recorder.close(Deadline.after(5))

    def run(*words: str) -> int:
        files = ["--settings", str(tmp_path / "iems.toml")]
        return main([*files, "replay", "--directory", str(tmp_path / "directory.toml"), *words])

    return run


def test_the_policy_of_then(replay: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert replay() == 0
    assert capsys.readouterr().out == "4 verdicts, 0 would have been another one\n"


def test_the_sum_and_each(replay: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    change = ("--set", "example.test", "dnsbl/soft", "reject")
    assert replay(*change) == 1
    assert capsys.readouterr().out.splitlines() == [
        "       2  user alice@example.test: junk -> reject, dnsbl/soft listed",
        "       1  user bob@example.test: junk -> reject, dnsbl/soft listed",
        "4 verdicts, 3 would have been another one",
    ]
    assert replay(*change, "--each") == 1
    first, *_others = capsys.readouterr().out.splitlines()
    assert first == (
        "REF1 alice@example.test: junk -> reject, dnsbl/soft listed by domain example.test"
    )


def test_no_record_moves_the_cursor(
    replay: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "strange.sqlite"
    recorder = Recorder(file)
    recorder.commit([record("\x1b[2J\n@example.test", Action.JUNK)], Deadline.after(5))
    recorder.close(Deadline.after(5))
    change = ("--set", "site", "dnsbl/soft", "reject", "--records", str(file))
    for words in (change, (*change, "--each")):
        assert replay(*words) == 1
        first, told = capsys.readouterr().out.splitlines()
        assert "?[2J?@example.test: junk -> reject" in first
        assert told.startswith("1 verdicts")


def test_a_change_for_programs(
    replay: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay("--set", "bob@example.test", "dnsbl/soft:listed", "deliver", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == 4
    [found] = told["differences"]
    assert (found["recipient"], found["was"], found["now"], found["layer"]) == (
        "bob@example.test",
        "junk",
        "deliver",
        "user bob@example.test",
    )


def test_the_site_changes_what_it_enforces(replay: Callable[..., int]) -> None:
    assert replay("--set", "site", "dnsbl/hard", "junk") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alice@example.test", "dnsbl/none", "junk"), "known: dnsbl/hard:listed"),
        (("alice@example.test", "dnsbl/soft", "eat"), "no action"),
        (("alice@example.test", "dnsbl/soft", "discard"), "does not allow discard"),
        (("alice@example.test", "dnsbl/hard", "deliver"), "does not allow deliver"),
        (("site", "dnsbl/soft", "discard"), "does not allow discard"),
        (("@@", "dnsbl/soft", "junk"), "@@"),
    ],
)
def test_a_choice_that_cannot_be(
    replay: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert replay("--set", *words) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_read(
    replay: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.sqlite").write_bytes(b"no records at all, but long enough to be a file")
    assert replay("--records", str(tmp_path / "other.sqlite")) == 75
    assert "other.sqlite" in capsys.readouterr().err
    assert replay("--records", str(tmp_path / "missing.sqlite")) == 0


def test_only_since(replay: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert replay("--since", "2999-01-01") == 0
    assert capsys.readouterr().out.startswith("0 verdicts")


def test_what_checks_in_shadow_would_have_done(
    replay: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_site = Subject(Kind.SITE)
    shadows = (
        Reason(LISTED, Action.TAG, by_site, enforced=False),
        Reason(HARD, Action.REJECT, Subject(Kind.USER, "carol@example.test"), enforced=False),
    )
    acting = (Reason(LISTED, Action.REJECT, by_site, enforced=False),)
    decisions = [
        Decision(Action.DELIVER, (), (), shadows),
        Decision(Action.REJECT, acting, (), shadows),
        Decision(Action.DELIVER, (), (), shadows[:1]),
        Decision(),
    ]
    file = tmp_path / "shadow.sqlite"
    recorder = Recorder(file)
    rows = [
        replace(record("carol@example.test", one.action), details=details(one, [LISTED]))
        for one in decisions
    ]
    recorder.commit(rows, Deadline.after(5))
    recorder.close(Deadline.after(5))
    assert main_shadow(tmp_path, "--records", str(file)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "       1  user carol@example.test: deliver -> reject, dnsbl/hard listed",
        "       1  user carol@example.test: deliver -> tag, dnsbl/soft listed",
        "4 verdicts, 2 would have been another one",
    ]
    assert main_shadow(tmp_path, "--records", str(file), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == 4
    assert [(one["now"], one["layer"]) for one in told["differences"]] == [
        ("reject", "user carol@example.test"),
        ("tag", "site"),
    ]
    assert main_shadow(tmp_path) == 0
    assert replay("--shadow") == 2
    assert "no --directory" in capsys.readouterr().err


def main_shadow(folder: Path, *words: str) -> int:
    """The comparison, which needs no directory."""
    return main(["--settings", str(folder / "iems.toml"), "replay", "--shadow", *words])
