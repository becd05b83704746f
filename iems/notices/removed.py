"""What is taken out of a message by which rules, and what stands there then.

The words are ours, or those of the site's own files. A file is TOML with the texts `removed` and
`kept`, as those of this package. Only where the message is kept as it was, `kept` is told as well.
A file that cannot be used is a SettingsError, told before a daemon runs with it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template

from iems.edits.strip import Removal
from iems.notices.letter import language_of
from iems.settings.attachments import AttachmentSettings, Removable, removables
from iems.settings.read import LANGUAGES, SettingsError
from iems.settings.schema import Settings

_TEXTS = ("removed", "kept")
_FIELDS = ("name", "type", "size", "rule")
_LONGEST = 4096
"""Characters of a text."""


@dataclass(frozen=True, slots=True)
class Words:
    """Of one language; `$release` stands in `kept` alone."""

    removed: str
    kept: str

    def notice(self, *, kept: bool) -> str:
        """The text, whose fields are still to be filled in (`iems.edits.strip`)."""
        return f"{self.removed}\n{self.kept}" if kept else self.removed


@dataclass(frozen=True)
class Removals:
    """What can be taken out on this site; `language` is for who prefers none that we have.

    `timeout` in seconds bounds the work for one message.
    """

    rules: Mapping[str, Removable] = field(default_factory=dict)
    words: Mapping[str, Words] = field(default_factory=dict)
    language: str = LANGUAGES[0]
    timeout: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Removals:
        """Those of the site; SettingsError where its rules or files cannot be used."""
        shared = settings.attachments
        return cls(removables(settings.checks), load(shared), shared.language, shared.timeout)

    def removal(self, checks: Collection[str], language: str = "", release: str = "") -> Removal:
        """What goes by the rules of these checks; KeyError for one that is none of ours.

        `release` is the name by which the message is kept as it was, if it is.
        """
        rules = tuple(self.rules[name].rule for name in sorted(checks))
        words = self.words[language_of(language, self.language)]
        return Removal(rules, words.notice(kept=bool(release)), release)

    def keeps(self, checks: Collection[str]) -> bool:
        """Whether a rule of these wants the message to be kept; KeyError as above."""
        return any(self.rules[name].keep for name in checks)


def load(settings: AttachmentSettings) -> Mapping[str, Words]:
    """The words of each language."""
    found: dict[str, Words] = {}
    faults: list[str] = []
    for language in LANGUAGES:
        file = settings.notices.get(language)
        try:
            found[language] = _words(_ours(language) if file is None else _read(file))
        except (OSError, ValueError) as error:
            faults.append(f"attachments.notices.{language}: {file} cannot be used: {error}")
    if faults:
        raise SettingsError(faults)
    return found


def _ours(language: str) -> str:
    return resources.files(__package__).joinpath(f"removed.{language}.toml").read_text("utf-8")


def _read(file: Path) -> str:
    return file.read_bytes().decode()


def _words(text: str) -> Words:
    """ValueError where it is no such file."""
    table = tomllib.loads(text)
    if set(table) != set(_TEXTS):
        raise ValueError(f"expected the texts {', '.join(_TEXTS)}, and no other")
    for key, value in table.items():
        fields = (*_FIELDS, "release") if key == "kept" else _FIELDS
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
            raise ValueError(f"{key}: expected a text of at most {_LONGEST} characters")
        template = Template(value)
        if not template.is_valid() or set(template.get_identifiers()) - set(fields):
            words = ", ".join(f"${one}" for one in fields)
            raise ValueError(f"{key}: expected a text with {words}, and $$ for a dollar sign")
    return Words(table["removed"].strip("\n"), table["kept"].strip("\n"))
