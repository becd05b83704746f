"""Policy tables of settings as layers: the site's from `[checks]`, a channel's from `[channels]`.

The site's layer is total: every band of every check that is on has an action. What each check's
page promises as its bands stands here, since milter, agent and `iems` all need it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from iems.model.finding import ATTACHMENT, BAYES, MATCHED, TEMPERROR, VIRUS, Finding
from iems.model.policy import (
    BLOCKED,
    EVERY_ACTION,
    KEPT_HERE,
    SITE,
    Action,
    Layer,
    Rule,
    Subject,
    allowed,
    possible,
    standing,
)
from iems.settings import read
from iems.settings.choices import read_choices
from iems.settings.matrix import INFECTED, NO_MATRIX, NOT_DELEGATED, Matrix, read_matrix
from iems.settings.plugins import known
from iems.settings.read import (
    Network,
    SettingsError,
    Table,
    Where,
    join,
    setting,
    somewhere,
)

BANDS: Mapping[str, Mapping[str, Action]] = {
    "arc": {"fail": Action.DELIVER, TEMPERROR: Action.DELIVER},
    ATTACHMENT: {MATCHED: Action.REMOVE, "malformed": Action.QUARANTINE, TEMPERROR: Action.DEFER},
    BAYES: {
        "unsure": Action.DELIVER,
        "spam": Action.JUNK,
        "certain": Action.JUNK,
        TEMPERROR: Action.DELIVER,
    },
    "content": {
        "unsure": Action.DELIVER,
        "spam": Action.JUNK,
        "certain": Action.JUNK,
        TEMPERROR: Action.DEFER,
    },
    "dkim": {"fail": Action.DELIVER, "permerror": Action.DELIVER, TEMPERROR: Action.DELIVER},
    "dmarc": {
        "reject": Action.JUNK,
        "quarantine": Action.JUNK,
        "none": Action.DELIVER,
        "permerror": Action.DELIVER,
        TEMPERROR: Action.DELIVER,
    },
    "dnsbl": {"listed": Action.JUNK, TEMPERROR: Action.DELIVER},
    "flow": {"exceeded": Action.DEFER, "held": Action.DEFER, TEMPERROR: Action.DELIVER},
    "header": {MATCHED: Action.TAG, TEMPERROR: Action.DELIVER},
    "helo": {
        "ours": Action.JUNK,
        "syntax": Action.DELIVER,
        "unresolvable": Action.DELIVER,
        TEMPERROR: Action.DELIVER,
    },
    "iprev": {"mismatch": Action.DELIVER, TEMPERROR: Action.DELIVER},
    "rhsbl": {"listed": Action.JUNK, TEMPERROR: Action.DELIVER},
    "sender": {
        "nodomain": Action.JUNK,
        "nullmx": Action.JUNK,
        TEMPERROR: Action.DELIVER,
    },
    "spf": {
        "fail": Action.JUNK,
        "softfail": Action.DELIVER,
        "permerror": Action.DELIVER,
        TEMPERROR: Action.DELIVER,
    },
    "uribl": {"listed": Action.JUNK, TEMPERROR: Action.DELIVER},
    VIRUS: {
        INFECTED: Action.REJECT,
        "encrypted": Action.DELIVER,
        "unscanned": Action.QUARANTINE,
        TEMPERROR: Action.DEFER,
    },
}
"""Family of checks -> band -> what the site does where its settings say nothing."""

_CHANNEL_BANDS: Mapping[str, Iterable[str]] = {**BANDS, BLOCKED.check: (BLOCKED.band,)}
"""What a channel may have rules for."""

FAMILIES_WITH_NAMES = frozenset({ATTACHMENT, "dnsbl", "header", "rhsbl", "uribl"})
"""Families of which there are many: `[checks.dnsbl.NAME]` is the check `dnsbl/NAME`."""

MATRICES = frozenset({VIRUS})
"""Families about which nobody below the site chooses, and what they find is never forgotten: a
matrix says what is done by where mail comes from and where it goes."""

AT_DELIVERY = frozenset({BAYES})
"""Families whose checks the agent makes: the milter finds nothing of them, and nothing travels."""

LOOKED_AT = MATRICES | {ATTACHMENT}
"""Families without whose findings nothing passes: what they look for must get to nobody unseen."""


class Mode(enum.Enum):
    """What the site says of a check."""

    ENFORCE = "enforce"
    DELEGATE = "delegate"
    SHADOW = "shadow"
    OFF = "off"


_WORDS = ", ".join(f"`{one.word}`" for one in sorted(Action))


@dataclass(frozen=True, kw_only=True)
class ChannelTable:
    """What `[channels.CHANNEL.policy.CHECK]` may hold."""

    default: Table = setting(
        read.elsewhere("table: band to action"),
        f"what is done where nobody chose, one of {_WORDS}; a band that is not named keeps what is "
        "said elsewhere",
        {},
        example='{ temperror = "tag" }',
    )
    allow: Table = setting(
        read.elsewhere("table: band to list of actions"),
        "what domains and users may choose from; of a band that is not named, all that is allowed "
        "above",
        {},
        example='{ temperror = ["deliver", "tag", "junk"] }',
    )


@dataclass(frozen=True, kw_only=True)
class CheckTable(ChannelTable):
    """What every table of `[checks]` may hold beside the options of its check."""

    mode: str = setting(
        read.one_of(*[mode.value for mode in Mode]),
        "`enforce`: nobody may choose, and `allow` is not given; `delegate`: passed through, the "
        "subject chooses; `shadow`: nothing is done, and what would have been is recorded; "
        "`off`: the check does not run",
        example='"delegate"',
    )


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """One check that is on: its rules by band, and the options that its own module reads.

    `key` and `where` say in whose table and file the options stand, for errors about them.
    """

    name: str
    mode: Mode
    rules: Mapping[str, Rule]
    options: Table
    key: str
    where: Where = field(default=somewhere, repr=False, compare=False)
    matrix: Matrix = NO_MATRIX

    @property
    def family(self) -> str:
        """The name before the slash: module, docs page and key of `BANDS`."""
        return self.name.partition("/")[0]

    @property
    def unremoved(self) -> CheckSettings:
        """As it is where nothing could be removed, of a check with a matrix."""
        if self.family not in MATRICES:
            return self
        rejected = Rule(frozenset({Action.REJECT}), Action.REJECT)
        rules = {
            band: rejected if rule.choice is Action.REMOVE else rule
            for band, rule in self.rules.items()
        }
        return replace(self, rules=rules, matrix=self.matrix.unremoved)

    def between(self, source: str, destination: str) -> CheckSettings:
        """As it is for mail from this source channel to this destination."""
        cell = self.matrix.actions(source, destination)
        rules = {band: Rule(frozenset({one}), one) for band, one in cell.items()}
        return replace(self, rules={**self.rules, **rules}) if rules else self


def read_checks(table: Table, where: Where) -> tuple[CheckSettings, ...]:
    """All checks of `[checks]` whose mode is not `off`."""
    faults: list[str] = []
    found: list[CheckSettings] = []
    for name, key, options, bands in _check_tables(table, where, faults):
        try:
            one = _check(name, key, options, where, bands)
        except SettingsError as error:
            faults += error.faults
            continue
        if any(other.name == name for other in found):
            faults.append(f"{where(key)}: {key} is {name} once more; expected another name")
        found += [one] if one.mode is not Mode.OFF else []
    if faults:
        raise SettingsError(faults)
    return tuple(found)


def site_layer(checks: Iterable[CheckSettings], blocked: Rule, header: Rule) -> Layer:
    """The layer above all others.

    `blocked` is the rule for what block entries find, `header` that for what rules of domains and
    lists about header fields find.
    """
    rules: dict[tuple[str, str], Rule] = {(BLOCKED.check, BLOCKED.band): blocked}
    rules |= {("header/*", band): header for band in BANDS["header"]}
    shadow: dict[tuple[str, str], Rule] = {}
    for check in checks:
        into = shadow if check.mode is Mode.SHADOW else rules
        into.update({(check.name, band): rule for band, rule in check.rules.items()})
    return Layer(SITE, rules, shadow=shadow)


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """What `[channels.CHANNEL]` may hold."""

    policy: Table = setting(read.elsewhere(), "what it says of checks", {})
    networks: tuple[Network, ...] = setting(
        read.networks,
        "clients from there come by this channel and not by `internet`, unless they have logged "
        "in; of several networks that hold a client the narrowest counts",
        (),
        example='["198.51.100.0/24", "2001:db8:51::/48"]',
    )


@dataclass(frozen=True, kw_only=True)
class DestinationTable:
    """What `[destinations.DESTINATION]` may hold."""

    policy: Table = setting(read.elsewhere(), "what it says of checks", {})


@dataclass(frozen=True, slots=True)
class Channel:
    """A source channel: what it says of checks, and the networks whose clients come by it."""

    layer: Layer
    networks: tuple[Network, ...] = ()


def policy_layer(subject: Subject, table: Table, key: str, where: Where) -> Layer:
    """The layer of a `policy` table: per check the tables `default` and `allow`."""
    rules: dict[tuple[str, str], Rule] = {}
    faults: list[str] = []
    for check, content in table.items():
        path = join(key, check)
        family = check.partition("/")[0]
        bands = _CHANNEL_BANDS.get(family)
        if not isinstance(content, Mapping):
            faults.append(f"{where(path)}: {path} is no check; known: {', '.join(_CHANNEL_BANDS)}")
            continue
        if bands is None:
            found = known(family, path, where, faults, _CHANNEL_BANDS)
            if found is None:
                continue
            bands = found.bands
        faults += [
            f"{where(path)}: {join(path, unknown)} is none of default, allow"
            for unknown in content.keys() - {"default", "allow"}
        ]
        choice, allow = read_choices(content, check, bands, path, where, faults)
        for band in {*choice, *allow}:
            rules[check, band] = Rule(allow.get(band), choice.get(band))
    if faults:
        raise SettingsError(faults)
    return Layer(subject, rules)


def policy_faults(above: Sequence[Layer], layer: Layer, key: str, where: Where) -> list[str]:
    """What this layer says and those above it do not allow it to: nobody would heed it."""
    faults: list[str] = []
    site, *channels = above
    both = (replace(site, rules={**site.rules, **site.shadow}), *channels)
    for check, band in both[0].rules:
        rule = layer.rule(check, band)
        if rule is None or check.endswith("/*"):
            continue
        may = allowed(check, band, both)
        may = may if rule.allow is None else may & rule.allow
        action = standing(check, band, both) if rule.choice is None else rule.choice
        if action not in may:
            words = ", ".join(sorted(one.word for one in may)) or "nothing"
            faults.append(
                f"{where(key)}: {key} makes {check} {band} {action.word!r}; expected one of "
                f"what is allowed there, {words}"
            )
    return faults


def undone(layer: Layer, key: str, where: Where) -> list[str]:
    """What a layer of mail that leaves this host chooses, and nobody would do there."""
    words = ", ".join(one.word for one in sorted(EVERY_ACTION - KEPT_HERE))
    return [
        f"{where(key)}: {key} makes {check} {band} {rule.choice.word!r}, which nobody can do with "
        f"what leaves this host; expected one of {words}"
        for (check, band), rule in layer.rules.items()
        if rule.choice in KEPT_HERE
    ]


def missing_findings(checks: Iterable[CheckSettings]) -> tuple[Finding, ...]:
    """What stands in for findings that are absent or forged: a check that is passed through is
    `temperror`, and so is each that nothing may pass unseen."""
    reason = "the message carries no valid findings"
    return tuple(
        Finding(check.name, TEMPERROR, TEMPERROR, reason)
        for check in checks
        if (check.mode is Mode.DELEGATE and check.family not in AT_DELIVERY)
        or (check.mode is Mode.ENFORCE and check.family in LOOKED_AT)
    )


def _check_tables(
    table: Table, where: Where, faults: list[str]
) -> Iterable[tuple[str, str, Table, Mapping[str, Action]]]:
    for family, content in table.items():
        key = join("checks", family)
        bands, many = BANDS.get(family), family in FAMILIES_WITH_NAMES
        if not isinstance(content, Mapping):
            faults.append(f"{where(key)}: {key} is no check; known: {', '.join(BANDS)}")
            continue
        if bands is None and (found := known(family, key, where, faults, BANDS)):
            bands, many = found.bands, found.many
        if bands is None:
            continue
        if not many:
            yield family, key, content, bands
        else:
            for name, options in content.items():
                path = join(key, name)
                if not isinstance(options, Mapping):
                    faults.append(f"{where(path)}: {path} is {options!r}; expected a table")
                elif not name.replace("-", "").replace(".", "").isalnum() or not name.isascii():
                    faults.append(f"{where(path)}: {path}; expected a name of letters, digits, - .")
                else:
                    yield f"{family}/{name.lower()}", path, options, bands


def _check(
    name: str, key: str, table: Table, where: Where, bands: Mapping[str, Action]
) -> CheckSettings:
    faults: list[str] = []
    words = [mode.value for mode in Mode]
    word = table.get("mode")
    if word not in words:
        raise SettingsError(
            [f"{where(key)}: {key}.mode is {word!r}; expected one of {', '.join(words)}"]
        )
    mode, family = Mode(word), name.partition("/")[0]
    bound = mode is Mode.ENFORCE or family in MATRICES
    given, allow = read_choices(table, name, bands, key, where, faults)
    rules = {}
    for band, fallback in bands.items():
        choice = given.get(band, fallback)
        may = allow.get(band, possible(name, band))
        if bound:
            if band in allow:
                told = f"mode {mode.value}" if family not in MATRICES else f"the check {name}"
                faults.append(f"{where(key)}: {key}.allow.{band} with {told}; expected none")
            may = frozenset({choice})
        if choice not in may:
            words = sorted(one.word for one in may)
            faults.append(
                f"{where(key)}: {key}.default.{band} is {choice.word!r}; "
                f"expected one of its allow list, {', '.join(words)}"
            )
        rules[band] = Rule(may, choice)
    matrix = NO_MATRIX
    if family in MATRICES:
        if mode is Mode.DELEGATE:
            faults.append(f"{where(key)}: {key}.mode is {word!r}; expected {NOT_DELEGATED}")
        matrix = read_matrix(table, given, bands, key, where, faults)
    if faults:
        raise SettingsError(faults)
    keys = {one.name for one in dataclasses.fields(CheckTable)}
    options = {option: value for option, value in table.items() if option not in keys}
    return CheckSettings(name, mode, rules, options, key, where, matrix)
