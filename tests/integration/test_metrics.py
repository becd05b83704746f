"""`iems status` and `iems metrics` of the whole system, and what Prometheus makes of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iems.serve.deadline import Deadline
from tests.conftest import ROOT
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.programs import program, run
from tests.integration.stack.prometheus import Prometheus
from tests.integration.stack.smtp import send
from tests.waiting import eventually

MONITORING = ROOT / "docs/monitoring"
SENDER, NAME = "a@sender.example", "mx.sender.example"
_STILL = 11.0
"""Seconds: a worker beats every 5, and its supervisor publishes every 5."""

QUIET = {
    "Temporary failures per second",
    "Errors per second",
    "Quarantine",
    "What filters said, per second",
    "What filters could not do, per second",
    "Trained per second",
    "Waiting to be trained",
}
"""Panels that show nothing while all is well, and nobody has a filter."""


@pytest.fixture
def traffic(mailsystem: MailSystem, fresh: Fresh) -> Fresh:
    """Two messages from a client on the delegated list: one refused, one taken."""
    mailsystem.add_domain(fresh.domain)
    mailsystem.add_user(fresh.address("alice"), "dnsbl/delegated listed choice reject")
    bob = mailsystem.add_user(fresh.address("bob"))
    mailsystem.lists.list(DELEGATED, fresh.ip)
    deliver(mailsystem, fresh)
    assert bob.wait()
    return fresh


def deliver(mailsystem: MailSystem, fresh: Fresh) -> None:
    """One transaction of the listed client."""
    people = [fresh.address("alice"), fresh.address("bob")]
    data = b"Subject: counted\r\n\r\ntext\r\n"
    send(mailsystem.port(), SENDER, people, data, client=(fresh.ip, NAME))


def counters(mailsystem: MailSystem) -> dict[str, float]:
    """Every sample of `iems metrics` by its line without the value."""
    lines = mailsystem.iems("metrics").decode().splitlines()
    rows = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _blank, value in rows}


@pytest.mark.timeout(150)
def test_verdicts_are_counted_by_what_decided(mailsystem: MailSystem, traffic: Fresh) -> None:
    refused = (
        'iems_verdicts_total{action="reject",band="listed",check="dnsbl/delegated",'
        'daemon="iems-milter",reply="5xx",stage="rcpt"}'
    )
    taken = (
        'iems_verdicts_total{action="deliver",band="listed",check="dnsbl/delegated",'
        'daemon="iems-lmtp",reply="2xx",stage="delivery"}'
    )
    found = (
        'iems_findings_total{band="listed",check="dnsbl/delegated",daemon="iems-milter",'
        'outcome="listed"}'
    )
    # They begin anew with their daemons: what was counted before may be published any time later.
    mailsystem.postfix.wait_empty()
    for daemon in (mailsystem.milter, mailsystem.agent):
        daemon.stop()
        daemon.start()
    deliver(mailsystem, traffic)

    def counted() -> list[float]:
        now = counters(mailsystem)
        return [now.get(name, 0) for name in (refused, taken, found)]

    eventually(lambda: counted() == [1, 1, 1], 20, lambda: str(counted()))
    published = Deadline.after(_STILL)
    eventually(lambda: published.expired, _STILL)
    assert counted() == [1, 1, 1], "once a message, however many recipients ask"


def test_status_of_a_system_that_works(mailsystem: MailSystem, traffic: Fresh) -> None:
    del traffic

    def told() -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(mailsystem.iems("status", "--json"))
        return answer

    backends = {
        "iems-lmtp": {"directory": True, "upstream local": True},
        "iems-milter": {"directory": True, "resolver": True},
    }

    def looked() -> bool:
        return {name: one["backends"] for name, one in told()["daemons"].items()} == backends

    eventually(looked, 20, lambda: str(told()))
    status = told()
    assert status["faults"] == []
    assert {name: "active" in queues for name, queues in status["queues"].items()} == {
        "etc": True,
        "postfix-bounces": True,
    }
    assert set(status["lists"]) >= {"delegated", "enforced"}


def test_a_directory_that_is_down_is_seen(mailsystem: MailSystem, traffic: Fresh) -> None:
    del traffic
    mailsystem.slapd.stop()
    try:
        eventually(lambda: "directory does not answer" in faults(mailsystem), 40)
    finally:
        mailsystem.slapd.start()
    eventually(lambda: not faults(mailsystem), 40)


def faults(mailsystem: MailSystem) -> str:
    """What `iems status` says is wrong; it exits with 1 where anything is."""
    try:
        return "\n".join(json.loads(mailsystem.iems("status", "--json"))["faults"])
    except RuntimeError as error:
        return str(error)


@pytest.fixture
def prometheus(ground: Ground, mailsystem: MailSystem, traffic: Fresh) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the system twice, with a message in between."""
    server = Prometheus(ground, lambda: mailsystem.iems("metrics"), MONITORING / "alerts.yml")
    with running(server):
        eventually(lambda: server.query("iems_up"), 20)
        deliver(mailsystem, traffic)
        yield server


def test_prometheus_takes_every_query_of_the_dashboard(prometheus: Prometheus) -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        [target] = panel["targets"]
        expression = target["expr"].replace("$__rate_interval", "10s")

        found = functools.partial(prometheus.query, expression)
        if panel["title"] in QUIET:
            found()
        else:
            eventually(found, 20, f"something in the panel {panel['title']}")


def test_prometheus_takes_the_alerts_and_none_fires_where_all_is_well(
    prometheus: Prometheus,
) -> None:
    rules = eventually(prometheus.rules, 10)
    names = {str(rule["name"]) for rule in rules}
    assert {"IemsDown", "IemsBackendDown", "IemsQueueGrows"} <= names
    # The rules are evaluated each second; by the fifth scrape they have seen several.
    eventually(lambda: prometheus.query("count_over_time(iems_list_up[1m]) >= 5"), 30)
    states = {rule["name"]: (rule["health"], rule["state"]) for rule in prometheus.rules()}
    assert states == dict.fromkeys(names, ("ok", "inactive"))


def test_alerts_fire_when_they_shall(tmp_path: Path) -> None:
    """promtool plays the series of `tests/integration/alerts.test.yml` through the rules."""
    text = (Path(__file__).parent / "alerts.test.yml").read_text()
    plan = tmp_path / "alerts.test.yml"
    plan.write_text(text.replace("ALERTS", str(MONITORING / "alerts.yml")))
    told = run(program("promtool"), "test", "rules", str(plan))
    assert b"SUCCESS" in told
