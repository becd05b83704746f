"""The script of ours among a user's: how it says that it is, and that nobody has edited it.

On top stands a sum of what is below. So who installs needs to keep nothing about what he has
installed: a script whose sum is not its own was edited by somebody else, or is none of ours.
"""

from __future__ import annotations

import hashlib

NAME = "iems-mailsort"
"""What it is called in the user's storage; Dovecot runs it by this name (`sieve_before`)."""

_HEAD = (
    "# Made of the rules of this mailbox, and made anew whenever they change:\n"
    "# `iems mailsort edit`, not an edit of this script, changes what it does.\n"
)
_SUM = "# sum: "


def sealed(body: str) -> bytes:
    """The script with this text."""
    return f"{_HEAD}{_SUM}{_digest(body)}\n{body}".encode()


def intact(script: bytes) -> bool:
    """Whether it is as `sealed` made it; how lines end is no difference."""
    text = script.decode("utf-8", "replace").replace("\r\n", "\n")
    above, found, rest = text.partition(_SUM)
    told, _end, body = rest.partition("\n")
    return bool(found) and above == _HEAD and told == _digest(body)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
