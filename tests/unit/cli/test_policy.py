"""`iems policy` without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import cli.postfix
from cli import domain, policy, user
from iems.directory.tree import POLICY, domain_entry
from iems.model.policy import Action, Kind, Subject
from tests.unit.checks.world import site as made_site
from tests.unit.cli.memory import Bench

ALICE = "alice@example.test"
NAME = (("uid", "alice"), *domain_entry("example.test"))


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    """A directory with alice."""
    made = Bench()
    made.run(domain, "add", "example.test", "--postmaster", ALICE)
    made.run(user, "add", ALICE)
    capsys.readouterr()
    made.audited.clear()
    return made


def values(bench: Bench) -> list[bytes]:
    """What stands in alice's entry."""
    return bench.store.entries[NAME].get(POLICY, [])


def test_choice_takes_the_place_of_the_last(bench: Bench) -> None:
    """Its own band's only; allow lists and other rules stay."""
    kept = [b"iprev mismatch allow deliver,tag", b"iprev temperror choice tag", b"nonsense"]
    bench.store.entries[NAME][POLICY] = [*kept, b"iprev mismatch choice deliver"]
    assert bench.run(policy, "set", ALICE, "iprev", "tag") == 0
    assert values(bench) == [*kept, b"iprev mismatch choice tag"]
    assert bench.audited == [f"site set policy {ALICE}: done"]
    assert bench.run(policy, "unset", ALICE, "iprev") == 0
    assert values(bench) == kept


def test_unchanged_writes_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so."""
    bench.run(policy, "set", ALICE, "iprev", "tag")
    bench.audited.clear()
    assert bench.run(policy, "set", ALICE, "iprev", "tag") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("unchanged ")
    assert bench.audited == []


@pytest.mark.parametrize(
    ("check", "action", "told"),
    [
        ("iprev", "reject", "iprev:mismatch: site forbids it; allowed: deliver, tag, junk"),
        ("dnsbl/x", "deliver", "dnsbl/x:listed: site forbids it; allowed: junk"),
        ("dnsbl/y", "junk", "no check dnsbl/y:; known: dnsbl/x:listed, dnsbl/x:temperror, iprev"),
        ("iprev", "remove", "iprev:mismatch finds no part to remove; expected deliver, tag, junk"),
        ("iprev:listed", "tag", "no check iprev:listed; known: "),
    ],
)
def test_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], check: str, action: str, told: str
) -> None:
    """Nothing is written, and who forbids it and what is allowed is told."""
    assert bench.run(policy, "set", ALICE, check, action) == 1
    assert told in capsys.readouterr().err
    assert values(bench) == []


def test_choice_about_a_check_that_is_gone(bench: Bench) -> None:
    """It can be taken back, though not made."""
    bench.store.entries[NAME][POLICY] = [b"dnsbl/gone listed choice junk"]
    assert bench.run(policy, "set", ALICE, "dnsbl/gone:listed", "tag") == 1
    assert bench.run(policy, "unset", ALICE, "dnsbl/gone:listed") == 0
    assert values(bench) == []


def test_show_warns_of_nonsense(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """What is left out is told; what is ignored is noted."""
    bench.store.entries[NAME][POLICY] = [b"nonsense", b"iprev mismatch choice reject"]
    assert bench.run(policy, "show", ALICE) == 0
    told = capsys.readouterr()
    assert "warning: user alice@example.test: policy value b'nonsense' is left out" in told.err
    assert "note: iprev mismatch: user alice@example.test says reject" in told.out


def test_show_says_what_becomes_of_junk_that_is_never_seen(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what is enforced, nothing else."""
    bob = "bob@example.test"
    assert bench.run(user, "add", bob, "--pop3-only") == 0
    bench.run(policy, "set", "example.test", "iprev", "junk")
    capsys.readouterr()
    bench.run(policy, "show", bob)
    told = capsys.readouterr().out
    assert re.search(r"^iprev:mismatch +tag +by domain example.test", told, re.MULTILINE)
    assert f"note: iprev mismatch: junk is tag, for user {bob} never sees Junk" in told
    assert re.search(r"^dnsbl/x:listed +junk +by site +enforced", told, re.MULTILINE)
    bench.run(policy, "set", bob, "iprev", "junk")
    bench.run(policy, "show", bob)
    assert "iprev mismatch: junk is tag" not in capsys.readouterr().out


def test_show_says_where_there_is_no_postfix(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(cli.postfix, "_PATH", str(tmp_path))
    assert bench.run(policy, "show", ALICE) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == "What Postfix refuses by itself is not known: there is no Postfix here"
    assert bench.run(policy, "show", ALICE, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["postfix"], shown["postfix_missing"]) == ([], "there is no Postfix here")


def test_show_says_that_postfix_cannot_be_read(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The site's own policy is shown all the same."""
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    assert bench.run(policy, "show", ALICE) == 0
    told = capsys.readouterr().out
    assert "iprev:mismatch" in told
    assert "What Postfix refuses by itself is not known: postconf -x: " in told


def test_of_a_matrix_it_is_what_is_done_with_mail_to_mailboxes(bench: Bench) -> None:
    cell = {"infected": "quarantine"}
    matrix = {
        "internet": {"*": {"infected": "tag"}},
        "*": {"local": cell, "*": {"infected": "tag"}},
    }
    engines = {"clamav": {"kind": "clamd", "server": "unix:/nowhere"}}
    table = {"mode": "enforce", "engines": engines, "matrix": matrix}
    alice = Subject(Kind.USER, ALICE)
    (site, *_rest), _own = policy.layers(alice, bench.admin, made_site(checks={"virus": table}))
    assert site.rules["virus", "infected"].choice is Action.QUARANTINE
