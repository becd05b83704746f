"""A family of checks that others wrote, as the milter's own families are: it reads and makes.

The checks run in processes (`milters.plugins.host`). A check of the end of DATA begins when it is
started, one of an earlier stage when its finding is needed, which may be never: its process would
wait for a client who dawdles. Whatever a plug-in does, or does not, is its finding `temperror`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from iems.codec import findings as codec
from iems.codec.printable import printable
from iems.dns.zonefile import ZoneResolver
from iems.editing.assembly import Plan
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings.plugins import CheckPlugin
from iems.settings.read import SettingsError, Table, Where, read_table, somewhere
from iems.store.spool import FileBody
from milters.checks.protocol import Check, Pending, Stage, Tools, View
from milters.plugins.edits import PluginEdit
from milters.plugins.host import Host, Job
from milters.plugins.order import OURS, Limits, order, tried
from milters.plugins.process import PluginFailed
from milters.plugins.wire import WireError, findings

_MOST = 6
"""Checks of one name: one for each stage."""

_END = 1.0
_NONE = Plan()


@dataclass(frozen=True)
class Options:
    """Of one table: what concerns its processes, and the rest, which the plug-in reads itself."""

    ours: Limits
    own: Table
    key: str
    where: Where


@dataclass(frozen=True)
class PluginFamily:
    """The family of one plug-in."""

    plugin: CheckPlugin
    Settings: type[Limits] = Limits

    def parse(self, options: Table, key: str, where: Where = somewhere) -> Options:
        """Of the options what is for us; SettingsError."""
        ours = {name: value for name, value in options.items() if name in OURS}
        own = {name: value for name, value in options.items() if name not in OURS}
        return Options(read_table(Limits, ours, key, where), own, key, where)

    def make(self, name: str, settings: Options, tools: Tools) -> tuple[Check, ...]:
        """The checks that the plug-in makes, one for each stage; SettingsError."""
        full = f"{self.plugin.name}/{name}" if name else self.plugin.name
        begins = order(self.plugin, name, settings.own, settings.key, settings.where, settings.ours)
        told = {**begins, **_site(tools)}
        stages = _stages(full, told, self.plugin)
        answer = {"checks": [[full, stage.name] for stage in stages]}
        host = Host(full, told, answer, settings.ours.processes)
        bands = frozenset(self.plugin.bands)
        return tuple(
            PluginCheck(full, stage, number, bands, settings.ours.timeout, host)
            for number, stage in enumerate(stages)
        )


def _site(tools: Tools) -> Mapping[str, Any]:
    """Of the site's settings what is no secret and of use to a check."""
    site, dns = tools.site, tools.resolver
    return {
        "zone": (dns.text, dns.whole) if isinstance(dns, ZoneResolver) else None,
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


def _stages(name: str, told: Mapping[str, Any], plugin: CheckPlugin) -> list[Stage]:
    """The stages of its checks, as a process says."""
    key = f"{told['places'][told['key']]}: {told['key']}: the plug-in of {plugin.distribution}"
    answer = tried(told, plugin)
    try:
        made = [(str(one), Stage[stage]) for one, stage in answer["checks"]]
    except (KeyError, TypeError, ValueError):
        raise SettingsError([f"{key} makes no checks"]) from None
    if not 0 < len(made) <= _MOST or any(one != name for one, _stage in made):
        names = printable(", ".join(one for one, _stage in made)) or "none"
        raise SettingsError([f"{key} makes {names}; expected checks of the name {name}"])
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
            while "found" in (said := job.said()):
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
def running(checks: Iterable[Check], log: Log | None, plan: Plan = _NONE) -> Iterator[None]:
    """The processes of these checks and edits run, and are gone at the end of the block."""
    hosts = {one.host for one in checks if isinstance(one, PluginCheck)}
    hosts |= {one.editor.host for one in plan.edits if isinstance(one.editor, PluginEdit)}
    for host in hosts:
        host.start(log)
    try:
        yield
    finally:
        deadline = Deadline.after(_END)
        for host in hosts:
            host.close(deadline)
