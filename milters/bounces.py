"""Which of Postfix's bounces return spam to outside: those get a field of ours, and no long life.

A bounce carries the header of the message that it returns, with the findings that the milter gave
it. They count if their HMAC is right and if they belong to the queue id and the sender of which
the report itself speaks (X-Postfix-Queue-ID, X-Postfix-Sender; RFC 3464): a header copied into
another message makes no bounce spam. Spam is what the site itself would file as junk, or worse, by
any of them; a check that failed says nothing. Whatever is wrong with a report leaves the bounce as
it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from iems.codec import findings
from iems.codec.header import parse_header, split_message, unfold
from iems.model.envelope import LOCAL
from iems.model.finding import TEMPERROR
from iems.model.message import HeaderBlock
from iems.model.policy import Action, decide
from iems.settings.schema import Settings
from milters.state import Message

LIMIT = 256 << 10
"""Bytes of a bounce that are read: a report of some hundred for each recipient, and then at most
50,000 of the message (bounce_size_limit), at whose top the milter's fields stand."""

_REPORT = re.compile(
    rb'\s*multipart/report\s*;(?s:.*?)\bboundary="([^"\r\n]{1,200})"', re.IGNORECASE
)
_STATUS = frozenset({b"message/delivery-status", b"message/global-delivery-status"})
"""The second where the message came with SMTPUTF8 (RFC 6533)."""

_RETURNED = frozenset(
    {b"message/rfc822", b"message/global", b"text/rfc822-headers", b"message/global-headers"}
)


@dataclass(frozen=True, slots=True)
class Returned:
    """Of which message the report speaks, and the header that it returns."""

    queue_id: str
    sender: str
    header: HeaderBlock


def verdict(
    message: Message, settings: Settings, secret_of: Callable[[str], bytes | None]
) -> tuple[bool, str]:
    """Whether the message is a bounce of spam that leaves, and a note for its record, if any."""
    if message.report is None or not message.leaves:
        return False, ""
    report = returned(message.block, bytes(message.report))
    if report is None:
        return False, ""
    try:
        passed = passed_of(report, secret_of)
    except findings.FindingsError as error:
        return False, f"the findings that this bounce returns do not count: {error}"
    seen = [one for one in passed.findings if one.band != TEMPERROR]
    decision = decide(seen, settings.layers(passed.channel, LOCAL))
    if decision.action < Action.JUNK or decision.decisive is None:
        return False, ""
    why = decision.decisive.finding
    return True, f"a bounce of spam: {passed.reference} has {why.check} {why.band}"


def returned(bounce: HeaderBlock, body: bytes) -> Returned | None:
    """What the report says and returns; None where it is no report of Postfix's."""
    kind = next(iter(bounce.named(b"Content-Type")), None)
    match = _REPORT.match(kind.value) if kind else None
    if match is None:
        return None
    status: HeaderBlock | None = None
    for name, content in _parts(body, match.group(1)):
        if name in _STATUS and status is None:
            status = parse_header(split_message(content)[0])
        elif name in _RETURNED and status is not None:
            sender = _one(status, b"X-Postfix-Sender").partition(";")[2].strip()
            header = parse_header(split_message(content)[0])
            return Returned(_one(status, b"X-Postfix-Queue-ID"), sender, header)
    return None


def passed_of(report: Returned, secret_of: Callable[[str], bytes | None]) -> findings.Passed:
    """The findings of the message that is returned; FindingsError where they are not its own."""
    fields = report.header.named(findings.NAME)
    if len(fields) != 1:
        raise findings.FindingsError(f"{len(fields)} fields with findings")
    passed = findings.decode(fields[0].value, secret_of)
    if not report.queue_id or passed.queue_id != report.queue_id:
        raise findings.FindingsError("findings of another message")
    if passed.sender != report.sender:
        raise findings.FindingsError("findings of another sender")
    return passed


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The media type of each part, in lower case, and its content (RFC 2046 section 5.1)."""
    delimiter = rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?=\r?\n|\Z)"
    for part in re.split(delimiter, body)[1:]:
        header, content = split_message(_after_line_end(part))
        kinds = parse_header(header).named(b"Content-Type")
        if kinds:
            kind = unfold(kinds[0].value).partition(b";")[0].strip().lower()
            yield kind, _after_line_end(content)


def _after_line_end(text: bytes) -> bytes:
    return text.removeprefix(b"\r").removeprefix(b"\n")


def _one(header: HeaderBlock, name: bytes) -> str:
    """The value of a field that may be there once; empty where it is not."""
    fields = header.named(name)
    return unfold(fields[0].value).decode("utf-8", "surrogateescape") if len(fields) == 1 else ""
