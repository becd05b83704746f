"""Received (RFC 5321 section 4.4) as words: who handed the message over, from outside.

Fields without a public address are of hosts on this side, or of none. What those further down say
is the sender's own text; it is told apart from what the first one says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lmtp.bayes.urls import host, networks

_MOST = 3
"""Hops that are looked at."""

_FROM = re.compile(r"from\s+(\S{1,255}+)(.{0,500}?)(?=\bby\s|;|\Z)", re.DOTALL | re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"\[(?:IPv6:)?([0-9a-f]{1,4}:[0-9a-f:]{3,40})\]", re.IGNORECASE)
_NAME = re.compile(r"\(\s*(?:HELO\s+)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)\.?[\s)\[]", re.IGNORECASE)
_WITH = re.compile(r"\bwith\s+([A-Za-z]{2,12})\b")
_PRIVATE = re.compile(
    r"(?:0|10|127)\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|fe80:|f[cd][0-9a-f]{2}:"
)


def hop_words(values: Sequence[str]) -> list[str]:
    """The words of these fields, the topmost first."""
    told: list[str] = []
    count = 0
    for text in values:
        found = _FROM.match(text)
        address = _address(found[1] + found[2]) if found else ""
        if found is None or not address or _PRIVATE.match(address):
            continue
        tag = "hop" if count else "received"
        told += [f"{tag}:{one}" for one in _hop(found[1], found[2], address)]
        if not count and (protocol := _WITH.search(text)) is not None:
            told.append(f"received:with {protocol[1].lower()}")
        count += 1
        if count == _MOST:
            break
    return [*told, f"received:{count} hops"]


def _hop(helo: str, rest: str, address: str) -> list[str]:
    helo = helo.strip("[]()").lower()
    told = [*networks(address), *(f"helo {one}" for one in host(helo))]
    name = _NAME.search(rest)
    if name is None:
        return [*told, "no name"]
    told += [f"name {one}" for one in host(name[1].lower())]
    return told if name[1].lower() == helo else [*told, "helo is another name"]


def _address(text: str) -> str:
    found = _IPV4.search(text)
    if found is not None:
        return found[0]
    six = _IPV6.search(text)
    return six[1].lower() if six else ""
