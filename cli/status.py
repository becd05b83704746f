"""`iems status`: one screen that says how the mail server is, and what is wrong with it.

It reads what the daemons publish and asks no server itself. Exit 0 if all is well, 1 if something
is not: a daemon that does not run or hangs, a server that does not answer, a list set aside.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
from collections.abc import Iterator

from cli.overview import Overview, overview
from iems.serve.meter import Error
from iems.serve.status import Status
from iems.settings.load import load

_MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to answer."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    seen = overview(load(arguments.settings))
    wrong = list(faults(seen))
    if arguments.json:
        print(json.dumps(document(seen) | {"faults": wrong}, indent=2))
    else:
        print("\n".join(screen(seen, wrong)))
    return 1 if wrong else 0


def faults(seen: Overview) -> Iterator[str]:
    """What is wrong, a sentence each."""
    for name, status in seen.daemons.items():
        if isinstance(status, str):
            yield f"{name}: {status}"
        elif status.stale:
            yield f"{name}: its status is from {_time(status.updated)}; it hangs or was killed"
        else:
            for backend, up in backends(status).items():
                if not up:
                    yield f"{name}: {backend} does not answer"
    for label, health in seen.lists.items():
        for family, why in health.aside.items():
            yield f"list {label} ({family}) is set aside since {_time(health.since)}: {why}"


def backends(status: Status) -> dict[str, bool]:
    """Whether each server that this daemon asks has answered the last time."""
    levels = status.seen.levels.items()
    found = {dict(labels)["backend"]: value > 0 for (name, labels), value in levels
             if name == "backend_up"}  # fmt: skip
    return dict(sorted(found.items()))


def screen(seen: Overview, wrong: list[str]) -> Iterator[str]:
    """For people."""
    for name, status in seen.daemons.items():
        yield from _daemon(name, status)
    if seen.lists:
        words = (f"{label} {'set aside' if one.aside else 'answers'}"
                 for label, one in sorted(seen.lists.items()))  # fmt: skip
        yield f"{'lists':12} {', '.join(words)}"
    for instance, queues in seen.queues.items():
        counts = ", ".join(f"{name} {count}" for name, count in queues.items())
        yield f"{'queues':12} {counts} ({instance})"
    if seen.quarantine is not None:
        yield f"{'quarantine':12} {seen.quarantine}"
    for error in errors(seen):
        yield f"{'error':12} {_time(error.time)} {error.text}"
    for one in wrong:
        yield f"{'WRONG':12} {one}"
    if not wrong:
        yield "all is well"


def errors(seen: Overview) -> list[Error]:
    """The last errors of all daemons, the oldest first."""
    found = [one for status in seen.daemons.values() if isinstance(status, Status)
             for one in status.seen.errors]  # fmt: skip
    return sorted(found, key=lambda one: one.time)


def document(seen: Overview) -> dict[str, object]:
    """For programs; times in seconds of the epoch, memory in bytes."""
    return {
        "daemons": {
            name: {"running": False, "reason": status}
            if isinstance(status, str)
            else {
                "running": not status.stale,
                "release": status.release,
                "pid": status.pid,
                "started": status.started,
                "updated": status.updated,
                "settings": status.settings,
                "generation": status.generation,
                "processes": [dataclasses.asdict(one) for one in status.processes],
                "replaced": dict(status.restarts),
                "backends": backends(status),
            }
            for name, status in seen.daemons.items()
        },
        "lists": {label: {"aside": dict(one.aside), "since": one.since}
                  for label, one in seen.lists.items()},
        "queues": {instance: dict(queues) for instance, queues in seen.queues.items()},
        "quarantine": seen.quarantine,
        "errors": [{"time": one.time, "text": one.text} for one in errors(seen)],
    }  # fmt: skip


def _daemon(name: str, status: Status | str) -> Iterator[str]:
    if isinstance(status, str):
        yield f"{name:12} not running"
        return
    memory = ", ".join(f"{one.memory // _MIB} MiB" for one in status.processes)
    replaced = sum(status.restarts.values())
    yield (
        f"{name:12} {status.release}, pid {status.pid}, since {_time(status.started)}, "
        f"settings of {_time(status.settings)}"
    )
    yield f"{'':12} {len(status.processes)} processes ({memory}), {replaced} replaced"
    if found := backends(status):
        words = (f"{backend} {'answers' if up else 'is down'}" for backend, up in found.items())
        yield f"{'':12} {', '.join(words)}"


def _time(moment: float) -> str:
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S}Z"
