"""Rules about attachments as settings: the options of each, and what they all share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from iems.edits.rules import Rule
from iems.settings import read
from iems.settings.read import SettingsError, Table, Where, setting, somewhere

MOST = 64 << 20
"""Bytes of a message that is looked at: up to four times as many are in memory then."""


@dataclass(frozen=True, kw_only=True)
class AttachmentSettings:
    """What is the same for all rules about attachments (docs/checks/attachment.md)."""

    timeout: float = setting(
        read.number(0, 120),
        "bound on one message; archives that are left then make it `temperror`",
        20.0,
        "s",
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
