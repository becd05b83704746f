"""`iprev`: do the client's address and its name in the DNS agree?"""

from __future__ import annotations

from dataclasses import dataclass

from iems.model.envelope import INTERNET
from iems.settings import read
from iems.settings.read import Table, setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`[checks.iprev]` beside mode, default and allow."""

    channels: tuple[str, ...] = setting(
        read.texts, "source channels whose clients are looked up", (INTERNET,)
    )


def parse(options: Table, key: str) -> Settings:
    """The options of `[checks.iprev]`; SettingsError names key, value and what is expected."""
    return read.read_table(Settings, options, key, lambda _path: "settings")
