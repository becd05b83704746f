"""What the commands for entries of the directory share: opening it, its errors, addresses."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from iems.directory.admin import Admin
from iems.directory.authority import NotAuthorisedError
from iems.directory.connect import connect_admin
from iems.directory.reader import DirectoryUnavailable
from iems.directory.store import NoEntryError, WriteRefusedError
from iems.directory.tree import canonical
from iems.model.address import Address, AddressError, domain_name
from iems.model.policy import Kind, Subject
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings

OK, NEGATIVE, USAGE, TEMPORARY, NOT_ALLOWED = 0, 1, 2, 75, 77

_NO_LOGIN = (1 << 32) - 1
"""The kernel's loginuid of a process that no login stands behind: a daemon's, a cron job's."""

_AUDIT_WAIT = 1.0
"""Seconds that a change waits until syslogd has taken its audit line."""

Act: TypeAlias = Callable[[argparse.Namespace, Admin, Settings], int]


def answered(arguments: argparse.Namespace, act: Act) -> int:
    """Open the directory, act with the rights that the arguments say, and tell what went wrong."""
    settings = load(arguments.settings)
    return audited(lambda log: act(arguments, opened(arguments, settings, log), settings))


def audited(act: Callable[[Log], int]) -> int:
    """Act with a log for the audit, and tell what went wrong."""
    with contextlib.closing(Log.open("iems", wait=_AUDIT_WAIT)) as log:
        code = told(lambda: act(log))
        if log.dropped:
            warn(f"{log.dropped} lines of the audit were not taken by syslogd")
    return code


def opened(arguments: argparse.Namespace, settings: Settings, log: Log) -> Admin:
    """The directory for the site's administrator, or for the user of `--as`."""
    whom: Address | None = getattr(arguments, "as_user", None)
    if whom is not None and os.geteuid() != 0:
        raise NotAuthorisedError("only root may act as somebody else")
    admin = connect_admin(settings, operator(), log)
    if whom is None:
        return admin
    try:
        return admin.acting_as(whom)
    except NoEntryError:
        raise NotAuthorisedError(f"no user {canonical(whom)} to act as") from None


def as_option(parser: argparse.ArgumentParser) -> None:
    """The option of what a user may do himself."""
    parser.add_argument(
        "--as",
        dest="as_user",
        type=address,
        metavar="USER",
        help="with this user's rights and no others; for root alone",
    )


def told(act: Callable[[], int]) -> int:
    """What `act` returns, or the exit code of what went wrong, which is printed."""
    try:
        return act()
    except DirectoryUnavailable as error:
        return failed(f"the directory cannot answer: {error}", TEMPORARY)
    except NotAuthorisedError as error:
        return failed(str(error), NOT_ALLOWED)
    except WriteRefusedError as error:
        return failed(f"the directory refuses: {error}")


def failed(text: str, code: int = NEGATIVE) -> int:
    """Say why on stderr."""
    print(f"iems: {text}", file=sys.stderr)
    return code


def warn(text: str) -> None:
    """Say what was done and may not be meant."""
    print(f"iems: warning: {text}", file=sys.stderr)


def changed(verb: str, text: str) -> int:
    """Say what was done; a program can tell by the first word whether anything was."""
    print(f"{verb} {text}")
    return OK


def listed(lines: Iterable[str], rows: object, *, as_json: bool) -> int:
    """Print lines for people or one JSON value for programs."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return OK
    for line in lines:
        print(shown(line))
    return OK


def shown(line: str) -> str:
    """The line for people: what a terminal would take for a command is a `?`."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def in_domain(text: str, domain: str | None) -> bool:
    """Whether the address is in this domain; in any with None."""
    return domain is None or text.rpartition("@")[2] == domain


def exists_ok(parser: argparse.ArgumentParser) -> None:
    """The option of every `add`."""
    parser.add_argument(
        "--exists-ok", action="store_true", help="leave an existing entry as it is, exit 0"
    )


def list_options(parser: argparse.ArgumentParser) -> None:
    """The arguments of `list` for what stands in domains."""
    parser.add_argument("domain", nargs="?", type=domain, help="only of this domain")
    parser.add_argument("--json", action="store_true", help="one JSON array")


def given(text: str) -> str:
    """An argument that is not empty: a variable of the shell that is would mean everything."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def address(text: str) -> Address:
    """An argument that is a mailbox address."""
    try:
        return Address.parse(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def domain(text: str) -> str:
    """An argument that is a domain."""
    try:
        return domain_name(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def owner(named: Subject, admin: Admin) -> Subject:
    """Who is meant: a list where there is no user of this address, and an alias."""
    if named.kind is not Kind.USER:
        return named
    mailing_list = Subject(Kind.LIST, named.name)
    for one in (named, mailing_list):
        with contextlib.suppress(NoEntryError):
            admin.subject(one)
            return one
    return named


def subject(text: str) -> Subject:
    """An argument that is a user's or list's address, or a domain."""
    if "@" in text:
        return Subject(Kind.USER, address(text).key)
    return Subject(Kind.DOMAIN, domain(text))


def operator(loginuid: Path = Path("/proc/self/loginuid")) -> str:
    """Who types: who has logged in, which no su or sudo changes; else the user behind sudo."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        number = int(loginuid.read_text())
        if number != _NO_LOGIN:
            return pwd.getpwuid(number).pw_name
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
