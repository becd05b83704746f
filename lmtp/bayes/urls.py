"""Addresses of pages and mailboxes as words: hosts with all that they belong to, pieces of paths.

No text raises, and the work is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmtp.bayes.words import long, shaped

_URL = re.compile(r"(?i)\b(?:(https?|ftp)://|(?=www\.))([^\s<>\"'()\[\]{}|\\^`]{1,2000}+)")
_PARTS = re.compile(r"([^/?#]*+)([^?#]*+)(?:\?([^#]*+))?+")
_SPLIT = re.compile(r"[^\w%~]+")
_KEY = re.compile(r"(?:\A|[&;])([\w.%-]{1,20}+)=")
_NUMBERS = re.compile(r"[\d.]+|0x[0-9a-f]+|\[?[0-9a-f:]*:[0-9a-f:.]*\]?")
_LABELS = 5
_PIECES = 8
_AROUND = ".,;:!?'*"


def cut(text: str) -> tuple[str, list[str]]:
    """The text with a blank for each address of a page, and those that are different."""
    if "://" not in text and "www." not in text and "WWW." not in text:
        return text, []
    found = dict.fromkeys(one[0] for one in _URL.finditer(text))
    return (_URL.sub(" ", text), list(found)) if found else (text, [])


def url(address: str) -> Iterator[str]:
    """The words of an address as `href` has it."""
    address = address.strip().lower()
    scheme, colon, rest = address[:2000].partition(":")
    if address.startswith("www."):
        scheme, rest = "http", "//" + address[:2000]
    elif scheme == "mailto" and colon:
        yield from (f"mailto:{word}" for word in mailbox(rest.partition("?")[0]))
        return
    elif not colon or not rest.startswith("//"):
        yield f"url:{scheme[:10]}:" if colon and scheme.isalpha() else "url:relative"
        return
    if scheme != "http":
        yield f"url:{scheme[:10]}://"
    found = _PARTS.match(rest.lstrip("/"))
    if found is None:
        return
    authority, path, query = found.groups("")
    _user, at, place = authority.rpartition("@")
    if at:
        yield "url:user@"
    name, port, number = place.partition(":")
    if port and number.isdigit():
        yield f"url::{number[:5]}"
    yield from (f"url:{one}" for one in host(name))
    for piece in _SPLIT.split(path, _PIECES)[:_PIECES]:
        if piece:
            yield f"url:/{shaped(piece) if len(piece) <= 20 else long(piece)}"
    for key in _KEY.findall(query[:200])[:_PIECES]:
        yield f"url:?{shaped(key)}"


def host(name: str) -> Iterator[str]:
    """The host, and each domain that it belongs to; an IP address as its networks."""
    name = name.rstrip(_AROUND)[:253]
    if _NUMBERS.fullmatch(name):
        yield "address"
        yield from networks(name)
        return
    if "xn--" in name or not name.isascii():
        yield "punycode"
    labels = name.split(".")[-_LABELS:]
    for at in range(len(labels) - 1):
        yield ".".join(labels[at:])
    yield f".{labels[-1]}"


def networks(address: str) -> Iterator[str]:
    """The networks /24 and /16 that an IPv4 address is in."""
    numbers = address.split(".")
    if len(numbers) == 4:
        yield ".".join(numbers[:3])
        yield ".".join(numbers[:2])
    else:
        yield address[:14]


def mailbox(address: str) -> Iterator[str]:
    """A mail address and the domains it is in."""
    address = address.strip(" <>\t\r\n\"'").lower()[:320]
    local, at, domain = address.rpartition("@")
    if not at:
        yield shaped(address[:20])
        return
    yield address
    yield f"{shaped(local)}@" if len(local) <= 20 else f"{long(local)}@"
    for one in host(domain):
        yield f"@{one}"
