"""From settings to the edits of a site: the one place that lists the families of edits.

Those of plug-ins are made by who edits mail that they may edit, the milter, and are none elsewhere.
What is wrong with an edit's own options is found here, so that `iems check` tells it before a
daemon does. Files that they name are read, and nothing else is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

from iems.directory.person import Person
from iems.editing import text
from iems.editing.choice import Facts, due
from iems.edits.edit import Edit
from iems.model.address import Address
from iems.settings.edits import EditSettings, EditTable
from iems.settings.plugins import Plugin
from iems.settings.read import SettingsError
from iems.settings.schema import Settings


class Prepared(Protocol):
    """What an edit does for one person: hashable, and equal where it does the same."""

    @property
    def done(self) -> str:
        """A word for a message that it has changed."""
        ...

    def edit(self, data: bytes, /) -> Edit:
        """The message changed."""
        ...


class Editor(Protocol):
    """An edit with the options of its table."""

    def of(self, person: Person, /) -> Prepared:
        """What it does for who sent the message, or of mail from outside for who gets it."""
        ...


FAMILIES: Mapping[str, Callable[[EditSettings], Editor]] = MappingProxyType({"text": text.make})
OPTIONS: Mapping[str, type[EditTable]] = MappingProxyType({"text": text.Settings})
"""What makes an edit of its settings, and what these may hold, by family."""


OfOthers: TypeAlias = Callable[[EditSettings, Plugin], Editor]


@dataclass(frozen=True, slots=True)
class Due:
    """One edit for one person: hashable, and equal where it does the same."""

    name: str
    max_size: int
    prepared: Prepared

    def excess(self, size: int) -> str:
        """Why a message of this size is left alone, if it is."""
        return f"it has more than {self.max_size} bytes" if size > self.max_size else ""

    def told(self, edit: Edit) -> str:
        """What is told of an edit that came to this, in records and the log."""
        if edit.splices:
            return f"{self.name}: {self.prepared.done}"
        return f"{self.name}: not {self.prepared.done}: {edit.reason or text.PRESENT}"


@dataclass(frozen=True, slots=True)
class Planned:
    """One edit of the site: which mail it is for, and what it does."""

    name: str
    which: EditTable
    editor: Editor

    def of(self, person: Person) -> Due:
        """What it does for this person."""
        return Due(self.name, self.which.max_size, self.editor.of(person))


@dataclass(frozen=True, slots=True)
class Plan:
    """All edits of the site, in the order in which they follow each other."""

    edits: tuple[Planned, ...] = ()

    def of(self, channel: str) -> Plan:
        """Those that may be for mail of this channel."""
        return Plan(tuple(one for one in self.edits if channel in one.which.channels))

    def due(
        self, facts: Facts, members: Callable[[Address], Collection[str]]
    ) -> tuple[Planned, ...]:
        """Those that are for this message."""
        return tuple(one for one in self.edits if due(one.which, facts, members))


def build_edits(settings: Settings, of_others: OfOthers | None = None) -> Plan:
    """The edits of the site; SettingsError tells all that is wrong with their options.

    Without who makes those of others there are none of these.
    """
    faults: list[str] = []
    edits: list[Planned] = []
    for one in settings.edits:
        try:
            if one.plugin is None:
                edits.append(Planned(one.name, one.which, FAMILIES[one.family](one)))
            elif of_others is not None:
                edits.append(Planned(one.name, one.which, of_others(one, one.plugin)))
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError(faults)
    return Plan(tuple(edits))
