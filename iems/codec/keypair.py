"""Keys of signatures: the only module that knows `cryptography`, and by it OpenSSL.

RSA with PKCS #1 v1.5 and SHA-256 (RFC 6376 section 3.3, RFC 8301) and Ed25519 (RFC 8463). Public
keys are strangers' bytes: how much work one makes is bounded before it is used. Private keys are
our own, and no error shows any of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

RSA = "rsa"
ED25519 = "ed25519"
KINDS = (RSA, ED25519)
BITS = 2048
"""Of RSA keys that are made: RFC 8301 section 3.2 wants 2,048, and a larger one's record does not
fit into one answer by UDP everywhere. A signature takes 0.6 ms."""

_LEAST_BITS = 1024
"""With less nobody takes a signature (RFC 8301 section 3.2)."""

_EXPONENT = 1 << 64
"""A public exponent is below: OpenSSL's own bound for large keys, and 65537 nearly everywhere."""


class PublicKeyError(ValueError):
    """The bytes are no key of this kind."""


class PrivateKeyError(ValueError):
    """The bytes are no private key that can sign."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key; `bits` is the size of an RSA modulus, 256 for Ed25519."""

    kind: str
    bits: int
    key: RSAPublicKey | Ed25519PublicKey

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether this is a signature of what has this SHA-256 digest."""
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, digest, PKCS1v15(), Prehashed(SHA256()))
            else:
                self.key.verify(signature, digest)
        except (InvalidSignature, ValueError):
            return False
        return True


def read_rsa(der: bytes) -> PublicKey:
    """A SubjectPublicKeyInfo, or a bare RSAPublicKey as RFC 6376 says it."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise PublicKeyError("it is no RSA key") from None
    if not isinstance(key, RSAPublicKey) or key.public_numbers().e >= _EXPONENT:
        raise PublicKeyError("it is no RSA key, or one with an odd exponent")
    return PublicKey(RSA, key.key_size, key)


def read_ed25519(raw: bytes) -> PublicKey:
    """The 32 bytes of RFC 8032."""
    try:
        return PublicKey(ED25519, 256, Ed25519PublicKey.from_public_bytes(raw))
    except ValueError:
        raise PublicKeyError("it is no Ed25519 key") from None


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """One key of our own."""

    kind: str
    key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    def sign(self, digest: bytes) -> bytes:
        """A signature of what has this SHA-256 digest."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(digest, PKCS1v15(), Prehashed(SHA256()))
        return self.key.sign(digest)

    @property
    def public(self) -> bytes:
        """The public key as a key record holds it (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
        public = self.key.public_key()
        if isinstance(public, RSAPublicKey):
            return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def pem(self) -> str:
        """The private key itself, in PEM (PKCS #8)."""
        form = PrivateFormat.PKCS8
        return self.key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def new_private(kind: str) -> PrivateKey:
    """A new key of this kind."""
    if kind == RSA:
        return PrivateKey(RSA, generate_private_key(65537, BITS))
    return PrivateKey(ED25519, Ed25519PrivateKey.generate())


def read_private(pem: bytes) -> PrivateKey:
    """A key in PEM without a pass phrase, of whatever form OpenSSL knows."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PrivateKeyError("it is no private key in PEM without a pass phrase") from None
    if isinstance(key, Ed25519PrivateKey):
        return PrivateKey(ED25519, key)
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise PrivateKeyError(f"it is no Ed25519 key, and no RSA key of {_LEAST_BITS} bits or more")
    return PrivateKey(RSA, key)
