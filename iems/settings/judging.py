"""`[checks.bayes]`: which mail the agent judges by what its recipients have trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iems.model.envelope import INTERNET
from iems.model.finding import BAYES
from iems.settings import read
from iems.settings.bayes import ON
from iems.settings.policy import CheckSettings, Mode
from iems.settings.read import Table, Where, read_table, setting, somewhere


@dataclass(frozen=True, kw_only=True)
class JudgingSettings:
    """`[checks.bayes]` beside mode, default and allow."""

    channels: tuple[str, ...] = setting(
        read.texts,
        "source channels whose mail is judged; mail of `own_networks` never is",
        (INTERNET,),
    )
    certain: float = setting(
        read.number(0.5, 0.9999999999), "probability from which spam is `certain`", 0.999
    )


def parse(options: Table, key: str, where: Where = somewhere) -> JudgingSettings:
    """The options; SettingsError names file, key, value, expected."""
    return read_table(JudgingSettings, options, key, where)


def wanted(mode: Mode, said: str) -> str:
    """What one has of his filter who has said that, or for whom the settings say it."""
    return ON if mode is Mode.ENFORCE else said


def judging(checks: Iterable[CheckSettings]) -> tuple[Mode, JudgingSettings] | None:
    """Those of a site where the check is on; SettingsError as `parse`."""
    for check in checks:
        if check.family == BAYES:
            return check.mode, parse(check.options, check.key, check.where)
    return None
