"""`iems password change USER`: a new password for who knows the old one.

The directory checks the old one, as it does at a login, and whether the new one is good enough.
Anybody may run it, root or not: it reads no secret. Who may not read the settings changes his
password in the directory of this machine (`ldapi:///`, below `o=iems`).
Exit 0 done, 1 refused (the old one is wrong, the new one is not good enough), 75 the directory
cannot answer. No password is ever an argument, where everybody on the machine could read it.
"""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path

from cli import entries, secret
from iems.directory.admin import Admin
from iems.directory.connect import connect_user
from iems.directory.store import NoEntryError, WrongPasswordError
from iems.directory.tree import canonical
from iems.settings.load import load
from iems.settings.read import SettingsError
from iems.settings.schema import DirectorySettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`change USER`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    change = verbs.add_parser("change", help="give a user another password by his old one")
    change.add_argument("address", type=entries.address, metavar="USER")
    change.add_argument(
        "--password-file",
        metavar="FILE",
        help="the old and the new password are the first two lines of this file, of standard "
        "input with -; without it they are asked for",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    directory = _directory(arguments.settings)
    whose, login = arguments.address, entries.operator()
    return entries.audited(lambda log: act(arguments, connect_user(directory, whose, login, log)))


def _directory(settings: Path) -> DirectorySettings:
    """Which directory the settings name; its defaults for who may not read them."""
    try:
        return load(settings).directory
    except SettingsError:
        if os.access(settings, os.R_OK) or not settings.exists():
            raise
        return DirectorySettings()


def act(arguments: argparse.Namespace, admin: Admin) -> int:
    """The same, with the directory given."""
    whose = canonical(arguments.address)
    try:
        if arguments.password_file is None:
            old, new = _asked()
        else:
            old, new = secret.lines(arguments.password_file, 2)
        admin.change_password(arguments.address, old, new)
    except (NoEntryError, WrongPasswordError):
        return entries.failed(f"the old password of {whose} is another one, or he may not log in")
    except (OSError, ValueError) as error:
        return entries.failed(str(error))
    return entries.changed("changed", f"password of {whose}")


def _asked() -> tuple[str, str]:
    old, new = getpass.getpass("Old password: "), getpass.getpass("New password: ")
    if new != getpass.getpass("New password again: "):
        raise ValueError("the new password was typed in two ways")
    return old, new
