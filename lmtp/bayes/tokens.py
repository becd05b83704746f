"""A message as what a filter learns by: words that a user can read, and text for byte n-grams.

Whatever stands in a message is read here and in the modules that this one names; how much each word
says is for a classifier. What is not the message's own is not looked at (`lmtp.bayes.marks`), so
that a message makes the same words when it comes in and in the mailbox.

No bytes raise, the work is linear in their number, and what it makes is bounded: a longer message
is judged by its head.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from hashlib import blake2b

from iems.codec.header import unfold
from iems.model.message import Field
from lmtp.bayes import marks
from lmtp.bayes.bodies import Body
from lmtp.bayes.headers import header_words

BODY = 256 * 1024
"""Bytes below the header: a longer message is judged by its head."""

MAX_MESSAGE = marks.enough(BODY)
"""Bytes of a message, as it comes, of which whoever reads one for a filter needs no more."""

WORDS = 3000
"""Words of one message."""

_TEXT = 8192
"""Bytes of text for n-grams, of which the header may have half."""

_KEY = (b"message-id", b"date", b"from", b"subject")
"""What a message is known by."""

_EDITED = re.compile(rb"content-|mime-version|authentication-results")
"""Fields that edits of mail change, where a message is known by all of them."""

_LOST = b"\x80"
"""What Dovecot writes for a zero byte."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a message is made of."""

    words: tuple[str, ...]
    """Distinct words with the place they stood at, in order of first occurrence."""

    text: bytes
    """What byte n-grams are made of: header fields, an empty line and decoded text, capped."""


def tokens(message: bytes, body: int = BODY) -> Tokens:
    """Those of a message, whatever its bytes are; `body` is how many are read below its header."""
    header, rest = marks.split(message, body)
    return _tokens(marks.kept(header), rest)


def key(message: bytes) -> bytes:
    """16 bytes by which the same message is known again, whatever was put on top of it."""
    return _key(marks.kept(marks.split(message, 0)[0]))


def message_id(message: bytes) -> bytes:
    """Its Message-ID, empty without one."""
    return _message_id(marks.kept(marks.split(message, 0)[0]))


def all_of(message: bytes, body: int = BODY) -> tuple[Tokens, bytes, bytes]:
    """The three of a message whose header is read once for them, which is an eighth of the time."""
    header, rest = marks.split(message, body)
    fields = marks.kept(header)
    return _tokens(fields, rest), _key(fields), _message_id(fields)


def _tokens(fields: list[Field], rest: bytes) -> Tokens:
    own = b"".join(field.raw for field in fields)
    body = Body()
    body.read(own + (rest if rest.startswith(b"\n") else b"\n\n" + rest))
    words = dict.fromkeys((*header_words(fields), *body.words))
    if not "".join(words).isprintable():
        words = dict.fromkeys(map(_printable, words))
    # With a blank behind each, half as many words are enough.
    most = _TEXT // 2 + 1
    shown = " ".join(" ".join(body.pieces).split(None, most)[:most])[:_TEXT]
    header = own[: _TEXT // 2].rstrip(b"\n")
    text = header + b"\n\n" + shown.encode("utf-8", "replace")
    return Tokens(tuple(itertools.islice(words, WORDS)), text[:_TEXT])


def _key(fields: list[Field]) -> bytes:
    first: dict[bytes, bytes] = {}
    for field in fields:
        first.setdefault(field.key, _canonical(field))
    told = [(name, first[name]) for name in _KEY if name in first]
    if not first.get(b"message-id"):
        told = [(one.key, _canonical(one)) for one in fields if not _EDITED.match(one.key)]
    text = b"\n".join(b"%s:%s" % one for one in told)
    return blake2b(text, digest_size=16).digest()


def _message_id(fields: list[Field]) -> bytes:
    for field in fields:
        if field.key == b"message-id":
            return unfold(field.value)
    return b""


def _printable(word: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in word)


def _canonical(field: Field) -> bytes:
    return b" ".join(field.value.translate(None, _LOST).split())
