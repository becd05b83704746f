"""What a recipient's own script can ask for, in fields of his copy alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from tests.unit.lmtp.conftest import LISTED, Office
from tests.unit.lmtp.judging.conftest import SALT_OF, USERS, Filters, soon

DIRECTORY = """
[domains."b.test"]
[users."asks@b.test"]
facts = true
policy = { "dnsbl/one" = { listed = "tag" } }
senders = ["allow x.test unverified"]
[users."too@b.test"]
facts = true
[users."plain@b.test"]
"""
CLEAN = Finding("spf", "pass")


@pytest.fixture
def asked(office: Office) -> Office:
    return replace(office, agent=replace(office.agent, directory=TomlDirectory.parse(DIRECTORY)))


def told(office: Office) -> dict[str, list[str]]:
    """The facts in the copies, by recipient."""
    return {
        who.removeprefix("RCPT TO:<").partition("@")[0]: [
            line
            for line in one.data.decode().splitlines()
            if line.startswith(("X-IEMS-Fact:", "X-IEMS-Score:"))
        ]
        for one in office.taken
        for who in one.recipients
    }


def test_who_asks_is_told_and_nobody_else(asked: Office) -> None:
    forged = b"X-IEMS-Fact: known=allow-list\r\nX-IEMS-Score: 0\r\n"
    asked.deliver("asks", "too", "plain", findings=(LISTED, CLEAN), header=forged)
    listed = "X-IEMS-Fact: dnsbl/one=listed"
    assert told(asked) == {
        "asks": [listed, "X-IEMS-Fact: known=allow-list"],
        "too": [listed],
        "plain": [],
    }


def test_an_entry_that_blocks_is_no_allow_list(asked: Office) -> None:
    text = DIRECTORY.replace('"allow x.test unverified"', '"block x.test"')
    agent = replace(asked.agent, directory=TomlDirectory.parse(text))
    replace(asked, agent=agent).deliver("asks")
    assert told(asked)["asks"] == ["X-IEMS-Fact: dnsbl/one=listed"]


def test_a_band_that_two_found_is_told_once(asked: Office) -> None:
    asked.deliver("too", findings=(LISTED, LISTED, CLEAN))
    assert told(asked)["too"] == ["X-IEMS-Fact: dnsbl/one=listed"]


def test_his_filter_is_told_in_percent_but_not_in_shadow(filters: Filters) -> None:
    text = USERS.replace('"alice@b.test"]', '"alice@b.test"]\nfacts = true', 1)
    text = text.replace('bayes = "shadow"', 'bayes = "shadow"\nfacts = true')
    agent = replace(filters.office.agent, directory=TomlDirectory.parse(text))
    office = replace(filters.office, agent=agent)
    assert filters.store.load(SALT_OF, soon()).spam
    replace(filters, office=office).deliver("alice", "shadow")
    found = told(office)
    assert found["shadow"] == []
    [band, score] = found["alice"]
    assert band in {"X-IEMS-Fact: bayes=spam", "X-IEMS-Fact: bayes=certain"}
    assert 50 < int(score.removeprefix("X-IEMS-Score: ")) <= 99
