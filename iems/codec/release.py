"""The token that lets one message out of quarantine: `iems quarantine release` makes it, the agent
reads it.

It names the message, one recipient, the rules that are passed, and who releases it; an HMAC with
the site's key binds them, and it ends after a minute. Whoever may connect to the agent may send it
any message; that this one goes past a rule is true only where the token says so. That it is used
once is the agent's matter: with the delivery the recipient is gone from the store. Whatever is
wrong with a token is one error, `ReleaseError`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iems.codec.mac import mac

LIFE = 60
"""Seconds: it goes over a socket of this machine, at once; a worker that restarts takes some."""

LIMIT = 1900
"""Characters of a token; with its verb it fits into a command line of the agent."""

_PURPOSE = "release 1"
_AHEAD = 5
"""Seconds by which a clock may have been set back since."""


class ReleaseError(ValueError):
    """The token is none of this site's, or not good any more; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is released: `rules` are (check, band); `rights` says whose may it is (`Kind.value`).

    `by` is who typed, `time` in seconds of the epoch.
    """

    id: str
    recipient: str
    rules: tuple[tuple[str, str], ...]
    rights: str
    by: str
    time: int


def encode(release: Release, key_id: str, secret: bytes) -> str:
    """The token, one word of ASCII; ReleaseError where it is too long."""
    told = [
        release.id,
        release.recipient,
        [list(rule) for rule in release.rules],
        release.rights,
        release.by,
        release.time,
    ]
    text = json.dumps(told, separators=(",", ":"))
    payload = base64.urlsafe_b64encode(text.encode()).decode()
    token = ".".join((key_id, payload, mac(secret, (_PURPOSE, key_id, payload))))
    if len(token) > LIMIT:
        raise ReleaseError("more rules than fit into one token")
    return token


def decode(token: str, secret_of: Callable[[str], bytes | None], now: float) -> Release:
    """What the token says, if its HMAC is right and it has not ended at this time."""
    parts = token.split(".")
    if len(token) > LIMIT or not token.isascii() or len(parts) != 3:
        raise ReleaseError("no token")
    key_id, payload, given = parts
    secret = secret_of(key_id)
    if secret is None:
        raise ReleaseError("unknown key")
    if not hmac.compare_digest(mac(secret, (_PURPOSE, key_id, payload)), given):
        raise ReleaseError("wrong HMAC")
    try:
        release = _release(json.loads(base64.urlsafe_b64decode(payload)))
    except (ValueError, TypeError, RecursionError) as error:
        raise ReleaseError(f"damaged token: {type(error).__name__}") from None
    if not -_AHEAD <= int(now) - release.time <= LIFE:
        raise ReleaseError("token has ended")
    return release


def _release(told: Any) -> Release:  # noqa: ANN401 - whatever JSON can hold
    name, recipient, rules, rights, by, time = told
    texts = (name, recipient, rights, by, *(word for rule in rules for word in rule))
    if not all(isinstance(text, str) for text in texts) or not isinstance(time, int):
        raise TypeError
    return Release(name, recipient, tuple((check, band) for check, band in rules), rights, by, time)
