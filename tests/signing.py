"""Signing for tests: DKIM and ARC of any kind, odd ones too, and what dkimpy says of a message.

The canonical forms are written down once more here, over whole bytes and as plainly as RFC 6376
section 3.4 says them, so that ours are not tested against themselves.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dkim
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

from iems.dns.resolver import Answer, Rtype, Status

NAMES = ("from", "to", "subject")
MESSAGE = (
    b"From: Alice <alice@sender.example>\r\n"
    b"To: bob@example.test\r\n"
    b"Subject: lines  and\r\n\tblanks \r\n"
    b"\r\n"
    b"Two  blanks, and one at the end \r\n\r\nLast.\r\n\r\n\r\n"
)


@dataclass(frozen=True)
class SigningKey:
    """A private key, and where its public one stands in the DNS."""

    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    domain: str = "sender.example"
    selector: str = "sel"

    @property
    def kind(self) -> str:
        """`rsa` or `ed25519`."""
        return "rsa" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519"

    @property
    def name(self) -> str:
        """The name of the key record."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def public(self) -> str:
        """The value of `p=`."""
        coding = serialization.Encoding
        form = serialization.PublicFormat
        key = self.private.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return _text(key.public_bytes(coding.DER, form.SubjectPublicKeyInfo))
        return _text(key.public_bytes(coding.Raw, form.Raw))

    @property
    def record(self) -> str:
        """The key record."""
        return f"v=DKIM1; k={self.kind}; p={self.public}"

    @property
    def answers(self) -> dict[tuple[str, Rtype], Answer]:
        """What the DNS says of it."""
        return {(self.name, "TXT"): Answer(Status.FOUND, (self.record,), 60)}

    def sign(self, message: bytes, tags: Mapping[str, str] | None = None) -> bytes:
        """The message with a DKIM-Signature on top; `tags` are added to its own or replace them."""
        return self._field(b"DKIM-Signature", message, {"v": "1"}, tags or {}) + message

    def seal(
        self,
        message: bytes,
        instance: int,
        told: str = "spf=pass; dkim=pass; dmarc=pass",
        status: str = "",
        tags: Mapping[str, str] | None = None,
        signed: Mapping[str, str] | None = None,
    ) -> bytes:
        """The message with one more ARC set on top.

        `tags` are those of its ARC-Seal, `signed` those of its ARC-Message-Signature.
        """
        number = {"i": str(instance)}
        results = f"ARC-Authentication-Results: i={instance}; mx.{self.domain};\r\n {told}\r\n"
        message = self._field(b"ARC-Message-Signature", message, number, signed or {}) + message
        message = results.encode() + message
        said = {
            **number,
            "a": f"{self.kind}-sha256",
            "cv": status or ("none" if instance == 1 else "pass"),
            "d": self.domain,
            "s": self.selector,
            "t": "1700000000",
            **(tags or {}),
        }
        bare = b"ARC-Seal: " + _list(said) + b"; b="
        order = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")
        found = {
            (int(re.findall(rb"i=(\d+)", one)[0]), _name(one)): one
            for one in _fields(message)
            if _name(one) in order
        }
        sealed = [
            found[at, name]
            for at in range(1, instance + 1)
            for name in order
            if (at, name) in found
        ]
        data = b"".join(field_form(one, relaxed=True) for one in sealed)
        data += field_form(bare, relaxed=True).removesuffix(b"\r\n")
        return bare + self._signature(hashlib.sha256(data).digest()) + b"\r\n" + message

    def pem(self) -> bytes:
        """The private key as dkimpy wants it."""
        coding, nothing = serialization.Encoding, serialization.NoEncryption()
        if isinstance(self.private, rsa.RSAPrivateKey):
            form = serialization.PrivateFormat.TraditionalOpenSSL
            return self.private.private_bytes(coding.PEM, form, nothing)
        raw = serialization.PrivateFormat.Raw
        return base64.b64encode(self.private.private_bytes(coding.Raw, raw, nothing))

    def _field(
        self, name: bytes, message: bytes, first: Mapping[str, str], more: Mapping[str, str]
    ) -> bytes:
        said = {
            **first,
            "a": f"{self.kind}-sha256",
            "c": "relaxed/relaxed",
            "d": self.domain,
            "s": self.selector,
            "h": ":".join(NAMES),
            "bh": "",
            **more,
        }
        header, body = (form == "relaxed" for form in f"{said['c']}/simple".split("/")[:2])
        hasher = hashlib.sha1 if said["a"].endswith("sha1") else hashlib.sha256
        if not said["bh"]:
            content = body_form(message.partition(b"\r\n\r\n")[2], relaxed=body)
            content = content[: int(said["l"])] if said.get("l", "").isdigit() else content
            said["bh"] = _text(hasher(content).digest())
        bare = name + b": " + _list(said) + b"; b="
        data = b"".join(
            field_form(one, relaxed=header) for one in _picked(message, said["h"].split(":"))
        )
        data += field_form(bare, relaxed=header).removesuffix(b"\r\n")
        return bare + self._signature(hasher(data).digest(), hasher) + b"\r\n"

    def _signature(self, digest: bytes, hasher: object = hashlib.sha256) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return base64.b64encode(self.private.sign(digest))
        kind = hashes.SHA1() if hasher is hashlib.sha1 else hashes.SHA256()  # noqa: S303 - to be refused
        signature = self.private.sign(digest, padding.PKCS1v15(), utils.Prehashed(kind))
        return base64.b64encode(signature)


_SMALL_PRIMES = (
    0xFB5B525EFDFF603412872B2F0E23B0C049D1C3D2056E3D29D37D08CBAEC72D0F3D39322601601755FBFEB6C33A7D287D,
    0xC2D1DAA8A869495A4B1E00E13AC1600EA10F4D2EDF5D7E673BD6CDDA36C08A64CBCBABB2B5F6A862A7C027145546E101,
)
"""The library makes no key of 768 bits."""


@functools.cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """One key of each size for the whole run of the tests."""
    if bits != 768:
        return rsa.generate_private_key(65537, bits)
    p, q = _SMALL_PRIMES
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPublicNumbers(65537, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), numbers
    ).private_key()


def key(bits: int = 2048, **words: str) -> SigningKey:
    """A signer with an RSA key."""
    return SigningKey(rsa_key(bits), **words)


def ed25519_key(**words: str) -> SigningKey:
    """A signer with the Ed25519 key of RFC 8032 section 7.1, test 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed), **words)


def field_form(field: bytes, *, relaxed: bool) -> bytes:
    """RFC 6376 sections 3.4.1 and 3.4.2; the field's line end may be missing."""
    if not relaxed:
        return field.removesuffix(b"\r\n") + b"\r\n"
    name, _colon, value = field.partition(b":")
    unfolded = value.replace(b"\r\n", b"")
    return name.strip(b" \t").lower() + b":" + re.sub(rb"[ \t]+", b" ", unfolded).strip() + b"\r\n"


def body_form(body: bytes, *, relaxed: bool) -> bytes:
    """RFC 6376 sections 3.4.3 and 3.4.4."""
    lines = body.split(b"\r\n")
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).removesuffix(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines) or (b"" if relaxed else b"\r\n")


def second_opinion(message: bytes, record: str | None) -> bool:
    """Whether the topmost signature holds, says dkimpy."""
    answer = None if record is None else record.encode("latin-1")
    try:
        return dkim.DKIM(message).verify(dnsfunc=lambda _name, timeout=5: answer)  # noqa: ARG005
    except dkim.DKIMException:
        return False


def second_opinion_of_chain(message: bytes, answers: Mapping[tuple[str, Rtype], Answer]) -> str:
    """Whether the chain holds, says dkimpy."""

    def ask(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001 - its signature
        answer = answers.get((name.decode().rstrip("."), "TXT"))
        return answer.records[0].encode() if answer and answer.records else None

    word, _results, _reason = dkim.ARC(message).verify(dnsfunc=ask)
    return (word or b"fail").decode()


def _fields(message: bytes) -> list[bytes]:
    header = message.partition(b"\r\n\r\n")[0]
    return [one + b"\r\n" for one in re.split(rb"\r\n(?![ \t])", header)]


def _picked(message: bytes, names: Iterable[str]) -> list[bytes]:
    """Each name takes the lowest field that is not taken (RFC 6376 section 5.4.2)."""
    left = _fields(message)
    found = []
    for name in names:
        at = [at for at, one in enumerate(left) if _name(one) == name.strip().lower().encode()]
        found += [left.pop(at[-1])] if at else []
    return found


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()


def _list(tags: Mapping[str, str]) -> bytes:
    return "; ".join(f"{name}={value}" for name, value in tags.items()).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
