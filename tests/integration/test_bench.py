"""The benchmark with few messages: it measures what it says, and shows that all of it happened."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from bench import mailsort_install
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(300)
MESSAGES = 60


def test_both_ways_are_measured_and_counted() -> None:
    words = ("-m", "bench", "smtp", "lmtp", "--rounds", "1", "--messages", str(MESSAGES))
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = r"^\| (\w.*?) \| (\d+) .*?\| ([0-9.]*).*?\| ([0-9.]*) \|$"
    rows = re.findall(line, done.stdout, re.MULTILINE)
    figures = {name: (float(rate), ratio, target) for name, rate, ratio, target in rows}
    assert all(rate > 0 for rate, _ratio, _target in figures.values())
    for name, base, wanted in (
        ("with the milter, warm", "Postfix alone", "0.60"),
        ("with the milter, cold", "Postfix alone", "0.50"),
        ("through the agent", "Dovecot alone", "0.60"),
    ):
        rate, ratio, target = figures[name]
        assert abs(float(ratio) - rate / figures[base][0]) < 0.05
        assert target == wanted
    facts = dict(re.findall(r"^- (.*): (.*)$", done.stdout, re.MULTILINE))
    headers = "delivered with the header of"
    assert [facts[f"{headers} {how} in a run"] for how in ("alone", "cold", "warm")] == [
        "[0]",
        f"[{MESSAGES}]",
        f"[{MESSAGES}]",
    ]
    questions = "questions that rbldnsd saw in a run"
    asked = {how: int(facts[f"{questions}, {how} (median)"]) for how in ("alone", "cold", "warm")}
    assert asked["alone"] == 0
    assert asked["warm"] < MESSAGES < asked["cold"]
    assert facts["delivered with the findings still there, alone"] == f"{{{MESSAGES}}}"
    assert facts["delivered with the findings still there, agent"] == "{0}"


def test_a_soak_of_seconds_passes() -> None:
    """Everything sent is delivered, and every process was looked at."""
    words = ("-m", "bench.soak", "--seconds", "6", "--rate", "10")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.endswith("soak: passed, 0 faults\n")
    for daemon in ("iems-milter", "iems-lmtp"):
        assert re.search(rf"^{daemon}: [1-9]\d+ records, 0 dropped$", done.stdout, re.MULTILINE)
    for who in ("milter", "agent"):
        rows = re.findall(rf"^\| {who} (?:supervisor|child) \d+ ", done.stdout, re.MULTILINE)
        assert len(rows) == 4


def test_the_pass_through_stage_is_verified_by_both() -> None:
    """What we and rspamd found in delivered messages is the same, and all that there is."""
    words = ("-m", "bench", "passthrough", "--rounds", "1", "--messages", "40")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"^- found in each run: (.*)$", done.stdout, re.MULTILINE)
    assert len(found) == 2
    for told in found:
        for check in ("spf", "dkim", "dmarc"):
            assert f"{check} pass 38, {check} fail 2" in told


def test_the_full_chain_is_done_by_both() -> None:
    """We and amavisd-new find, refuse, remove, put in and sign; the run ends where one does not."""
    words = ("-m", "bench", "chain", "--rounds", "1", "--messages", "8")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"^- found in each run: (.*)$", done.stdout, re.MULTILINE)
    assert len(found) == 2
    for told in found:
        assert (
            "spf pass 3, spf fail 1, dkim pass 3, dkim fail 1, dmarc pass 3, dmarc fail 1" in told
        )
    edited = re.findall(r"^- done by both in each run: (.*)$", done.stdout, re.MULTILINE)
    assert edited == ["1 archives removed, 4 texts put in, 4 signatures that hold"] * 2


def test_rules_of_many_users_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, then none, then those whose rules are others: the benchmark looks itself."""
    monkeypatch.setattr(mailsort_install, "_USERS", 12)
    rows = mailsort_install.measure(1, 0).splitlines()[-3:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| no script yet",
        "| nothing to do",
        "| 1 in 10 has other rules",
    ]
