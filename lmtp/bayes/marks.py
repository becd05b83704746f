"""Header fields that are not the message's own: marks of its way, of mailboxes and of filters.

They are not looked at, so that a message is the same to the filter when it comes in and when it is
read from the mailbox later, and no other filter's opinion is learned instead of the message.
"""

from __future__ import annotations

import re

from iems.codec.header import parse_header
from iems.model.message import Field

HEADER = 64 << 10
"""Bytes of a header that are looked at."""

_SEARCHED = 256 << 10
"""Bytes in which its end is looked for: Postfix lets in 100 KiB."""

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
    rb"|x-amavis.*|x-mailscanner.*|x-scanned.*|x-.*-mailscanner.*|x-barracuda.*|x-ironport.*"
    rb"|x-proofpoint.*|x-pmx-.*|x-cloudmark.*|x-cmae.*|x-razor.*|x-pyzor.*|x-dcc-.*|x-greylist.*"
    rb"|x-policyd-.*|x-sa-.*|x-gmx-.*|x-.*-scl|x-ham.*|x-junk.*|x-bayes.*|x-hashcash"
)
_STRIPPED = re.compile(rb"|".join((_DELIVERED, _MAILBOX, _FILTERS)), re.DOTALL)


def enough(body: int) -> int:
    """Bytes of a message, as it comes, among which all is that `split` takes for so many of body.

    Each line end may be two of them.
    """
    return 2 * (_SEARCHED + body)


def split(message: bytes, body: int) -> tuple[bytes, bytes]:
    """The header, and so many bytes of what follows it, the empty line at first; lines end in LF.

    Line ends are other ones in a mailbox, and zero bytes are lost on the way. What an mbox file has
    before the header is none of it.
    """
    data = message[: enough(body)]
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    data = data.replace(b"\r\n", b"\n") if b"\n" in data else data.replace(b"\r", b"\n")
    start = 0
    while (line := _MBOX.match(data, start)) is not None:
        start = line.end()
    if data.startswith(b"\n", start):
        return b"", data[start : start + body]
    found = data.find(b"\n\n", start, start + _SEARCHED)
    header = data[start : start + HEADER if found < 0 else min(found + 1, start + HEADER)]
    end = start + len(header) if found < 0 else found + 1
    return header, data[end : end + body]


def kept(header: bytes) -> list[Field]:
    """The fields that are the message's own."""
    fields = parse_header(header).fields
    return [one for one in fields if not _STRIPPED.fullmatch(one.key) and not _delivery(one)]


def _delivery(field: Field) -> bool:
    """Whether the field tells of a delivery into a mailbox, or of its being fetched from one."""
    return field.key == b"received" and _LAST.search(field.value[:2000]) is not None


_LAST = re.compile(rb"(?i)\swith\s+(?:(?:utf8)?lmtps?a?|imap|pop3|local)\b")
