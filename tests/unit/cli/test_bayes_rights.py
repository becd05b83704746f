"""`iems bayes --as USER`: whose filter whom may look at and change."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from cli import entries
from cli.bayes import desk
from iems.directory.authority import Actor
from iems.model.policy import Kind, Subject
from tests.unit.cli.test_bayes import ALICE, BOB, HAM, Site, serving, site
from tests.unit.learning.test_worker import soon

__all__ = ["serving", "site"]

VERBS = [("status",), ("explain", "m"), ("undo", "m"), ("reset",), ("curve", "--html", "x")]


@pytest.mark.parametrize("words", VERBS, ids=lambda one: one[0])
def test_it_is_for_root(
    site: Site, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    verb, *rest = words
    assert site.run(verb, ALICE, *rest) == 77
    assert "only root" in site.err


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Actor], list[str]]:
    """Whoever `--as` names has the rights of this actor; what the audit is told."""
    audited: list[str] = []

    class Opened:
        def __init__(self, actor: Actor) -> None:
            self.actor = actor

    def act(actor: Actor) -> list[str]:
        monkeypatch.setattr(entries, "opened", lambda *_given: Opened(actor))
        monkeypatch.setattr(
            desk,
            "audit",
            lambda _log: (
                lambda who, verb, thing, what: audited.append(f"{who} {verb} {thing}: {what}")
            ),
        )
        return audited

    return act


def test_a_user_has_his_own_filter_and_no_other(
    serving: Site, acting: Callable[[Actor], list[str]]
) -> None:
    audited = acting(Actor(Subject(Kind.USER, BOB)))
    for user in (ALICE, BOB):
        serving.train((1, HAM, None), user=user)
    for words in (("status",), ("undo", "0" * 32), ("reset", "--yes")):
        verb, *rest = words
        assert serving.run(verb, "--as", BOB, ALICE, *rest) == 77
        assert f"user {BOB} may not" in serving.err
        assert serving.run(verb, "--as", BOB, BOB, *rest) in {0, 1}
    assert serving.run("status", "--as", BOB) == 77, "those of all are the site's"
    assert serving.daemon.store.users(soon()) == [ALICE]
    assert [line for line in audited if "NotAuthorised" not in line] == [
        f"user {BOB} delete bayes {BOB}: reset"
    ]
    assert f"user {BOB} delete bayes {ALICE}: NotAuthorisedError" in audited


def test_who_administers_a_domain_has_the_filters_in_it(
    site: Site, acting: Callable[[Actor], list[str]]
) -> None:
    acting(Actor(Subject(Kind.USER, BOB), frozenset({"example.test"})))
    site.train((1, HAM, None))
    assert site.run("status", "--as", BOB, ALICE) == 0
    assert site.run("status", "--as", BOB, "x@other.test") == 77
