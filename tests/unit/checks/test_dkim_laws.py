"""`dkim` on all messages: what is signed holds, what is changed does not, and hostile bytes raise
nothing. The signer is dkimpy; the RFCs' own messages stand here, too."""

from __future__ import annotations

import functools
import re

import dkim as dkimpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.dns.resolver import Answer, Rtype
from tests.signing import MESSAGE, SigningKey, ed25519_key, key, second_opinion
from tests.unit.checks.rfc_messages import RFC_6376, RFC_8463, RFC_KEYS
from tests.unit.checks.test_dkim import look, outcomes
from tests.unit.checks.world import found

_WORDS = {"pass", "fail", "policy", "neutral", "none", "temperror", "permerror"}
_VALUE = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"\r\n\t", b"\xe4", "ü".encode(), b":", b";"]),
    max_size=12,
).map(lambda parts: b" x" + b"".join(parts) + b"y")
_LINE = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b".", b"\xff", b"\0", b"\r", b"long " * 300]), max_size=6
).map(b"".join)
_BODY = st.lists(_LINE, max_size=8).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
_FORM = st.sampled_from([b"simple", b"relaxed"])
_SIGNED = (b"From", b"To", b"Subject", b"X-Odd")


@functools.cache
def _keys() -> tuple[SigningKey, SigningKey]:
    return key(1024), ed25519_key()


@st.composite
def _messages(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Header and body."""
    names = [b"From", *draw(st.lists(st.sampled_from(_SIGNED[1:]), max_size=5))]
    return b"".join(name + b":" + draw(_VALUE) + b"\r\n" for name in names), draw(_BODY)


def _signed(signer: SigningKey, message: bytes, forms: tuple[bytes, bytes]) -> bytes:
    """The field by dkimpy, and the message."""
    algorithm = f"{signer.kind}-sha256".encode()
    header = message.partition(b"\r\n\r\n")[0]
    field = dkimpy.DKIM(message, signature_algorithm=algorithm).sign(
        signer.selector.encode(),
        signer.domain.encode(),
        signer.pem(),
        canonicalize=forms,
        include_headers=[one.group(1) for one in re.finditer(rb"(?m)^([\w-]+):", header)],
    )
    return field + message


@given(parts=_messages(), forms=st.tuples(_FORM, _FORM), which=st.integers(0, 1))
def test_what_is_signed_holds(
    parts: tuple[bytes, bytes], forms: tuple[bytes, bytes], which: int
) -> None:
    signer = _keys()[which]
    message = parts[0] + b"\r\n" + parts[1]
    signed = _signed(signer, message, forms)
    assert outcomes(look(signed, signer.answers)) == [("pass", "")]


@given(
    parts=_messages(),
    forms=st.tuples(_FORM, _FORM),
    at=st.integers(0, 1 << 16),
    byte=st.binary(min_size=1, max_size=1),
)
def test_what_is_changed_does_not(
    parts: tuple[bytes, bytes], forms: tuple[bytes, bytes], at: int, byte: bytes
) -> None:
    """One byte of a signed field or of the body: no form forgives one that was a letter."""
    signer = _keys()[0]
    header, body = parts
    body += b"end\r\n"
    whole = header + b"\r\n" + body
    letters = [one for one, value in enumerate(whole) if value not in b" \t\r\n"]
    place = letters[at % len(letters)]
    signed = _signed(signer, whole, forms)
    start = len(signed) - len(whole)
    changed = signed[: start + place] + byte + signed[start + place + 1 :]
    name_only = changed.lower() == signed.lower() and place < len(header)
    (finding,) = look(changed, signer.answers)
    assert (finding.outcome == "pass") <= (changed == signed or name_only)
    assert (finding.outcome == "pass") <= second_opinion(changed, signer.record)


@given(parts=_messages(), at=st.integers(0, 1 << 16), byte=st.binary(min_size=1, max_size=1))
def test_simple_forms_forgive_nothing(parts: tuple[bytes, bytes], at: int, byte: bytes) -> None:
    """Not a blank, not a letter's case."""
    signer = _keys()[0]
    header, body = parts
    whole = header + b"\r\n" + body + b"end\r\n"
    place = at % len(whole)
    signed = _signed(signer, whole, (b"simple", b"simple"))
    start = len(signed) - len(whole)
    changed = signed[: start + place] + byte + signed[start + place + 1 :]
    held = all(one.outcome == "pass" for one in look(changed, signer.answers))
    assert held == (changed == signed)


_WHOLE = [
    *(b"v=1", b"a=rsa-sha256", b"d=sender.example", b"s=sel", b"h=from", b"bh=QUFB", b"b=QUFB"),
]
_PIECES = [
    *(b"a=ed25519-sha256", b"c=relaxed", b"h=" + b"from:" * 3000, b"b=", b"l=1", b"x=1", b"t=1"),
    *(b"i=@sender.example", b"i=\xff@\xff", b"d=\xc3\xbc.example", b"s=.", b"=", b"", b"q="),
    *(b"b=\xff", b"v", b"\r\n ", b"bh=====", b"\0", b"d=" + b"a." * 200),
]


@given(
    whole=st.booleans(),
    parts=st.lists(st.sampled_from(_PIECES) | st.binary(max_size=8), max_size=8),
    record=st.lists(
        st.sampled_from(["v=DKIM1", "k=rsa", "k=ed25519", "p=", "p=QUFB", "t=y:s", "h=", "\xff"])
        | st.text(st.characters(max_codepoint=255), max_size=8),
        max_size=5,
    ),
)
def test_hostile_bytes_raise_nothing(whole: bool, parts: list[bytes], record: list[str]) -> None:
    """A finding with a word of RFC 8601, in printable ASCII."""
    field = b"DKIM-Signature: " + b";".join(_WHOLE * whole + parts).replace(b"\n", b"\n ") + b"\r\n"
    answers: dict[tuple[str, Rtype], Answer] = {
        ("sel._domainkey.sender.example", "TXT"): found(";".join(record))
    }
    message = field + MESSAGE
    for finding in look(message, answers):
        assert finding.outcome in _WORDS
        texts = [finding.reason, *(value for _name, value in finding.evidence)]
        assert all(text.isascii() and text.isprintable() for text in texts)


@pytest.mark.parametrize(("text", "count"), [(RFC_8463, 2), (RFC_6376, 1)], ids=["8463", "6376"])
def test_the_messages_of_the_rfcs(text: bytes, count: int) -> None:
    """RFC 8463 appendix A, RFC 6376 appendices A.2 and C."""
    answers: dict[tuple[str, Rtype], Answer] = {
        (name, "TXT"): found(record) for name, record in RFC_KEYS.items()
    }
    message = text.replace(b"\n", b"\r\n")
    findings = look(message, answers)
    assert outcomes(findings) == [("pass", "")] * count
    changed = look(message.replace(b"hungry", b"angry"), answers)
    assert {one.outcome for one in changed} == {"fail"}
