"""Laws of what is read out of a message: findings, header fields, results, addresses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from iems.codec.authres import authserv_id, claims
from iems.codec.delivered import delivered_to
from iems.codec.encoded import decoded, text
from iems.codec.findings import LIMIT, FindingsError, Passed, decode, encode
from iems.codec.header import parse_header, split_message, unfold
from iems.codec.mac import mac
from iems.codec.printable import printable
from iems.codec.release import LIMIT as TOKEN_LIMIT
from iems.codec.release import ReleaseError
from iems.codec.release import decode as read_token
from iems.codec.release import encode as make_token
from iems.codec.senders import facts
from iems.codec.signed import ReleaseRequest, release_address, request
from iems.model.address import Address, AddressError, domain_name
from iems.model.finding import Finding
from iems.model.senders import SenderEntry, entry_for
from lmtp import headers
from lmtp.provenance import received_id, received_time
from milters.bounces import LIMIT as BOUNCE_LIMIT
from milters.bounces import passed_of, returned

SECRET = bytes(range(32))
HOST = "mail.example.test"
_NOW = 1_700_000_000.5
_WORDS = re.compile(r"[A-Za-z0-9/_-]*")
"""What reference, queue id and channel are made of: nothing that folding could take away."""


def findings(data: bytes) -> None:
    """A field is findings or a FindingsError; findings come back as they were."""
    for value in (data, _signed(data)):
        try:
            passed = decode(value, lambda _key: SECRET)
        except FindingsError:
            continue
        assert isinstance(passed, Passed)
        if not _WORDS.fullmatch(f"{passed.reference}{passed.queue_id}{passed.channel}"):
            continue
        try:
            again = encode(passed, "k1", SECRET)
        except FindingsError:
            continue
        assert len(again) <= LIMIT
        assert decode(again, lambda _key: SECRET).reference == passed.reference


def _signed(data: bytes) -> bytes:
    """A field whose HMAC is right: key, time, reference and so on, one a line of the input."""
    lines = data.decode("latin-1").split("\n", 6)
    text = base64.b64encode(lines[-1].encode("latin-1")).decode()
    values = dict(zip("vktrqcsf", ["1", *(lines[:-1] + ["k1"] * 6)[:6], text], strict=True))
    digest = hmac.new(SECRET, digestmod=hashlib.sha256)
    for part in values.values():
        octets = part.encode()
        digest.update(len(octets).to_bytes(4, "big") + octets)
    values["h"] = base64.b64encode(digest.digest()).decode()
    return "".join(f"{name}={value};" for name, value in values.items()).encode("latin-1")


def release(data: bytes) -> None:
    """A token is a release or a ReleaseError; a release comes back as it was."""
    payload = base64.urlsafe_b64encode(data).decode()
    signed = f"k1.{payload}.{mac(SECRET, ('release 1', 'k1', payload))}"
    for token in (data.decode("utf-8", "replace"), signed):
        try:
            told = read_token(token, lambda _key: SECRET, _NOW)
            again = make_token(told, "k1", SECRET)
        except ReleaseError:
            continue
        assert len(again) <= TOKEN_LIMIT
        assert read_token(again, lambda _key: SECRET, _NOW) == told


def signed(data: bytes) -> None:
    """An address asks for nothing or comes back as it was; nobody hits upon one that is signed."""
    text = data.decode("utf-8", "replace")
    found = request(text)
    if not isinstance(found, ReleaseRequest):
        assert found is None or not found.signed_by([SECRET])
        return
    assert not found.signed_by([SECRET], str(found.user), ("spf", "fail"))
    again = release_address(found.user, found.id, str(found.user), ("spf", "fail"), SECRET)
    if again:
        user, mark, token = again.rpartition("+iems-")
        told = request(user + mark + token.upper())
        assert isinstance(told, ReleaseRequest)
        assert (told.user.key, told.id) == (found.user.key, found.id)
        assert told.signed_by([SECRET], str(found.user), ("spf", "fail"))


def header(data: bytes) -> None:
    """Fields joined are the block; what is cleaned has none of ours and stays as it is."""
    block, rest = split_message(data)
    assert block + rest == data
    assert b"".join(field.raw for field in parse_header(data).fields) == data
    parsed = parse_header(block)
    for field in parsed.fields:
        assert not field.value.endswith((b"\r", b"\n"))
        assert unfold(field.value).split() == field.value.split()
    for own in ("", HOST):
        cleaned = headers.clean(parsed, own).copy(b"")
        again = headers.read(cleaned)
        assert not again.named(b"X-IEMS-Findings")
        assert not again.named(b"X-IEMS-Verdict")
        assert headers.clean(again, own).copy(b"") == cleaned
    received_id(parsed, HOST)
    assert received_time(parsed) < 1 << 60
    delivered_to(parsed)
    assert len(headers.message_id(parsed)) <= 998


def encoded(data: bytes) -> None:
    """A value is text that can be printed and sent; ASCII without encoded words stays as it is."""
    for shown in (decoded(data), text(data)):
        shown.encode()
        assert all(letter >= " " and not "\x7f" <= letter < "\xa0" for letter in shown)
    if b"=?" not in data:
        assert decoded(data) == text(data)


def authres(data: bytes) -> None:
    """An id that compares with ours claims to be ours, and so does one that is none."""
    found = authserv_id(data)
    assert b";" not in found or b'"' in data or b"\\" in data
    if not found or found.strip(b".") == HOST.encode():
        assert claims(data, HOST)
    else:
        claims(data, HOST)


def address(data: bytes) -> None:
    """A text is an address that survives printing, or an AddressError; so is a domain."""
    text = data.decode("utf-8", "surrogateescape")
    shown = printable(text)
    assert shown.isascii()
    assert shown.isprintable()
    for given in (text, f"<{text}>", f"a@{text}"):
        try:
            found = Address.parse(given)
        except AddressError:
            continue
        assert Address.parse(str(found)) == found
        assert found.key == f"{found.local.casefold()}@{found.domain}"
        assert not any(ord(letter) < 32 for letter in str(found))
    try:
        name = domain_name(text)
    except AddressError:
        return
    assert name.isascii()
    assert domain_name(name) == name


def senders(data: bytes) -> None:
    """An entry of a list survives printing; whatever a message says, the law of proof holds."""
    text = data.decode("utf-8", "surrogateescape")
    first, *fields = data.split(b"\n")
    for word in ("allow", "block"):
        try:
            entry = SenderEntry.parse(f"{word} {text}")
        except ValueError:
            continue
        assert SenderEntry.parse(str(entry)) == entry
    said = printable(first.decode("utf-8", "replace"))
    try:
        envelope = Address.parse(said)
    except AddressError:
        envelope = None
    passed = Finding("spf", "pass", evidence=(("smtp.mailfrom", said), ("client", said)))
    unproven = facts([], envelope, "", (), str, fields)
    for match in unproven.matches:
        entry = SenderEntry(match.pattern, allows=True)
        assert entry_for({match.pattern: entry}, unproven) is None
    by_header = facts([passed], None, "", (), str, fields)
    for match in by_header.matches:
        entry = SenderEntry(match.pattern, allows=True, unverified=True)
        allowed = entry_for({match.pattern: entry}, by_header)
        assert (allowed is not None) == (len(by_header.authors) == 1 and by_header.sole)


def bounce(data: bytes) -> None:
    """A report says one thing, and only findings that are ours, of its message, make it spam."""
    header, body = split_message(data)
    report = returned(parse_header(header), body[:BOUNCE_LIMIT].removeprefix(b"\r\n"))
    if report is None:
        return
    assert report.header.raw in data
    try:
        passed = passed_of(report, lambda _key: SECRET)
    except FindingsError:
        return
    assert (passed.queue_id, passed.sender) == (report.queue_id, report.sender)
    assert report.queue_id
