"""Text from outside (TXT records, HELO names, scanner names) made fit for a reply, header or log.

Nothing but printable ASCII comes through, and not more of it than an SMTP reply line carries
(RFC 5321 section 4.5.3.1.5); no input is an error.
"""

from __future__ import annotations

LIMIT = 400
"""Bytes; leaves room for code, enhanced code, address and reference in a 512 byte reply line."""


def printable(text: str | bytes, limit: int = LIMIT) -> str:
    """The text with every byte that is not printable ASCII as `?`, at most `limit` long."""
    decoded = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    clean = decoded[: limit + 1]
    if not (clean.isascii() and clean.isprintable()):
        clean = "".join(letter if " " <= letter <= "~" else "?" for letter in clean)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
