"""`bayes` as settings and the milter know it; what the agent makes of it is in tests/unit/lmtp."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.dns.zonefile import ZoneResolver
from iems.settings.judging import judging, parse
from iems.settings.policy import AT_DELIVERY, Mode, missing_findings
from iems.settings.read import SettingsError
from milters.assembly import build_checks
from milters.checks import bayes
from milters.checks.protocol import Tools
from tests.unit.checks.world import site


@pytest.mark.parametrize("mode", ["delegate", "enforce", "shadow"])
def test_the_milter_makes_no_check_and_misses_no_finding(mode: str, tmp_path: Path) -> None:
    """A message without valid findings is judged by the agent like any other."""
    made = site(checks={"bayes": {"mode": mode}, "iprev": {"mode": "delegate"}})
    built = build_checks(Tools.within(made, ZoneResolver(""), tmp_path))
    assert {one.name for one in built} == {"iprev"}
    assert {one.check for one in missing_findings(made.checks)} == {"iprev"}
    assert bayes.NAME in AT_DELIVERY


def test_what_the_agent_is_told() -> None:
    assert judging(site().checks) is None
    assert judging(site(checks={"bayes": {"mode": "off"}}).checks) is None
    table = {"mode": "shadow", "channels": ["office"], "certain": 0.99}
    told = judging(site(checks={"bayes": table}).checks)
    assert told is not None
    mode, options = told
    assert (mode, options.channels, options.certain) == (Mode.SHADOW, ("office",), 0.99)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"certain": 1.0}, "checks.bayes.certain is 1.0"),
        ({"certain": 0.4}, "checks.bayes.certain is 0.4"),
        ({"channels": "internet"}, "checks.bayes.channels is 'internet'"),
        ({"chanels": ["internet"]}, "checks.bayes.chanels is no setting"),
    ],
)
def test_options_that_are_none(options: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        parse(options, "checks.bayes")
