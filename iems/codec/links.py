"""Whom the links of a text lead to: the hosts of what mail programs make links of.

In plain text those are `http`, `https` and `ftp` addresses, words that are names with dots (`BARE`,
for nobody can tell `example.com` from `report.doc` without a list of what there is), and what
follows the `@` of a mail address. In HTML they are the same in its text, the addresses in comments,
styles and scripts, and what `href`, `src` and `action` hold, read as browsers read it: entities and
percent signs decoded, tabs, odd slashes and user names taken away. A host is a name of A-labels, or
an IP address in whatever notation browsers take; names without a dot lead nowhere from a mailbox.

Where HTML is broken it finds more than a browser would. No text raises, and the work is linear in
its length: no expression tries the same letters twice.
"""

from __future__ import annotations

import enum
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from urllib.parse import unquote

from iems.codec.texts import Text
from iems.model.envelope import IpAddress, parse_ip

MOST = 1000
"""Different hosts of each kind that are looked at."""

_HOST = 500
"""Characters of a host as it is written."""


class Kind(enum.Enum):
    """How it stands there."""

    LINK = "link"
    BARE = "bare"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class Link:
    """One host that a text leads to."""

    kind: Kind
    host: str | IpAddress


_ADDRESS = r"(?i:https?|ftp):[/\\]{2}([^\s/\\?#<>\"'(),;|{}`]++)"
_NAME = r"([\w-]++(?:\.[\w-]++)++)"
_SCHEMED = re.compile(_ADDRESS)
_WORD = re.compile(rf"{_ADDRESS}|@{_NAME}|(?:^|(?<=[(\[{{<>\"',;:|])){_NAME}(?!@)")

_MARKUP = re.compile(
    r"<(?:!--|([!?/]?+[A-Za-z][\w:-]*+)(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+'|[\"'])*+>)"
)
"""A tag, or the start of a comment. It ends before the next `<` that is in no quotes, or a thousand
tags that are never closed would each be read to the end of the text."""

_RAW = {name: re.compile(f"(?i)</{name}") for name in ("style", "script")}
_COMMENT_END = re.compile(r"--!?>")
_UNREAD = ("html", "!", "?")
"""Of these only name spaces and document types lead anywhere, always to the same places."""

_LEADING = re.compile(r"(?i)href|src|action")
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>]++)))?+")
_ATTRIBUTES = frozenset({"href", "src", "action", "formaction", "xlink:href"})
_URL = re.compile(r"(?:(?i:https?|ftp):|[/\\]{2})[/\\]*+([^/\\?#]++)")
_MAILBOX = re.compile(r"@([^@,;?&]++)")
_START = re.compile(rf"{_NAME}(?=[/?#:]|\Z)")
_BLANKS = "".join(map(chr, range(0x21)))
_IGNORED = dict.fromkeys(map(ord, "\t\n\r"))

_REFERENCE = re.compile(
    r"&(?:#(?:[xX]0*+[0-9a-fA-F]{1,6}+|0*+[0-9]{1,7}+)|[A-Za-z][A-Za-z0-9]{1,31}+);?"
)
_ZEROS = re.compile(r"(?<=[#xX])0++(?=[0-9a-fA-F])")

_INVISIBLE = dict.fromkeys([0xAD, 0x34F, 0x200B, 0x2060, 0xFEFF, *range(0xFE00, 0xFE10)])
"""What may stand in a name and is none of it (UTS #46)."""

_AROUND = ".,;:!?)'\"]}>*~"
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


def links(texts: Iterable[Text]) -> tuple[Link, ...]:
    """The different hosts of all texts, in the order in which they stand."""
    written: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    found: dict[Link, None] = {}
    for text in texts:
        for kind, host in _in_html(text.text) if text.html else _words(text.text):
            known = written[kind]
            if host in known or len(known) >= MOST:
                continue
            known.add(host)
            read = read_host(host)
            if read is not None:
                found[Link(kind, read)] = None
    return tuple(found)


def read_host(authority: str) -> str | IpAddress | None:
    """The host of an address's authority (`user@host:port`), as browsers read it."""
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        return parse_ip(host[1:50].partition("]")[0])
    host = unquote(host.partition(":")[0][:_HOST])
    if not host.isascii():
        host = unicodedata.normalize("NFKC", host).translate(_INVISIBLE).replace("\u3002", ".")
    labels = [_a_label(label) for label in host.lower().rstrip(_AROUND).split(".")]
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(labels)
    valid = len(labels)
    while valid and _LABEL.fullmatch(labels[valid - 1]):
        valid -= 1
    name = labels[valid:]
    return ".".join(name) if len(name) > 1 else None


def _a_label(label: str) -> str:
    """What browsers ask for: IDNA as UTS #46 has it today, which keeps ß."""
    if label.isascii() or len(label) > 63 or "\ufffd" in label:
        return label
    return "xn--" + unicodedata.normalize("NFC", label).encode("punycode").decode("ascii")


def _ipv4(labels: list[str]) -> IPv4Address | None:
    """One to four numbers, decimal, octal or hexadecimal; the last one fills what is left."""
    if len(labels) > 4 or not all(map(_NUMBER.fullmatch, labels)):
        return None
    try:
        *first, last = map(_number, labels)
    except ValueError:
        return None
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return IPv4Address(sum(one << 24 - 8 * at for at, one in enumerate(first)) + last)


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)


def _in_html(text: str) -> Iterator[tuple[Kind, str]]:
    at = 0
    while found := _MARKUP.search(text, at):
        yield from _shown(text[at : found.start()])
        name, at = found[1], found.end()
        if name is None:
            end = _COMMENT_END.search(text, found.start() + 2)
            begin, at = at, end.end() if end else len(text)
            yield from _hidden(text[begin:at])
            continue
        name = name.lower()
        if not name.startswith(_UNREAD):
            yield from _hidden(found[0])
        if name in _RAW:
            end = _RAW[name].search(text, at)
            begin, at = at, end.start() if end else len(text)
            yield from _hidden(text[begin:at])
    yield from _shown(text[at:])


def _shown(text: str) -> Iterator[tuple[Kind, str]]:
    """What stands between tags, of which broken ones are left over."""
    if "." in text or ":" in text or "&" in text:
        yield from _words(_unescaped(text))
    yield from _attributes(text)


def _hidden(text: str) -> Iterator[tuple[Kind, str]]:
    """A tag, a comment, a style or a script."""
    yield from _attributes(text)
    if "//" in text or "&" in text:
        for found in _SCHEMED.finditer(_unescaped(text)):
            yield Kind.LINK, found[1]


def _attributes(text: str) -> Iterator[tuple[Kind, str]]:
    if "=" not in text or not _LEADING.search(text):
        return
    for found in _ATTRIBUTE.finditer(text):
        value = found[2] or found[3] or found[4]
        if value and found[1].lower() in _ATTRIBUTES:
            yield from _followed(_unescaped(value).strip(_BLANKS).translate(_IGNORED))


def _followed(value: str) -> Iterator[tuple[Kind, str]]:
    """Where a click on it leads."""
    url = _URL.match(value)
    if url:
        yield Kind.LINK, url[1]
    elif value[:7].lower() == "mailto:":
        for mailbox in _MAILBOX.finditer(unquote(value)):
            yield Kind.MAIL, mailbox[1]
    elif start := _START.match(value):
        yield Kind.BARE, start[1]


def _words(text: str) -> Iterator[tuple[Kind, str]]:
    for word in text.split():
        if "." in word or ":" in word:
            for found in _WORD.finditer(word):
                address, mail, name = found.groups()
                if address:
                    yield Kind.LINK, address
                elif mail:
                    yield Kind.MAIL, mail
                else:
                    yield Kind.BARE, name


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    return html.unescape(_ZEROS.sub("", found[0]))
