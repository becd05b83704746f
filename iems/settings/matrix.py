"""A matrix of actions: what is done by where a message comes from and where it goes.

`[checks.virus.matrix.SOURCE]` has a table for each destination, and `*` stands for any other one of
either. The most exact cell that names a band counts: source and destination, the source alone, the
destination alone, neither. A matrix is total: listeners of Postfix may give their mail a channel of
any name, so for each destination something is said of `*` as well.

Beside its bands a cell says by `notify` who is told of what was found; where none does, the check's
own `notify` says it, and where that is missing nobody is told.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from iems.model.envelope import INTERNET, LOCAL
from iems.model.policy import KEPT_HERE, Action
from iems.settings.read import Table, Where, action, join

ANY = "*"
DESTINATIONS = (LOCAL, INTERNET)
"""All that an address may lead to: a mailbox of ours, or away from this host."""

INFECTED = "infected"
"""The band that every cell must have an action for; others may be left to `default`."""

REMOVED = "removed"
"""The outcome, without a band, where what was infected is no more in the message."""

STOPS = frozenset({Action.REMOVE, Action.TAG, Action.QUARANTINE, Action.DISCARD, Action.REJECT})
"""What may be done about a virus: none is delivered as if it were none, and to put it off would
end in a bounce of the sender's own server."""

NOT_DELEGATED = "enforce, shadow or off, for nobody below the site chooses about it"

NOTIFY = "notify"
"""What a cell, and the check itself, says beside the bands."""

_NO_REMOVAL = f"expected another action, for nothing is removed but what is {INFECTED}"


class Whom(enum.Enum):
    """Who may be told of what was found."""

    POSTMASTER = "postmaster"
    RECIPIENT = "recipient"
    SENDER = "sender"


_NOBODY: frozenset[Whom] = frozenset()
_WORDS = ", ".join(one.value for one in Whom)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Actions by source, destination and band; without a cell all is left to `default`.

    `told` says by source and destination who is told.
    """

    cells: Mapping[tuple[str, str], Mapping[str, Action]]
    told: Mapping[tuple[str, str], frozenset[Whom]] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The source channels that it names, `*` left out."""
        return tuple(dict.fromkeys(source for source, _to in self.cells if source != ANY))

    def actions(self, source: str, destination: str) -> Mapping[str, Action]:
        """What is done with mail from there to there, by band, where it says so."""
        found: dict[str, Action] = {}
        for cell in reversed(_exact(source, destination)):
            found.update(self.cells.get(cell, {}))
        return found

    @property
    def unremoved(self) -> Matrix:
        """As it is where nothing could be removed: it is rejected."""
        cells = {
            cell: {band: unremoved(one) for band, one in by.items()}
            for cell, by in self.cells.items()
        }
        return replace(self, cells=cells)

    def notified(self, source: str, destination: str) -> frozenset[Whom]:
        """Who is told of what is found in mail from there to there."""
        cells = _exact(source, destination)
        return next((self.told[cell] for cell in cells if cell in self.told), _NOBODY)


def unremoved(chosen: Action) -> Action:
    """What is done where nothing could be removed."""
    return Action.REJECT if chosen is Action.REMOVE else chosen


def _exact(source: str, destination: str) -> tuple[tuple[str, str], ...]:
    """The cells that may speak of this pair, the most exact one first."""
    return (source, destination), (source, ANY), (ANY, destination), (ANY, ANY)


NO_MATRIX = Matrix({})


def read_matrix(
    table: Table,
    default: Mapping[str, Action],
    bands: Iterable[str],
    key: str,
    where: Where,
    faults: list[str],
) -> Matrix:
    """That of a check's `table`, whose `default` is read; faults, every hole too, are added."""
    for band, chosen in default.items():
        if fault := _impossible(band, chosen):
            faults.append(f"{where(key)}: {key}.default.{band} is {chosen.word!r}; {fault}")
    told: dict[tuple[str, str], frozenset[Whom]] = {}
    if NOTIFY in table:
        told[ANY, ANY] = _whom(table[NOTIFY], ANY, join(key, NOTIFY), where, faults)
    if "matrix" not in table:
        return Matrix({}, told)
    key, before = join(key, "matrix"), len(faults)
    if INFECTED in default:
        faults.append(f"{where(key)}: {key} beside default.{INFECTED}; expected one of them")
    cells: dict[tuple[str, str], Mapping[str, Action]] = {}
    known = tuple(bands)
    for source, destination, path, cell in _cells(table["matrix"], key, where, faults):
        by_band = {band: value for band, value in cell.items() if band != NOTIFY}
        cells[source, destination] = dict(_actions(by_band, known, path, where, faults))
        if NOTIFY in cell:
            found = _whom(cell[NOTIFY], source, join(path, NOTIFY), where, faults)
            told[source, destination] = found
    matrix = Matrix(cells, told)
    faults += _unfit(matrix, key, where) if len(faults) == before else ()
    return matrix


def _impossible(band: str, chosen: Action) -> str:
    """Why this cannot be done about a finding of this band; empty where it can."""
    if band != INFECTED:
        return _NO_REMOVAL if chosen is Action.REMOVE else ""
    if chosen in STOPS:
        return ""
    return f"expected one of {', '.join(one.word for one in sorted(STOPS))}"


def _whom(value: object, source: str, key: str, where: Where, faults: list[str]) -> frozenset[Whom]:
    try:
        found = frozenset(map(Whom, value)) if isinstance(value, list) else None
    except ValueError:
        found = None
    if found is None:
        faults.append(f"{where(key)}: {key} is {value!r}; expected a list of {_WORDS}")
        return _NOBODY
    if source == INTERNET and Whom.SENDER in found:
        faults.append(f"{where(key)}: {key} has 'sender', who is never ours in mail from outside")
    return found


def _cells(
    table: object, key: str, where: Where, faults: list[str]
) -> Iterator[tuple[str, str, str, Table]]:
    for source, row, path in _tables(table, key, where, faults):
        for destination, cell, place in _tables(row, path, where, faults):
            if destination not in {*DESTINATIONS, ANY}:
                words = ", ".join((*DESTINATIONS, ANY))
                faults.append(f"{where(place)}: {place} is no destination; expected {words}")
            elif isinstance(cell, Mapping):
                yield source, destination, place, cell


def _tables(
    table: object, key: str, where: Where, faults: list[str]
) -> Iterator[tuple[str, object, str]]:
    if not isinstance(table, Mapping):
        faults.append(f"{where(key)}: {key} is {table!r}; expected a table")
        return
    for name, value in table.items():
        path = join(key, name)
        if isinstance(value, Mapping):
            yield name, value, path
        else:
            faults.append(f"{where(path)}: {path} is {value!r}; expected a table")


def _actions(
    cell: Table, bands: tuple[str, ...], key: str, where: Where, faults: list[str]
) -> Iterator[tuple[str, Action]]:
    for band, value in cell.items():
        path = join(key, band)
        if band not in bands:
            faults.append(f"{where(path)}: {path} is no band; known: {', '.join(bands)}")
            continue
        try:
            chosen = action(value)
            fault = _impossible(band, chosen)
        except ValueError as error:
            fault = str(error)
        if fault:
            faults.append(f"{where(path)}: {path} is {value!r}; {fault}")
        else:
            yield band, chosen


def _unfit(matrix: Matrix, key: str, where: Where) -> Iterator[str]:
    """Holes, and what nobody can do."""
    for source in (*matrix.sources, ANY):
        for destination in DESTINATIONS:
            found = matrix.actions(source, destination)
            path = join(join(key, source), destination)
            if INFECTED not in found:
                yield (
                    f"{where(path)}: {path} is missing, and no cell with {ANY} stands in for it; "
                    f'expected a cell, as in {ANY!r}.{destination} = {{ {INFECTED} = "reject" }}'
                )
            if destination == LOCAL:
                continue
            for band, chosen in found.items():
                if chosen in KEPT_HERE:
                    yield (
                        f"{where(path)}: {path} makes {band} {chosen.word!r}, which nobody can do "
                        "with what leaves this host; expected a cell of its own with another action"
                    )
