"""`iems alias` without a server."""

from __future__ import annotations

import pytest

from cli import alias, domain
from tests.unit.cli.memory import Bench


@pytest.fixture
def bench() -> Bench:
    """A directory with the domain."""
    made = Bench()
    made.run(domain, "add", "example.test", "--postmaster", "far@example.net")
    return made


def test_targets_are_canonical_and_once(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """In one order, so that two runs write the same."""
    words = ("Both@Example.Test", "b@BÜCHER.example", "A@x.test", "a@X.test")
    assert bench.run(alias, "add", *words) == 0
    capsys.readouterr()
    bench.run(alias, "list", "example.test")
    listed = capsys.readouterr().out.splitlines()
    assert "both@example.test -> a@x.test, b@xn--bcher-kva.example" in listed


def test_warning_is_no_failure(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A circle is made, and told."""
    assert bench.run(alias, "add", "a@example.test", "b@example.test") == 0
    capsys.readouterr()
    assert bench.run(alias, "add", "b@example.test", "a@example.test") == 0
    told = capsys.readouterr()
    assert told.out == "added alias b@example.test\n"
    assert "warning: a@example.test leads through 10 aliases or round" in told.err


def test_catch_all(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Its address is the domain with an @ before it."""
    assert bench.run(alias, "add", "@Example.Test", "far@example.net") == 0
    assert bench.run(alias, "delete", "@example.test") == 0
    assert capsys.readouterr().out.endswith(
        "added alias @example.test\ndeleted alias @example.test\n"
    )


def test_no_domain(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """An alias stands in a domain of ours."""
    assert bench.run(alias, "add", "a@nowhere.test", "b@example.test") == 1
    assert "no domain nowhere.test" in capsys.readouterr().err
