"""What a recipient's own script can ask for, in fields of his copy alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from iems.directory.contacts import MAIL, book_entry
from iems.directory.reader import DirectoryUnavailable
from iems.directory.store import Name
from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from lmtp.books import Books
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


@dataclass
class Shelf:
    """Address books, each of one address, and who was asked for; `down` answers nobody."""

    books: dict[Name, str]
    down: bool = False
    asked: list[Name] = field(default_factory=list)

    def exists(self, base: Name, pair: tuple[str, str], _deadline: Deadline) -> bool:
        """See `Contacts`."""
        self.asked.append(base)
        if self.down:
            raise DirectoryUnavailable("down")
        return pair == (MAIL, self.books.get(base, ""))


FRIEND = b"From: A friend <Friend@X.test>\r\n"
KNOWN = "X-IEMS-Fact: known=address-book"
ASKS, TOO = book_entry("asks@b.test"), book_entry("too@b.test")


def with_books(office: Office, shelf: Shelf) -> Office:
    """Where these address books are."""
    return replace(office, agent=replace(office.agent, books=Books(shelf, office.log)))


def test_whose_book_has_the_author_is_told(asked: Office) -> None:
    """Asked is for him who asks what was found, and for no other."""
    shelf = Shelf({ASKS: "friend@x.test", TOO: "other@x.test"})
    office = with_books(asked, shelf)
    office.deliver("asks", "too", "plain", header=FRIEND, findings=())
    assert told(office) == {
        "asks": ["X-IEMS-Fact: known=allow-list", KNOWN],
        "too": [],
        "plain": [],
    }
    assert sorted(shelf.asked) == [ASKS, TOO]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        FRIEND * 2,
        b"From: friend@x.test, other@x.test\r\n",
        b'From: "friend"@x.test\r\n',
        b"Sender: friend@x.test\r\nReply-To: friend@x.test\r\n",
    ],
)
def test_who_is_not_the_one_author_is_not_known(asked: Office, header: bytes) -> None:
    """Nor is nobody, nor is the envelope sender asked for."""
    shelf = Shelf({TOO: "friend@x.test"})
    office = with_books(asked, shelf)
    office.deliver("too", header=header, findings=(), sender="friend@x.test")
    assert told(office) == {"too": []}
    assert shelf.asked == []


def test_books_that_cannot_be_read_cost_the_fact_alone(
    asked: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail arrives; while they are left alone nobody asks, for no recipient and no message."""
    monkeypatch.setattr("lmtp.judging.REST", float("inf"))
    shelf = Shelf({ASKS: "friend@x.test", TOO: "friend@x.test"}, down=True)
    office = with_books(asked, shelf)
    for _again in range(2):
        replies = office.deliver("asks", "too", header=FRIEND, findings=(LISTED,))
        assert [one[:3] for one in replies] == ["250", "250"]
    assert told(office)["too"] == ["X-IEMS-Fact: dnsbl/one=listed"]
    assert shelf.asked == [ASKS]
    assert [one for one in office.log.lines if "address books are not available" in one]
