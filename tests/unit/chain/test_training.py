"""spam@ and ham@ of a domain: who has logged in may write to them, and nobody else."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from iems.directory.toml import TomlDirectory
from iems.settings.load import from_table
from milters.reply import Continue, Reject
from tests.unit.chain.world import DIRECTORY, SETTINGS, World, rcpt

ON = '[checks.bayes]\nmode = "delegate"\n'
ADDRESSES = """
"spam@example.test" = ["spam@example.test"]
"Ham@example.test" = ["ham@example.test"]
"team@example.test" = ["bob@example.test", "spam@example.test"]
"nobody@example.test" = ["nobody@example.test"]
"""


def world(more: str = ON) -> World:
    """A site with these settings besides."""
    made = World()
    settings = from_table(tomllib.loads(SETTINGS + more))
    directory = TomlDirectory.parse(DIRECTORY + ADDRESSES)
    made.runtime = replace(made.runtime, settings=settings, directory=directory, checks=())
    return made


def told(made: World, *recipients: str, login: str = "bob@example.test") -> list[object]:
    """The classes of the replies to RCPT."""
    chain = made.connect("192.0.2.1", daemon="submission" if login else "internet")
    chain.mail("<bob@example.test>", {"{auth_authen}": login} if login else {})
    return [type(one) for one in rcpt(chain, *recipients)]


def test_who_has_logged_in_may_write_to_them() -> None:
    made = world()
    assert told(made, "spam", "HAM", "nobody") == [Continue, Continue, Reject]
    assert told(made, "spam", "ham", "team", login="") == [Reject, Reject, Continue]
    [record, *_others] = made.recorder.committed
    assert "5.1.1" in record.reply


@pytest.mark.parametrize(
    "more", ["", '[checks.bayes]\nmode = "off"\n', f"{ON}[bayes]\nforwards = false\n"]
)
def test_and_may_not_where_nothing_is_trained_so(more: str) -> None:
    assert told(world(more), "spam", "ham") == [Reject, Reject]
