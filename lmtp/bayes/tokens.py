"""A message as the words that a classifier learns by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

MAX_MESSAGE = 256 * 1024
"""Bytes: a longer message is judged by its head."""

_TEXT = 8192
_WORD = re.compile(r"[\w.@$-]{2,20}")
_FIELD = re.compile(rb"(?im)^(message-id|date|from|subject):[ \t]*([^\r\n]*)")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a message is made of."""

    words: tuple[str, ...]
    """Distinct words with the place they stood at, in order of first occurrence."""

    text: bytes
    """What byte n-grams are made of: header fields and decoded text, capped."""


def tokens(message: bytes) -> Tokens:
    """Those of a message, whatever its bytes are."""
    text = message[:MAX_MESSAGE]
    words = _WORD.findall(text.decode("latin-1"))
    return Tokens(tuple(dict.fromkeys(words)), text[:_TEXT])


def key(message: bytes) -> bytes:
    """16 bytes by which the same message is known again."""
    fields = sorted(_FIELD.findall(message[:MAX_MESSAGE]))
    text = b"\n".join(name.lower() + b":" + value.strip() for name, value in fields)
    return blake2b(text, digest_size=16).digest()


def message_id(message: bytes) -> bytes:
    """Its Message-ID, empty without one."""
    for name, value in _FIELD.findall(message[:MAX_MESSAGE]):
        if name.lower() == b"message-id":
            return bytes(value.strip())
    return b""
