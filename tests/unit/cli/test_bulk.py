"""`import` and `export` without a server: how far it is, and what a terminal shows."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from cli import domain, user
from tests.unit.cli.memory import Bench

ROWS = "".join(f"u{number}@example.test\n" for number in range(450))


@pytest.fixture
def bench() -> Bench:
    """A directory with the domain."""
    made = Bench()
    made.run(domain, "add", "example.test", "--postmaster", "alice@example.test")
    return made


def feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What stands on standard input."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


def test_numbers_run_along_on_a_terminal_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And each problem stands on a line of its own."""
    feed(monkeypatch, f"address\n{ROWS}nobody\n")
    capsys.readouterr()
    assert bench.run(user, "import", "-") == 1
    told = capsys.readouterr()
    assert told.out == "451 read, 450 added, 0 changed, 0 unchanged, 1 problems\n"
    assert told.err == "line 452: no domain in 'nobody'\n"
    feed(monkeypatch, f"address\n{ROWS}nobody\n")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert bench.run(user, "import", "-") == 1
    shown = capsys.readouterr().err.split("\r")
    assert shown[1].startswith("200 read, 0 added, 0 changed, 200 unchanged")
    assert shown[2].startswith("400 read")
    assert shown[3] == "line 452: no domain in 'nobody'\n"


def test_a_batch_is_one_search(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows there are; nothing is searched for a single one."""
    feed(monkeypatch, f"address\n{ROWS}")
    bench.store.asked.clear()
    assert bench.run(user, "import", "-") == 0
    assert bench.store.asked.count("search") == 3


def test_what_is_not_there_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, and the domain of a row."""
    assert bench.run(user, "import", "/nonexistent/file") == 1
    assert "No such file" in capsys.readouterr().err
    feed(monkeypatch, "address\na@other.test\nb@example.test\n")
    assert bench.run(user, "import", "-") == 1
    assert "line 2: no domain other.test" in capsys.readouterr().err
