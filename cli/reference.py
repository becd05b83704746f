"""The reference of settings, made from the schema: rows for whoever prints them, and Markdown.

`python -m cli.reference` prints docs/settings.md; `cli.manual` makes iems.toml(5) of the same rows.
It reads no settings and no file.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from iems.editing.assembly import OPTIONS as EDITS
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION
from iems.model.policy import Action
from iems.settings.policy import (
    BANDS,
    FAMILIES_WITH_NAMES,
    MATRICES,
    ChannelTable,
    CheckTable,
    Mode,
    SourceTable,
)
from iems.settings.read import REQUIRED, Setting
from iems.settings.schema import Settings
from milters.assembly import FAMILIES
from milters.plugins import edits
from milters.plugins.order import Limits

INTRODUCTION = (
    "`/etc/iems/iems.toml`, then every `/etc/iems/conf.d/*.toml` in the order of their names. A "
    "key of a later file takes the place of the same key of an earlier one; tables are joined.",
    "`iems check` reads them as the daemons do, and names file, key, what stands there and what is "
    "expected. It also warns of what is allowed and hardly meant, here and in Postfix's "
    "configuration; with `--strict` a warning counts as a fault. `iems check --live` compares "
    "what runs with what is written.",
    "Daemons read their settings when they start and at each reload (`systemctl reload "
    "iems-milter iems-lmtp`, or `service iems-milter reload`), which loses no session. A reload "
    "with faulty settings is refused with a line in the mail log; what runs goes on. What takes "
    "effect with a `restart` alone says so; under systemd it stands in the socket unit as well "
    "(`ListenStream`, `SocketGroup`). What takes effect `at once` is read by `iems` at each call.",
)


@dataclass(frozen=True)
class Key:
    """One setting; `default` and `example` as TOML writes them, `default` empty if required."""

    name: str
    kind: str
    default: str
    effect: str
    meaning: str
    example: str


@dataclass(frozen=True)
class Section:
    """One table of the file: its name as the reader sees it, and keys below `head` in examples."""

    title: str
    about: tuple[str, ...]
    head: str
    keys: tuple[Key, ...]

    @property
    def example(self) -> str:
        """A piece of the file in which every key is given."""
        lines = [self.head] if self.head else []
        return "\n".join(lines + [f"{key.name} = {key.example}" for key in self.keys])


def sections() -> Iterator[Section]:
    """Every table that the file may hold."""
    yield Section("Top of the file", (), "", _keys(Settings))
    for one in dataclasses.fields(Settings):
        if "section" in one.metadata:
            title = f"`[{one.name}]`: {one.metadata['doc']}"
            yield Section(title, (), f"[{one.name}]", _keys(one.metadata["section"]))
    yield Section(
        "`[checks.NAME]`: the checks that run",
        (
            "A check without a table does not run. These keys stand in the table of every check, "
            "beside the options of its own that follow.",
        ),
        "[checks.iprev]",
        _keys(CheckTable),
    )
    for family in BANDS:
        yield _check(family)
    for name, options in EDITS.items():
        table = f"edits.{name}"
        yield Section(
            f"`[{table}.LABEL]`",
            (
                f"One table for each of any number; the edit is named `{name}/LABEL`, and LABEL is "
                "of letters, digits, `-` and `.`. They follow each other as they stand.",
            ),
            f"[{table}.footer]",
            _keys(options),
        )
    yield Section(
        "`[checks.PLUGIN]`: checks that others wrote",
        (
            "PLUGIN is the name of an entry point of the group `iems.checks` "
            "([writing-a-filter.md](writing-a-filter.md)), in `[checks.PLUGIN.LABEL]` where it has "
            "a check for each label. Its options stand beside these keys, which are of its "
            "processes; its bands, and what is done where the settings say nothing, it tells "
            "itself.",
        ),
        '[checks.shouting]\nmode = "delegate"',
        _keys(Limits),
    )
    yield Section(
        "`[edits.PLUGIN.LABEL]`: edits that others wrote",
        (
            "PLUGIN is the name of an entry point of the group `iems.edits` "
            "([writing-a-filter.md](writing-a-filter.md)). Its options stand beside these keys, "
            f"which say which mail, never that of `{INTERNET}`, and what its processes may.",
        ),
        "[edits.tagging.outside]",
        _keys(edits.Settings),
    )
    yield Section(
        "`[channels.CHANNEL]`: source channels by network",
        (
            f"Source channels are `{INTERNET}`, `{SUBMISSION}` and `{LOCAL}`, and those that the "
            "administrator names: in Postfix for a listener (`milter_macro_daemon_name`), or here "
            f"for networks of clients of the listener `{INTERNET}`. A check looks at the channels "
            "that it names.",
        ),
        "[channels.office]",
        _keys(SourceTable),
    )
    yield Section(
        '`[channels.CHANNEL.policy."CHECK"]`: policy by source channel',
        (
            "A channel stands below the site: it may narrow `allow` and choose another `default` "
            "among what the site allows.",
        ),
        '[channels.internet.policy."dnsbl/spamlist"]',
        _keys(ChannelTable),
    )
    yield Section(
        f'`[destinations.{INTERNET}.policy."CHECK"]`: policy of mail that leaves this host',
        (
            "It stands below the channel, as domain and user do for a mailbox. iems-milter carries "
            "it out, [by refusals alone](pass-through.md#where-mail-comes-from-and-where-it-goes).",
        ),
        f'[destinations.{INTERNET}.policy."dnsbl/spamlist"]',
        _keys(ChannelTable),
    )


def markdown() -> str:
    """docs/settings.md."""
    blocks = ["# Settings", *map(_filled, INTRODUCTION)]
    for section in sections():
        rows = [
            "| key | type | default | takes effect | meaning |",
            "| --- | --- | --- | --- | --- |",
            *map(_row, section.keys),
        ]
        example = f"```toml\n{section.example}\n```"
        about = map(_filled, section.about)
        blocks += [f"## {section.title}", *about, "\n".join(rows), example]
    return "\n\n".join(blocks) + "\n"


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)


def _row(key: Key) -> str:
    default = f"`{key.default}`" if key.default else "required"
    return f"| `{key.name}` | {key.kind} | {default} | {key.effect} | {key.meaning} |"


def _check(family: str) -> Section:
    table = f"checks.{family}"
    many = family in FAMILIES_WITH_NAMES
    bands = ", ".join(f"`{band}` (`{action.word}`)" for band, action in BANDS[family].items())
    about = (
        "One table for each of any number; the check is named "
        f"`{family}/LABEL`, and LABEL is of letters, digits, `-` and `.`."
        if many
        else f"The check is named `{family}`."
    )
    mode = Mode.ENFORCE if family in MATRICES else Mode.DELEGATE
    head = f"[{table}.spamlist]" if many else f"[{table}]"
    return Section(
        f"`[{table}.LABEL]`" if many else f"`[{table}]`",
        (f"{about} Bands, and what is done where the settings say nothing: {bands}.",),
        f'{head}\nmode = "{mode.value}"',
        _keys(FAMILIES[family].Settings),
    )


def _keys(kind: type[Any]) -> tuple[Key, ...]:
    """What must be given comes first."""
    keys = [_key(one) for one in _described(dataclasses.fields(kind))]
    return tuple(sorted(keys, key=lambda key: bool(key.default)))


def _described(fields: Iterable[dataclasses.Field[Any]]) -> Iterator[dataclasses.Field[Any]]:
    """What is described here: not the tables with a section of their own."""
    for one in fields:
        about = one.metadata.get("setting")
        if isinstance(about, Setting) and about.read.kind:
            yield one


def _key(field: dataclasses.Field[Any]) -> Key:
    about: Setting = field.metadata["setting"]
    factory = field.default_factory
    default = REQUIRED if factory is dataclasses.MISSING else factory()
    written = "" if default is REQUIRED else toml(default)
    kind = f"{about.read.kind}, in {about.unit}" if about.unit else about.read.kind
    example = about.example or written
    return Key(field.name, kind, written, about.effect, about.doc, example)


def toml(value: object) -> str:
    """A value as TOML writes it."""
    match value:
        case None:
            return '""'
        case bool():
            return str(value).lower()
        case Action():
            return f'"{value.word}"'
        case int() | float():
            return str(value)
        case frozenset():
            return toml(tuple(sorted(value)))
        case tuple():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case dict() if not value:
            return "{}"
        case dict():
            return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
        case ipaddress.IPv4Network() if value.prefixlen == ipaddress.IPV4LENGTH:
            return f'"{value.network_address}"'
        case _:
            return f'"{value}"'


if __name__ == "__main__":
    print(markdown(), end="")
