"""From settings to checks: all faults at once, and a family that nobody knows is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.dns.zonefile import ZoneResolver
from iems.settings.load import from_table
from iems.settings.policy import CheckSettings, Mode
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from milters.assembly import build_checks, lists
from milters.checks.protocol import Tools


def site(**checks: object) -> Settings:
    return from_table(
        {
            "version": 1,
            "hostname": "mail.example.test",
            "postmaster": "postmaster@example.test",
            "checks": checks,
        }
    )


def built(settings: Settings, tmp_path: Path) -> list[str]:
    checks = build_checks(Tools.within(settings, ZoneResolver(""), tmp_path))
    return [check.name for check in checks]


def test_each_check_that_is_on(tmp_path: Path) -> None:
    settings = site(
        iprev={"mode": "delegate"},
        dnsbl={
            "a": {"mode": "enforce", "zone": "a.test"},
            "b": {"mode": "off", "zone": "b.test"},
        },
    )
    assert built(settings, tmp_path) == ["iprev", "dnsbl/a"]
    assert {name: one.zone for name, one in lists(settings).items()} == {"a": "a.test"}


def test_the_faults_of_all_checks_are_told_together(tmp_path: Path) -> None:
    settings = site(
        iprev={"mode": "delegate", "x": 1}, dnsbl={"a": {"mode": "enforce"}, "b": {"mode": "off"}}
    )
    with pytest.raises(SettingsError) as caught:
        built(settings, tmp_path)
    first, second = caught.value.faults
    assert "checks.iprev.x is no setting" in first
    assert "checks.dnsbl.a.zone is missing" in second


def test_a_family_that_the_milter_does_not_know(tmp_path: Path) -> None:
    settings = site()
    settings.__dict__["checks"] = (CheckSettings("spam", Mode.DELEGATE, {}, {}, "checks.spam"),)
    with pytest.raises(SettingsError, match=r"checks\.spam is no check; known: arc, "):
        built(settings, tmp_path)
