"""`iems status` and `iems metrics`: for people, for programs, for Prometheus."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from cli.main import main
from cli.metrics import HELP
from iems.serve.meter import BUCKETS, Error, Snapshot, Times, series
from iems.serve.status import Process, Status, publish
from iems.store.quarantine import Quarantine
from milters.checks import guard
from milters.checks.guard import ListHealth
from tests.conftest import ROOT

NOW = time.time()
Samples: TypeAlias = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two daemons that are well, two lists, mail in three queues, one message in quarantine."""
    for name in ("milter", "lmtp"):
        (tmp_path / name).mkdir()
        publish(tmp_path / name / "status.json", status(f"iems-{name}"))
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[milter]\nstate = "{tmp_path}/milter"\nstatus = "{tmp_path}/milter/status.json"\n'
        f'[agent]\nstate = "{tmp_path}/lmtp"\nstatus = "{tmp_path}/lmtp/status.json"\n'
    )
    guard.publish(tmp_path / "milter/health.json", {"soft": ListHealth(), "hard": ListHealth()})
    Quarantine(tmp_path / "lmtp/quarantine").put([b"x"], {})
    for queue, names in {"active": ["A"], "deferred/1": ["1B", "1C"], "hold": []}.items():
        (tmp_path / "queue" / queue).mkdir(parents=True)
        for name in names:
            (tmp_path / "queue" / queue / name).touch()
    (tmp_path / "other/deferred").mkdir(parents=True)
    spools = {"postfix": tmp_path / "queue", "postfix-bounces": tmp_path / "other"}
    monkeypatch.setattr("cli.overview._queue_directories", lambda: spools)
    return tmp_path


def status(daemon: str, age: float = 0.0, up: float = 1.0) -> Status:
    """A daemon with two workers."""
    workers = [Process(number, "worker", 2, NOW, number << 20, draining=False) for number in (7, 9)]
    times = Times([0, 3, *[0] * (len(BUCKETS) - 2), 1], 0.5)
    seen = Snapshot(
        {
            series("findings_total", {"check": "iprev", "outcome": "pass", "band": ""}): 5.0,
            series("of_another_release_total", {}): 1.0,
        },
        {series("backend_up", {"backend": "directory"}): up},
        {series("stage_seconds", {"stage": "rcpt"}): times},
        [Error(NOW, 'a process ended pid="3"')],
    )
    restarts = {"worker": 4, "jobs": 0}
    updated = time.time() - age
    return Status(daemon, "0.1.0-abc", 1, NOW, updated, 2, NOW, "a1", workers, restarts, seen)


def iems(site: Path, *words: str) -> int:
    """Run it on the site."""
    return main(["--settings", str(site / "iems.toml"), *words])


def test_all_is_well(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert iems(site, "status") == 0
    screen = capsys.readouterr().out
    assert "iems-milter  0.1.0-abc, pid 1, since" in screen
    assert "2 processes (7 MiB, 9 MiB), 4 replaced" in screen
    assert "directory answers" in screen
    assert "hard answers, soft answers" in screen
    assert "active 1, deferred 2, hold 0 (postfix)\n" in screen
    assert "deferred 0 (postfix-bounces)\n" in screen
    assert "quarantine   1\n" in screen
    assert screen.count('a process ended pid="3"') == 2
    assert screen.endswith("all is well\n")


def stopped(site: Path) -> None:
    (site / "lmtp/status.json").unlink()


def hung(site: Path) -> None:
    publish(site / "lmtp/status.json", status("iems-lmtp", age=60))


def directory_down(site: Path) -> None:
    publish(site / "lmtp/status.json", status("iems-lmtp", up=0.0))


def aside(site: Path) -> None:
    sick = ListHealth({"ipv4": "127.0.0.1 is listed"}, since=NOW)
    guard.publish(site / "milter/health.json", {"soft": sick, "hard": ListHealth()})


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (stopped, "does not run"),
        (hung, "it hangs or was killed"),
        (directory_down, "iems-lmtp: directory does not answer"),
        (aside, "list soft (ipv4) is set aside since"),
    ],
)
def test_what_is_wrong_is_said_and_is_the_exit_code(
    site: Path, capsys: pytest.CaptureFixture[str], break_it: Callable[[Path], None], told: str
) -> None:
    break_it(site)
    assert iems(site, "status") == 1
    screen = capsys.readouterr().out
    assert "all is well" not in screen
    assert told in next(line for line in screen.splitlines() if line.startswith("WRONG"))
    assert iems(site, "status", "--json") == 1
    [fault] = json.loads(capsys.readouterr().out)["faults"]
    assert told in fault


def test_for_programs(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert iems(site, "status", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["faults"] == []
    assert told["daemons"]["iems-lmtp"]["processes"][1]["memory"] == 9 << 20
    assert told["daemons"]["iems-milter"]["backends"] == {"directory": True}
    queues = {"active": 1, "deferred": 2, "hold": 0}
    assert told["queues"] == {"postfix": queues, "postfix-bounces": {"deferred": 0}}
    assert told["quarantine"] == 1
    assert set(told["lists"]) == {"soft", "hard"}


def samples(text: str) -> Samples:
    """What a reader of OpenMetrics finds."""
    assert text.endswith("# EOF\n")
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"iems_{name}", frozenset(labels.items())]


def test_metrics(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped(site)
    assert iems(site, "metrics") == 0
    found = samples(capsys.readouterr().out)
    milter = {"daemon": "iems-milter"}
    assert value(found, "up", **milter) == 1.0
    assert value(found, "up", daemon="iems-lmtp") == 0.0
    labels = {"check": "iprev", "outcome": "pass", "band": ""}
    assert value(found, "findings_total", **milter, **labels) == 5.0
    assert value(found, "resident_memory_bytes", **milter, role="worker") == 9 << 20
    assert value(found, "replacements_total", **milter, role="worker") == 4.0
    assert value(found, "backend_up", **milter, backend="directory") == 1.0
    assert value(found, "list_up", list="soft") == 1.0
    assert value(found, "postfix_queue_messages", postfix="postfix", queue="deferred") == 2.0
    assert value(found, "quarantine_messages") == 1.0
    stage = {**milter, "stage": "rcpt"}
    assert value(found, "stage_seconds_bucket", **stage, le="0.001") == 0.0
    assert value(found, "stage_seconds_bucket", **stage, le="0.0025") == 3.0
    assert value(found, "stage_seconds_bucket", **stage, le="+Inf") == 4.0
    assert value(found, "stage_seconds_count", **stage) == 4.0
    assert math.isclose(value(found, "stage_seconds_sum", **stage), 0.5)
    assert not any("another_release" in name for name, _labels in found)


def test_metrics_into_a_file(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = site / "iems.prom"
    target.write_text("old")
    assert iems(site, "metrics", "--output", str(target)) == 0
    assert capsys.readouterr().out == ""
    assert value(samples(target.read_text()), "up", daemon="iems-milter") == 1.0
    assert not list(site.glob(".iems.prom*"))


def test_a_server_where_nothing_runs_has_metrics_too(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("milter", "lmtp"):
        (site / name / "status.json").unlink()
    (site / "milter/health.json").unlink()
    assert iems(site, "metrics") == 0
    assert value(samples(capsys.readouterr().out), "up", daemon="iems-milter") == 0.0


def test_what_is_shown_and_watched_is_measured() -> None:
    """By its name in the dashboard and in the alerts; of filters and training all is shown."""
    folder = ROOT / "docs/monitoring"
    shown, watched = (
        set(re.findall(r"\biems_([a-z_]+?)(?:_bucket)?\b(?=[\[{ )<>\"]|$)", text, re.MULTILINE))
        for text in ((folder / "dashboard.json").read_text(), (folder / "alerts.yml").read_text())
    )
    assert shown | watched <= HELP.keys()
    assert {"bayes_total", "bayes_failures_total", "training_total", "training_queue"} <= shown


def test_every_metric_is_described() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    missing = [name for name, text in HELP.items() if f"| `iems_{name}` | {text} |" not in page]
    assert not missing
