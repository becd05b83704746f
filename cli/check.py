"""`iems check`: the settings, read as the daemons read them, before the daemons do.

Every fault is told with file, key, what stands there and what is expected. Beside the files
themselves it holds time limits against Postfix's, and the files of secrets against their modes.
Exit 0 if nothing is wrong, 78 otherwise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from iems.directory.connect import connect
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.settings.load import load
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from iems.store.keys import Keyring, KeyringError
from milters.account import COMMIT_SECONDS
from milters.assembly import build_checks
from milters.checks.guard import Guard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to answer."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the faults, if any."""
    try:
        settings = load(arguments.settings)
    except SettingsError as error:
        faults = list(error.faults)
    else:
        faults = [
            *_check_faults(settings),
            *_secret_faults(settings),
            *_directory_faults(settings),
            *_deadline_faults(settings, _postconf("milter_command_timeout")),
        ]
    if arguments.json:
        print(json.dumps({"settings": str(arguments.settings), "faults": faults}, indent=2))
    elif faults:
        print("\n".join(faults), file=sys.stderr)
    else:
        print(f"{arguments.settings}: nothing is wrong")
    return 78 if faults else 0


def _check_faults(settings: Settings) -> Iterable[str]:
    try:
        resolver = StubResolver(servers(settings.dns.servers), settings.dns.timeout)
    except ValueError as error:
        yield f"settings: dns.servers is {list(settings.dns.servers)}; {error}"
        return
    try:
        build_checks(settings, resolver, Guard(settings.milter.state / "health.json"))
    except SettingsError as error:
        yield from error.faults


def _secret_faults(settings: Settings) -> Iterable[str]:
    try:
        Keyring.load(settings.keys.findings)
    except KeyringError as error:
        yield str(error)
    secrets = [settings.keys.findings]
    if settings.directory.kind == "ldap":
        programs = (settings.milter, settings.agent, settings.admin)
        secrets += [program.ldap_password_file for program in programs]
    for file in secrets:
        yield from _mode_faults(file)


def _directory_faults(settings: Settings) -> Iterable[str]:
    """Why a program could not ask the directory; nothing is asked here."""
    programs = (settings.milter, settings.agent, settings.admin)
    for program in programs if settings.directory.kind == "ldap" else programs[:1]:
        own = (program.ldap_dn, program.ldap_password_file)
        try:
            connect(settings.directory, *own, lambda _note: None)
        except SettingsError as error:
            yield from error.faults


def _mode_faults(file: Path) -> Iterable[str]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return  # told by who reads it
    if mode & 0o027:
        yield f"{file}: its mode is {mode:04o}; expected 0640 or less, it holds a secret"


def _deadline_faults(settings: Settings, limit: float | None) -> Iterable[str]:
    """At RCPT directory, checks and record are waited for, one after the other."""
    longest = settings.directory.timeout + settings.dns.timeout + COMMIT_SECONDS
    if limit is not None and longest >= limit:
        yield (
            f"settings: directory.timeout, dns.timeout and {COMMIT_SECONDS:g} s for a record are "
            f"{longest:g} s; expected less than Postfix's milter_command_timeout of {limit:g} s"
        )


def _postconf(parameter: str) -> float | None:
    """The seconds of a time of Postfix, None where there is no Postfix here."""
    program = shutil.which("postconf", path="/usr/sbin:/usr/bin")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-h", parameter], capture_output=True, text=True, check=False, timeout=10
    )
    return _seconds(done.stdout.strip())


def _seconds(value: str) -> float | None:
    """A time as postconf(5) writes it: a number and its unit, seconds where there is none."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    digits = value.rstrip("smhdw")
    unit = value.removeprefix(digits) or "s"
    if not digits.isdecimal() or unit not in units:
        return None
    return float(digits) * units[unit]
