"""Addresses of pages and mailboxes as words: hosts with all that they belong to, pieces of paths.

No text raises, and the work is linear in its length.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from lmtp.bayes.words import shaped

_URL = re.compile(r"(?i)(?:https?://|ftp://|www\.)[^\s<>\"'()\[\]{}|\\^`]{1,2000}+")
_SCHEME = re.compile(r"(?i)(?:https?|ftp)\Z")
_PARTS = re.compile(r"([^/?#]*+)([^?#]*+)(?:\?([^#]*+))?+")
_SPLIT = re.compile(r"[^\w%~]+")
_KEY = re.compile(r"(?:\A|[&;])([\w.%-]{1,20}+)=")
_NUMBERS = re.compile(r"[\d.]+|0x[0-9a-f]+|\[?[0-9a-f:]*:[0-9a-f:.]*\]?")
_LABELS = 5
_PIECES = 8
_AROUND = ".,;:!?'*"


def cut(text: str) -> tuple[str, list[str]]:
    """The text with a blank for each address of a page, and those that are different."""
    kept: list[str] = []
    found: dict[str, None] = {}
    end = 0
    for start in sorted(_starts(text)):
        address = _URL.match(text, start) if start >= end else None
        if address is not None:
            kept.append(text[end:start])
            found[address[0]] = None
            end = address.end()
    return (" ".join((*kept, text[end:])), list(found)) if found else (text, [])


def _starts(text: str) -> Iterator[int]:
    """Where an address may begin."""
    for mark in ("://", "www.", "WWW."):
        at = text.find(mark)
        while at >= 0:
            scheme = _SCHEME.search(text, max(at - 5, 0), at) if mark == "://" else None
            yield at if scheme is None else scheme.start()
            at = text.find(mark, at + 3)


def url(address: str) -> list[str]:
    """The words of an address as `href` has it."""
    address = address.strip().lower()[:2000]
    scheme, colon, rest = address.partition(":")
    if address.startswith("www."):
        scheme, rest = "http", "//" + address
    elif scheme == "mailto" and colon:
        return [f"mailto:{word}" for word in mailbox(rest.partition("?")[0])]
    elif not colon or not rest.startswith("//"):
        return [f"url:{scheme[:10]}:" if colon and scheme.isalpha() else "url:relative"]
    found = _PARTS.match(rest.lstrip("/"))
    if found is None:
        return []
    authority, path, query = found.groups("")
    _user, at, place = authority.rpartition("@")
    name, _colon, port = place.partition(":")
    told = [f"url:{one}" for one in host(name)]
    if scheme != "http":
        told.append(f"url:{scheme[:10]}://")
    if at:
        told.append("url:user@")
    if port.isdigit():
        told.append(f"url::{port[:5]}")
    pieces = filter(None, _SPLIT.split(path, _PIECES)[:_PIECES])
    told += [f"url:/{shaped(one)}" for one in pieces]
    told += [f"url:?{shaped(key)}" for key in _KEY.findall(query[:200])[:_PIECES]]
    return told


@functools.lru_cache(maxsize=1024)
def host(name: str) -> Sequence[str]:
    """The host, and each domain that it belongs to; an IP address as its networks."""
    name = name.rstrip(_AROUND)[:253]
    if _NUMBERS.fullmatch(name):
        return ["address", *networks(name)]
    labels = name.split(".")[-_LABELS:]
    found = [".".join(labels[at:]) for at in range(len(labels) - 1)]
    found.append(f".{labels[-1]}")
    if "xn--" in name or not name.isascii():
        found.append("punycode")
    return found


def networks(address: str) -> list[str]:
    """The networks /24 and /16 that an IPv4 address is in; of IPv6, /48 and /32 as written."""
    numbers = address.split(".")
    if len(numbers) == 4:
        return [".".join(numbers[:3]), ".".join(numbers[:2])]
    groups = address.split(":")
    return [":".join(groups[:3]), ":".join(groups[:2])] if len(groups) > 2 else []


def mailbox(address: str) -> list[str]:
    """A mail address and the domains it is in."""
    address = address.strip(" <>\t\r\n\"'").lower()[:320]
    local, at, domain = address.rpartition("@")
    if not at:
        return [shaped(address[:20])]
    return [address, f"{shaped(local)}@", *(f"@{one}" for one in host(domain))]
