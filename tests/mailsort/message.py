"""A message as the interpreter of rules sees it: fields, addresses and texts."""

from __future__ import annotations

import base64
import email.message
import email.policy
import html.parser
import quopri
import re
from collections.abc import Iterator


class Message:
    """The bytes of a message, read."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.parsed = email.message_from_bytes(octets, policy=email.policy.compat32)

    def raw(self, name: str) -> list[str]:
        """The fields of this name, unfolded as Pigeonhole does it: a fold is a blank."""
        return [
            re.sub(r"\r?\n[ \t]", " ", value)
            .encode("ascii", "surrogateescape")
            .decode("utf-8", "replace")
            .strip(" \t\r\n")
            for key, value in self.parsed.raw_items()
            if key.lower() == name.lower()
        ]

    def fields(self, name: str) -> list[str]:
        """The fields of this name, decoded."""
        return [decoded(value).strip() for value in self.raw(name)]

    def addresses(self, name: str) -> list[str]:
        """The addresses in these fields, those in groups among them; a field without is one."""
        make = email.policy.default.header_factory
        return [
            address
            for value in self.raw(name)
            for address in [one.addr_spec for one in make("To", value).addresses] or [value]
        ]

    def texts(self) -> list[str]:
        """Its parts of text, decoded; of HTML what stands between the tags."""
        return [_text(part) for part in self._parts() if part.get_content_maintype() == "text"]

    def _parts(self) -> Iterator[email.message.Message]:
        return (part for part in self.parsed.walk() if not part.is_multipart())


def _text(part: email.message.Message) -> str:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    text = octets.decode(part.get_content_charset("utf-8"), "replace")
    if part.get_content_subtype() != "html":
        return text
    shown = _Shown()
    shown.feed(text)
    shown.close()
    return "".join(shown.data)


class _Shown(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.data: list[str] = []

    def handle_data(self, data: str) -> None:
        self.data.append(data)


_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?]*)?\?([bq])\?([^?\s]*)\?=", re.IGNORECASE)


def decoded(value: str) -> str:
    """A field without its encoded words (RFC 2047); white space between two of them is none."""
    value = re.sub(rf"({_WORD.pattern})\s+(?={_WORD.pattern})", r"\1", value, flags=re.IGNORECASE)

    def word(found: re.Match[str]) -> str:
        charset, encoding, text = found.groups()
        octets = (
            base64.b64decode(text)
            if encoding in "bB"
            else quopri.decodestring(text.encode(), header=True)
        )
        return octets.decode(charset, "replace")

    return _WORD.sub(word, value)
