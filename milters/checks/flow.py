"""`flow`: has this client, user or sender's domain sent more of late than the site allows?

Limits of connections, messages and recipients, each within a window that slides, are counted for
all workers together (`iems.store.counters`). All is counted when a recipient is named: he, and with
the first of them the message and the connection. He is counted under every limit or, where one of
them would be exceeded, under none: whoever goes on trying uses up nothing and gets through at the
rate that is allowed. What other checks and the policy then say of him changes no count.

A user who would exceed a limit that holds is held from then on: all that he sends is `held`, and
nothing of it is counted, until he is released (`iems flow`). In shadow nobody is held anew.

Failure: where nothing can be counted the finding is `temperror`; who is over a limit is told so
also where he cannot be held.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION, IpAddress
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import SettingsError, Table, Where, join, setting, somewhere
from iems.store.counters import PATIENCE, Claim, Counters, CountersError
from milters.checks.clients import Clients
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = "flow"
EXCEEDED, HELD = "exceeded", "held"
CONNECTIONS, MESSAGES, RECIPIENTS = "connections", "messages", "recipients"
NETWORK, USER, DOMAIN = "network", "user", "domain"
_COUNTED: Mapping[Stage, str] = {
    Stage.CONNECT: CONNECTIONS,
    Stage.MAIL: MESSAGES,
    Stage.RCPT: RECIPIENTS,
}
_SHOWN = 100
"""Characters of a user or domain that are shown."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, kw_only=True)
class Limit:
    """`[checks.flow.limits.NAME]`."""

    count: str = setting(
        read.one_of(CONNECTIONS, MESSAGES, RECIPIENTS), "what is counted", example='"messages"'
    )
    per: str = setting(read.one_of(NETWORK, USER, DOMAIN), "for whom", example='"user"')
    limit: int = setting(
        read.integer(0, 1 << 40), "so many are let pass within the window", example="500"
    )
    window: int = setting(read.integer(1, 366 * 86400), "its length", unit="s", example="3600")
    channels: tuple[str, ...] = setting(
        read.texts, "source channels whose mail is counted", (INTERNET, SUBMISSION)
    )
    hold: bool = setting(
        read.flag, "whether a user who would exceed it is held until he is released", default=False
    )

    def __str__(self) -> str:
        return f"{self.count} are limited to {self.limit} within {span(self.window)}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`[checks.flow]` beside mode, default and allow."""

    limits: Mapping[str, Limit] = setting(
        read.elsewhere("table: name to table"),
        "limits, each with `count`, `per`, `limit`, `window`, `channels`, `hold`",
        example='{ users = { count = "recipients", per = "user", limit = 500, window = 3600 } }',
    )
    ipv4_prefix: int = setting(
        read.integer(8, 32), "clients whose addresses agree so far are one network", 32, "bits"
    )
    ipv6_prefix: int = setting(read.integer(16, 128), "the same for IPv6", 64, "bits")


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.flow]`; SettingsError names file, key, value, expected."""
    settings = read.read_table(Settings, options, key, where)
    path = join(key, "limits")
    if not isinstance(settings.limits, Mapping) or not settings.limits:
        raise SettingsError(
            [f"{where(path)}: {path} is {settings.limits!r}; expected a table for each limit"]
        )
    limits: dict[str, Limit] = {}
    faults: list[str] = []
    for name, table in settings.limits.items():
        try:
            limits[name] = _limit(table, join(path, name), where)
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError(faults)
    return dataclasses.replace(settings, limits=limits)


def _limit(table: object, key: str, where: Where) -> Limit:
    if not isinstance(table, Mapping):
        raise SettingsError([f"{where(key)}: {key} is {table!r}; expected a table"])
    limit = read.read_table(Limit, table, key, where)
    if limit.count == CONNECTIONS and limit.per == DOMAIN:
        path = join(key, "per")
        raise SettingsError([f"{where(path)}: {path} is 'domain'; expected network, user"])
    if limit.hold and limit.per != USER:
        path = join(key, "hold")
        raise SettingsError([f"{where(path)}: {path} is true; expected false, or per = 'user'"])
    if LOCAL in limit.channels:
        path = join(key, "channels")
        raise SettingsError(
            [f"{where(path)}: {path} names 'local', where nothing is refused; expected others"]
        )
    return limit


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check, and before it one at each stage of which something is counted once."""
    site = tools.site
    channels = {name for limit in settings.limits.values() for name in limit.channels}
    rule = Clients(site.own_networks, site.trusted_relays, channels, exempt_authenticated=True)
    if NAME in site.shadows:
        limits = {
            name: dataclasses.replace(one, hold=False) for name, one in settings.limits.items()
        }
        settings = dataclasses.replace(settings, limits=limits)
    counted = {limit.count for limit in settings.limits.values()}
    once = (stage for stage in (Stage.CONNECT, Stage.MAIL) if _COUNTED[stage] in counted)
    return (*map(Once, once), Flow(settings, rule, tools.counters))


@dataclass(frozen=True, slots=True)
class Once:
    """What of a stage is counted with the first recipient."""

    stage: Stage

    @property
    def name(self) -> str:
        """`flow`."""
        return NAME

    def applies(self, view: View) -> bool:  # noqa: ARG002 - the protocol's
        """There are no findings."""
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:  # noqa: ARG002 - the protocol's
        """One more that is not counted yet."""
        return Due(_COUNTED[self.stage])


@dataclass(slots=True)
class Due:
    """A connection or message, and whether it was counted."""

    count: str
    done: bool = False

    def result(self) -> tuple[Finding, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class Flow:
    """The check."""

    settings: Settings
    clients: Clients
    counters: Counters
    stage: Stage = Stage.RCPT

    @property
    def name(self) -> str:
        """`flow`."""
        return NAME

    def applies(self, view: View) -> bool:  # noqa: ARG002 - the protocol's
        """Each limit has its own channels."""
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:  # noqa: ARG002 - see Counting
        """Count nothing yet: a recipient whom nobody asks about is none."""
        whom = self._whom(view)
        limits = {
            name: one
            for name, one in self.settings.limits.items()
            if whom[one.per] and view.channel in one.channels
        }
        if not limits and not whom[USER]:
            return Known()
        return Counting(self.counters, limits, whom, view)

    def _whom(self, view: View) -> Mapping[str, str]:
        """For whom it is counted; empty where there is none, or he is not counted."""
        address = self.clients.direct(view)
        return {
            NETWORK: self._network(address) if address else "",
            USER: view.authenticated.casefold(),
            DOMAIN: view.sender.domain if view.sender else "",
        }

    def _network(self, address: IpAddress) -> str:
        settings = self.settings
        prefix = settings.ipv4_prefix if address.version == 4 else settings.ipv6_prefix
        whole = prefix == address.max_prefixlen
        return str(address if whole else ipaddress.ip_network((address, prefix), strict=False))


class Counting:
    """One recipient; collected by one thread at a time."""

    def __init__(
        self,
        counters: Counters,
        limits: Mapping[str, Limit],
        whom: Mapping[str, str],
        view: View,
    ) -> None:
        self._counters = counters
        self._limits = limits
        self._whom = whom
        self._view = view
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            self._findings = self._counted()
        return self._findings

    def _counted(self) -> tuple[Finding, ...]:
        """Count what is not counted yet, or tell what is in the way."""
        # From now on: what is collected before it may have used up the time of the stage, and
        # whoever has a slow DNS would not be counted.
        deadline = Deadline.after(PATIENCE)
        try:
            return self._held(deadline) or self._exceeded(deadline)
        except CountersError:
            return (Finding(NAME, TEMPERROR, TEMPERROR, "what is sent cannot be counted now"),)

    def _held(self, deadline: Deadline) -> tuple[Finding, ...]:
        user = self._whom[USER]
        return (held(user),) if user and self._counters.is_held(user, deadline) else ()

    def _exceeded(self, deadline: Deadline) -> tuple[Finding, ...]:
        """The limit that is in the way for the longest, if any is."""
        due = [one for _check, one in self._view.running() if isinstance(one, Due) and not one.done]
        kinds = {RECIPIENTS, *(one.count for one in due)}
        limits = {name: one for name, one in self._limits.items() if one.count in kinds}
        claims = [
            Claim(key(name, self._whom[one.per]), one.window, one.limit)
            for name, one in limits.items()
        ]
        waits = dict(zip(limits, self._counters.take(claims, deadline), strict=True))
        name = max(waits, key=waits.__getitem__, default="")
        if not name or not waits[name]:
            for one in due:
                one.done = True
            return ()
        over = [limits[one] for one, wait in waits.items() if wait]
        holding = next((one for one in over if one.hold), None)
        if holding is not None:
            with contextlib.suppress(CountersError):
                self._counters.hold(self._whom[USER], str(holding), deadline)
                return (held(self._whom[USER]),)
        return (finding(name, limits[name], self._whom[limits[name].per], waits[name]),)


def key(limit: str, whom: str) -> str:
    """Under which key it is counted what of this network, user or domain a limit lets pass."""
    return f"{NAME} {limit} {whom}"


def held(user: str) -> Finding:
    """The finding about a user who is held."""
    shown = printable(user, _SHOWN)
    reason = f"user {shown} has sent too much and is held until postmaster releases him"
    return Finding(NAME, HELD, HELD, reason, None, ((USER, shown),))


def finding(name: str, limit: Limit, whom: str, wait: float) -> Finding:
    """The finding about a limit, and in how many seconds it will let this pass."""
    shown = printable(whom, _SHOWN)
    reason = f"{limit.per} {shown}: {limit}; try again in {span(wait)}"
    evidence = (("limit", printable(name)), (limit.per, shown))
    return Finding(NAME, EXCEEDED, EXCEEDED, reason, None, evidence)


def span(seconds: float) -> str:
    """A span of time for people, rounded up: `90 min`, `2 h`."""
    whole = math.ceil(seconds)
    size, unit = next(
        (size, unit) for size, unit in _UNITS if whole % size == 0 or whole >= 3 * size
    )
    return f"{math.ceil(whole / size)} {unit}"
