"""The text of a digest: whatever comes from outside is text in it, printable, short and no link."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from html.parser import HTMLParser
from string import Template

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.notices.letter import Item, Letter, Section, filled, language_of, mailto, shown, texts
from iems.settings.read import LANGUAGES

OFF = "alice+iems-off-abcdefghijklm@b.test"
RELEASE = "alice+iems-abcdefghijklmnopqrstuvwxyz23@b.test"
HOSTILE = st.one_of(
    st.text(),
    st.text("<>&\"'/=!-[]()\r\n\t :hrefscipt\u202e\u2028\x00\x1b"),
    st.sampled_from(
        [
            "</td><script>alert(1)</script>",
            "<!--",
            "]]>",
            "&lt;img src=x&gt;",
            '" onmouseover="x',
            "http://evil.example/",
            "\ud800",
            "x" * 5000,
        ]
    ),
)


class Page(HTMLParser):
    """What a browser finds in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str | None] = []
        self.texts: list[str] = []
        self.others: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _value in attrs)))
        self.links += [value for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    unknown_decl = handle_pi = handle_comment


def letter(sender: str, why: str, subject: str) -> Letter:
    """A letter of all kinds."""
    kept = Item("2026-03-04 05:06", sender, why, subject, RELEASE)
    stays = Item("2026-03-04 05:06", sender, why, subject, id="AbCdEfGh0_-1")
    plain = Item("2026-03-04 05:06", sender, why)
    sections = [
        Section("refused", [plain], 7),
        Section("junk", [plain, plain]),
        Section("quarantine", [kept, stays]),
    ]
    return Letter("alice@b.test", "mail.b.test", "CET", OFF, sections)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_what_comes_from_outside_is_text(sender: str, why: str, subject: str) -> None:
    words = texts("en")
    html = letter(sender, why, subject).html(words, "en")
    page, harmless = Page(html), Page(letter("x", "x", "x").html(words, "en"))
    assert page.tags == harmless.tags
    assert page.links == harmless.links
    assert all(link and link.startswith("mailto:alice%2Biems-") for link in page.links)
    assert not page.others
    told = " ".join(page.texts)
    for text in (sender, why, subject):
        assert shown(text) in told
    assert "://" not in html


@given(HOSTILE, HOSTILE, HOSTILE)
def test_plain_text_has_a_line_for_each_part(sender: str, why: str, subject: str) -> None:
    lines = letter(sender, why, subject).plain(texts("en")).split("\n")
    assert len(lines) == len(letter("x", "x", "x").plain(texts("en")).split("\n"))
    assert all(line.isprintable() and len(line) < 300 for line in lines)
    assert not any("://" in line for line in lines)


@given(HOSTILE)
def test_what_is_shown_is_printable_short_and_no_link(text: str) -> None:
    told = shown(text)
    assert told.isprintable()
    assert len(told) <= 200
    assert "://" not in told


def test_nothing_that_can_be_read_is_lost() -> None:
    assert shown("Grüße,  \tдва <b>") == "Grüße, два <b>"
    assert shown("x" * 201) == "x" * 197 + "..."
    assert shown("see http://a.test") == "see http: // a.test"
    assert shown("see WWW.a.test, not awww.a.test") == "see WWW. a.test, not awww.a.test"


@given(HOSTILE, st.sampled_from(LANGUAGES))
def test_the_mail_is_ascii_on_the_wire_and_comes_back(text: str, language: str) -> None:
    message = letter(text, text, text).message(language)
    assert message["Content-Language"] == language
    wire = message.as_bytes()
    assert wire.isascii()
    assert max(map(len, wire.splitlines())) < 998
    again = email.message_from_bytes(wire, policy=email.policy.default)
    assert isinstance(again, EmailMessage)
    assert [part.get_content_type() for part in again.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    assert again["List-Unsubscribe"] == f"<{mailto(OFF, texts(language)['off_subject'])}>"
    body = again.get_body(("plain",))
    assert body is not None
    assert body.get_content() == letter(text, text, text).plain(texts(language))


@pytest.mark.parametrize("name", ["digest", "virus"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_lacks_a_word_or_a_value(language: str, name: str) -> None:
    ours, english = texts(language, name), texts("en", name)
    assert ours.keys() == english.keys()
    for name, text in ours.items():
        assert Template(text).is_valid()
        assert set(Template(text).get_identifiers()) == set(
            Template(english[name]).get_identifiers()
        )
        assert text.isprintable()
        assert not re.search("https?:", text)
    assert len(LANGUAGES) > 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_long_address_is_a_link_all_the_same(language: str) -> None:
    off = f"{'a' * 41}+iems-off-abcdefghijklm@{'long.' * 40}test"
    one = Letter("a@b.test", "h", "CET", off, [Section("junk", [Item("t", "s", "w")])])
    header = one.message(language).as_bytes().partition(b"\n\n")[0].decode()
    assert f"\nList-Unsubscribe: <mailto:{off.replace('+', '%2B')}?subject=" in header
    assert all(len(word) <= 75 for word in header.split() if word.startswith("=?"))


def test_without_an_address_there_is_none_to_write_to() -> None:
    one = Letter("a@b.test", "h", "CET", "", [Section("junk", [Item("t", "", "why")])])
    message = one.message("en")
    assert message["List-Unsubscribe"] is None
    assert "You want no such mail" not in str(message)
    assert "(no sender)" in one.plain(texts("en"))
    assert "mailto:" not in one.html(texts("en"), "en")


@pytest.mark.parametrize(
    ("preferred", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr, de;q=0.8, en;q=0.7", "de"),
        ("en-gb;q=0.8, de", "en"),
        ("fr", "en"),
        (";,-", "en"),
    ],
)
def test_the_first_language_that_there_is(preferred: str, language: str) -> None:
    assert language_of(preferred, "en") == language


def test_values_stand_where_the_text_says() -> None:
    assert filled("$count of $host", count="3", host="h") == "3 of h"
