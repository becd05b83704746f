"""Rules about attachments as settings: the options of each, and what they all share.

Milter and agent read them, the one to find what a rule matches and the other to take it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from iems.edits.rules import Rule
from iems.model.finding import ATTACHMENT
from iems.settings import read
from iems.settings.policy import CheckSettings
from iems.settings.read import LANGUAGES, SettingsError, Table, Where, reads, setting, somewhere

MOST = 64 << 20
"""Bytes of a message that is looked at: six times as many are in memory then."""


@reads("table: language to absolute path")
def _files(value: object) -> Mapping[str, Path]:
    if not isinstance(value, Mapping) or set(value) - set(LANGUAGES):
        raise ValueError(f"expected a table with keys of {', '.join(LANGUAGES)}")
    return {language: read.path(file) for language, file in value.items()}


@dataclass(frozen=True, kw_only=True)
class AttachmentSettings:
    """What is the same for all rules about attachments (docs/checks/attachment.md)."""

    timeout: float = setting(
        read.number(0, 120),
        "bound on one message; archives that are left then make it `temperror`",
        20.0,
        "s",
    )
    language: str = setting(
        read.one_of(*LANGUAGES),
        "of notices in mail that leaves, and to users who prefer none that we have",
        LANGUAGES[0],
    )
    notices: Mapping[str, Path] = setting(
        _files,
        "files with other words for notices, by language (docs/checks/attachment.md#notices)",
        {},
        example='{ de = "/etc/iems/removed.de.toml" }',
    )


@dataclass(frozen=True, kw_only=True)
class RuleSettings:
    """`[checks.attachment.LABEL]` beside mode, default and allow: all that is given must hold."""

    name: tuple[str, ...] = setting(
        read.texts,
        "names like one of these; `*` is any letters, `?` is one",
        (),
        example='["*.iso"]',
    )
    pattern: tuple[str, ...] = setting(
        read.texts, "names in which one of these is found (RE2)", (), example="['^invoice']"
    )
    extension: tuple[str, ...] = setting(
        read.texts, "names that end so", (), example='["exe", "js"]'
    )
    double_extension: bool = setting(
        read.flag, "names like `invoice.pdf.exe`", default=False, example="true"
    )
    type: tuple[str, ...] = setting(
        read.texts, "declared types like one of these", (), example='["application/x-ms*"]'
    )
    content: tuple[str, ...] = setting(
        read.texts,
        "what it is by its content: words and families of docs/mime.md",
        (),
        example='["executable", "script"]',
    )
    fault: tuple[str, ...] = setting(
        read.texts,
        "what is wrong with an archive: words of docs/mime.md",
        (),
        example='["encrypted"]',
    )
    larger: int = setting(
        read.integer(0, 1 << 40), "it has more; 0: of any size", 0, "bytes", example="1000000"
    )
    keep: bool = setting(
        read.flag,
        "whether the message as it was is kept in quarantine where a mailbox gets it without parts",
        default=True,
    )

    def rule(self, label: str) -> Rule:
        """The rule; ValueError where it cannot be meant."""
        words = ("name", "pattern", "extension", "type", "content", "fault")
        table: dict[str, object] = {
            word: list(getattr(self, word)) for word in words if getattr(self, word)
        }
        table |= {"double-extension": True} if self.double_extension else {}
        table |= {"larger": self.larger} if self.larger else {}
        return replace(Rule.of("x", table), label=label)


def parse(options: Table, key: str, where: Where = somewhere) -> RuleSettings:
    """The options of `[checks.attachment.LABEL]`; SettingsError names file, key, expected."""
    settings = read.read_table(RuleSettings, options, key, where)
    try:
        settings.rule("")
    except ValueError as error:
        why = str(error).removeprefix("rule x: ")
        raise SettingsError([f"{where(key)}: {key}: {why}"]) from None
    return settings


@dataclass(frozen=True, slots=True)
class Removable:
    """What one rule finds, and whether the message is kept as it was where that is removed."""

    rule: Rule
    keep: bool


def removables(checks: Iterable[CheckSettings]) -> Mapping[str, Removable]:
    """The rules by the names of their checks; SettingsError tells all that is wrong."""
    found: dict[str, Removable] = {}
    faults: list[str] = []
    for check in checks:
        if check.family != ATTACHMENT:
            continue
        try:
            one = parse(check.options, check.key, check.where)
        except SettingsError as error:
            faults += error.faults
        else:
            label = check.name.partition("/")[2]
            found[check.name] = Removable(one.rule(label), one.keep)
    if faults:
        raise SettingsError(faults)
    return found
