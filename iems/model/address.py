"""A mailbox address (RFC 5321 section 4.1.2, RFC 6531) in the one form in which we compare it.

The domain is a lower-case A-label, the local part NFC; comparison ignores the case of the local
part. What is no address raises `AddressError`; the null sender `<>` is no address but `None` to
its callers.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

ROLES = frozenset({"postmaster", "abuse"})
"""Local parts that no choosable check may refuse (RFC 5321 section 4.5.1, RFC 2142)."""

TRAINING = frozenset({"spam", "ham"})
"""Local parts that a user sends mail to which his filter shall learn (docs/training.md)."""

_MAX_LOCAL = 256
"""Bytes; four times the 64 of RFC 5321 section 4.5.3.1.1, since Postfix has no limit of its own."""

_MAX_ADDRESS = 320
_MAX_DOMAIN = 512
"""Characters of a domain as it is written: Unicode's forms take time quadratic in them."""

_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_LITERAL = re.compile(r"\[[0-9a-fA-F:.]{2,45}\]|\[IPv6:[0-9a-fA-F:.]{2,45}\]", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ATOM = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\\\]]+")


class AddressError(ValueError):
    """The text is no mailbox address; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox address; `str()` gives it as RFC 5321 writes it, without angle brackets."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str, *, default_domain: str = "") -> Address:
        """Read `user@domain`, `"quoted"@domain` or either in angle brackets.

        A text without a domain gets `default_domain`, as Postfix completes it; without one it is
        an error.
        """
        bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
        if bare.startswith("@"):
            bare = bare.rpartition(":")[2]  # the source route of RFC 5321 appendix F.2
        if len(bare) > _MAX_ADDRESS:
            raise AddressError(f"address of {len(bare)} characters, at most {_MAX_ADDRESS}")
        local, at, domain = bare.rpartition("@")
        if not at:
            local, domain = domain, default_domain
        if not domain:
            raise AddressError(f"no domain in {text!r}")
        return cls(_local(local, text), domain_name(domain))

    @property
    def key(self) -> str:
        """The text under which this address is looked up and compared."""
        return f"{self.local.casefold()}@{self.domain}"

    @property
    def role(self) -> bool:
        """Whether this is postmaster@ or abuse@."""
        return self.local.casefold() in ROLES

    def without_extension(self, delimiter: str = "+") -> Address | None:
        """The address without its `+extension`, or None where it has none."""
        base, found, _extension = self.local.partition(delimiter)
        return Address(base, self.domain) if found and base else None

    def __str__(self) -> str:
        if all(_ATOM.fullmatch(atom) for atom in self.local.split(".")):
            return f"{self.local}@{self.domain}"
        escaped = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"@{self.domain}'


# A message names the same domain in many places; what is kept has at most 512 characters.
@functools.lru_cache(maxsize=1024)
def domain_name(text: str) -> str:
    """The domain as a lower-case A-label; an address literal keeps its brackets."""
    if len(text) > _MAX_DOMAIN:
        raise AddressError(f"a text of {len(text)} characters is no domain name")
    domain = text.strip().rstrip(".").lower()
    if _LITERAL.fullmatch(domain):
        return domain
    if not domain.isascii():
        try:
            domain = unicodedata.normalize("NFC", domain).encode("idna").decode("ascii")
        except UnicodeError as error:
            raise AddressError(f"{text!r} is no internationalised domain name: {error}") from None
    if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
        raise AddressError(f"{text!r} is no domain name")
    if any(len(label) > 63 for label in domain.split(".")):
        raise AddressError(f"a label of {text!r} has more than 63 characters")
    return domain


def _local(text: str, whole: str) -> str:
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    if not text:
        raise AddressError(f"no local part in {whole!r}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise AddressError(f"{whole!r} is not UTF-8") from None
    if size > _MAX_LOCAL:
        raise AddressError(f"local part of {whole!r} is too long")
    if _CONTROL.search(text):
        raise AddressError(f"control character in {whole!r}")
    return unicodedata.normalize("NFC", text)
