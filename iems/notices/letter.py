"""The text of a list of messages, plain and as HTML, in the language of who gets it.

A digest is one, and a notice of viruses; each has a file of words for each language. Both forms are
made of the same parts. The HTML is a tree that is printed, so whatever comes from outside is text
in it, whoever forgets what; it holds nothing remote. Text from outside is made printable and short,
and what begins as a web address does is taken apart: the links lead by `mailto:` to addresses of
ours and nowhere else. A bare name such as `example.com` is left, of which some mail programs make a
link by themselves.
"""

from __future__ import annotations

import functools
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from importlib import resources
from string import Template
from urllib.parse import quote

from iems.settings.read import LANGUAGES

DIGEST = "digest"
"""The name of the words of a digest."""

_LIMIT = 200
"""Characters of a text from outside: two lines of a mail program."""

_LINE = 900
"""Characters of a header line, below the 998 of RFC 5322 section 2.1.1."""

_WWW = re.compile(r"\bwww\.(?=\S)", re.IGNORECASE)
_WIDE = "border-collapse: collapse; text-align: left; vertical-align: top"


@dataclass(frozen=True, slots=True)
class Item:
    """One message; `time` as it is shown, `subject` None where nobody knows it.

    `release` is the address that releases it, `id` that of a message that has none; `recipients`
    and `reference` are shown where they are given.
    """

    time: str
    sender: str
    why: str
    subject: str | None = None
    release: str = ""
    id: str = ""
    recipients: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Messages of one kind, by its name among the words, and how many more there are."""

    kind: str
    items: Sequence[Item]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """What is told to whom; `off` is the address that ends it, `zone` the name of the time zone.

    `words` is the name of the file of its words.
    """

    address: str
    host: str
    zone: str
    off: str
    sections: Sequence[Section]
    words: str = DIGEST

    def message(self, language: str) -> EmailMessage:
        """It as a mail, without sender and recipient."""
        words = texts(language, self.words)
        count = sum(len(one.items) + one.more for one in self.sections)
        message = EmailMessage()
        message["Subject"] = filled(words["subject"], count=str(count))
        if self.off:
            message["List-Unsubscribe"] = f"<{mailto(self.off, words['off_subject'])}>"
        message.set_content(self.plain(words), cte="quoted-printable")
        message.add_alternative(self.html(words, language), subtype="html", cte="quoted-printable")
        message["Content-Language"] = language  # setting a content takes such fields away
        # Python folds a link that is longer than a line into encoded words, which no program reads.
        message.policy = message.policy.clone(max_line_length=_LINE)
        return message

    def plain(self, words: Mapping[str, str]) -> str:
        """The plain text."""
        return "\n".join(self._lines(words)) + "\n"

    def _lines(self, words: Mapping[str, str]) -> Iterator[str]:
        yield self._intro(words)
        for section in self.sections:
            title = words[section.kind]
            yield from ("", "", title, "-" * len(title), words[f"{section.kind}_help"])
            for item in section.items:
                told = _told(item, words)
                yield ""
                yield f"* {told.pop('time')}"
                yield from (f"  {words[name]}: {value}" for name, value in told.items())
                if item.release:
                    yield f"  {words['release']}: {item.release}"
            if section.more:
                yield from ("", f"  {filled(words['more'], count=str(section.more))}")
        if self.off:
            yield from ("", "", f"{words['off']} {self.off}")

    def html(self, words: Mapping[str, str], language: str) -> str:
        """The same as a page."""
        page = ET.Element("html", lang=language)
        body = ET.SubElement(page, "body")
        _add(body, "p", self._intro(words))
        for section in self.sections:
            _add(body, "h3", words[section.kind])
            _add(body, "p", words[f"{section.kind}_help"])
            _table(body, section, words)
            if section.more:
                _add(body, "p", filled(words["more"], count=str(section.more)))
        if self.off:
            last = _add(body, "p", f"{words['off']} ")
            _add(last, "a", self.off, href=mailto(self.off, words["off_subject"]))
        return f"<!DOCTYPE html>\n{ET.tostring(page, encoding='unicode', method='html')}\n"

    def _intro(self, words: Mapping[str, str]) -> str:
        return filled(words["intro"], address=self.address, host=self.host, zone=self.zone)


def _table(body: ET.Element, section: Section, words: Mapping[str, str]) -> None:
    table = ET.SubElement(body, "table", border="1", cellpadding="4", style=_WIDE)
    names = list(dict.fromkeys(name for item in section.items for name in _told(item, words)))
    asked = any(item.release for item in section.items)
    head = ET.SubElement(table, "tr")
    for name in (*names, *(("release",) if asked else ())):
        _add(head, "th", words[name])
    for item in section.items:
        row, told = ET.SubElement(table, "tr"), _told(item, words)
        for name in names:
            _add(row, "td", told.get(name, ""))
        if asked:
            cell = ET.SubElement(row, "td")
            if item.release:
                href = mailto(item.release, words["release_subject"])
                _add(cell, "a", words["release"], href=href)


def _told(item: Item, words: Mapping[str, str]) -> dict[str, str]:
    """What is shown of a message, by the names of the words for it."""
    told = {"time": item.time, "sender": shown(item.sender) or words["nobody"]}
    if item.subject is not None:
        told["message"] = shown(item.subject) or words["nothing"]
    if item.recipients:
        told["recipients"] = shown(item.recipients)
    told["why"] = shown(item.why)
    if item.id:
        told["why"] += f". {filled(words['by_postmaster'], id=item.id)}"
    if item.reference:
        told["reference"] = shown(item.reference)
    return told


def _add(above: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    made = ET.SubElement(above, tag, attributes)
    made.text = text
    return made


def shown(text: str) -> str:
    """Text from outside on one line: no control character or change of direction, no address."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _LIMIT])
    one_line = " ".join(_WWW.sub(r"\g<0> ", clean.replace("://", ": // ")).split())
    return one_line if len(one_line) <= _LIMIT else one_line[: _LIMIT - 3] + "..."


def mailto(address: str, subject: str) -> str:
    """A link to write to this address (RFC 6068)."""
    return f"mailto:{quote(address, safe='@')}?subject={quote(subject)}"


def filled(text: str, **values: str) -> str:
    """A text of ours with its values."""
    return Template(text).substitute(values)


def language_of(preferred: str, default: str) -> str:
    """The first language that we have of those somebody prefers (RFC 2798 section 2.7)."""
    for one in preferred.split(","):
        language = one.partition(";")[0].strip().partition("-")[0].lower()
        if language in LANGUAGES:
            return language
    return default


@functools.cache
def texts(language: str, name: str = DIGEST) -> Mapping[str, str]:
    """Our words in one of `LANGUAGES`, out of the file of this name."""
    file = resources.files(__package__).joinpath(f"{name}.{language}.toml")
    return tomllib.loads(file.read_text("utf-8"))
