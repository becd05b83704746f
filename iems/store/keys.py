"""The keyring of X-IEMS-Findings: one active key signs, retiring ones still verify.

The file is TOML (root:iems 0640): `[[key]]` tables with `id`, `secret` (base64, 32 bytes or more)
and `state`, one of `active` and `retiring`. An unreadable or faulty file is a `KeyringError` that
shows no secret.
"""

from __future__ import annotations

import base64
import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LEAST_BYTES = 32
"""An HMAC key shorter than the hash weakens it (RFC 2104 section 3)."""


class KeyringError(Exception):
    """The keyring cannot be used; the message names file and fault."""


@dataclass(frozen=True, slots=True)
class Key:
    """One secret, not shown by repr."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys by id, and the one that signs."""

    active: Key
    keys: Mapping[str, Key]

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read the keyring file."""
        try:
            rows = tomllib.loads(path.read_text())["key"]
            keys = [_key(row) for row in rows]
            active = [key for key, row in zip(keys, rows, strict=True) if _is_active(row)]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise KeyringError(f"{path}: cannot be read: {error}") from None
        except (KeyError, TypeError, ValueError, RecursionError):
            raise KeyringError(
                f"{path}: expected [[key]] tables with id, secret in base64 of at least "
                f"{_LEAST_BYTES} bytes, and state active or retiring"
            ) from None
        by_id = {key.id: key for key in keys}
        if len(by_id) != len(keys):
            raise KeyringError(f"{path}: two keys have the same id")
        if len(active) != 1:
            raise KeyringError(f"{path}: {len(active)} keys are active; expected one")
        return cls(active[0], by_id)

    def secret(self, key_id: str) -> bytes | None:
        """The secret with this id, for `iems.codec.findings.decode`."""
        key = self.keys.get(key_id)
        return key.secret if key else None


def create(path: Path, key_id: str, mode: int = 0o640) -> None:
    """Write a new keyring with one active key; the file must not exist."""
    secret = base64.b64encode(secrets.token_bytes(_LEAST_BYTES)).decode()
    text = f'[[key]]\nid = "{key_id}"\nsecret = "{secret}"\nstate = "active"\n'
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _key(row: Mapping[str, object]) -> Key:
    secret = base64.b64decode(str(row["secret"]), validate=True)
    name = str(row["id"])
    if len(secret) < _LEAST_BYTES or not name.isalnum() or not name.isascii():
        raise ValueError
    return Key(name, secret)


def _is_active(row: Mapping[str, object]) -> bool:
    return ("retiring", "active").index(str(row["state"])) == 1
