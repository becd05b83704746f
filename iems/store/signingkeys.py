"""The keys that sign for domains: one file a domain, `DOMAIN.toml` in one folder.

The file is TOML (root:iems 0640): `[[key]]` tables with `selector`, `private` (PEM), `state` and
`since`. A key waits until its record is published, signs, and retires: mail that it signed may wait
in queues for as long, and its record has to stay. There may be one key that signs of each kind. A
file that cannot be used is a `SigningKeyError` that shows no key.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase

from iems.codec.keypair import PrivateKey, PrivateKeyError, new_private, read_private
from iems.model.address import AddressError, domain_name
from iems.store.keys import ACTIVE, RETIRED, RETIRING, WAITING

_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_STRING = 255
"""Bytes of one string of a TXT record (RFC 1035 section 3.3)."""


class SigningKeyError(Exception):
    """The keys of a domain cannot be used; the message names file and fault."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key; `since` is when it came into its state."""

    selector: str
    private: PrivateKey
    state: str
    since: datetime.datetime

    @property
    def record(self) -> str:
        """The text of its TXT record (RFC 6376 section 3.6.1)."""
        public = base64.b64encode(self.private.public).decode()
        return f"v=DKIM1; k={self.private.kind}; p={public}"

    @property
    def strings(self) -> tuple[str, ...]:
        """The same in strings of a TXT record."""
        text = self.record
        return tuple(text[at : at + _STRING] for at in range(0, len(text), _STRING))

    def over(self, now: datetime.datetime) -> bool:
        """Whether no mail that it signed can be on its way any more."""
        return self.state == RETIRING and now - self.since >= RETIRED


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """All keys of a domain, the oldest first."""

    domain: str
    keys: tuple[SigningKey, ...] = ()

    @classmethod
    def load(cls, file: Path) -> DomainKeys:
        """Read the file of a domain."""
        try:
            domain = _domain(file)
            rows = tomllib.loads(file.read_text())["key"]
            keys = tuple(_key(row) for row in rows)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SigningKeyError(f"{file}: cannot be read: {error}") from None
        except AddressError:
            raise SigningKeyError(
                f"{file}: its name is not that of a domain, in lower case"
            ) from None
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            told = f": {error}" if isinstance(error, PrivateKeyError) else ""
            raise SigningKeyError(
                f"{file}: expected [[key]] tables with selector, private (a key in PEM), state "
                f"waiting, active or retiring, and since{told}"
            ) from None
        active = [key.private.kind for key in keys if key.state == ACTIVE]
        if len({key.selector for key in keys}) != len(keys) or len(set(active)) != len(active):
            raise SigningKeyError(f"{file}: two keys have one selector, or two of a kind sign")
        return cls(domain, keys)

    def of(self, state: str) -> tuple[SigningKey, ...]:
        """The keys in this state."""
        return tuple(key for key in self.keys if key.state == state)

    def prepared(self, kind: str, selector: str, now: datetime.datetime) -> DomainKeys:
        """With a new key that waits; ValueError where one of its kind or selector is there.

        Without a selector it is one of its own.
        """
        if any(key.private.kind == kind for key in self.of(WAITING)):
            raise ValueError(f"a key of type {kind} waits already")
        taken = {key.selector for key in self.keys}
        selector = selector or next(one for one in _selectors(kind, now) if one not in taken)
        if selector in taken:
            raise ValueError(f"there is a key with the selector {selector}")
        key = SigningKey(selector, new_private(kind), WAITING, now)
        return replace(self, keys=(*self.keys, key))

    def activated(self, now: datetime.datetime) -> DomainKeys:
        """The keys that waited sign, and those of their kind before them retire."""
        kinds = {key.private.kind for key in self.of(WAITING)}
        return replace(self, keys=tuple(_turned(key, kinds, now) for key in self.keys))

    def swept(self, now: datetime.datetime) -> DomainKeys:
        """Without the keys that have retired for long enough."""
        return replace(self, keys=tuple(key for key in self.keys if not key.over(now)))

    def write(self, folder: Path) -> Path:
        """Take the place of the domain's file, readable by the group of the folder."""
        file = folder / f"{self.domain}.toml"
        draft = folder / f".{self.domain}.new"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as target:
            target.write("\n".join(_row(key) for key in self.keys))
            os.fchown(descriptor, -1, folder.stat().st_gid)
            os.fchmod(descriptor, 0o640)
            target.flush()
            os.fsync(descriptor)
        draft.replace(file)
        return file


def at_or_above(domain: str) -> Iterator[str]:
    """Whose keys may sign for a domain: the first of these that has any."""
    labels = domain.split(".")
    return (".".join(labels[at:]) for at in range(len(labels)))


def files(folder: Path) -> tuple[Path, ...]:
    """The files of all domains that have keys; none where there is no folder."""
    try:
        return tuple(sorted(one for one in folder.iterdir() if one.suffix == ".toml"))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SigningKeyError(f"{folder}: cannot be read: {error.strerror}") from None


def load_all(folder: Path) -> Mapping[str, DomainKeys]:
    """The keys of all domains that have any."""
    return {one.domain: one for one in map(DomainKeys.load, files(folder))}


def load_one(folder: Path, domain: str) -> DomainKeys:
    """The keys of one domain, which may have none."""
    file = folder / f"{domain}.toml"
    return DomainKeys.load(file) if file.exists() else DomainKeys(domain)


def make_folder(folder: Path) -> None:
    """The folder, with owner, group and mode of the one that it is in."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)
        folder.chmod(above.st_mode & 0o770)


def selector_name(text: str) -> str:
    """A selector, in lower case; ValueError where it is none."""
    name = text.lower()
    if not _SELECTOR.fullmatch(name):
        raise ValueError("a selector has letters, digits and hyphens, 63 at most")
    return name


def _selectors(kind: str, now: datetime.datetime) -> Iterator[str]:
    """The kind's letter and the day, then with one more letter."""
    day = f"{kind[0]}{now:%Y%m%d}"
    yield day
    yield from (day + end for end in ascii_lowercase)


def _turned(key: SigningKey, kinds: set[str], now: datetime.datetime) -> SigningKey:
    if key.state == WAITING:
        return replace(key, state=ACTIVE, since=now)
    if key.state == ACTIVE and key.private.kind in kinds:
        return replace(key, state=RETIRING, since=now)
    return key


def _row(key: SigningKey) -> str:
    since = key.since.isoformat(timespec="seconds")
    return (
        f'[[key]]\nselector = "{key.selector}"\nstate = "{key.state}"\nsince = {since}\n'
        f'private = """\n{key.private.pem}"""\n'
    )


def _domain(file: Path) -> str:
    """Whose file it is; AddressError where nobody who looks for this domain finds it."""
    domain = domain_name(file.stem)
    if domain != file.stem or domain.startswith("["):
        raise AddressError
    return domain


def _key(row: Mapping[str, object]) -> SigningKey:
    selector, state, since = str(row["selector"]), str(row["state"]), row["since"]
    if not _SELECTOR.fullmatch(selector) or state not in {WAITING, ACTIVE, RETIRING}:
        raise ValueError
    if not (isinstance(since, datetime.datetime) and since.tzinfo):
        raise ValueError
    return SigningKey(selector, read_private(str(row["private"]).encode()), state, since)
