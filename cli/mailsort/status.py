"""`iems mailsort status USER`: which scripts run for him, in which order, and how his rules are.

The order is that of Dovecot's configuration on this host. A script that files or discards a message
ends the row: those behind it are run for what is to stay in INBOX.
Exit 1 where what runs for him is not what his rules say.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cli import entries
from cli.mailsort.desk import Desk, unavailable
from iems.directory.admin import Admin
from iems.directory.store import NoEntryError
from iems.model.address import Address
from iems.settings.schema import Settings
from sieve.installing.order import OURS, OWN, NoDovecotError, Turn, turns
from sieve.installing.scripts import RefusedError, ServerError
from sieve.installing.sealed import NAME, intact, sealed
from sieve.mailsort.read import MailsortError

_AS_IT_SHOULD = frozenset({"installed", "none"})

_MEANING = {
    "installed": "as the rules say",
    "none": "there are no rules",
    "missing": "not installed; `iems mailsort install` does it",
    "former": "of other rules; `iems mailsort install` makes it new",
    "edited": "somebody has edited it; `iems mailsort install --force` writes over it",
    "unusable": "the stored rules cannot be compiled; `iems mailsort edit`",
}


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of one user; `active` is the name of the script that he has made so."""

    ours: str
    active: str
    others: tuple[str, ...]
    refused: tuple[str, ...]
    outdated: bool
    rows: tuple[Turn, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`USER`, `--json`."""
    entries.as_option(parser)
    parser.add_argument("user", type=entries.address, metavar="USER")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    user: Address = arguments.user
    try:
        found = _found(Desk(admin, settings), user)
    except NoEntryError:
        return entries.failed(f"no user {user}")
    except ServerError as error:
        return unavailable(error)
    except RefusedError as error:
        return entries.failed(f"the server says {entries.shown(str(error))}")
    entries.listed(_lines(found), _row(user, found), as_json=arguments.json)
    for warning in _warnings(found):
        entries.warn(warning)
    good = found.ours in _AS_IT_SHOULD and not found.outdated and _runs(found)
    return entries.OK if good else entries.NEGATIVE


def _found(desk: Desk, user: Address) -> _State:
    stored = desk.shelf.read(user)
    with desk.scripts(user) as scripts:
        names = scripts.listed()
        present = scripts.get(NAME)
        extensions = scripts.extensions
    try:
        rows = turns(user.key)
    except NoDovecotError:
        rows = (Turn(OURS), Turn(OWN))
    active = next((name for name, is_active in names.items() if is_active), "")
    others = tuple(sorted(name for name in names if name not in {NAME, active}))
    refused = tuple(sorted(stored.refused))
    try:
        made = desk.ready(user, desk.rules(user), extensions)
    except MailsortError:
        return _State("unusable", active, others, refused, False, rows)
    if present is not None and not intact(present):
        ours = "edited"
    elif not made.usable:
        ours = "unusable"
    elif present is None:
        ours = "none" if made.body is None else "missing"
    else:
        ours = "installed" if present == sealed(made.body or "") else "former"
    outdated = (made.refused, made.facts) != (stored.refused, stored.facts)
    return _State(ours, active, others, refused, outdated, rows)


def _runs(found: _State) -> bool:
    return found.ours == "none" or Turn(OURS) in found.rows


def _warnings(found: _State) -> Iterable[str]:
    if not _runs(found):
        yield f"Dovecot's configuration runs no {NAME}; `make mailserver` writes it"
    if found.active == NAME:
        yield f"{NAME} is his active script, too, in the place of one of his own"
    if found.outdated:
        yield (
            "the directory has other senders to refuse at RCPT, or facts to tell, than the rules "
            "say; `iems mailsort install`"
        )


def _lines(found: _State) -> Iterable[str]:
    for number, turn in enumerate(found.rows, 1):
        yield f"{number}  {_told(turn, found)}"
    if found.refused:
        yield f"refused at RCPT: {', '.join(found.refused)}"
    if found.others:
        yield f"not active: {', '.join(found.others)}"


def _told(turn: Turn, found: _State) -> str:
    if turn.path == OURS:
        return f"{NAME}: {_MEANING[found.ours]}"
    if turn.path == OWN:
        return f"his own: {found.active or 'none is active'}"
    return f"{turn.path}{'' if Path(turn.path).exists() else ': there is none'}"


def _row(user: Address, found: _State) -> dict[str, object]:
    return {
        "user": user.key,
        "rules": found.ours,
        "order": [
            {
                "script": {OURS: NAME, OWN: found.active or None}.get(turn.path, turn.path),
                "kind": "shared" if turn.shared else turn.path,
                "runs": _is_there(turn, found),
            }
            for turn in found.rows
        ],
        "refused": list(found.refused),
        "not_active": list(found.others),
    }


def _is_there(turn: Turn, found: _State) -> bool:
    if turn.path == OURS:
        return found.ours in {"installed", "former", "edited"}
    return bool(found.active) if turn.path == OWN else Path(turn.path).exists()
