"""`iems policy show|set|unset`: what a user, a list or a domain has decided about checks.

A choice that the site or the domain does not allow is refused, with who forbids it and what is
allowed. With `--as` only what that user may see and choose himself. What Postfix refuses by itself
is shown as a part of the whole.
Exit 0 done, 1 refused, 75 the directory cannot answer, 77 not allowed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from cli import bulk, entries
from cli.postfix import PostfixError, read_postfix
from cli.refusals import Refusal, refusals
from iems.directory.admin import Admin
from iems.directory.authority import Thing
from iems.directory.policy import Standing, bands, forbidden_by, standings
from iems.directory.store import NoEntryError
from iems.directory.tree import read_layer
from iems.model.envelope import LOCAL
from iems.model.finding import MATCHED, TEMPERROR
from iems.model.policy import WHOLE, Action, Kind, Layer, Subject, allowed, possible
from iems.settings.matrix import ANY
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`show SUBJECT`, `set SUBJECT CHECK[:BAND] ACTION`, `unset SUBJECT CHECK[:BAND]`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="what happens at each check, who decided, who may")
    show.add_argument("--json", action="store_true", help="one JSON object")
    choose = verbs.add_parser("set", help="make a choice")
    unset = verbs.add_parser("unset", help="take a choice back")
    bulk.add_verbs(verbs, "policy")
    for verb in (show, choose, unset):
        entries.as_option(verb)
        verb.add_argument("subject", type=entries.subject, metavar="ADDRESS|DOMAIN")
    for verb in (choose, unset):
        verb.add_argument("check", metavar="CHECK[:BAND]", help="see `iems policy show`")
    choose.add_argument("action", type=_action, metavar="ACTION", help=_words(Action))


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    if arguments.verb in {"import", "export"}:
        return bulk.run(arguments, admin, settings, "policy")
    subject: Subject = arguments.subject
    admin.authorise("show" if arguments.verb == "show" else "set", Thing("policy", subject.name))
    try:
        above, own = layers(entries.owner(subject, admin), admin, settings)
        if arguments.verb == "show":
            return _show(standings([*above, own]), as_json=arguments.json)
        return _choose(arguments, admin, above, own)
    except NoEntryError:
        return entries.failed(f"no {subject}")


def layers(subject: Subject, admin: Admin, settings: Settings) -> tuple[list[Layer], Layer]:
    """The layers above a subject, the site's first, and its own.

    Of a matrix it is what is done with mail to a mailbox from a source that has no cell.
    """
    above = [settings.layers(ANY, LOCAL)[0]]
    if subject.kind is not Kind.DOMAIN:
        domain = Subject(Kind.DOMAIN, subject.name.rpartition("@")[2])
        above.append(read_layer(admin.domain(domain.name), domain, entries.warn))
    return above, read_layer(admin.subject(subject), subject, entries.warn)


def _choose(arguments: argparse.Namespace, admin: Admin, above: Sequence[Layer], own: Layer) -> int:
    there = bands([*above, own])
    check, band = _band(arguments.check, there)
    # What stands there may be taken back even when its check is no more.
    gone = arguments.verb == "unset" and (check, band) in own.rules
    if check in own.headers and band == MATCHED:
        return entries.failed(f"{check} has its action in the rule: see `iems header`")
    if (check, band) not in there and not gone:
        known = ", ".join(f"{name}:{one}" for name, one in there) or "none"
        return entries.failed(f"no check {check}:{band}; known: {known}")
    action: Action | None = arguments.action if arguments.verb == "set" else None
    # A domain's own list of what its users may choose binds its own choice, too.
    refusal = forbidden(check, band, action, [*above, own]) if action is not None else ""
    if refusal:
        return entries.failed(refusal)
    changed = admin.set_choice(own.subject, check, band, action)
    verb = "set" if action is not None else "unset"
    word = f" {action.word}" if action is not None else ""
    return entries.changed(verb if changed else "unchanged", f"{own.subject} {check}:{band}{word}")


def forbidden(check: str, band: str, action: Action, layers: Sequence[Layer]) -> str:
    """Why the subject of the last layer may not choose this action; empty where it may."""
    if action not in possible(check, band):
        return f"{check}:{band} finds no part to {action.word}; expected {_words(WHOLE)}"
    forbids = forbidden_by(check, band, action, layers)
    if forbids is None:
        return ""
    may = _words(allowed(check, band, layers)) or "nothing"
    return (
        f"{layers[-1].subject} may not choose {action.word} for {check}:{band}: "
        f"{forbids} forbids it; allowed: {may}"
    )


def _show(rows: Sequence[Standing], *, as_json: bool) -> int:
    rules, missing = _postfix()
    table = {
        "checks": [
            {
                "check": row.check,
                "band": row.band,
                "action": row.action.word,
                "decided_by": str(row.decided_by),
                "allowed": [action.word for action in sorted(row.may)],
                "choice": row.choice.word if row.choice is not None else None,
                "notes": list(row.notes),
            }
            for row in rows
        ],
        "postfix": [asdict(rule) for rule in rules],
        "postfix_missing": missing,
    }
    lines = [
        (
            f"{row.check}:{row.band}",
            row.action.word,
            f"by {row.decided_by}",
            f"may be {_words(row.may)}" if len(row.may) > 1 else "enforced",
        )
        for row in rows
    ]
    text = [*_columns(lines), *(f"note: {note}" for row in rows for note in row.notes)]
    return entries.listed([*text, *_postfix_lines(rules, missing)], table, as_json=as_json)


def _postfix() -> tuple[Sequence[Refusal], str | None]:
    """What Postfix refuses by itself, or why that cannot be told."""
    try:
        postfix = read_postfix()
    except PostfixError as error:
        return (), str(error)
    return (tuple(refusals(postfix)), None) if postfix else ((), "there is no Postfix here")


def _postfix_lines(rules: Sequence[Refusal], missing: str | None) -> Iterator[str]:
    yield ""
    if missing is not None:
        yield f"What Postfix refuses by itself is not known: {missing}"
        return
    yield "Postfix refuses by itself, whoever the mail is for:"
    yield from _columns(
        [
            (
                rule.about,
                f"{rule.channel} ({rule.service})",
                " but for ".join([rule.rule or "off", *filter(None, [", ".join(rule.but_for)])]),
                rule.reply or ("" if rule.rule is None else "its own reply"),
            )
            for rule in rules
        ]
    )


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _band(text: str, bands: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The check and the band; where none is named, the check's only one beside temperror."""
    check, _colon, band = text.lower().partition(":")
    own = [one for name, one in bands if name == check and one != TEMPERROR]
    return check, band or (own[0] if len(own) == 1 else "")


def _action(text: str) -> Action:
    try:
        return Action.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _words(actions: Iterable[Action]) -> str:
    return ", ".join(action.word for action in sorted(actions))
