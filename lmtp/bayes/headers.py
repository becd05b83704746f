"""Header fields as words, each with the name of its field before it.

No bytes raise, and the work is linear in their number.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from iems.codec.encoded import decoded
from iems.codec.header import unfold
from iems.model.message import Field
from lmtp.bayes import received
from lmtp.bayes.charsets import characters
from lmtp.bayes.urls import host, mailbox
from lmtp.bayes.words import sequence, words

_VALUE = 2000
"""Bytes of one value: a list of recipients may have many times as many."""

_FIELDS, _WORDS = 100, 12
"""Fields, and words of one that nothing special is known of."""

_MAILBOX = re.compile(r"[^\s<>()\[\]\"',;:@]{1,100}+@[^\s<>()\[\]\"',;:@]{1,255}+")
_ID = re.compile(r"<?([^<>@\s]{0,300}+)@?([^<>\s]{0,255}+)>?")
_ZONE = re.compile(r"[+-]\d{4}|\b[A-Z]{1,5}\b(?=\)?\s*\Z)")
_TAG = re.compile(r"(?:\A|;)\s*([a-z]{1,3})=([^;]*)")
_RESULT = re.compile(r"\b([a-z][a-z0-9-]{0,20})=([a-z]{1,12})\b")
_NO_WORD = re.compile(r"[^\W\d]|\d")
_UPPER, _LOWER, _DIGITS = re.compile("[A-Z]+"), re.compile("[a-z]+"), re.compile("[0-9]+")


def header_words(fields: Sequence[Field]) -> Iterator[str]:
    """The words of a header."""
    hops: list[Field] = []
    for field in fields[:_FIELDS]:
        if field.key == b"received":
            hops.append(field)
            continue
        if not field.name:
            continue
        name = field.key[:40].decode("ascii", "replace")
        yield f"has:{field.name[:40].decode('ascii', 'replace')}"
        if field.key == b"authentication-results" and len(hops) > 1:
            continue
        text = value(field)
        reader = _READERS.get(name)
        if reader is not None:
            yield from reader(name, text)
        elif name not in _SILENT:
            yield from (f"{name}:{word}" for word in words(text)[:_WORDS])
    yield from received.hop_words([value(hop) for hop in hops])


def value(field: Field) -> str:
    """What a field says, decoded, on one line."""
    raw = unfold(field.value[:_VALUE])
    return decoded(raw) if b"=?" in raw else characters(raw, "").replace("\n", " ")


def _subject(name: str, text: str) -> Iterator[str]:
    found = sequence(text)
    yield from (f"{name}:{word}" for word in found)
    yield from (f"{name}:{one} {two}" for one, two in itertools.pairwise(found))
    letters = "".join(filter(str.isalpha, text))
    if len(letters) > 5 and letters.isupper():
        yield f"{name}:all capitals"
    if "   " in text:
        yield f"{name}:many blanks"


def _mailboxes(name: str, text: str) -> Iterator[str]:
    found = _MAILBOX.findall(text)
    for one in found[:20]:
        yield from (f"{name}:{word}" for word in mailbox(one))
    yield from (f"{name}:{word}" for word in words(_MAILBOX.sub(" ", text))[:_WORDS])
    if not found:
        yield f"{name}:no address"
    elif len(found) > 1:
        yield f"{name}:{min(len(found), 20) // 5 * 5}+ addresses"


def _identifier(name: str, text: str) -> Iterator[str]:
    found = _ID.match(text.strip())
    if found is None or not found[0]:
        yield f"{name}:none"
        return
    yield f"{name}:shape {_shape(found[1])[:20]}"
    yield from (f"{name}:@{one}" for one in host(found[2].lower()))


def _identifiers(name: str, text: str) -> Iterator[str]:
    for one in text.split()[:5]:
        yield from (f"{name}:@{part}" for part in host(one.rpartition("@")[2].strip("<>").lower()))


def _date(name: str, text: str) -> Iterator[str]:
    yield f"{name}:shape {_shape(text)[:40]}"
    yield from (f"{name}:{zone}" for zone in _ZONE.findall(text)[:2])


def _signature(name: str, text: str) -> Iterator[str]:
    for tag, said in _TAG.findall(text):
        if tag in {"d", "s", "i"}:
            yield from (f"{name}:{tag}={one}" for one in host(said.strip().lower()))
        elif tag in {"a", "c", "cv"}:
            yield f"{name}:{tag}={said.strip()[:30]}"


def _results(name: str, text: str) -> Iterator[str]:
    yield from (f"{name}:{method}={result}" for method, result in _RESULT.findall(text.lower()))


def _shape(text: str) -> str:
    return _DIGITS.sub("0", _LOWER.sub("a", _UPPER.sub("A", text)))


_READERS: Mapping[str, Callable[[str, str], Iterator[str]]] = {
    "subject": _subject,
    **dict.fromkeys(
        ("from", "to", "cc", "reply-to", "sender", "errors-to", "disposition-notification-to"),
        _mailboxes,
    ),
    **dict.fromkeys(("message-id", "resent-message-id", "x-message-id"), _identifier),
    **dict.fromkeys(("references", "in-reply-to"), _identifiers),
    **dict.fromkeys(("date", "resent-date"), _date),
    **dict.fromkeys(
        ("dkim-signature", "domainkey-signature", "arc-seal", "arc-message-signature"), _signature
    ),
    **dict.fromkeys(("authentication-results", "arc-authentication-results"), _results),
}
_SILENT = frozenset({"content-type", "content-disposition", "mime-version", "received-spf"})
"""What is told of the parts, or has only that it is there."""
