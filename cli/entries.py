"""What the commands domain, user, alias and policy share: the directory, its errors, addresses."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Callable, Iterable
from typing import TypeAlias

from iems.directory.admin import Admin, NotAuthorisedError
from iems.directory.connect import connect_admin
from iems.directory.reader import DirectoryUnavailable
from iems.directory.store import WriteRefusedError
from iems.model.address import Address, AddressError, domain_name
from iems.model.policy import Kind, Subject
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings

OK, NEGATIVE, TEMPORARY, NOT_ALLOWED = 0, 1, 75, 77

Act: TypeAlias = Callable[[argparse.Namespace, Admin, Settings], int]


def answered(arguments: argparse.Namespace, act: Act) -> int:
    """Open the directory for the administrator, act, and tell what went wrong."""
    settings = load(arguments.settings)
    admin = connect_admin(settings, Subject(Kind.SITE, _operator()), Log.open("iems"))
    return told(lambda: act(arguments, admin, settings))


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
        print(line)
    return OK


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


def _operator() -> str:
    """Who types: the user behind sudo, if there is one."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
