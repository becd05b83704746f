"""`iems try`: what would become of a message, without a server and without sending anything.

The same checks, policy and edits as the daemons'; DNS live or from a zone file (`NAME TYPE VALUE`
a line), directory that of the site or a TOML file. It prints the replies, what the checks found,
and for each final recipient what is done and who decided; `--output` keeps what each would get.
Exit 0 if somebody gets the message or it is kept for him, 1 if not, 75 if it would have to be tried
again, 2 for a question that the zone file does not hold.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import sys
import tempfile
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from cli import entries
from cli.rehearsal import Copy, Message, Outcome, rehearse, resolver_of
from cli.why import explain
from iems.directory.connect import connect
from iems.directory.reader import Directory
from iems.directory.toml import TomlDirectory
from iems.dns.zonefile import UnexpectedQuestionError
from iems.model.envelope import INTERNET, Client
from iems.settings.load import load
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The message, its envelope, and what stands in for the site."""
    parser.add_argument("message", metavar="FILE|-", help="the message; - is standard input")
    parser.add_argument("--client", required=True, type=_ip, metavar="IP", help="who connects")
    parser.add_argument("--name", default="", help="his name, as Postfix has verified it")
    parser.add_argument("--helo", default="helo.invalid", metavar="NAME")
    parser.add_argument("--mail-from", required=True, metavar="ADDRESS", help="<> for a bounce")
    parser.add_argument("--rcpt", required=True, nargs="+", metavar="ADDRESS")
    parser.add_argument("--channel", default=INTERNET, help="default: %(default)s")
    parser.add_argument("--login", default="", metavar="USER", help="whom he has logged in as")
    parser.add_argument("--dns", type=Path, metavar="FILE", help="a zone file instead of the DNS")
    parser.add_argument("--directory", type=Path, metavar="FILE", help="a TOML directory instead")
    parser.add_argument(
        "--settings", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="other settings"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write there what each recipient would get"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Try the message and print what becomes of it."""
    return entries.told(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    site = load(arguments.settings)
    try:
        content = _content(arguments.message)
        resolver = resolver_of(arguments.dns, site)
        if arguments.output:
            arguments.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        return entries.failed(str(error), entries.USAGE)
    message = Message(
        client=Client(arguments.client, arguments.name),
        helo=arguments.helo,
        sender=arguments.mail_from.removeprefix("<").removesuffix(">"),
        recipients=tuple(arguments.rcpt),
        content=content,
        channel=arguments.channel,
        authenticated=arguments.login,
    )
    with tempfile.TemporaryDirectory(prefix="iems-try-") as folder:
        try:
            outcome = rehearse(
                message, site, _directory(arguments.directory, site), resolver, Path(folder)
            )
        except UnexpectedQuestionError as error:
            question = entries.shown(str(error))
            return entries.failed(f"{arguments.dns} does not answer {question}", entries.USAGE)
    files = _written(outcome.copies, arguments.output) if arguments.output else []
    rows = {**dataclasses.asdict(outcome), "copies": _rows(outcome.copies, files)}
    entries.listed(_lines(outcome, files), rows, as_json=arguments.json)
    return _code(outcome)


def _content(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _directory(file: Path | None, site: Settings) -> Directory:
    if file is not None:
        return TomlDirectory.load(file)
    return connect(
        site.directory, site.milter.ldap_dn, site.milter.ldap_password_file, entries.warn
    )


def _lines(outcome: Outcome, files: Iterable[Path]) -> Iterable[str]:
    for recipient, answer in outcome.replies:
        yield f"RCPT TO:<{recipient}>: {answer}"
    if outcome.end:
        yield f"end of DATA: {outcome.end}"
    if outcome.held:
        yield f"held in Postfix's queue: {outcome.held}"
    if outcome.authentication_results:
        yield f"Authentication-Results: {outcome.authentication_results}"
    for record in outcome.records:
        yield from explain(record)
    for recipient in outcome.relayed:
        yield f"relayed to {recipient}"
    for file in files:
        yield f"written {file}"


def _rows(copies: Iterable[Copy], files: list[Path]) -> list[dict[str, str]]:
    names = [str(file) for file in files]
    return [
        {"recipient": one.recipient, "upstream": one.upstream, "file": name}
        for one, name in zip(copies, names or [""] * len(list(copies)), strict=True)
    ]


def _written(copies: Iterable[Copy], folder: Path) -> list[Path]:
    files = []
    for number, one in enumerate(copies, 1):
        file = folder / f"{number:03}-{urllib.parse.quote(one.recipient, safe='@+')[:200]}.eml"
        file.touch(mode=0o600)
        file.write_bytes(one.content)
        files.append(file)
    return files


def _code(outcome: Outcome) -> int:
    kept = {"deliver", "remove", "tag", "junk", "quarantine"}
    if outcome.relayed or any(
        one.stage == "delivery" and one.action in kept for one in outcome.records
    ):
        return entries.OK
    answers = [outcome.end, *(answer for _recipient, answer in outcome.replies)]
    again = any(answer.startswith("4") for answer in answers)
    deferred = any(one.action == "defer" for one in outcome.records)
    return entries.TEMPORARY if again or deferred else entries.NEGATIVE


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
