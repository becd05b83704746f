"""`iems replay`: who would have got what under another policy, by the records of past mail.

What the checks found is taken from the records; decided anew is the policy: that of now, of other
settings (`--settings`) or of a directory in a TOML file (`--directory`), with the choices of
`--set`. Nothing is changed and nothing is sent. With the policy of then it prints no difference.
With `--maildir` it is the mail in Maildirs; where there is no record the checks of today look at
the message, and it got what the folder says it lies in. How many were judged how is told.
With `--shadow` nothing is decided anew: it prints what checks in shadow would have done.
Exit 0 no difference, 1 some, 2 a choice that is not allowed or known or no Maildir, 75 records or
directory cannot be read now.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cli import entries
from cli.backup import progress
from cli.delivered import BY_CHECKS, BY_RECORD, Found, Mail
from cli.maildir import NoMaildirError
from cli.rehearsal import resolver_of
from cli.why import age
from cli.witness import Witness
from iems.directory.connect import connect
from iems.directory.policy import OWN_BANDS, bands, forbidden_by
from iems.directory.reader import Alias, Directory
from iems.directory.toml import TomlDirectory
from iems.dns.zonefile import UnexpectedQuestionError
from iems.model.address import AddressError
from iems.model.finding import TEMPERROR, Finding
from iems.model.policy import SITE, Action, Kind, Subject, allowed
from iems.serve.deadline import Deadline
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.records import RecordsError, every
from iems.store.replay import Change, Difference, Replay, Shadows

_SECONDS = 30.0
"""For the question whether an address is a list."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What policy is tried, and on which mail."""
    parser.add_argument(
        "--set",
        dest="changes",
        nargs=3,
        action="append",
        default=[],
        metavar=("WHO", "CHECK[:BAND]", "ACTION"),
        help="a choice to try: WHO is a user, a list, a domain or `site`; may be given again",
    )
    parser.add_argument(
        "--settings", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="settings to try"
    )
    parser.add_argument("--directory", type=Path, metavar="FILE", help="a TOML directory to try")
    parser.add_argument(
        "--shadow",
        action="store_true",
        help="what checks in shadow would have done, and no policy to try",
    )
    parser.add_argument(
        "--maildir",
        dest="maildirs",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="the mail in these Maildirs and the folders below them, and not all that is recorded",
    )
    parser.add_argument(
        "--owner",
        type=entries.address,
        metavar="ADDRESS",
        help="whose Maildirs they are; default: as each message says (Delivered-To)",
    )
    parser.add_argument(
        "--dns", type=Path, metavar="FILE", help="with --maildir: a zone file instead of the DNS"
    )
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="default: those of both daemons",
    )
    parser.add_argument("--since", type=age, default=0.0, metavar="TIME", help="as `iems why`")
    parser.add_argument("--each", action="store_true", help="a line for each difference")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Decide again, and print what would have been another verdict."""
    return entries.told(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    site = load(arguments.settings)
    states = (site.milter.state, site.agent.state)
    files = arguments.records or [state / "records.sqlite" for state in states]
    try:
        if arguments.maildirs:
            return _in_maildirs(arguments, site, files)
        if arguments.owner or arguments.dns:
            return entries.failed("--owner and --dns go with --maildir", entries.USAGE)
        replay = _shadows(arguments) if arguments.shadow else _replay(arguments, site)
        found = list(replay.differences(every(files, since=arguments.since)))
    except RecordsError as error:
        return entries.failed(str(error), entries.TEMPORARY)
    except UnexpectedQuestionError as error:
        question = entries.shown(str(error))
        return entries.failed(f"{arguments.dns} does not answer {question}", entries.USAGE)
    except (ValueError, NoMaildirError) as error:
        return entries.failed(str(error), entries.USAGE)
    lines = _each(found) if arguments.each else _sums(found)
    told = f"{replay.verdicts} verdicts, {len(found)} would have been another one"
    rows = {"verdicts": replay.verdicts, "differences": [_row(one) for one in found]}
    entries.listed(itertools.chain(lines, [told]), rows, as_json=arguments.json)
    return entries.NEGATIVE if found else entries.OK


def _in_maildirs(arguments: argparse.Namespace, site: Settings, files: list[Path]) -> int:
    if arguments.shadow:
        raise ValueError("--shadow is about records: no --maildir")
    replay, resolver = _replay(arguments, site), resolver_of(arguments.dns, site)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def witness() -> Witness:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="iems-replay-"))
            return stack.enter_context(contextlib.closing(Witness(site, resolver, Path(folder))))

        mail = Mail(
            *(site, replay.directory, replay, files, witness), arguments.owner, arguments.since
        )
        found = list(mail.differences(arguments.maildirs, _unread, progress()))
    rows = {
        "verdicts": replay.verdicts,
        "judged": dict(mail.judged),
        "unjudged": dict(mail.unjudged),
        "differences": [
            {"file": one.file, "judged_by": one.by, **_row(one.difference)} for one in found
        ],
    }
    entries.listed(_mail_lines(mail, found, each=arguments.each), rows, as_json=arguments.json)
    return entries.NEGATIVE if found else entries.OK


def _mail_lines(mail: Mail, found: list[Found], *, each: bool) -> Iterator[str]:
    differences = [one.difference for one in found]
    if each:
        for one, line in zip(found, _each(differences), strict=True):
            yield f"{line}: {one.file}"
    else:
        yield from _sums(differences)
    judged, unjudged = mail.judged, mail.unjudged
    yield f"{judged.total()} messages, {len(found)} would have been treated otherwise"
    yield (
        f"judged by the record of their delivery: {judged[BY_RECORD]}; by checks of today and the "
        f"folder they lie in: {judged[BY_CHECKS]}"
    )
    whys = ", ".join(f"{why} {count}" for why, count in unjudged.most_common())
    yield f"not judged: {unjudged.total()}" + (f" ({whys})" if whys else "")


def _unread(text: str) -> None:
    entries.warn(entries.shown(text))


def _shadows(arguments: argparse.Namespace) -> Shadows:
    if arguments.changes or arguments.directory:
        raise ValueError("--shadow tries no policy: no --set, no --directory")
    return Shadows()


def _replay(arguments: argparse.Namespace, site: Settings) -> Replay:
    directory = _directory(arguments.directory, site)
    changes = tuple(_change(words, site, directory) for words in arguments.changes)
    return Replay(site, directory, changes)


def _directory(file: Path | None, site: Settings) -> Directory:
    if file is not None:
        return TomlDirectory.load(file)
    own = site.agent
    return connect(site.directory, own.ldap_dn, own.ldap_password_file, entries.warn)


def _change(words: Sequence[str], site: Settings, directory: Directory) -> Change:
    """A choice of the command line; ValueError where it cannot be one."""
    whom, check, word = words
    name, _colon, band = check.lower().partition(":")
    there = bands([site.site_layer])
    if name.startswith("header/") and Finding(name, "").own:
        there += [(name, one) for one in OWN_BANDS]  # whoever has such a rule
    found = [one for known, one in there if known == name and one != TEMPERROR]
    if not band and len(found) == 1:
        [band] = found
    if (name, band) not in there:
        known = ", ".join(f"{one}:{two}" for one, two in there) or "none"
        raise ValueError(f"no check {check}; known: {known}")
    action, subject = Action.parse(word), _subject(whom, directory)
    forbidden = forbidden_by(name, band, action, [site.site_layer]) is not None
    enforced = len(allowed(name, band, [site.site_layer])) == 1
    if forbidden and not (enforced and subject == SITE):
        raise ValueError(f"the site does not allow {action.word} for {name}:{band}")
    return Change(subject, name, band, action)


def _subject(text: str, directory: Directory) -> Subject:
    if text == SITE.kind.value:
        return SITE
    try:
        if "@" not in text:
            return Subject(Kind.DOMAIN, entries.domain(text))
        address = entries.address(text)
    except (AddressError, argparse.ArgumentTypeError) as error:
        raise ValueError(str(error)) from None
    entry = directory.find([address], Deadline.after(_SECONDS)).get(address.key)
    if isinstance(entry, Alias) and entry.user is None and entry.mailing_list is not None:
        return entry.mailing_list.layer.subject
    return Subject(Kind.USER, address.key)


def _each(found: Iterable[Difference]) -> Iterator[str]:
    for one in found:
        record = one.record
        by = f" by {one.layer}" if one.layer else ""
        yield (
            f"{record.reference} {record.recipient}: {one.was.word} -> {one.now.word}, "
            f"{_rule(one.check, one.band)}{by}"
        )


def _sums(found: Iterable[Difference]) -> Iterator[str]:
    """Per user and rule, the most first."""
    sums = collections.Counter(
        (one.record.subject or one.record.recipient, one.was, one.now, one.check, one.band)
        for one in found
    )
    for (whose, was, now, check, band), count in sums.most_common():
        yield f"{count:8}  {whose}: {was.word} -> {now.word}, {_rule(check, band)}"


def _rule(check: str, band: str) -> str:
    return f"{check} {band}" if check else "nothing found"


def _row(one: Difference) -> dict[str, object]:
    record = one.record
    return {
        "reference": record.reference,
        "time": record.time,
        "stage": record.stage,
        "sender": record.sender,
        "recipient": record.recipient,
        "subject": record.subject,
        "was": one.was.word,
        "now": one.now.word,
        "check": one.check,
        "band": one.band,
        "layer": one.layer,
    }
