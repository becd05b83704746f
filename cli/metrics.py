"""`iems metrics`: what the daemons have measured, as OpenMetrics text for Prometheus.

`docs/metrics.md` lists the names and says how Prometheus gets them. Counters begin anew when a
supervisor does. Exit 0 also where a daemon does not run: `iems_up` then says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest

from cli.overview import Overview, overview
from iems.serve.meter import BUCKETS, Series
from iems.serve.status import Status
from iems.settings.load import load

HELP: Mapping[str, str] = {
    "up": "Whether the daemon runs and publishes its status.",
    "start_time_seconds": "When the supervisor started.",
    "settings_time_seconds": "When the settings in force were read.",
    "processes": "Processes of a role, those that drain included.",
    "resident_memory_bytes": "Memory of the largest process of a role.",
    "replacements_total": "Processes that ended untold or held too much memory.",
    "connections_total": "Connections to the daemon.",
    "messages_total": "Messages that the milter let in.",
    "findings_total": "Findings by check, outcome and band, once a message.",
    "verdicts_total": "Recipients by action, what decided, and reply.",
    "splits_total": "Recipients who needed a transaction of their own, by what became of it.",
    "temporary_failures_total": "Answers 4xx for a reason of our own.",
    "bayes_total": "Recipients whose own filter was asked, by what it said.",
    "bayes_failures_total": "What a filter could not judge, or nobody will remember of it.",
    "errors_total": "Error lines of the log.",
    "records_dropped_total": "Records that were not written.",
    "stage_seconds": "How long an answer took.",
    "backend_up": "Whether a server that the daemon asks answered the last time.",
    "signatures_age_seconds": "How old the signatures of a virus scanner are.",
    "list_up": "Whether a DNS blacklist is asked and not set aside.",
    "postfix_queue_messages": "Files in a queue of Postfix.",
    "quarantine_messages": "Messages in quarantine.",
    "training_requests_total": "Requests that iems-bayes has taken, by what was asked.",
    "training_total": "What became of requests to train, by the way in which the user said it.",
    "training_queue": "Requests that iems-bayes has still to carry out.",
}
"""All names, without `iems_`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write."""
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="replace this file (node_exporter's textfile collector reads it) and print nothing",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print all, or write it beside the file and rename it."""
    text = exposition(overview(load(arguments.settings)))
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    draft = arguments.output.with_name(f".{arguments.output.name}.new")
    draft.write_text(text)
    draft.replace(arguments.output)
    return 0


def exposition(seen: Overview) -> str:
    """The text, which ends in `# EOF`."""
    registry = CollectorRegistry()
    registry.register(_Collector(seen))
    text: bytes = generate_latest(registry)
    return text.decode()


class _Collector:
    def __init__(self, seen: Overview) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        """Every family that has anything to tell, once."""
        families: dict[str, Metric] = {}
        for name, labels, value in _samples(self._seen):
            family = families.setdefault(name, _family(name))
            family.add_sample(f"iems_{name}", labels, value)
        yield from families.values()
        yield from _times(self._seen)


def _family(name: str) -> Metric:
    if name.endswith("_total"):
        return CounterMetricFamily(f"iems_{name.removesuffix('_total')}", HELP[name])
    return GaugeMetricFamily(f"iems_{name}", HELP[name])


def _samples(seen: Overview) -> Iterator[tuple[str, dict[str, str], float]]:
    for daemon, status in seen.daemons.items():
        up = isinstance(status, Status) and not status.stale
        yield "up", {"daemon": daemon}, float(up)
        if isinstance(status, Status):
            yield from _of_daemon(daemon, status)
    for label, health in seen.lists.items():
        yield "list_up", {"list": label}, float(not health.aside)
    for instance, queues in seen.queues.items():
        for queue, count in queues.items():
            labels = {"postfix": instance, "queue": queue}
            yield "postfix_queue_messages", labels, float(count)
    if seen.quarantine is not None:
        yield "quarantine_messages", {}, float(seen.quarantine)


def _of_daemon(daemon: str, status: Status) -> Iterator[tuple[str, dict[str, str], float]]:
    yield "start_time_seconds", {"daemon": daemon}, status.started
    yield "settings_time_seconds", {"daemon": daemon}, status.settings
    for role, count in status.restarts.items():
        own = [one.memory for one in status.processes if one.role == role]
        labels = {"daemon": daemon, "role": role}
        yield "processes", labels, float(len(own))
        yield "resident_memory_bytes", labels, float(max(own, default=0))
        yield "replacements_total", labels, float(count)
    for measured in (status.seen.counters, status.seen.levels):
        for (name, pairs), value in measured.items():
            if name in HELP:  # a daemon of another release may know more
                yield name, {"daemon": daemon, **dict(pairs)}, value


def _times(seen: Overview) -> Iterator[Metric]:
    """The histograms; a bucket holds all that is shorter, too."""
    family = HistogramMetricFamily("iems_stage_seconds", HELP["stage_seconds"])
    for daemon, status in seen.daemons.items():
        for series, times in status.seen.times.items() if isinstance(status, Status) else ():
            bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
            total, buckets = 0, []
            for bound, count in zip(bounds, times.counts, strict=True):
                total += count
                buckets.append((bound, float(total)))
            labels = _labels(daemon, series)
            for bound, value in buckets:
                family.add_sample("iems_stage_seconds_bucket", {**labels, "le": bound}, value)
            family.add_sample("iems_stage_seconds_count", labels, float(total))
            family.add_sample("iems_stage_seconds_sum", labels, times.total)
    if family.samples:
        yield family


def _labels(daemon: str, series: Series) -> dict[str, str]:
    return {"daemon": daemon, **dict(series[1])}
