"""Edits that others wrote, as ours are: `[edits.PLUGIN.LABEL]`, each in processes of its own.

What such a process is told is the message and what is known of who sent it; what it says is an edit
that is looked at before it is made. Whatever it does instead is EditUnavailable: the message waits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.directory.person import Person
from iems.edits.edit import Edit, EditUnavailable
from iems.serve.deadline import Deadline
from iems.settings.edits import EditSettings, EditTable
from iems.settings.plugins import Plugin
from iems.settings.read import SettingsError, read_table
from milters.plugins.host import Host, Job
from milters.plugins.order import Limits, order, tried
from milters.plugins.process import PluginFailed
from milters.plugins.wire import MAX_EDIT, WireError, edit

_IDLE = "it had nothing to do"


@dataclass(frozen=True, kw_only=True)
class Settings(Limits, EditTable):
    """`[edits.PLUGIN.LABEL]` beside the options of its own."""


@dataclass(frozen=True, slots=True)
class PluginEdit:
    """One edit of a plug-in."""

    name: str
    timeout: float
    host: Host

    def of(self, person: Person) -> Told:
        """What it is told of this person."""
        return Told(self, tuple(person.items()))


@dataclass(frozen=True, slots=True)
class Told:
    """The edit for one person, of whom these things are known."""

    by: PluginEdit
    person: tuple[tuple[str, str], ...]
    done: str = "edited"

    def edit(self, data: bytes) -> Edit:
        """The message changed; EditUnavailable."""
        job = Job({"person": dict(self.person)}, (data,), -1, Deadline.after(self.by.timeout))
        try:
            self.by.host.submit(job)
            made = edit(job.said().get("edit"), data)
        except WireError as error:
            why = f"answers nonsense: {error}"
        except PluginFailed as error:
            why = str(error)
        except (OSError, RuntimeError) as error:
            why = f"could not be asked: {error}"
        else:
            idle = not made.splices and not made.reason
            return dataclasses.replace(made, reason=_IDLE) if idle else made
        raise EditUnavailable(self.by.name, f"the plug-in {printable(why, 300)}")


def make(table: EditSettings, plugin: Plugin) -> PluginEdit:
    """The edit of these settings; SettingsError tells all that is wrong with them."""
    common = {one.name for one in dataclasses.fields(Settings)}
    ours = {name: value for name, value in table.options.items() if name in common}
    own = {name: value for name, value in table.options.items() if name not in common}
    limits = read_table(Settings, ours, table.key, table.where)
    label = table.name.partition("/")[2]
    told = {"edit": True, **order(plugin, label, own, table.key, table.where, limits)}
    if (answer := tried(told, plugin)) != {"edit": True}:
        where = f"{table.where(table.key)}: {table.key}"
        raise SettingsError([f"{where}: the plug-in of {plugin.distribution} makes no edit"])
    host = Host(table.key, told, answer, limits.processes, MAX_EDIT)
    return PluginEdit(table.name, limits.timeout, host)
