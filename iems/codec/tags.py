"""Tag lists (RFC 6376 section 3.2), `v=1; d=example.org`: of signatures and of their keys.

Names are compared with their case. A list that names a tag twice is none: which of the two counts
would be anybody's guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FWS = b" \t\r\n"
"""Folding white space, of whatever form."""

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_VALUE = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")
"""What is visible, and UTF-8 (RFC 8616 section 4); the semicolon has ended the value."""


class TagError(ValueError):
    """The bytes are no tag list; the message says why."""


def parse(text: bytes) -> Mapping[bytes, bytes]:
    """The values by name, without the white space around them."""
    specs = text.split(b";")
    if len(specs) > 1 and not specs[-1].strip(FWS):
        specs.pop()
    tags: dict[bytes, bytes] = {}
    for spec in specs:
        name, equals, value = spec.partition(b"=")
        name = name.strip(FWS)
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise TagError("what stands between two semicolons is no tag")
        if name in tags:
            raise TagError(f"the tag {name.decode()[:20]}= stands there twice")
        tags[name] = value.strip(FWS)
    return tags


def words(value: bytes) -> tuple[bytes, ...]:
    """The parts of a value that colons separate, in lower case."""
    return tuple(word.strip(FWS).lower() for word in value.split(b":"))


def without(text: bytes, tag: bytes) -> bytes:
    """The list with the value of this tag deleted, and not a byte else (section 3.5, `b=`)."""
    return b";".join(_emptied(spec, tag) for spec in text.split(b";"))


def _emptied(spec: bytes, tag: bytes) -> bytes:
    name, equals, _value = spec.partition(b"=")
    return name + equals if name.strip(FWS) == tag else spec
