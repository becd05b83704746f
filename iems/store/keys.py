"""The keyring of X-IEMS-Findings: one active key signs, waiting and retiring ones only verify.

The file is TOML (root:iems 0640): `[[key]]` tables with `id`, `secret` (base64, 32 bytes or more),
`state` and, once it has changed, `since`. A key waits until every daemon knows it, signs, and
retires for as long as mail that it signed may wait in a queue. An unreadable or faulty file is a
`KeyringError` that shows no secret.
"""

from __future__ import annotations

import base64
import datetime
import os
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase

_LEAST_BYTES = 32
"""An HMAC key shorter than the hash weakens it (RFC 2104 section 3)."""


RETIRED = datetime.timedelta(days=30)
"""How long a retiring key is kept: Postfix's queue life is five days, and what an administrator put
on hold may wait for longer."""

WAITING, ACTIVE, RETIRING = "waiting", "active", "retiring"


class KeyringError(Exception):
    """The keyring cannot be used; the message names file and fault."""


@dataclass(frozen=True, slots=True)
class Key:
    """One secret, not shown by repr; `since` is when it came into its state, if that is known."""

    id: str
    secret: bytes
    state: str = ACTIVE
    since: datetime.datetime | None = None

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
            keys = [_key(row) for row in tomllib.loads(path.read_text())["key"]]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise KeyringError(f"{path}: cannot be read: {error}") from None
        except (KeyError, TypeError, ValueError, RecursionError):
            raise KeyringError(
                f"{path}: expected [[key]] tables with id, secret in base64 of at least "
                f"{_LEAST_BYTES} bytes, and state waiting, active or retiring"
            ) from None
        by_id = {key.id: key for key in keys}
        active = [key for key in keys if key.state == ACTIVE]
        if len(by_id) != len(keys):
            raise KeyringError(f"{path}: two keys have the same id")
        if len(active) != 1:
            raise KeyringError(f"{path}: {len(active)} keys are active; expected one")
        return cls(active[0], by_id)

    @property
    def waiting(self) -> Key | None:
        """The key that will sign next, if there is one."""
        return next((key for key in self.keys.values() if key.state == WAITING), None)

    def secret(self, key_id: str) -> bytes | None:
        """The secret with this id, for `iems.codec.findings.decode`."""
        key = self.keys.get(key_id)
        return key.secret if key else None

    def prepared(self, now: datetime.datetime) -> Keyring:
        """With a new key that waits; ValueError where one waits already."""
        if self.waiting:
            raise ValueError(f"key {self.waiting.id} waits already")
        key = Key(_new_id(now, self.keys), secrets.token_bytes(_LEAST_BYTES), WAITING, now)
        return Keyring(self.active, {**self.keys, key.id: key})

    def activated(self, now: datetime.datetime) -> Keyring:
        """With the key that waited as the one that signs; ValueError where none waits.

        Keys that have retired for `RETIRED` are gone.
        """
        if self.waiting is None:
            raise ValueError("no key waits")
        next_one = replace(self.waiting, state=ACTIVE, since=now)
        last = replace(self.active, state=RETIRING, since=now)
        kept = {
            key.id: key
            for key in self.keys.values()
            if key.state != RETIRING or key.since is None or now - key.since < RETIRED
        }
        return Keyring(next_one, {**kept, last.id: last, next_one.id: next_one})

    def write(self, path: Path) -> None:
        """Take the place of the file, with its owner, group and mode."""
        before = path.stat()
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        _write(draft, self.keys.values(), before.st_mode & 0o777)
        os.chown(draft, before.st_uid, before.st_gid)
        draft.replace(path)


def create(path: Path, key_id: str, mode: int = 0o640) -> None:
    """Write a new keyring with one active key; the file must not exist."""
    _write(path, [Key(key_id, secrets.token_bytes(_LEAST_BYTES))], mode)


def _new_id(now: datetime.datetime, taken: Iterable[str]) -> str:
    """The day, with a letter where there is a key of that day."""
    day = f"k{now:%Y%m%d}"
    return next(one for one in (day, *(day + end for end in ascii_lowercase)) if one not in taken)


def _write(path: Path, keys: Iterable[Key], mode: int) -> None:
    rows = []
    for key in keys:
        secret = base64.b64encode(key.secret).decode()
        since = f"since = {key.since.isoformat(timespec='seconds')}\n" if key.since else ""
        rows.append(
            f'[[key]]\nid = "{key.id}"\nsecret = "{secret}"\nstate = "{key.state}"\n{since}'
        )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(rows))
        file.flush()
        os.fsync(file.fileno())


def _key(row: Mapping[str, object]) -> Key:
    secret = base64.b64decode(str(row["secret"]), validate=True)
    name, state, since = str(row["id"]), str(row["state"]), row.get("since")
    if len(secret) < _LEAST_BYTES or not name.isalnum() or not name.isascii():
        raise ValueError
    if state not in {WAITING, ACTIVE, RETIRING}:
        raise ValueError
    if since is not None and not (isinstance(since, datetime.datetime) and since.tzinfo):
        raise ValueError
    return Key(name, secret, state, since)
