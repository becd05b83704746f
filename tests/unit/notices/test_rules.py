"""Notices of rules that could not be installed: to whom, once, in which words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from iems.directory.reader import User
from iems.model.address import Address
from iems.model.policy import Kind, Layer, Subject
from iems.notices.letter import texts
from iems.notices.postmaster import NoticeError, NoticeRefusedError
from iems.notices.rules import NOTICE, RuleNotices
from iems.settings.read import LANGUAGES
from iems.store.causes import Causes

BOB = User(
    Address("bob", "a.test"),
    Layer(Subject(Kind.USER, "bob@a.test")),
    Layer(Subject(Kind.DOMAIN, "a.test")),
)


class Mail:
    """Takes mail, or fails as it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[Address, EmailMessage]] = []
        self.error: NoticeError | None = None

    def send(self, to: Address, message: EmailMessage) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((to, message))


@pytest.fixture
def mail() -> Mail:
    return Mail()


@pytest.fixture
def notices(tmp_path: Path, mail: Mail) -> Iterator[RuleNotices]:
    with closing(Causes(tmp_path / "told.sqlite")) as causes:
        yield RuleNotices(causes, "mail.a.test", "en", mail)


def test_once_of_a_cause(notices: RuleNotices, mail: Mail) -> None:
    """Until it is another one, or all was well; each for himself, and nobody who takes no mail."""
    other = replace(BOB, address=Address("carol", "a.test"))
    assert [notices.tell(BOB, ["too long"]) for _try in range(2)] == [True, False]
    assert notices.tell(other, ["too long"])
    assert notices.tell(BOB, ["too many"])
    notices.well(BOB.address.key)
    assert notices.tell(BOB, ["too many"])
    assert not notices.tell(replace(BOB, refusal="disabled"), ["other"])
    assert [to.local for to, _message in mail.sent] == ["bob", "carol", "bob", "bob"]


def test_what_cannot_be_sent_is_told_later(notices: RuleNotices, mail: Mail) -> None:
    """And what is refused for good is not."""
    mail.error = NoticeError("silent")
    with pytest.raises(NoticeError):
        notices.tell(BOB, ["too long"])
    mail.error = NoticeRefusedError("no such user")
    with pytest.raises(NoticeRefusedError):
        notices.tell(BOB, ["too long"])
    mail.error = None
    assert not notices.tell(BOB, ["too long"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasons_are_lines_and_not_all_of_them(
    notices: RuleNotices, mail: Mail, language: str
) -> None:
    """In the user's language; no text of a rule is a link, or a line of its own."""
    assert set(texts(language, NOTICE)) == set(texts("en", NOTICE))
    reasons = [f'rule "see http://x.example\n{number}"' for number in range(25)]
    notices.tell(replace(BOB, language=language), reasons)
    [(_to, message)] = mail.sent
    text = message.get_content()
    assert (message["Content-Language"], message["Subject"]) == (
        language,
        texts(language, NOTICE)["subject"],
    )
    assert "bob@a.test" in text
    assert "mail.a.test" in text
    assert [line for line in text.splitlines() if line.startswith("* ")] == [
        f'* rule "see http: // x.example {number}"' for number in range(20)
    ]
    assert "5" in text.splitlines()[-3]
