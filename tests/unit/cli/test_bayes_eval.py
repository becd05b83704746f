"""`iems bayes eval`: what it prints of labelled mail, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import main


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Thirty messages that are easily told apart."""
    lines = []
    for number in range(30):
        label = "spam" if number % 2 else "ham"
        text = f"Subject: about {label}\n\nwords of {label} and more\n"
        (tmp_path / f"{number}.eml").write_text(text)
        lines.append(f"{label} {number}.eml\n")
    (tmp_path / "index").write_text("".join(lines))
    return tmp_path / "index"


def evaluated(index: Path, *options: str) -> int:
    """The exit code, with no settings anywhere."""
    return main(["--settings", "/nowhere", "bayes", "eval", str(index), *options])


def test_one_object(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exactly these names."""
    assert evaluated(index, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == [
        "messages",
        "one_minus_auc_percent",
        "false_positives",
        "misses",
        "unsure",
        "accuracy_percent",
        "accuracy_by_range",
        "messages_per_second",
        "state_bytes",
    ]
    assert told["messages"] == 30
    # Three spam messages are shown before there is anything to say.
    assert (told["false_positives"], told["misses"], told["accuracy_percent"]) == (0, 3, 90)
    assert told["accuracy_by_range"] == {"1-200": 90, "201-1000": None, "after": None}
    assert told["messages_per_second"] > 0
    assert told["state_bytes"] <= 128 * 1024


@pytest.mark.parametrize("classifier", ["combination", "fisher", "regression"])
def test_text(index: Path, capsys: pytest.CaptureFixture[str], classifier: str) -> None:
    """For people, by each classifier."""
    assert evaluated(index, "--classifier", classifier) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert told["messages"] == "30"
    assert told["1-AUC"].endswith(" %")
    assert "without training" in told["messages/s"]


def test_noise_and_delay(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Late training is not there in time, and wrong labels are learned."""
    misses = []
    for options in ([], ["--delay", "10"], ["--delay", "100"], ["--noise", "1"]):
        assert evaluated(index, "--json", *options) == 0
        misses.append(json.loads(capsys.readouterr().out)["misses"])
    assert misses == [3, 8, 15, 15]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--noise", "2"], "expected a share from 0 to 1, not 2"),
        (["--noise", "nan"], "expected a share from 0 to 1, not nan"),
        (["--delay", "-1"], "expected a count of messages, not -1"),
        (["--classifier", "none"], "invalid choice: 'none'"),
    ],
    ids=["share", "no number", "count", "classifier"],
)
def test_options_that_are_none(
    index: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    """Are refused with what is expected."""
    with pytest.raises(SystemExit) as stop:
        evaluated(index, *options)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is named, in one line and without a result."""
    assert evaluated(tmp_path / "index") == 2
    (tmp_path / "index").write_text("spam missing\n")
    assert evaluated(tmp_path / "index") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"iems: {tmp_path}/index: No such file or directory",
        f"iems: {tmp_path}/index:1: {tmp_path}/missing: No such file or directory",
    ]


def test_a_terminal_is_told_how_far_it_is(
    index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody else."""
    assert evaluated(index) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert evaluated(index) == 0
    assert "30 of 30 messages" in capsys.readouterr().err
