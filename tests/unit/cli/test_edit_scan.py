"""`iems edit scan`: a filter that lets pass what a clamd finds nothing in."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from cli.main import NEGATIVE, OK, TEMPORARY, USAGE, main
from tests.contentfilter import ContentFilter, scanning


@pytest.fixture
def clamd() -> Iterator[str]:
    """One that finds what a message names."""
    with ContentFilter(scanning) as server:
        yield server.address


def scan(monkeypatch: pytest.MonkeyPatch, data: bytes, *options: str) -> int:
    """The exit code for this message."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["--settings", "/nowhere", "edit", "scan", *options])


@pytest.mark.parametrize(
    ("virus", "code", "passes", "told"),
    [
        ("", OK, True, ""),
        ("Test.Eicar", NEGATIVE, False, "iems: rejected: infected: Test.Eicar\n"),
        (
            "Heuristics.Encrypted.Zip",
            OK,
            True,
            "iems: warning: encrypted: Heuristics.Encrypted.Zip\n",
        ),
        (
            "Heuristics.Limits.Exceeded.MaxFiles",
            NEGATIVE,
            False,
            "iems: rejected: unscanned: Heuristics.Limits.Exceeded.MaxFiles\n",
        ),
        (
            "silence",
            TEMPORARY,
            False,
            "iems: not scanned: clamd closes the connection without an answer\n",
        ),
    ],
)
def test_what_passes(
    clamd: str,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    virus: str,
    code: int,
    passes: bool,
    told: str,
) -> None:
    field = f"X-Virus: {virus}\r\n" if virus else ""
    data = f"{field}Subject: s\r\n\r\n".encode() + bytes(range(256))
    assert scan(monkeypatch, data, "--clamd", clamd) == code
    printed = capsysbinary.readouterr()
    assert printed.out == (data if passes else b"")
    assert printed.err.decode() == told


def test_a_wrong_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        scan(monkeypatch, b"", "--clamd", "localhost")
    assert caught.value.code == USAGE
    assert "expected unix:/PATH or inet:ADDRESS:PORT" in capsys.readouterr().err
