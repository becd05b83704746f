"""Who has a filter, out of the directory: all users whose filter is not off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from iems.directory.connect import connect_store
from iems.directory.passwords import Scanner
from iems.directory.reader import user_of
from iems.directory.toml import TomlDirectory
from iems.directory.tree import DOMAINS, FILTER, user_named
from iems.model.address import Address, AddressError
from iems.serve.deadline import Deadline
from iems.settings.bayes import OFF
from iems.settings.judging import judging
from iems.settings.policy import Mode
from iems.settings.schema import Settings

_SECONDS = 60.0
"""For all users of the directory."""


def filtered(settings: Settings) -> Callable[[Deadline], Iterable[Address]]:
    """What tells them; it raises DirectoryUnavailable. SettingsError as the directory's own."""
    told = judging(settings.checks)
    enforced = told is not None and told[0] is Mode.ENFORCE
    if settings.directory.kind == "toml":
        directory = TomlDirectory.load(settings.directory.file)
        users = [user for user in map(user_of, directory.entries.values()) if user]
        named = [one.address for one in users if enforced or _wanted(one.bayes, settings)]
        return lambda _deadline: named
    own = settings.agent
    store = connect_store(settings.directory, own.ldap_dn, own.ldap_password_file)

    def ask(deadline: Deadline) -> Iterable[Address]:
        rows = _scanned(store, deadline.sooner(_SECONDS))
        return [one for one, word in rows if enforced or _wanted(word, settings)]

    return ask


def _wanted(word: str, settings: Settings) -> bool:
    """Whether a user with this word of his own has a filter."""
    return (word or settings.bayes.default) != OFF


def _scanned(store: Scanner, deadline: Deadline) -> Iterator[tuple[Address, str]]:
    """Each user and his word; whose entry it is says its name, which nobody can forge."""
    for row in store.scan(DOMAINS, "(objectClass=iemsUser)", (), (FILTER,), deadline):
        try:
            address = Address.parse(user_named(row.name))
            yield address, next(iter(row.texts(FILTER)), "").lower()
        except (AddressError, UnicodeDecodeError):
            continue
