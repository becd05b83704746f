"""What a table says by band: in `default` what is chosen, in `allow` from what others may choose.

A band that is none, an action that is none, and one that nobody can do about the band are faults;
what is wrong is left out of what is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from iems.model.policy import Action, possible
from iems.settings.read import Table, Where, action, actions, among, join

T = TypeVar("T")


def read_choices(
    table: Table, check: str, bands: Iterable[str], key: str, where: Where, faults: list[str]
) -> tuple[Mapping[str, Action], Mapping[str, frozenset[Action]]]:
    """The choices and what is allowed; faults are added."""
    known = tuple(bands)

    def one(value: object, band: str) -> Action:
        return among(action(value), possible(check, band))

    def several(value: object, band: str) -> frozenset[Action]:
        may = possible(check, band)
        return frozenset(among(chosen, may) for chosen in actions(value))

    choice = _by_band(table.get("default", {}), one, known, f"{key}.default", where, faults)
    return choice, _by_band(table.get("allow", {}), several, known, f"{key}.allow", where, faults)


def _by_band(
    table: object,
    read: Callable[[object, str], T],
    known: tuple[str, ...],
    key: str,
    where: Where,
    faults: list[str],
) -> dict[str, T]:
    if not isinstance(table, Mapping):
        faults.append(f"{where(key)}: {key} is {table!r}; expected a table of bands")
        return {}
    result: dict[str, T] = {}
    for band, value in table.items():
        path = join(key, band)
        if band not in known:
            faults.append(f"{where(path)}: {path} is no band; known: {', '.join(known)}")
            continue
        try:
            result[band] = read(value, band)
        except ValueError as error:
            faults.append(f"{where(path)}: {path} is {value!r}; {error}")
    return result
