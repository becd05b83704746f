"""The messages that are attached to one: what somebody forwards as an attachment.

They are parts that say they are a message, and files whose name ends in `.eml`, whatever their
type. What is attached to an attached message is its own and none of these. Pure; no bytes raise,
and the work is linear in their number.
"""

from __future__ import annotations

from collections.abc import Iterator

from iems.mime.part import Part
from iems.mime.transfer import decode
from iems.mime.tree import parse

_TYPES = frozenset({"message/rfc822", "message/global"})
_FILE = ".eml"


def attached(message: bytes) -> Iterator[bytes]:
    """Those of a message as they were attached, in their order; none that is empty."""
    waiting = [parse(message)]
    while waiting:
        part = waiting.pop()
        if not _is_message(part):
            waiting += reversed(part.parts)
        elif octets := decode(part.encoding, message[part.body : part.end]).lstrip(b"\r\n"):
            yield octets


def _is_message(part: Part) -> bool:
    named = any(name.casefold().endswith(_FILE) for name in part.names)
    return part.content_type.word in _TYPES or (named and not part.parts)
