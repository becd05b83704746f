"""Who may decide what about a finding, and what was decided: the one policy of the project.

Layers go from the site over channel and domain to the subject, or where mail leaves this host over
the channel to the connector. Per check and band a layer may narrow the `allow` set and may make a
`choice`. A layer never widens what stands above it, a choice outside the allowed set is ignored
with a note, and of several findings the strongest action wins. Parts are removed for each finding
that has that action, wherever the message goes on.
What comes through a mailing list is decided about by the list as well (`through`): what it chose
itself is done at least, and its members may be stricter.
Of the lists of senders one entry rules, the innermost layer's: an allow entry is the choice to
deliver, of all that is not enforced, and a block entry is a finding like any other. What a check in
shadow found takes no part: beside the decision it is told what would have been done about it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from iems.model.address import ROLES
from iems.model.finding import ATTACHMENT, MATCHED, TEMPERROR, VIRUS, Finding
from iems.model.senders import Facts, SenderEntry, Senders, entry_for


class Action(enum.IntEnum):
    """What may be done with a message for one recipient, the stronger the greater."""

    DELIVER = 0
    REMOVE = 1
    TAG = 2
    JUNK = 3
    QUARANTINE = 4
    DEFER = 5
    DISCARD = 6
    REJECT = 7

    @property
    def word(self) -> str:
        """The word of settings, directory, records and command line."""
        return self.name.lower()

    @classmethod
    def parse(cls, word: str) -> Action:
        """The action of this word; ValueError names the words there are."""
        try:
            return cls[word.upper()]
        except KeyError:
            words = ", ".join(action.word for action in cls)
            raise ValueError(f"{word!r} is no action; expected one of {words}") from None


EVERY_ACTION = frozenset(Action)
WHOLE = EVERY_ACTION - {Action.REMOVE}
"""What is done with a message and not with a part of it: whatever was found."""

BLOCKED = Finding("senders", "fail", "blocked", "the recipient does not take mail of this sender")
"""What a block entry makes of a message: the policy acts on it as on what a check found."""

REFUSALS = frozenset({Action.DEFER, Action.DISCARD, Action.REJECT})
"""What never befalls postmaster@ and abuse@ by a check that subjects may choose about."""


KEPT_HERE = frozenset({Action.QUARANTINE, Action.DISCARD})
"""What can be done with a message for one of its recipients only by who sees it after the queue."""


class Kind(enum.Enum):
    """Who can own a policy, from the outermost to the innermost.

    Mail for a mailbox ends with a domain and a user, mail that leaves this host with a connector,
    and what is said of mail for a list with a domain and the list.
    """

    SITE = "site"
    CHANNEL = "channel"
    DOMAIN = "domain"
    USER = "user"
    LIST = "list"
    CONNECTOR = "connector"


@dataclass(frozen=True, slots=True)
class Subject:
    """The owner of a policy: kind and name (`user alice@example.test`)."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}".rstrip()


SITE = Subject(Kind.SITE)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one layer says of one band: `allow` None narrows nothing, `choice` None chooses none."""

    allow: frozenset[Action] | None = None
    choice: Action | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """All that one subject says: rules keyed by (check, band), and his list of senders.

    `headers` are the tests of a domain or list that make findings of mail to it, by the name of the
    finding; what is done with one is a choice among `rules`.
    `("dnsbl/*", band)` speaks for a family. Who does not see Junk reads by POP3 alone: what he
    did not choose himself to be filed there is tagged instead.
    `shadow` are the rules of checks in shadow, which the site alone has.
    """

    subject: Subject
    rules: Mapping[tuple[str, str], Rule] = field(default_factory=dict)
    senders: Senders = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    sees_junk: bool = True
    shadow: Mapping[tuple[str, str], Rule] = field(default_factory=dict)

    def rule(self, check: str, band: str) -> Rule | None:
        """The rule for this band: the check's own, else its family's."""
        found = self.rules.get((check, band))
        if found is None and "/" in check:
            found = self.rules.get((check.partition("/")[0] + "/*", band))
        return found


@dataclass(frozen=True, slots=True)
class Ruling:
    """The entry of a list that speaks of a message, and whose it is."""

    entry: SenderEntry
    owner: Subject


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one finding has this action: the layer that chose it, and whether anybody could.

    `ruling` is the entry that made the choice, or the finding.
    """

    finding: Finding
    action: Action
    layer: Subject
    enforced: bool
    ruling: Ruling | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says of all findings together, for one subject.

    `shadows` are what would have been reasons if no check were in shadow, `lists` the addresses of
    the mailing lists that a copy comes through.
    """

    action: Action = Action.DELIVER
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    shadows: tuple[Reason, ...] = ()
    lists: tuple[str, ...] = ()

    @property
    def decisive(self) -> Reason | None:
        """The first reason with the decision's own action."""
        return next((reason for reason in self.reasons if reason.action is self.action), None)

    def noted(self, *notes: str) -> Decision:
        """The same, and this is told of it."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def removals(self) -> tuple[Reason, ...]:
        """What takes parts out of the message wherever it goes on, tagged or as junk as well."""
        return tuple(reason for reason in self.reasons if reason.action is Action.REMOVE)

    @property
    def own(self) -> tuple[Finding, ...]:
        """What rules of domains and lists found, which is in the decision alone."""
        return tuple(one.finding for one in self.reasons if one.finding.own)


def shadowing(above: Sequence[Layer], checks: Collection[str]) -> tuple[Layer, ...]:
    """The layers, the site's first, as they are where these checks are in shadow, too."""
    site, *others = above
    hidden = {key: one for key, one in site.rules.items() if key[0] in checks}
    rules = {key: one for key, one in site.rules.items() if key not in hidden}
    return (replace(site, rules=rules, shadow={**site.shadow, **hidden}), *others)


def refused_by(finding: Finding) -> Decision:
    """The refusal by what nobody can choose about: the site's, and enforced."""
    return Decision(Action.REJECT, (Reason(finding, Action.REJECT, SITE, enforced=True),))


def rule(layers: Sequence[Layer], facts: Facts, *, hope: bool = False) -> Ruling | None:
    """The entry that rules: the innermost layer that has one for this message, its most exact.

    With `hope` an allow entry counts as soon as header or DKIM may still make it count.
    """
    for layer in reversed(layers):
        entry = entry_for(layer.senders, facts, hope=hope) if layer.senders else None
        if entry is not None:
            return Ruling(entry, layer.subject)
    return None


def decide(
    findings: Iterable[Finding],
    layers: Iterable[Layer],
    *,
    role: bool = False,
    leaves: bool = False,
    ruling: Ruling | None = None,
) -> Decision:
    """Walk `layers` (site first) for each finding that has a band; the strongest action wins.

    With `role` (postmaster@, abuse@) findings that subjects may choose about do not refuse. What
    `leaves` this host is refused where it would be kept or dropped, for nobody will see it again.
    """
    ordered = tuple(layers)
    notes: list[str] = []
    blocks = ruling if ruling is not None and not ruling.entry.allows else None
    allows = None if blocks else ruling
    shadow = ordered[0].shadow if ordered else {}
    reasons, shadows = [], []
    for finding in findings:
        if finding.band and (finding.check, finding.band) in shadow:
            would = (replace(ordered[0], rules=shadow), *ordered[1:])
            shadows.append(_walk(finding, would, [], role, leaves, allows))
        elif finding.band:
            reasons.append(_walk(finding, ordered, notes, role, leaves, allows))
    if blocks:
        told = replace(BLOCKED, reason=blocks.entry.told or BLOCKED.reason)
        blocked = _walk(told, ordered, notes, role, leaves)
        reasons.append(replace(blocked, ruling=blocks))
    action = max((reason.action for reason in reasons), default=Action.DELIVER)
    return Decision(action, tuple(reasons), tuple(notes), tuple(shadows))


@dataclass(frozen=True, slots=True)
class MailingList:
    """An address that leads to others: its own policy, and that of its domain."""

    layer: Layer
    domain_layer: Layer

    @property
    def address(self) -> str:
        """Its own."""
        return self.layer.subject.name

    @property
    def role(self) -> bool:
        """Whether this is postmaster@ or abuse@."""
        return self.address.rpartition("@")[0] in ROLES

    @property
    def speaks(self) -> bool:
        """Whether it has said anything."""
        return bool(self.layer.rules or self.layer.senders)


def through(
    decision: Decision,
    lists: Sequence[MailingList],
    findings: Sequence[Finding],
    above: Sequence[Layer],
    own: Sequence[Layer],
    ruling_of: Callable[[Layer], Ruling | None],
    *,
    role: bool = False,
    leaves: bool = False,
) -> Decision:
    """The decision about a copy that comes through these lists; `own` are its recipient's layers.

    What a list chose itself is done, if it is stronger than what the recipient has chosen; what it
    left to others is the recipient's affair alone.
    """
    blind = tuple(Layer(one.subject, sees_junk=False) for one in own if not one.sees_junk)
    for one in filter(lambda one: one.speaks, lists):
        whose = one.layer.subject
        layers = (*above, one.domain_layer, one.layer, *blind)
        ruling = ruling_of(one.layer)
        said = decide(findings, layers, role=role or one.role, leaves=leaves, ruling=ruling)
        chosen = tuple(reason for reason in said.reasons if whose in _choosers(reason))
        decision = Decision(
            max([decision.action, *(reason.action for reason in chosen)]),
            (*decision.reasons, *chosen),
            tuple(dict.fromkeys((*decision.notes, *said.notes))),
            decision.shadows,
        )
    return replace(decision, lists=tuple(one.address for one in lists)) if lists else decision


def _choosers(reason: Reason) -> tuple[Subject, ...]:
    return (reason.layer, reason.ruling.owner) if reason.ruling else (reason.layer,)


def possible(check: str, band: str) -> frozenset[Action]:
    """What can be done about this band at all: a part is removed where one was found."""
    family = check.partition("/")[0]
    found = band == MATCHED if family == ATTACHMENT else family == VIRUS and band != TEMPERROR
    return EVERY_ACTION if found else WHOLE


def allowed(check: str, band: str, layers: Iterable[Layer]) -> frozenset[Action]:
    """The actions that a subject beneath `layers` may still choose for this band."""
    may, *_rest = _narrow(Finding(check, "", band), layers, [])
    return may


def standing(check: str, band: str, layers: Iterable[Layer]) -> Action:
    """What is done about this band beneath `layers`, where nobody further chooses."""
    _may, action, *_rest = _narrow(Finding(check, "", band), layers, [])
    return action


def _walk(
    finding: Finding,
    layers: tuple[Layer, ...],
    notes: list[str],
    role: bool,
    leaves: bool,
    ruling: Ruling | None = None,
) -> Reason:
    may, action, subject, enforced = _narrow(finding, layers, notes)
    if ruling is not None:
        if Action.DELIVER in may and not enforced:
            return Reason(finding, Action.DELIVER, ruling.owner, enforced, ruling)
        if action is not Action.DELIVER:
            notes.append(
                f"{finding.check} {finding.band}: {ruling.entry} of {ruling.owner} does not count, "
                "for deliver is not allowed there"
            )
    if role and not enforced and action in REFUSALS:
        notes.append(f"{finding.check} {finding.band}: a role address is not refused")
        action = Action.DELIVER
    if leaves and action in KEPT_HERE:
        instead = Action.DELIVER if role and not enforced else Action.REJECT
        told = f"{action.word} is {instead.word} of what leaves this host"
        notes.append(f"{finding.check} {finding.band}: {told}")
        action = instead
    blind = next((one.subject for one in layers if not one.sees_junk), subject)
    # Whoever is on somebody's list, the owner of the list wants to be out of sight.
    hidden = action is Action.JUNK and finding.check != BLOCKED.check
    if hidden and subject != blind and Action.TAG in may:
        notes.append(f"{finding.check} {finding.band}: junk is tag, for {blind} never sees Junk")
        action = Action.TAG
    return Reason(finding, action, subject, enforced)


def _narrow(
    finding: Finding, layers: Iterable[Layer], notes: list[str]
) -> tuple[frozenset[Action], Action, Subject, bool]:
    may, action = possible(finding.check, finding.band), Action.DELIVER
    chooser, enforced = SITE, False
    for layer in layers:
        rule = layer.rule(finding.check, finding.band)
        if rule is None:
            continue
        narrowed = may if rule.allow is None else may & rule.allow
        chosen = action if rule.choice is None else rule.choice
        if chosen in narrowed:
            if rule.choice is not None:
                chooser = layer.subject
            may, action = narrowed, chosen
        else:
            notes.append(
                f"{finding.check} {finding.band}: {layer.subject} says {chosen.word}, "
                f"which is not allowed there"
            )
        if layer.subject.kind in {Kind.SITE, Kind.CHANNEL}:
            enforced = len(may) == 1
    return may, action, chooser, enforced
