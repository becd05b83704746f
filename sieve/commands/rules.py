"""Files of rules in every language there is, read and compiled as the arguments say."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sieve.compiling.compiler import compile_rules
from sieve.compiling.site import AfterQueue, Site
from sieve.diagnostic import Diagnostic, Severity
from sieve.mailsort.read import MailsortError, read_json, read_toml
from sieve.mailsort.rule import Mailsort
from sieve.main import CONFIGURATION, USAGE, Failure
from sieve.script.parser import SieveError, parse
from sieve.script.profile import PIGEONHOLE, Profile, read_profile
from sieve.script.tree import Script

IMPORTED = ("procmail", "maildrop", "forward", "gmail", "thunderbird")
"""Languages of others; each is a module of `sieve.importing`."""

FORMATS = (*IMPORTED, "mailsort", "sieve")

_NAMES = {
    ".procmailrc": "procmail",
    "procmailrc": "procmail",
    ".mailfilter": "maildrop",
    "mailfilter": "maildrop",
    ".forward": "forward",
    "mailfilters.xml": "gmail",
    "msgfilterrules.dat": "thunderbird",
}
_SUFFIXES = {
    ".procmail": "procmail",
    ".forward": "forward",
    ".toml": "mailsort",
    ".json": "mailsort",
    ".sieve": "sieve",
}

_MOST = 128 << 20
"""Bytes of a file, a message too: mail servers take a third of that."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What stood in a file: rules, or a script; neither where it cannot be read."""

    mailsort: Mailsort | None
    script: Script | None
    remarks: tuple[Diagnostic, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which Sieve the rules become, and what the script depends on."""
    parser.add_argument(
        "--profile",
        metavar="FILE",
        help="what the server has and takes, in TOML; default: Dovecot 2.3 with nothing set",
    )
    site = Site()
    parser.add_argument("--junk", default=site.junk, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument(
        "--trash", default=site.trash, metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument(
        "--separator",
        default=site.separator,
        choices=("/", "."),
        help="what the server puts between the levels of folders; default: %(default)s",
    )
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="of the user, by which he may be written to and is answered for",
    )
    parser.add_argument(
        "--bounce",
        action="store_true",
        help="`reject` sends a report to who wrote; otherwise the message is filed as junk",
    )


def profile_of(arguments: argparse.Namespace) -> Profile:
    """The one that was named; Failure if it is none."""
    if arguments.profile is None:
        return PIGEONHOLE
    try:
        return read_profile(content(arguments.profile))
    except ValueError as error:
        raise Failure(CONFIGURATION, f"{arguments.profile}: {error}") from None


def site_of(arguments: argparse.Namespace) -> Site:
    """What the arguments say about the server; nothing can be refused at RCPT."""
    return Site(
        junk=arguments.junk,
        trash=arguments.trash,
        separator=arguments.separator,
        reject_after_queue=AfterQueue.BOUNCE if arguments.bounce else AfterQueue.JUNK,
        rcpt=False,
        addresses=tuple(arguments.address),
    )


def content(name: str) -> bytes:
    """Of a file, or of standard input where it is called `-`."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MOST + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MOST + 1)
    except OSError as error:
        raise Failure(USAGE, f"{name}: {error.strerror}") from None
    if len(data) > _MOST:
        raise Failure(USAGE, f"{name}: more than {_MOST >> 20} MiB")
    return data


def read(name: str, language: str | None) -> Rules:
    """A file of rules; what language it is in says its name, if nobody else does."""
    data = content(name)
    path = Path(name.lower())
    language = language or _NAMES.get(path.name) or _SUFFIXES.get(path.suffix)
    if language is None:
        raise Failure(USAGE, f"{name}: say by --from in which language it is")
    try:
        if language == "sieve":
            return Rules(None, parse(data), ())
        if language == "mailsort":
            json = data.lstrip()[:1] == b"{"
            return Rules(read_json(data) if json else read_toml(data), None, ())
    except SieveError as error:
        return Rules(None, None, (Diagnostic(Severity.ERROR, error.message, "", error.line),))
    except MailsortError as error:
        return Rules(None, None, error.remarks)
    imported = importlib.import_module(f"sieve.importing.{language}").read(data)
    return Rules(imported.mailsort, None, imported.remarks)


def compiled(rules: Rules, profile: Profile, site: Site) -> Rules:
    """With the script; there is none where the server would not take it, or not all of it."""
    script, remarks = rules.script, rules.remarks
    if rules.mailsort is not None:
        done = compile_rules(rules.mailsort, profile, site)
        script = None if worst(done.remarks) is Severity.ERROR else done.script
        remarks = (*remarks, *done.remarks)
    lacks = () if script is None else profile.lacks(script)
    return Rules(rules.mailsort, None if lacks else script, (*remarks, *lacks))


def worst(remarks: Iterable[Diagnostic]) -> Severity:
    """The gravest of them; a note if there is none."""
    return max((remark.severity for remark in remarks), default=Severity.NOTE)


def told(name: str, remarks: Iterable[Diagnostic]) -> None:
    """On standard error, a line each."""
    for remark in remarks:
        print(f"{name}: {one_line(str(remark))}", file=sys.stderr)


def rows(remarks: Iterable[Diagnostic]) -> list[dict[str, object]]:
    """As `--json` prints them."""
    return [
        {
            "severity": remark.severity.word,
            "message": remark.message,
            "rule": remark.rule,
            "line": remark.line,
        }
        for remark in remarks
    ]


def one_line(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
