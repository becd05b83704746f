"""Laws of what a message is to the filter that learns."""

from __future__ import annotations

import re

from lmtp.bayes.tokens import WORDS, key, message_id, tokens

_LONGEST = 400
"""Characters of one word: mail addresses are the longest."""


def words(data: bytes) -> None:
    """They are distinct, few, and can be written; and the way into a mailbox changes nothing."""
    found = tokens(data)
    assert len(found.words) == len(set(found.words)) <= WORDS
    assert all(0 < len(one) <= _LONGEST for one in found.words)
    assert all(one.isprintable() for one in found.words)
    assert len(found.text) <= 8192
    assert len(key(data)) == 16
    if _MAIL.match(data) and b"\0" not in data and len(data) < _HEADER:
        later = _ADDED + data
        assert tokens(later) == found
        assert key(later) == key(data)
        assert message_id(later) == message_id(data)


_MAIL = re.compile(rb"[A-Za-z-]+:[^\n]*\n")
_HEADER = 60_000
"""Bytes: what is added may make more of a header than is looked at."""

_ADDED = (
    b"Return-Path: <a@b.test>\nDelivered-To: c@d.test\n"
    b"Received: from a.test\n\tby d.test with LMTP id 1\n\tfor <c@d.test>; today\n"
    b"X-IEMS-Verdict: junk; ref=1\n"
)
