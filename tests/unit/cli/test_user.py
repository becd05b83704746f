"""`iems user` without a server."""

from __future__ import annotations

import pytest

from cli import domain, user
from iems.directory.authority import Actor, NotAuthorisedError, Thing, authorise
from iems.directory.tree import domain_entry
from iems.model.policy import Kind, Subject
from tests.unit.cli.memory import Bench

ALICE = Actor(Subject(Kind.USER, "alice@example.test"))


@pytest.fixture
def bench() -> Bench:
    """A directory with the domain."""
    made = Bench()
    made.run(domain, "add", "example.test", "--postmaster", "alice@example.test")
    made.audited.clear()
    return made


def test_password_printed_is_the_one_set(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """And it never stands in the audit."""
    capsys.readouterr()
    assert bench.run(user, "add", "Alice@example.test") == 0
    password = capsys.readouterr().out.splitlines()[1].removeprefix("password ")
    name = (("uid", "alice"), *domain_entry("example.test"))
    assert bench.store.passwords == {name: password}
    made = [f"site add {kind} alice@example.test: done" for kind in ("user", "address-book")]
    assert bench.audited == made
    assert password not in str(bench.audited)


def test_user_and_password_are_one_change(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no moment at which there is a user without one."""
    capsys.readouterr()
    bench.store.down.add("add")
    assert bench.run(user, "add", "alice@example.test") == 75
    assert bench.audited == ["site add user alice@example.test: DirectoryUnavailable"]
    assert (("uid", "alice"), *domain_entry("example.test")) not in bench.store.entries
    bench.store.down.clear()
    assert bench.run(user, "add", "alice@example.test", "--exists-ok") == 0
    assert capsys.readouterr().out.startswith("added user alice@example.test\npassword ")
    assert "set_password" not in bench.store.asked


def test_list(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """All, or those of a domain."""
    bench.run(domain, "add", "other.test", "--postmaster", "alice@example.test")
    for address in ("bob@other.test", "alice@example.test"):
        bench.run(user, "add", address)
    capsys.readouterr()
    bench.run(user, "list")
    assert capsys.readouterr().out == "alice@example.test\nbob@other.test\n"
    bench.run(user, "list", "other.test", "--json")
    assert capsys.readouterr().out == '[\n  {\n    "address": "bob@other.test"\n  }\n]\n'


@pytest.mark.parametrize("verb", ["add", "delete", "set", "change", "show"])
@pytest.mark.parametrize(
    "kind", ["domain", "admin", "user", "alias", "policy", "sender", "password"]
)
def test_authorise(verb: str, kind: str) -> None:
    """The site's administrator may do all; a user set his own policy and password, no more."""
    own, foreign = Thing(kind, ALICE.subject.name), Thing(kind, "bob@example.test")
    authorise(Actor(), verb, own)
    allowed = {(done, thing) for done in ("set", "show") for thing in ("policy", "sender")}
    allowed.add(("change", "password"))
    assert may(ALICE, verb, own) == ((verb, kind) in allowed)
    for actor in (ALICE, Actor(Subject(Kind.DOMAIN, "bob@example.test"))):
        assert not may(actor, verb, foreign)


@pytest.mark.parametrize("verb", ["add", "delete", "set", "change", "show"])
@pytest.mark.parametrize(
    "kind", ["domain", "admin", "user", "alias", "policy", "sender", "password"]
)
def test_authorise_domain_administrator(verb: str, kind: str) -> None:
    """What is in his domains, but no domain and no administrator; and nothing of another's."""
    dan = Actor(Subject(Kind.USER, "dan@example.test"), frozenset({"example.test", "example.org"}))
    inside = kind not in {"domain", "admin"}
    for name in ("bob@example.test", "@example.org"):
        assert may(dan, verb, Thing(kind, name)) == inside
    assert may(dan, verb, Thing(kind, "example.org")) == inside
    for name in ("bob@other.test", "bob@sub.example.test", "other.test"):
        assert not may(dan, verb, Thing(kind, name))


def may(actor: Actor, verb: str, thing: Thing) -> bool:
    """Whether `authorise` lets him."""
    try:
        authorise(actor, verb, thing)
    except NotAuthorisedError:
        return False
    return True


def test_refusal_is_audited_and_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Who may not do it learns nothing of the directory."""
    bench = Bench(actor=ALICE)
    assert bench.run(user, "add", "mallory@example.test") == 77
    assert bench.store.asked == []
    assert bench.audited == [
        "user alice@example.test add user mallory@example.test: NotAuthorisedError"
    ]
    assert "may not add user" in capsys.readouterr().err
