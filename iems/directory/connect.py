"""The directory that the settings name, ready to be asked; the one place that knows the kinds.

Nothing is opened until the first question. Made in each process anew, after the fork.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from iems.directory.admin import Admin
from iems.directory.authority import Actor, Audit, Thing
from iems.directory.cache import CachedDirectory
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.model.policy import Kind, Subject
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings.read import SettingsError
from iems.settings.schema import DirectorySettings, Settings

if TYPE_CHECKING:
    from iems.directory.ldap import LdapStore


def connect(
    settings: DirectorySettings, dn: str, password_file: Path, note: Callable[[str], None]
) -> Directory:
    """The directory for a program that binds as `dn`; `note` gets what is wrong inside entries.

    `SettingsError` where the TOML file is wrong, or the password is missing or not to be read.
    """
    if settings.kind == "toml":
        return TomlDirectory.load(settings.file)
    try:
        store = connect_store(settings, dn, password_file)
    except PermissionError as error:
        raise SettingsError([str(error)]) from None
    return CachedDirectory(TreeDirectory(store, settings.timeout, note), settings.ttl)


def unavailable(directory: Directory, domain: str, deadline: Deadline) -> str:
    """Why the directory does not answer a question about this domain now; empty where it does."""
    try:
        directory.domains([domain], deadline)
    except DirectoryUnavailable as error:
        return str(error)
    return ""


def connect_admin(settings: Settings, login: str, log: Log) -> Admin:
    """The directory for who has logged in as `login` and changes it; that stands in the log."""
    admin = settings.admin
    store = connect_store(settings.directory, admin.ldap_dn, admin.ldap_password_file)
    return Admin(store, Actor(login=login), audit(log), settings.directory.timeout)


def connect_user(directory: DirectorySettings, whose: Address, login: str, log: Log) -> Admin:
    """The same with the rights of a user, for what he does by his password: it needs no secret."""
    from iems.directory.ldap import Account, LdapStore

    _wants_ldap(directory)
    actor = Actor(Subject(Kind.USER, whose.key), login=login)
    store = LdapStore(Account(directory.uri, directory.base, "", ""), 1)
    return Admin(store, actor, audit(log), directory.timeout)


def audit(log: Log) -> Audit:
    """Who writes each change into the log."""

    def write(actor: Actor, verb: str, thing: Thing, result: str) -> None:
        rights = actor.subject
        log.info("audit", actor=actor.login, rights=rights, verb=verb, object=thing, result=result)

    return write


def connect_store(settings: DirectorySettings, dn: str, password_file: Path) -> LdapStore:
    """The LDAP server of the settings; `SettingsError` where there is none or no password."""
    from iems.directory.ldap import Account, LdapStore

    _wants_ldap(settings)
    try:
        password = password_file.read_text(encoding="utf-8").rstrip("\n")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise SettingsError([f"{password_file}: cannot be read: {error}"]) from None
    if not password:
        raise SettingsError([f"{password_file}: is empty; expected the password of {dn}"])
    return LdapStore(Account(settings.uri, settings.base, dn, password), settings.pool)


def _wants_ldap(settings: DirectorySettings) -> None:
    if settings.kind != "ldap":
        raise SettingsError(
            [f"directory.kind is {settings.kind!r}; expected ldap, a file is changed by hand"]
        )
