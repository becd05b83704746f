"""The words that stand where an attachment was: ours, and those of a site's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.edits.rules import Rule
from iems.edits.strip import Removal
from iems.notices.removed import load
from iems.settings.attachments import AttachmentSettings
from iems.settings.read import LANGUAGES, SettingsError

RULE = Rule.of("a", {"name": "*"})


def of(**files: Path) -> AttachmentSettings:
    return AttachmentSettings(timeout=1.0, language="en", notices=files)


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_words_can_be_filled_in(language: str) -> None:
    words = load(of())[language]
    assert "$release" not in Removal((RULE,), words.notice(kept=False)).notice
    assert "$release" in Removal((RULE,), words.notice(kept=True), "id").notice
    assert len({load(of())[one].removed for one in LANGUAGES}) == len(LANGUAGES)


def test_a_file_stands_in_for_its_language_alone(tmp_path: Path) -> None:
    file = tmp_path / "de.toml"
    file.write_text("removed = 'weg: $name'\nkept = 'da: $release'\n")
    found = load(of(de=file))
    assert found["de"].notice(kept=True) == "weg: $name\nda: $release"
    assert found["en"] == load(of())["en"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("removed = 'a'\n", "expected the texts removed, kept, and no other"),
        ("removed = 'a'\nkept = 'b'\nmore = 'c'\n", "expected the texts removed, kept"),
        ("removed = ' '\nkept = 'b'\n", "removed: expected a text"),
        ("removed = 1\nkept = 'b'\n", "removed: expected a text"),
        ("removed = '$release'\nkept = 'b'\n", "removed: expected a text with $name, $type, "),
        ("removed = '100 $'\nkept = 'b'\n", "removed: expected a text with $name"),
        ("removed = 'a'\nkept = '$path'\n", "kept: expected a text with $name"),
        ("removed = a\n", "cannot be used"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "de.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(of(de=file))
    assert str(caught.value).startswith(f"attachments.notices.de: {file} cannot be used: ")
    assert told in str(caught.value)
