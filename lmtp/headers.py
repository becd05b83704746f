"""The header block as a recipient gets it: our marks of the way taken out, the verdict put in.

Nothing else of the block is changed. What stands in one copy and not in another is made here and
nowhere else, so that no header names a recipient to another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from iems.codec import authres
from iems.codec.header import parse_header, unfold
from iems.codec.received import arrival
from iems.model.address import Address, AddressError
from iems.model.message import HeaderBlock
from iems.model.policy import Action

_BEGIN, _END = rb"(?:\A|\r)[^!-9;-~\r\n]*", rb"(?![!-9;-~])"
"""Pigeonhole finds `X-IEMS-Verdict` also with blanks or a NUL before the colon. Whatever cannot
belong to a longer name ends it here, and a bare CR ends a line, so that a reader with other tastes
finds none either."""

_OURS = re.compile(_BEGIN + rb"x-iems-(?:findings|verdict|trace|fact|score)" + _END, re.IGNORECASE)
_RESULTS = re.compile(_BEGIN + rb"authentication-results" + _END, re.IGNORECASE)

_CONTINUATION = (b" ", b"\t")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The block without our fields; fields of a copy go between `lead` and `rest`.

    `lead` is a first line that begins with a blank: a field put before it would swallow it.
    """

    lead: bytes
    rest: bytes

    def copy(self, fields: bytes) -> bytes:
        """The block with these fields at its top."""
        return self.lead + fields + self.rest


def clean(block: HeaderBlock, forged_results: str = "") -> Cleaned:
    """Take out every X-IEMS-Findings, -Verdict, -Trace, -Fact and -Score, whoever wrote it.

    Where the milter has not seen the message, `forged_results` is the authserv-id under which any
    Authentication-Results is forged.
    """
    kept = [field.raw for field in block.fields if not _forged(field.raw, forged_results)]
    leading = bool(kept) and kept[0].startswith(_CONTINUATION)
    return Cleaned(kept[0] if leading else b"", b"".join(kept[leading:]))


def _forged(raw: bytes, authserv_id: str) -> bool:
    if _OURS.search(raw):
        return True
    if not authserv_id:
        return False
    results = _RESULTS.match(raw)
    claimed = results and authres.claims(raw[results.end() :].partition(b":")[2], authserv_id)
    return bool(claimed) or _RESULTS.search(raw, 1) is not None


def read(raw: bytes) -> HeaderBlock:
    """The fields of a block as it arrived."""
    return parse_header(raw)


def as_sent(block: HeaderBlock, hostname: str) -> HeaderBlock:
    """The fields as the client sent them: those below the Received that our own Postfix wrote.

    That is the topmost; whoever makes it too long to be read may have put another below.
    """
    for field in block.named(b"Received")[:1]:
        if arrival(field.value, hostname):
            return parse_header(block.raw[field.start + len(field.raw) :])
    return block


def verdict_field(action: Action, reference: str) -> bytes:
    """The mark for the global Sieve script; there is none for a plain delivery."""
    if action not in {Action.TAG, Action.JUNK}:
        return b""
    return f"X-IEMS-Verdict: {action.word}; ref={reference}\r\n".encode("ascii")


def original_field(original: str, final: Address | None) -> bytes:
    """X-Original-To where the address the sender wrote is another than the final one."""
    try:
        address = Address.parse(original)
    except AddressError:
        return b""
    if final is None or address.key == final.key:
        return b""
    return f"X-Original-To: {address}\r\n".encode()


def message_id(block: HeaderBlock) -> str:
    """The Message-ID as it stands, for records; empty where there is none."""
    fields = block.named(b"Message-ID")
    return unfold(fields[0].value).decode("utf-8", "replace")[:998] if fields else ""
