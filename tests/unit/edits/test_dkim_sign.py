"""What is signed holds for our verifier and for dkimpy, and nobody can add a field to it."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.codec.header import parse_header
from iems.codec.keypair import KINDS, PrivateKey, PrivateKeyError, new_private, read_private
from iems.edits.dkim_sign import Signer, UnsignableError, body_digest, signature, signed_names
from tests.signing import MESSAGE, SigningKey, ed25519_key, key, rsa_key, second_opinion
from tests.unit.checks.test_dkim import look, outcomes

NOW = 1_700_000_000
GOLDEN = b"""\
v=1; a=ed25519-sha256; c=relaxed/relaxed; d=sender.example;
\ts=sel; t=1700000000; x=1700086400;
\th=from:from:to:to:cc:subject:subject:date:reply-to:message-id:
\tin-reply-to:references:mime-version:content-type:
\tcontent-transfer-encoding;
\tbh=dQXnm9EAs4NYoPAB+A7sBKtkwjIQtdfe5uEsear5/go=;
\tb=T7qEICP0OyjiqrxJNYwbri4eMwxKK2h2CYlSHZPZNsnGNJtJFPcWAeOPfhmoB1wDRNWJey
\tNtw5z263tt5NrHDg=="""
"""Seen by opendkim to hold."""

_FIELD = st.sampled_from(
    [b"To", b"Cc", b"Subject", b"List-Id", b"Content-Type", b"Content-X", b"Date", b"X-Odd", b"to "]
)
_VALUE = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"\r\n\t", b"\xe4", "ü".encode(), b":", b";"]),
    max_size=12,
).map(lambda parts: b" x" + b"".join(parts) + b"y")
_LINE = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\xff", b"\0", b"\r", b"long " * 300]))
_BODY = st.lists(_LINE.map(b"".join), max_size=8).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)


@functools.cache
def keys() -> tuple[SigningKey, ...]:
    return key(1024), ed25519_key()


def private(signer: SigningKey) -> PrivateKey:
    return PrivateKey(signer.kind, signer.private)


def signed(signer: SigningKey, message: bytes, lifetime: int = 0, size: int = 7) -> bytes:
    """The message with our field on top; its body comes in pieces."""
    header, _end, body = message.partition(b"\r\n\r\n")

    def pieces() -> Iterator[bytes]:
        yield from (body[at : at + size] for at in range(0, len(body), size))

    who = Signer(signer.domain, signer.selector, private(signer), lifetime)
    value = signature(who, parse_header(header + b"\r\n"), body_digest(pieces()), NOW)
    return b"DKIM-Signature: " + value + b"\r\n" + message


@settings(max_examples=40)
@given(
    fields=st.lists(st.tuples(_FIELD, _VALUE), max_size=6),
    body=_BODY,
    which=st.integers(0, 1),
    size=st.integers(1, 4000),
)
def test_what_is_signed_holds(
    fields: list[tuple[bytes, bytes]], body: bytes, which: int, size: int
) -> None:
    signer = keys()[which]
    header = b"From: alice@sender.example\r\n" + b"".join(b"%s:%s\r\n" % one for one in fields)
    message = signed(signer, header + b"\r\n" + body, size=size)
    assert outcomes(look(message, signer.answers)) == [("pass", "")]
    # dkimpy takes a blank before the colon for a part of the name.
    if not any(name.endswith(b" ") for name, _value in fields):
        assert second_opinion(message, signer.record)


@pytest.mark.parametrize("name", ["From", "Subject", "Reply-To", "MIME-Version", "Content-Type"])
def test_nobody_can_add_a_second_field(name: str) -> None:
    signer = keys()[1]
    message = signed(signer, MESSAGE)
    assert outcomes(look(message, signer.answers)) == [("pass", "")]
    for at in (0, message.index(b"\r\n\r\n") + 2):
        added = message[:at] + name.encode() + b": eve@evil.example\r\n" + message[at:]
        assert outcomes(look(added, signer.answers)) == [("fail", "fail")]


def test_a_list_may_add_its_fields_and_change_none() -> None:
    signer = keys()[1]
    added = signed(signer, MESSAGE).replace(b"\r\nTo:", b"\r\nList-Id: <l.example>\r\nTo:")
    assert outcomes(look(added, signer.answers)) == [("pass", "")]
    listed = signed(signer, b"List-Id: <l.example>\r\n" + MESSAGE)
    assert outcomes(look(listed, signer.answers)) == [("pass", "")]
    changed = listed.replace(b"\r\nTo:", b"\r\nList-Id: <m.example>\r\nTo:")
    assert outcomes(look(changed, signer.answers)) == [("fail", "fail")]


def test_the_field_is_what_it_was() -> None:
    found = signed(keys()[1], MESSAGE, lifetime=86400).partition(b"\r\nFrom:")[0]
    assert found == b"DKIM-Signature: " + GOLDEN.replace(b"\n", b"\r\n")
    assert max(len(line) for line in found.split(b"\r\n")) <= 78


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"Subject: nobody wrote it\r\n", "no From"),
        (b"From: a@b.example\r\n" + b"Content-X: y\r\n" * 300, "200"),
    ],
)
def test_what_cannot_be_signed(header: bytes, why: str) -> None:
    with pytest.raises(UnsignableError, match=why):
        signed_names(parse_header(header))


def test_a_name_that_would_end_the_tag_is_not_signed() -> None:
    header = parse_header(b"From: a@b.example\r\nContent-;: x\r\nList-=: y\r\n")
    assert not any(b";" in name or b"=" in name for name in signed_names(header))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_read_as_it_was_written(kind: str) -> None:
    made = new_private(kind)
    again = read_private(made.pem.encode())
    assert (again.kind, again.public) == (kind, made.public)
    assert "PRIVATE" not in repr(made)
    assert "key=" not in repr(made)


def test_other_keys_are_refused() -> None:
    with pytest.raises(PrivateKeyError, match="no private key in PEM"):
        read_private(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(PrivateKeyError, match="1024 bits"):
        read_private(PrivateKey("rsa", rsa_key(768)).pem.encode())
