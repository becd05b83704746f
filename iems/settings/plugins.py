"""Checks and edits that others wrote, as far as all must know them: by their entry points.

The entry point of the name NAME is a module, and the family NAME. What settings, policy and agent
need of one of checks is its table `BANDS`, band to the word of an action. That is read out of the
module's source, where it stands as a literal: nothing of a plug-in runs but in the processes that
are made for it (`milters.plugins`). PluginError where what is installed cannot be a family.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from iems.model.finding import TEMPERROR
from iems.model.policy import Action
from iems.settings.read import Where, whole_action

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

CHECKS, EDITS = "iems.checks", "iems.edits"
"""The groups."""

_NAME = re.compile(r"(?!(?:exact|senders)\Z)[a-z][a-z0-9-]{0,30}")
"""Two are no checks, and what they do is told of as if they were."""

_BAND = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_MAX_BANDS = 20
_MAX_SOURCE = 1 << 20


class PluginError(ValueError):
    """It cannot be a family; the message says why."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A family that others wrote."""

    name: str
    module: str
    distribution: str


@dataclass(frozen=True, slots=True)
class CheckPlugin(Plugin):
    """One of checks; `many` is whether it has a check for each of any labels."""

    bands: Mapping[str, Action]
    many: bool


def installed(group: str) -> Iterator[tuple[str, str]]:
    """The names in the group, each with the distribution that it is of."""
    for point in _points(group):
        yield point.name, _distribution(point)


def edit_plugin(name: str) -> Plugin | None:
    """The family of edits of this name; None where nothing of that name is installed."""
    return _found(EDITS, name)


def plugin(name: str) -> CheckPlugin | None:
    """The family of checks of this name; None where nothing of that name is installed."""
    found = _found(CHECKS, name)
    if found is None:
        return None
    try:
        return _checks(found)
    except PluginError as error:
        raise PluginError(f"is the plug-in of {found.distribution}: {error}") from None


def _found(group: str, name: str) -> Plugin | None:
    points = _points(group).select(name=name)
    if not points:
        return None
    told = " and ".join(sorted(map(_distribution, points)))
    if len(points) > 1:
        raise PluginError(f"is given by {told}; expected one of them")
    if not _NAME.fullmatch(name):
        expected = "expected a name of small letters, digits and -, and another one"
        raise PluginError(f"is the plug-in of {told}: {expected}")
    (point,) = points
    return Plugin(name, point.value, told)


def _checks(found: Plugin) -> CheckPlugin:
    constants = _constants(found.module)
    many = constants.get("MANY", False)
    if not isinstance(many, bool):
        raise PluginError("its MANY is neither True nor False")
    bands = _bands(constants.get("BANDS"))
    return CheckPlugin(found.name, found.module, found.distribution, bands, many)


def known(
    name: str, key: str, where: Where, faults: list[str], others: Iterable[str]
) -> CheckPlugin | None:
    """The same for who reads settings: what is wrong is a fault; `others` are known, too."""
    try:
        found = plugin(name)
    except PluginError as error:
        faults.append(f"{where(key)}: {key} {error}")
        return None
    if found is None:
        faults.append(f"{where(key)}: {key} is no check; known: {', '.join(others)}")
    return found


def _points(group: str) -> EntryPoints:
    # Not above: it takes as long to import as most commands take, and few sites have a plug-in.
    from importlib.metadata import entry_points

    importlib.invalidate_caches()
    return entry_points(group=group)


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "nobody"


def _bands(table: object) -> Mapping[str, Action]:
    if not isinstance(table, dict) or not 0 < len(table) <= _MAX_BANDS:
        raise PluginError(f"its BANDS is no literal table of at most {_MAX_BANDS} bands")
    bands: dict[str, Action] = {}
    for band, word in table.items():
        if not isinstance(band, str) or not _BAND.fullmatch(band):
            raise PluginError(f"its BANDS has {band!r}; expected a name of small letters")
        try:
            bands[band] = whole_action(word)
        except ValueError as error:
            raise PluginError(f"its BANDS has {word!r} for {band}; {error}") from None
    if TEMPERROR not in bands:
        raise PluginError(f"its BANDS lacks {TEMPERROR}")
    return bands


def _constants(module: str) -> dict[str, object]:
    """What stands in the module's source as a literal under a name."""
    try:
        tree = ast.parse(_source(module))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PluginError(f"the source of {module} cannot be read: {error}") from None
    found: dict[str, object] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="BANDS" | "MANY" as name)], value=value):
                found[name] = _literal(value)
            case ast.AnnAssign(
                target=ast.Name(id="BANDS" | "MANY" as name), value=ast.expr() as value
            ):
                found[name] = _literal(value)
    return found


def _literal(value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None


def _source(module: str) -> bytes:
    """The source that would be imported; looked for without running any of it."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    for count in range(1, module.count(".") + 2):
        spec = PathFinder.find_spec(".".join(module.split(".")[:count]), path)
        if spec is None:
            raise PluginError(f"there is no module {module}")
        path = list(spec.submodule_search_locations or ())
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise PluginError(f"{module} is no module with a source")
    with Path(spec.origin).open("rb") as file:
        return file.read(_MAX_SOURCE)
