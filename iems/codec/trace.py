"""`X-IEMS-Trace`: the mark by which a copy that was delivered here is known when it is sent on.

What comes by sendmail(1) or over the loopback may be a message from outside that a Sieve script
sends on, and as well one that somebody on this machine has made up, with results that nobody found.
So the agent puts an HMAC-SHA256 with the site's key on top of each copy. It covers every byte
below it, the body too, and with them the Authentication-Results of the time when the message came.
Others on the way add fields above it, of which only the names count (`marked`). Who holds such a
copy can send it on as it is, and can do nothing else.

It names no recipient. Whatever is wrong with a mark is one error, `TraceError`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

from iems.codec import tags
from iems.codec.mac import mac
from iems.codec.tags import TagError
from iems.model.message import Body, Field, HeaderBlock

NAME = b"X-IEMS-Trace"
LIFE = 24 * 60 * 60
"""Seconds: Sieve sends on at once, and Postfix may stand still meanwhile."""

_AHEAD = 300
"""Seconds by which clocks may differ."""

_PURPOSE = "trace 1"
_ABOVE = re.compile(rb"received|delivered-to|return-path|x-.+", re.DOTALL)
"""Fields that may stand above, in lower case: what others read as the message's own does not."""

_LENGTH = 1000
"""Bytes of the value at most; ours have some 120."""


class TraceError(ValueError):
    """The mark is none of this site's for this message; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The reference under which the message came, and when it was delivered."""

    reference: str
    time: int


def mark(trace: Trace, digest: bytes, key_id: str, secret: bytes) -> bytes:
    """The value of the field; `digest` is that of all below it."""
    right = _mac(secret, key_id, trace, digest)
    return f"k={key_id}; t={trace.time}; r={trace.reference};\r\n\th={right}".encode()


def marked(header: HeaderBlock) -> tuple[Field, bytes] | None:
    """The mark of a message and the header below it; None where it has none.

    TraceError where it has two, or one that stands below what belongs to the message.
    """
    found = [at for at, field in enumerate(header.fields) if field.key == NAME.lower()]
    if not found:
        return None
    at = found[0]
    if len(found) > 1 or not all(_ABOVE.fullmatch(one.key) for one in header.fields[:at]):
        raise TraceError("fields were added to it")
    mark = header.fields[at]
    return mark, header.raw[mark.start + len(mark.raw) :]


def proven(
    value: bytes, digest: bytes, secret_of: Callable[[str], bytes | None], now: float
) -> Trace:
    """What a mark says of the message that has this digest below it."""
    given = _tags(value)
    trace = Trace(given["r"], int(given["t"]))
    secret = secret_of(given["k"])
    if secret is None:
        raise TraceError("its mark is by an unknown key")
    if not hmac.compare_digest(_mac(secret, given["k"], trace, digest), given["h"]):
        raise TraceError("it was changed since it was delivered")
    if not -_AHEAD <= now - trace.time <= LIFE:
        raise TraceError("it was delivered too long ago")
    return trace


def digest_of(header: bytes, body: Body) -> bytes:
    """The digest of a header and of what follows it, the empty line at first."""
    digest = hashlib.sha256(header)
    for piece in body.pieces():
        digest.update(piece)
    return digest.digest()


def _mac(secret: bytes, key_id: str, trace: Trace, digest: bytes) -> str:
    return mac(secret, (_PURPOSE, key_id, str(trace.time), trace.reference, digest.hex()))


def _tags(value: bytes) -> dict[str, str]:
    try:
        given = {
            name.decode(): text.decode("ascii")
            for name, text in tags.parse(value[:_LENGTH]).items()
        }
    except (TagError, UnicodeDecodeError):
        given = {}
    if given.keys() != {"k", "t", "r", "h"} or not re.fullmatch("[0-9]{1,12}", given["t"]):
        raise TraceError("its mark cannot be read")
    return given
