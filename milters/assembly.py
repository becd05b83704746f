"""From settings to the checks that run: the one place that lists the families of checks.

A check's own options are read here too, so that `iems check` finds what is wrong with them before
a daemon does. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from iems.dns.resolver import Resolver
from iems.settings.policy import CheckSettings
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from milters.checks import dnsbl, iprev
from milters.checks.guard import Guard
from milters.checks.protocol import Check

OPTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {"dnsbl": dnsbl.Settings, "iprev": iprev.Settings}
)
"""Family of checks -> the options of its table beside mode, default and allow."""


def dnsbl_lists(settings: Settings) -> dict[str, dnsbl.Settings]:
    """The options of each list by its label."""
    return {
        label(check): dnsbl.parse(check.options, check.key, check.where)
        for check in settings.checks
        if check.family == "dnsbl"
    }


def build_checks(settings: Settings, resolver: Resolver, guard: Guard) -> tuple[Check, ...]:
    """The checks of these settings; SettingsError tells all that is wrong with their options."""
    faults: list[str] = []
    checks: list[Check] = []
    for check in settings.checks:
        try:
            checks += _build(check, settings, resolver, guard)
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError(faults)
    return tuple(checks)


def label(check: CheckSettings) -> str:
    """The part of the name that tells one of a family from another."""
    return check.name.partition("/")[2]


def _build(
    check: CheckSettings, settings: Settings, resolver: Resolver, guard: Guard
) -> tuple[Check, ...]:
    match check.family:
        case "iprev":
            own = iprev.parse(check.options, check.key, check.where)
            return iprev.make(own, resolver, settings)
        case "dnsbl":
            options = dnsbl.parse(check.options, check.key, check.where)
            return dnsbl.make(label(check), options, resolver, settings, guard)
    raise SettingsError(
        [f"{check.where(check.key)}: {check.key} is a check that the milter does not know"]
    )
