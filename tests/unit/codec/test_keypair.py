"""Keys of strangers: which are taken, and that none makes much work."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.keypair import PublicKeyError, read_ed25519, read_rsa
from tests.cost import costs_less
from tests.signing import key

_DIGEST = hashlib.sha256(b"").digest()


def test_both_forms_of_an_rsa_key() -> None:
    """SubjectPublicKeyInfo, which everybody writes, and RSAPublicKey, which RFC 6376 names."""
    private = key(1024).private
    assert isinstance(private, RSAPrivateKey)
    der, forms = serialization.Encoding.DER, serialization.PublicFormat
    for form in (forms.SubjectPublicKeyInfo, forms.PKCS1):
        found = read_rsa(private.public_key().public_bytes(der, form))
        assert (found.kind, found.bits) == ("rsa", 1024)


def _number(value: int) -> bytes:
    return _der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(length)]) + length + content


@pytest.mark.parametrize("bits", [1024, 3072, 16384, 131072])
@pytest.mark.parametrize("small", [False, True])
def test_huge_numbers_cost_little(bits: int, small: bool) -> None:
    """Modulus and exponent of 16,384 bits keep a program that just calculates busy for 12 s."""
    modulus = (1 << bits) - 159
    exponent = 65537 if small else modulus - 2
    with costs_less(0.5):
        der = _der(0x30, _number(modulus) + _number(exponent))
        if small:
            found = read_rsa(der)
            assert found.bits == bits
            assert not found.verifies(b"\x01" * (bits // 8), _DIGEST)
        else:
            with pytest.raises(PublicKeyError, match="odd"):
                read_rsa(der)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        base64.b64decode("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    ],
    ids=["empty", "empty sequence", "endless", "an Ed25519 key"],
)
def test_what_is_no_rsa_key(der: bytes) -> None:
    with pytest.raises(PublicKeyError):
        read_rsa(der)


@pytest.mark.parametrize("raw", [b"", b"x" * 31, b"x" * 33])
def test_what_is_no_ed25519_key(raw: bytes) -> None:
    with pytest.raises(PublicKeyError):
        read_ed25519(raw)


@given(data=st.binary(max_size=300), signature=st.binary(max_size=300))
def test_any_bytes(data: bytes, signature: bytes) -> None:
    """They are a key, which takes any signature without a word, or PublicKeyError."""
    for read in (read_rsa, read_ed25519):
        try:
            found = read(data)
        except PublicKeyError:
            continue
        assert found.verifies(signature, _DIGEST) in {True, False}
