"""A family of checks that others wrote, as the milter's own families are: it reads and makes.

The checks run in processes (`milters.plugins.host`). A check of the end of DATA begins when it is
started, one of an earlier stage when its finding is needed, which may be never: its process would
wait for a client who dawdles. Whatever a plug-in does, or does not, is its finding `temperror`.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from iems.codec import findings as codec
from iems.codec.printable import printable
from iems.dns.zonefile import ZoneResolver
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings import read
from iems.settings.plugins import Plugin
from iems.settings.read import SettingsError, Table, Where, join, read_table, setting, somewhere
from iems.store.spool import FileBody
from milters.checks.protocol import Check, Pending, Stage, Tools, View
from milters.plugins.host import Host, Job
from milters.plugins.process import PluginFailed, Process
from milters.plugins.wire import WireError, findings

_GRACE = 1.0
"""Seconds that the thread has to tell that the time of its process is over."""

_MOST = 6
"""Checks of one name: one for each stage."""

_END = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`[checks.PLUGIN]` beside mode, default, allow and the options of its own."""

    timeout: float = setting(
        read.number(0.1, 20),
        "bound on one message; then its process is killed and another one started, and the "
        "finding is `temperror`",
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


OURS = frozenset({"timeout", "max_memory", "processes"})


@dataclass(frozen=True)
class Options:
    """Of one table: what concerns its processes, and the rest, which the plug-in reads itself."""

    ours: Settings
    own: Table
    key: str
    where: Where


@dataclass(frozen=True)
class PluginFamily:
    """The family of one plug-in."""

    plugin: Plugin
    Settings: type[Settings] = Settings

    def parse(self, options: Table, key: str, where: Where = somewhere) -> Options:
        """Of the options what is for us; SettingsError."""
        ours = {name: value for name, value in options.items() if name in OURS}
        own = {name: value for name, value in options.items() if name not in OURS}
        return Options(read_table(Settings, ours, key, where), own, key, where)

    def make(self, name: str, settings: Options, tools: Tools) -> tuple[Check, ...]:
        """The checks that the plug-in makes, one for each stage; SettingsError."""
        full = f"{self.plugin.name}/{name}" if name else self.plugin.name
        order = _order(self.plugin, name, settings, tools)
        told = f"{settings.where(settings.key)}: {settings.key}"
        host = Host(full, order, settings.ours.processes)
        bands = frozenset(self.plugin.bands)
        return tuple(
            PluginCheck(full, stage, number, bands, settings.ours.timeout, host)
            for number, stage in enumerate(_stages(full, order, told, self.plugin.distribution))
        )


def _order(plugin: Plugin, label: str, settings: Options, tools: Tools) -> Mapping[str, Any]:
    """What a process is told: of the site's settings what is no secret and of use to a check."""
    site, key, where = tools.site, settings.key, settings.where
    dns = tools.resolver
    zone = (dns.text, dns.whole) if isinstance(dns, ZoneResolver) else None
    order = {
        "module": plugin.module,
        "label": label,
        "key": key,
        "options": dict(settings.own),
        "places": {one: where(one) for one in (key, *(join(key, own) for own in settings.own))},
        "max_memory": settings.ours.max_memory,
        "zone": zone,
        "site": {
            "version": site.version,
            "hostname": site.hostname,
            "postmaster": str(site.postmaster),
            "contact": site.contact,
            "own_networks": [str(one) for one in site.own_networks],
            "trusted_relays": [str(one) for one in site.trusted_relays],
            "dns": {"servers": list(site.dns.servers), "timeout": site.dns.timeout},
            "milter": {"state": str(site.milter.state)},
        },
    }
    try:
        json.dumps(settings.own)
    except TypeError:
        raise SettingsError([f"{where(key)}: {key} holds a time, which no plug-in gets"]) from None
    return order


def _stages(name: str, order: Mapping[str, Any], key: str, of: str) -> list[Stage]:
    """The stages of its checks, as a process says that is begun for this alone."""
    told = f"{key}: the plug-in of {of}"
    try:
        process = Process(lambda _line: None)
        try:
            answer = process.order(order)
        finally:
            process.kill()
    except (PluginFailed, OSError, RuntimeError) as error:
        raise SettingsError([f"{told} {error}"]) from None
    if isinstance(faults := answer.get("faults"), list):
        raise SettingsError([f"{printable(str(one))} ({of})" for one in faults])
    try:
        made = [(str(one), Stage[stage]) for one, stage in answer["checks"]]
    except (KeyError, TypeError, ValueError):
        raise SettingsError([f"{told} makes no checks"]) from None
    if not 0 < len(made) <= _MOST or any(one != name for one, _stage in made):
        names = printable(", ".join(one for one, _stage in made)) or "none"
        raise SettingsError([f"{told} makes {names}; expected checks of the name {name}"])
    return [stage for _one, stage in made]


@dataclass(frozen=True, slots=True)
class PluginCheck:
    """One of the checks that the plug-in makes, the one of this `number`."""

    name: str
    stage: Stage
    number: int
    bands: frozenset[str]
    timeout: float
    host: Host

    def applies(self, view: View) -> bool:
        """Told to what is under way: the process says it, by what is known when it is asked."""
        for check, pending in view.running():
            if check is self and isinstance(pending, Asked):
                pending.known = view
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask at once where the answer will be waited for at once."""
        asked = Asked(self, view)
        if self.stage is Stage.BODY:
            with suppress(OSError, RuntimeError):  # it is tried once more, and then told
                asked.begin(deadline.sooner(self.timeout))
        return asked


class Asked:
    """What the plug-in finds of one message; collected by one thread at a time."""

    def __init__(self, check: PluginCheck, view: View) -> None:
        self.known = view
        """What is known by now of the sender; header and message are those of its stage."""
        self._view = view
        self._check = check
        self._job: Job | None = None
        self._findings: tuple[Finding, ...] | None = None

    def begin(self, deadline: Deadline) -> Job:
        """Have a process asked."""
        known = replace(self.known, header=self._view.header, message=self._view.message)
        self._job = Job(*_question(self._check, known), deadline)
        self._check.host.submit(self._job)
        return self._job

    def result(self) -> tuple[Finding, ...]:
        """The findings; what they were at first they stay."""
        if self._findings is None:
            self._findings = self._found()
        return self._findings

    def _found(self) -> tuple[Finding, ...]:
        check = self._check
        try:
            job = self._job or self.begin(Deadline.after(check.timeout))
            while "found" in (said := _next(job)):
                rows = codec.rows_of(self._view.found(str(said["found"])))
                job.answers.put({"findings": rows})
            return findings(said.get("findings"), check.name, check.bands)
        except WireError as error:
            why = f"answers nonsense: {error}"
        except PluginFailed as error:
            why = str(error)
        except (OSError, RuntimeError) as error:
            why = f"could not be asked: {error}"
        return (Finding(check.name, TEMPERROR, TEMPERROR, f"the plug-in {printable(why, 300)}"),)


def _next(job: Job) -> Mapping[str, Any]:
    try:
        said = job.told.get(timeout=job.deadline.remaining() + _GRACE)
    except queue.Empty:
        raise PluginFailed("had no time for the message") from None
    if isinstance(said, PluginFailed):
        raise said
    return said


def _question(check: PluginCheck, view: View) -> tuple[dict[str, Any], tuple[bytes, ...], int]:
    """What a process is told of the message, and a descriptor of a body that lies in a file."""
    octets, descriptor, size, sender = list[bytes](), -1, 0, view.sender
    if view.header is not None:
        octets.append(view.header.raw)
    if view.message is not None:
        octets.append(view.message.header)
        body = view.message.body
        size = body.size
        if isinstance(body, FileBody):
            descriptor = body.reopened()
        else:
            octets.append(b"".join(body.pieces()))
    told = {
        "check": check.number,
        "client": [view.client.ip, view.client.name, view.client.port],
        "helo": view.helo,
        "channel": view.channel,
        "authenticated": view.authenticated,
        "sender": [sender.local, sender.domain] if sender else None,
        "resolved": view.resolved,
        "envelope_from": view.envelope_from,
        "header": view.header is not None,
        "message": view.message is not None,
        "size": size,
    }
    return told, tuple(octets), descriptor


@contextmanager
def running(checks: Iterable[Check], log: Log | None) -> Iterator[None]:
    """The processes of these checks run, and are gone at the end of the block."""
    hosts = {one.host for one in checks if isinstance(one, PluginCheck)}
    for host in hosts:
        host.start(log)
    try:
        yield
    finally:
        deadline = Deadline.after(_END)
        for host in hosts:
            host.close(deadline)
