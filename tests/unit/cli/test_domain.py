"""`iems domain` without a server."""

from __future__ import annotations

import pytest

from cli import domain, user
from tests.unit.cli.memory import CONTACTS, DOMAINS, Bench

ADD = ("add", "example.test", "--postmaster", "alice@example.test")


def test_add_audits_every_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """The domain and its two roles, and only once."""
    bench = Bench()
    assert bench.run(domain, *ADD) == 0
    assert bench.audited == [
        "site add domain example.test: done",
        "site add alias abuse@example.test: done",
        "site add alias postmaster@example.test: done",
    ]
    assert bench.run(domain, *ADD) == 1
    assert bench.audited[3:] == ["site add domain example.test: EntryExistsError"]
    assert capsys.readouterr().out == "added domain example.test\n"


def test_name_is_made_canonical() -> None:
    """A label of another script, capitals and a final dot are the same domain."""
    bench = Bench()
    assert bench.run(domain, "add", "BÜCHER.Example.", "--postmaster", "a@b.test") == 0
    assert (("iemsDomainName", "xn--bcher-kva.example"), *DOMAINS) in bench.store.entries


def test_delete_that_is_refused_touches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """With a user in it only --recursive counts."""
    bench = Bench()
    bench.run(domain, *ADD)
    bench.run(user, "add", "alice@example.test")
    before = dict(bench.store.entries)
    assert bench.run(domain, "delete", "example.test") == 1
    assert bench.store.entries == before
    assert "--recursive" in capsys.readouterr().err
    assert bench.run(domain, "delete", "example.test", "--recursive") == 0
    assert set(bench.store.entries) == {DOMAINS, CONTACTS}


def test_down(capsys: pytest.CaptureFixture[str]) -> None:
    """A temporary failure, also in the middle."""
    bench = Bench()
    bench.store.down.add("search")
    assert bench.run(domain, *ADD) == 75
    assert bench.run(domain, "list") == 75
    assert bench.run(domain, "delete", "example.test") == 75
    assert capsys.readouterr().out == ""
    bench.store.down.clear()
    assert bench.run(domain, *ADD, "--exists-ok") == 0
    assert len(bench.store.entries) == 5
