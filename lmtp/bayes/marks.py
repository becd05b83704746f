"""Header fields that are not the message's own: marks of its way, of mailboxes and of filters.

They are not looked at, so that a message is the same to the filter when it comes in and when it is
read from the mailbox later, and no other filter's opinion is learned instead of the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from iems.codec.header import parse_header
from iems.model.message import Field

HEADER = 64 << 10
"""Bytes of a header that are looked at."""

_SEARCHED = 1 << 20
"""Bytes in which its end is looked for: Postfix and the milter let in no more."""

_END = re.compile(rb"\n\r?\n")
_MBOX = re.compile(rb">?From [^\n]*\n")

_DELIVERED = (
    rb"return-path|delivered-to|x-original-to|x-original-delivered-to|envelope-to|x-envelope-.*"
    rb"|x-delivered-to|x-resolved-to|x-real-to|x-rcpt-to|x-x-sender|x-sieve.*|x-fetchmail.*|x-getmail.*"
    rb"|delivery-date|x-delivery-time"
)
_MAILBOX = (
    rb"status|x-status|x-uid.*|x-keywords|x-imap.*|x-imapbase|lines|content-length|x-mozilla-.*"
    rb"|x-account-key|x-evolution.*|x-gmail-labels|x-gm-.*|x-folder|x-message-flag|x-label|x-kmail-.*"
)
_FILTERS = (
    rb"x-iems-.*|x-.*spam.*|x-.*virus.*|x-bogo.*|x-crm114.*|x-popfile.*|x-text-classification"
    rb"|x-amavis.*|x-rspamd.*|x-mailscanner.*|x-scanned.*|x-.*-mailscanner.*|x-barracuda.*|x-ironport.*"
    rb"|x-proofpoint.*|x-pmx-.*|x-cloudmark.*|x-cmae.*|x-razor.*|x-pyzor.*|x-dcc-.*|x-greylist.*"
    rb"|x-policyd-.*|x-sa-.*|x-gmx-.*|x-.*-scl|x-ham.*|x-junk.*|x-bayes.*|x-hashcash"
)
_STRIPPED = re.compile(rb"|".join((_DELIVERED, _MAILBOX, _FILTERS)), re.DOTALL)


def split(message: bytes) -> tuple[bytes, bytes]:
    """The header, without the line of an mbox file before it, and all from the empty line on."""
    start = 0
    while (line := _MBOX.match(message, start)) is not None:
        start = line.end()
    if message.startswith((b"\n", b"\r\n"), start):
        return b"", message[start:]
    found = _END.search(message, start, start + _SEARCHED)
    end = len(message) if found is None else found.start() + 1
    return message[start : min(end, start + HEADER)], message[end:]


def kept(header: bytes) -> Iterator[Field]:
    """The fields that are the message's own."""
    for field in parse_header(header).fields:
        if not _STRIPPED.fullmatch(field.key) and not _delivery(field):
            yield field


def _delivery(field: Field) -> bool:
    """Whether the field tells of a delivery into a mailbox, or of its being fetched from one."""
    return field.key == b"received" and _LAST.search(field.value[:2000]) is not None


_LAST = re.compile(rb"(?i)\swith\s+(?:(?:utf8)?lmtps?a?|imap|pop3|local)\b")
