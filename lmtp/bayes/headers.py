"""Header fields as words, each with the name of its field before it.

No bytes raise, and the work is linear in their number.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

from iems.codec.encoded import decoded
from iems.codec.header import unfold
from iems.model.message import Field
from lmtp.bayes import received
from lmtp.bayes.charsets import characters
from lmtp.bayes.urls import host, mailbox, networks
from lmtp.bayes.words import sequence, words

_VALUE = 2000
"""Bytes of one value: a list of recipients may have many times as many."""

_FIELDS, _TIMES, _WORDS, _FEW = 100, 20, 12, 3
"""Fields, those of one name, and words of one that nothing special is known of."""

_BETWEEN = re.compile(r"[\s<>()\[\]\"',;:]+")
_ID = re.compile(r"<?([^<>@\s]{0,300}+)@?([^<>\s]{0,255}+)>?")
_ZONE = re.compile(r"[+-]\d{4}|\b[A-Z]{1,5}\b(?=\)?\s*\Z)")
_TAG = re.compile(r"(?:\A|;)\s*([a-z]{1,3})=([^;]*)")
_RESULT = re.compile(r"\b([a-z][a-z0-9-]{0,20})=([a-z]{1,12})\b")
_UPPER, _LOWER, _DIGITS = re.compile("[A-Z]+"), re.compile("[a-z]+"), re.compile("[0-9]+")


def header_words(fields: Sequence[Field]) -> list[str]:
    """The words of a header."""
    told: list[str] = []
    hops: list[str] = []
    for field in fields[:_FIELDS]:
        if field.occurrence > _TIMES:
            continue
        if field.key == b"received":
            hops.append(value(field))
            continue
        if not field.name:  # a line of the body, where no empty one is before that
            told += words(value(field))
            continue
        told.append(f"has:{field.name[:40].decode('ascii', 'replace')}")
        if field.key in _SILENT or (field.key == b"authentication-results" and hops):
            continue
        name = field.key[:40].decode("ascii", "replace")
        found = _READERS.get(field.key, _few if name.startswith("list-") else _some)(value(field))
        told += [f"{name}:{word}" for word in found]
    return told + received.hop_words(hops)


def value(field: Field) -> str:
    """What a field says, decoded, on one line."""
    raw = unfold(field.value[:_VALUE])
    return decoded(raw) if b"=?" in raw else characters(raw, "")


def _few(text: str) -> list[str]:
    """Of fields that all say the same: lists have six of them."""
    return words(text)[:_FEW]


def _some(text: str) -> list[str]:
    return words(text)[:_WORDS]


def _subject(text: str) -> list[str]:
    found = sequence(text)
    told = [*found, *(f"{one} {two}" for one, two in itertools.pairwise(found))]
    letters = "".join(filter(str.isalpha, text))
    if len(letters) > 5 and letters.isupper():
        told.append("all capitals")
    if "   " in text:
        told.append("many blanks")
    return told


def _mailboxes(text: str) -> list[str]:
    pieces = _BETWEEN.split(text)
    found = [one for one in pieces if "@" in one]
    told = [word for one in found[:20] for word in mailbox(one)]
    told += words(" ".join(one for one in pieces if "@" not in one))[:_WORDS]
    if not found:
        told.append("no address")
    elif len(found) > 1:
        told.append(f"{min(len(found), 20) // 5 * 5}+ addresses")
    return told


def _identifier(text: str) -> list[str]:
    found = _ID.match(text)
    if found is None or not found[0]:
        return ["none"]
    return [f"shape {_shape(found[1])[:20]}", *(f"@{one}" for one in host(found[2].lower()))]


def _identifiers(text: str) -> list[str]:
    hosts = (one.rpartition("@")[2].strip("<>").lower() for one in text.split()[:5])
    return [f"@{part}" for one in hosts for part in host(one)]


def _date(text: str) -> list[str]:
    return [f"shape {_shape(text)[:40]}", *_ZONE.findall(text)[:2]]


def _signature(text: str) -> list[str]:
    told: list[str] = []
    for tag, said in _TAG.findall(text)[:20]:
        if tag in {"d", "s", "i"}:
            told += [f"{tag}={one}" for one in host(said.strip().lower())]
        elif tag in {"a", "c", "cv"}:
            told.append(f"{tag}={said.strip()[:30]}")
    return told


def _address(text: str) -> list[str]:
    """The networks of whom a webmail service had the message from."""
    return networks(text.strip(" []")[:40].lower())


def _results(text: str) -> list[str]:
    return [f"{method}={result}" for method, result in _RESULT.findall(text.lower())[:20]]


def _shape(text: str) -> str:
    return _DIGITS.sub("0", _LOWER.sub("a", _UPPER.sub("A", text[:200])))


_READERS: Mapping[bytes, Callable[[str], list[str]]] = {
    b"subject": _subject,
    **dict.fromkeys(
        (
            b"from",
            b"to",
            b"cc",
            b"reply-to",
            b"sender",
            b"errors-to",
            b"disposition-notification-to",
        ),
        _mailboxes,
    ),
    **dict.fromkeys((b"message-id", b"resent-message-id", b"x-message-id"), _identifier),
    **dict.fromkeys((b"references", b"in-reply-to"), _identifiers),
    **dict.fromkeys((b"x-originating-ip", b"x-sender-ip", b"x-source-ip"), _address),
    **dict.fromkeys((b"date", b"resent-date"), _date),
    **dict.fromkeys(
        (b"dkim-signature", b"domainkey-signature", b"arc-seal", b"arc-message-signature"),
        _signature,
    ),
    **dict.fromkeys((b"authentication-results", b"arc-authentication-results"), _results),
}
_SILENT = frozenset({b"content-type", b"content-disposition", b"mime-version", b"received-spf"})
"""What is told of the parts, or has only that it is there."""
