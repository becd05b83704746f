"""docs/settings.md and the pages of the checks say what the schema says, key by key."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iems.settings.read import Setting
from iems.settings.schema import Settings
from milters.checks import dnsbl, iprev
from tests.conftest import ROOT

_ROW = re.compile(r"^\| `([a-z_0-9]+)` \| (.*) \| (.*) \|$", re.MULTILINE)
_READ_ELSEWHERE = {"checks", "channels"}


def rows(page: Path, title: str = "") -> dict[str, tuple[str, str]]:
    """The table of a page, or of one section of it: key to meaning and default."""
    text = page.read_text()
    if title:
        text = next(part for part in text.split("\n## ") if part.startswith(title))
    return {key: (meaning, default) for key, meaning, default in _ROW.findall(text)}


def sections() -> Iterator[tuple[str, type[Any]]]:
    """Each table of the settings with its dataclass."""
    yield "Top of the file", Settings
    for one in dataclasses.fields(Settings):
        if "section" in one.metadata:
            yield f"`[{one.name}]`: {one.metadata['doc']}", one.metadata["section"]


@pytest.mark.parametrize(("title", "kind"), list(sections()), ids=lambda one: str(one)[:20])
def test_every_setting_is_described(title: str, kind: type[Any]) -> None:
    """Neither more nor less, with the same words and the same default."""
    assert rows(ROOT / "docs/settings.md", title) == expected(kind)


@pytest.mark.parametrize(("page", "kind"), [("iprev", iprev.Settings), ("dnsbl", dnsbl.Settings)])
def test_every_option_of_a_check_is_described(page: str, kind: type[Any]) -> None:
    """The page of a check lists its own options."""
    described = rows(ROOT / f"docs/checks/{page}.md")
    wanted = expected(kind)
    assert set(wanted) <= set(described)
    for key, (_meaning, default) in wanted.items():
        # What an empty text stands for is said in words.
        said = described[key][1]
        assert said == default or (default == '`""`' and said and "`" not in said), key


def expected(kind: type[Any]) -> dict[str, tuple[str, str]]:
    """What the table of a dataclass must say."""
    found = {}
    for one in dataclasses.fields(kind):
        about = one.metadata.get("setting")
        if isinstance(about, Setting) and one.name not in _READ_ELSEWHERE:
            unit = f" ({about.unit})" if about.unit else ""
            found[one.name] = (about.doc + unit, _default(one))
    return found


def _default(one: dataclasses.Field[Any]) -> str:
    if one.default_factory is dataclasses.MISSING:
        return "required"
    return f"`{_toml(one.default_factory())}`"


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
        case ipaddress.IPv4Network() if value.prefixlen == ipaddress.IPV4LENGTH:
            return f'"{value.network_address}"'
        case _:
            return f'"{value}"'
