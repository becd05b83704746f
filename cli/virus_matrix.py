"""`iems virus-matrix show`: what is done about viruses, by where mail comes from and where it goes.

A row for each source channel that the settings name and `*` for all others, to mailboxes here
(`local`) and away from here (`internet`), with what is done for each band: of what leaves, `reject`
where nobody could keep it, and `hold` of what cannot be refused. At its end stands who is told of
viruses.
Exit 0, or 1 where no check looks for viruses.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from cli import entries
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION
from iems.model.finding import VIRUS, Finding
from iems.model.policy import SITE, Action, Layer, decide
from iems.settings.load import load
from iems.settings.matrix import ANY, DESTINATIONS, NOTIFY
from iems.settings.policy import BANDS, CheckSettings
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`show`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="print the matrix as a table")
    show.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    settings = load(arguments.settings)
    check = next((one for one in settings.checks if one.name == VIRUS), None)
    if check is None:
        return entries.failed("no check looks for viruses: [checks.virus] is missing or off")
    rows = list(_rows(settings, check))
    cells = [tuple(rows[0]), *(tuple(map(_text, row.values())) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    return entries.listed(lines, rows, as_json=arguments.json)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "-"


def _rows(settings: Settings, check: CheckSettings) -> Iterator[dict[str, str | list[str]]]:
    named = (INTERNET, SUBMISSION, LOCAL, *settings.channels, *check.matrix.sources)
    for source in (*dict.fromkeys(named), ANY):
        for destination in DESTINATIONS:
            actions = _actions(check.between(source, destination), source, destination)
            whom = sorted(one.value for one in check.matrix.notified(source, destination))
            yield {"source": source, "destination": destination, **actions, NOTIFY: whom}


def _actions(check: CheckSettings, source: str, destination: str) -> dict[str, str]:
    layer = Layer(SITE, {(VIRUS, band): rule for band, rule in check.rules.items()})
    found = {}
    for band in BANDS[VIRUS]:
        leaves = destination != LOCAL
        action = decide([Finding(VIRUS, band, band)], [layer], leaves=leaves).action
        holds = leaves and source == LOCAL and action >= Action.DEFER
        found[band] = "hold" if holds else action.word
    return found
