"""From settings to the checks that run: the one place that lists the families of checks.

A check's own options are read here too, so that `iems check` finds what is wrong with them before
a daemon does. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from iems.settings.plugins import known
from iems.settings.policy import CheckSettings
from iems.settings.read import SettingsError, Table, Where
from iems.settings.schema import Settings
from milters.checks import (
    arc,
    attachment,
    bayes,
    content,
    dkim,
    dmarc,
    dnsbl,
    flow,
    header,
    helo,
    iprev,
    rhsbl,
    sender,
    spf,
    uribl,
    virus,
)
from milters.checks.protocol import Check, Tools
from milters.checks.zone import ZoneSettings
from milters.engines.engine import Engine
from milters.engines.scanner import Scanner
from milters.plugins.family import PluginFamily


class Family(Protocol):
    """A module of `milters.checks`: what is asked of it, for each check of its family."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a class
        """The options of its table beside mode, default and allow."""
        ...

    @property
    def parse(self) -> Parse:
        """Reads them; SettingsError names file, key, value, expected."""
        ...

    @property
    def make(self) -> Make:
        """The checks of one name, one for each stage at which it may become due."""
        ...


class Parse(Protocol):
    """`where(key)` names the file of a key."""

    def __call__(self, options: Table, key: str, where: Where) -> Any:  # noqa: ANN401 - its Settings
        """The options as its Settings."""
        ...


class Make(Protocol):
    """`name` is what stands behind the family's name and a slash, if anything does."""

    def __call__(self, name: str, settings: Any, tools: Tools, /) -> tuple[Check, ...]:  # noqa: ANN401
        """The checks."""
        ...


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "arc": arc,
        attachment.NAME: attachment,
        bayes.NAME: bayes,
        "content": content,
        "dkim": dkim,
        "dmarc": dmarc,
        "dnsbl": dnsbl,
        "flow": flow,
        "header": header,
        "helo": helo,
        "iprev": iprev,
        "rhsbl": rhsbl,
        "sender": sender,
        "spf": spf,
        "uribl": uribl,
        virus.NAME: virus,
    }
)


def lists(settings: Settings) -> dict[str, ZoneSettings]:
    """The options of each list in the DNS by the name under which its health is kept."""
    families = {"dnsbl": dnsbl, "rhsbl": rhsbl, "uribl": uribl}
    return {
        family.health_key(label(check)): family.parse(check.options, check.key, check.where)
        for check in settings.checks
        if (family := families.get(check.family)) is not None
    }


def content_engine(settings: Settings) -> Engine | None:
    """The content filter that messages are scanned by, where the check is on."""
    for check in settings.checks:
        if check.family == content.NAME:
            return content.parse(check.options, check.key, check.where).made()
    return None


def scanners(settings: Settings) -> dict[str, Scanner]:
    """The virus scanners by the names of their backends, where the check is on."""
    return {
        f"{virus.NAME}/{name}": one.made(settings.milter.state / "spool")
        for check in settings.checks
        if check.family == virus.NAME
        for name, one in virus.parse(check.options, check.key, check.where).engines.items()
    }


def signature_days(settings: Settings) -> int:
    """How old signatures may be before postmaster is told; 0 for any age."""
    for check in settings.checks:
        if check.family == virus.NAME:
            return virus.parse(check.options, check.key, check.where).signature_days
    return 0


def build_checks(tools: Tools) -> tuple[Check, ...]:
    """The checks of the site; SettingsError tells all that is wrong with their options."""
    faults: list[str] = []
    checks: list[Check] = []
    for check in tools.site.checks:
        try:
            checks += _build(check, tools)
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError(faults)
    return tuple(checks)


def label(check: CheckSettings) -> str:
    """The part of the name that tells one of a family from another."""
    return check.name.partition("/")[2]


def _build(check: CheckSettings, tools: Tools) -> tuple[Check, ...]:
    family = FAMILIES.get(check.family) or _of_others(check)
    return family.make(label(check), family.parse(check.options, check.key, check.where), tools)


def _of_others(check: CheckSettings) -> Family:
    faults: list[str] = []
    plugin = known(check.family, check.key, check.where, faults, FAMILIES)
    if plugin is None:
        raise SettingsError(faults)
    return PluginFamily(plugin)
