"""What is edited, and which mail: `[edits.FAMILY.LABEL]`, in the order in which they stand.

The options that say how are those of the family, which reads them itself (`iems.editing.assembly`).
A family that is not ours is a plug-in, which has no mail from outside.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from iems.model.address import Address, AddressError, domain_name
from iems.model.envelope import INTERNET, SUBMISSION
from iems.settings import read
from iems.settings.plugins import Plugin, PluginError, edit_plugin
from iems.settings.read import SettingsError, Table, Where, join, read_table, setting, somewhere

OUTSIDE, INSIDE, ANYWHERE = "outside", "inside", "any"
ONLY, NEVER = "only", "never"

Whom: TypeAlias = tuple[Address | str, ...]
"""Addresses, and domains by their names."""


@read.reads("list of addresses and domains")
def whom(value: object) -> Whom:
    """Addresses, and domains by their names."""
    found: list[Address | str] = []
    for one in read.texts(value):
        try:
            found.append(Address.parse(one) if "@" in one else domain_name(one))
        except AddressError as error:
            raise ValueError(f"expected a list of addresses and domains: {error}") from None
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class EditTable:
    """Which mail is edited: the options of every family begin with these."""

    channels: tuple[str, ...] = setting(
        read.texts,
        "source channels of the mail; that of `internet` is edited once it is in our hands for a "
        "mailbox, for each recipient, and all other before it is signed, for all at once",
        (SUBMISSION,),
        example='["submission"]',
    )
    direction: str = setting(
        read.one_of(ANYWHERE, OUTSIDE, INSIDE),
        "`outside`: somebody whom it reaches is outside; `inside`: nobody is",
        ANYWHERE,
    )
    senders: Whom = setting(
        whom,
        "whose mail: addresses and domains of the address in From; the address of an alias or list "
        "means its members, too; empty: everybody's",
        (),
        example='["example.org", "sales@example.org"]',
    )
    recipients: Whom = setting(
        whom,
        "mail to whom: each recipient is one of these addresses or domains, or among the members "
        "of one; empty: to anybody",
        (),
        example='["board@example.org"]',
    )
    replies: str = setting(
        read.one_of(ANYWHERE, ONLY, NEVER), "whether it must or must not answer or forward another",
        ANYWHERE,
    )  # fmt: skip
    max_size: int = setting(
        read.integer(1, 16 << 20), "a larger message is left alone", 10 << 20, "bytes"
    )


@dataclass(frozen=True, slots=True)
class EditSettings:
    """One edit: which mail, and all options of its table for its family to read.

    `key` and `where` say in whose table and file these stand, for errors about them.
    """

    name: str
    which: EditTable
    options: Table
    key: str
    where: Where = field(default=somewhere, repr=False, compare=False)
    plugin: Plugin | None = None
    """Who edits, where its family is not one of ours."""

    @property
    def family(self) -> str:
        """The name before the slash."""
        return self.name.partition("/")[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that its options name: what is in them belongs to the settings."""
        texts = (value for value in self.options.values() if isinstance(value, str))
        return tuple(Path(one) for one in texts if one.startswith("/"))


FAMILIES = ("text",)
"""Families of edits, of each of which there are many: `[edits.text.NAME]` is `text/NAME`."""


def read_edits(table: Table, where: Where) -> tuple[EditSettings, ...]:
    """All edits of `[edits]`."""
    faults: list[str] = []
    found: list[EditSettings] = []
    for family, content in table.items():
        key = join("edits", family)
        try:
            plugin = None if family in FAMILIES else edit_plugin(family)
        except PluginError as error:
            faults.append(f"{where(key)}: {key} {error}")
            continue
        if (family not in FAMILIES and plugin is None) or not isinstance(content, Mapping):
            faults.append(f"{where(key)}: {key} is no edit; known: {', '.join(FAMILIES)}")
            continue
        for label, options in content.items():
            try:
                name = f"{family}/{label}"
                found.append(_edit(name, join(key, label), label, options, where, plugin))
            except SettingsError as error:
                faults += error.faults
    if faults:
        raise SettingsError(faults)
    return tuple(found)


def _edit(
    name: str, key: str, label: str, table: object, where: Where, plugin: Plugin | None
) -> EditSettings:
    if not isinstance(table, Mapping):
        raise SettingsError([f"{where(key)}: {key} is {table!r}; expected a table"])
    if not label.replace("-", "").replace(".", "").isalnum() or not label.isascii():
        raise SettingsError([f"{where(key)}: {key}; expected a name of letters, digits, - ."])
    own = {one.name for one in dataclasses.fields(EditTable)}
    given = {option: value for option, value in table.items() if option in own}
    which = read_table(EditTable, given, key, where)
    if which.direction == OUTSIDE and set(which.channels) == {INTERNET}:
        raise SettingsError(
            [
                f"{where(key)}: {key}.direction is {OUTSIDE!r} for mail of the channel {INTERNET} "
                f"alone, which is edited for mailboxes of ours; expected {INSIDE} or {ANYWHERE}"
            ]
        )
    if plugin is not None and INTERNET in which.channels:
        raise SettingsError(
            [
                f"{where(key)}: {key}.channels holds {INTERNET!r}, whose mail no plug-in edits "
                f"(this one is of {plugin.distribution}); expected other channels"
            ]
        )
    return EditSettings(name, which, table, key, where, plugin)
