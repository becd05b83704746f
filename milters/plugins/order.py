"""What a process of a plug-in is told when it begins, and whether it can begin at all.

SettingsError where it cannot: `iems check` tells so, and a daemon is not started with it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iems.codec.printable import printable
from iems.settings import read
from iems.settings.plugins import Plugin
from iems.settings.read import SettingsError, Table, Where, join, setting
from milters.plugins.process import Lines, PluginFailed, Process


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What every table of a plug-in may say of its processes."""

    timeout: float = setting(
        read.number(0.1, 20),
        "bound on one message; then its process is killed and another one started, and a check "
        "has found `temperror`, an edit lets the message wait",
        5.0,
        "s",
    )
    max_memory: int = setting(
        read.integer(64 << 20, 1 << 40),
        "address space of each of its processes; who wants more gets none",
        512 << 20,
        "bytes",
    )
    processes: int = setting(
        read.integer(1, 16), "its processes in each worker, each with one message at a time", 2
    )


OURS = frozenset(one.name for one in dataclasses.fields(Limits))


def order(
    plugin: Plugin, label: str, own: Table, key: str, where: Where, limits: Limits
) -> dict[str, Any]:
    """Which module it is, and its `own` options, which stand under this key."""
    try:
        json.dumps(own)
    except TypeError:
        raise SettingsError([f"{where(key)}: {key} holds a time, which no plug-in gets"]) from None
    return {
        "module": plugin.module,
        "label": label,
        "key": key,
        "options": dict(own),
        "places": {one: where(one) for one in (key, *(join(key, name) for name in own))},
        "max_memory": limits.max_memory,
    }


def tried(order: Mapping[str, Any], plugin: Plugin) -> Mapping[str, Any]:
    """What a process answers to it that is begun for this alone."""
    key, of = order["key"], plugin.distribution
    try:
        process = Process(lambda _line: None, Lines())
        try:
            answer = process.order(order)
        finally:
            process.kill()
    except (PluginFailed, OSError, RuntimeError) as error:
        told = f"{order['places'][key]}: {key}: the plug-in of {of} {error}"
        raise SettingsError([told]) from None
    if isinstance(faults := answer.get("faults"), list):
        raise SettingsError([f"{printable(str(one))} ({of})" for one in faults])
    return answer
