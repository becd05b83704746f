"""Public keys of signatures: the only module that knows `cryptography`, and by it OpenSSL.

RSA with PKCS #1 v1.5 and SHA-256 (RFC 6376 section 3.3, RFC 8301) and Ed25519 (RFC 8463). Keys are
strangers' bytes: how much work one makes is bounded before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

RSA = "rsa"
ED25519 = "ed25519"
_EXPONENT = 1 << 64
"""A public exponent is below: OpenSSL's own bound for large keys, and 65537 nearly everywhere."""


class PublicKeyError(ValueError):
    """The bytes are no key of this kind."""


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
