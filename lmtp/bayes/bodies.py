"""A message's parts as words and text: what is shown is decoded and read, all else is told of.

No bytes raise, and the work is linear in their number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from iems.mime import transfer
from iems.mime.part import Part
from iems.mime.tree import parse
from lmtp.bayes import html, urls
from lmtp.bayes.charsets import characters
from lmtp.bayes.words import shaped, words

PARTS = 100
"""Parts that are looked at."""

TEXT = 40_000
"""Characters of text of all parts together."""

SOURCE = 100_000
"""The same of HTML with its tags."""

_URLS = 100
_NAMES = 12
_LETTERS = bytes(set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n\t "))
_PAGE = re.compile(r"(?i)<(?:html|body|!doctype html|table|font|a href)\b")
_NO_DATA = re.compile(r"(?m)^[!-~]{60,}$\n?")


class Body:
    """The words of a message below its header, and its text."""

    def __init__(self) -> None:
        self.words: dict[str, None] = {}
        self.pieces: list[str] = []
        self._left = TEXT
        self._source = SOURCE
        self._urls = _URLS

    def read(self, data: bytes) -> None:
        """All parts of a message."""
        for count, part in enumerate(_parts(parse(data))):
            if count == PARTS:
                self.words["mime:many parts"] = None
                break
            self._part(data, part)

    def _part(self, data: bytes, part: Part) -> None:
        word = part.content_type.word[:60]
        self._told(f"mime:{word or 'no type'}")
        self._all(f"mime:{found.defect.value}" for found in part.defects)
        if part.parts:
            self._told(
                *(f"mime:boundary {_shape(one)}" for one in part.content_type.all("boundary")[:1])
            )
            return
        if part.encoding != "7bit":
            self._told(f"mime:{part.encoding[:20]}")
        attached = part.disposition.word == "attachment"
        if attached or not word.startswith(("text", "multipart", "message")):
            self._file(part, word)
        else:
            self._text(data, part, word)

    def _file(self, part: Part, word: str) -> None:
        """What a part says of itself that is not shown."""
        size = part.end - part.body
        self._told(f"file:{word}", f"file:size 2^{size.bit_length()}")
        for name in part.names[:2]:
            stem, _dot, ending = name.lower().rpartition(".")
            self._told(f"file:.{shaped(ending[:10])}")
            self._all(f"file:{one}" for one in words(stem[:100])[:_NAMES])

    def _text(self, data: bytes, part: Part, word: str) -> None:
        if self._left <= 0:
            return
        if part.names:
            self._told("file:text")
        octets = _octets(part.encoding, data[part.body : part.end])
        named = b"".join(part.content_type.all("charset")[:1])[:40].decode("latin-1").lower()
        self._told(f"mime:charset {named}" if named else "mime:no charset")
        text = characters(octets[: 4 * self._source], named)
        if word == "text/html" or _PAGE.search(text, 0, 2000):
            self._html(text)
        else:
            self._plain(text)

    def _html(self, text: str) -> None:
        text = text[: max(self._source, 0)]
        self._source -= len(text)
        page = html.read(text)
        self._all(page.words)
        for one in page.urls:
            self._url(one)
        if page.hidden.strip():
            self._all(f"hidden:{word}" for word in words(page.hidden[:2000])[:50])
        self._plain(page.shown)

    def _plain(self, text: str) -> None:
        text = text[: max(self._left, 0)]
        self._left -= len(text)
        self.pieces.append(text)
        text, found = urls.cut(text)
        for one in found:
            self._url(one)
        self._all(words(text))

    def _url(self, address: str) -> None:
        if self._urls > 0:
            self._urls -= 1
            self._all(urls.url(address))

    def _told(self, *found: str) -> None:
        self._all(found)

    def _all(self, found: Iterable[str]) -> None:
        self.words.update(dict.fromkeys(found))


def _parts(root: Part) -> Iterator[Part]:
    """What most readers see, in its order."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += reversed(part.parts)


def _octets(encoding: str, body: bytes) -> bytes:
    """The octets of a text, or what stands there if it is not encoded as it says."""
    if encoding == "base64" and len(body.translate(None, _LETTERS)) * 10 > len(body):
        return body
    return transfer.decode(encoding, body)


def _shape(boundary: bytes) -> str:
    text = boundary[:70].decode("latin-1")
    return re.sub("[0-9]+", "0", re.sub("[a-z]+", "a", re.sub("[A-Z]+", "A", text)))[:20]
