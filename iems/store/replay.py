"""Past verdicts decided again from their records: who would have got what under another policy.

What the checks found is taken as it was; what is decided anew is the policy, with the layers that
are given now. Only what the policy decided is compared: a record of an unknown user, a closed
account, a mail loop, a message too large or a release out of quarantine, which a person decided,
has nothing that a policy could change. A record does
not say who the sender was proven to be, so of the lists of senders the entry that counted then
counts again, whatever stands in them now.

What checks in shadow would have done stands in the records themselves: `Shadows` decides nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from iems.directory.account import CHECK as ACCOUNT
from iems.directory.reader import Alias, Directory, user_of
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, LOCAL
from iems.model.finding import BAYES, Finding
from iems.model.policy import (
    SITE,
    Action,
    Decision,
    Kind,
    Layer,
    MailingList,
    Rule,
    Ruling,
    Subject,
    allowed,
    decide,
    shadowing,
    through,
)
from iems.model.senders import SenderEntry
from iems.serve.deadline import Deadline
from iems.settings.bayes import OFF, SHADOW
from iems.settings.judging import judging, wanted
from iems.settings.policy import Mode
from iems.settings.schema import Settings
from iems.store.records import RELEASE, Record, RecordsError

DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Difference:
    """A verdict that would have been another one.

    `check`, `band` and `layer` are those that decide now, or decided then where now nothing does;
    empty where neither is known.
    """

    record: Record
    was: Action
    now: Action
    check: str
    band: str
    layer: str


@dataclass(frozen=True, slots=True)
class Change:
    """One choice that is tried: that of a user, a list, a domain or the site.

    What the site enforces it goes on enforcing, only with this action.
    """

    subject: Subject
    check: str
    band: str
    action: Action


@dataclass
class Shadows:
    """Finds the verdicts that would have been others if no check had been in shadow."""

    verdicts: int = 0

    def differences(self, records: Iterable[Record]) -> Iterator[Difference]:
        """As `Replay.differences`, with what was recorded of checks in shadow."""
        for record in records:
            then = decided(record)
            if then is None:
                continue
            self.verdicts += 1
            rows = _rows(record, "shadows")
            strongest = max((_action(record, row) for row in rows), default=then.action)
            if strongest > then.action:
                yield Difference(record, then.action, strongest, *_rule(rows, strongest))


@dataclass
class Replay:
    """Decides records again; `directory` and `settings` are those of the policy that is tried."""

    settings: Settings
    directory: Directory
    changes: tuple[Change, ...] = ()
    seconds: float = 30.0
    verdicts: int = 0
    _layers: dict[str, tuple[Layer, ...]] = field(default_factory=dict)
    _filters: dict[str, str] = field(default_factory=dict)
    _mailing_lists: dict[str, MailingList | None] = field(default_factory=dict)

    def differences(self, records: Iterable[Record]) -> Iterator[Difference]:
        """What would be another verdict, in the order of the records; counts all in `verdicts`.

        DirectoryUnavailable where the directory does not answer.
        """
        for record in records:
            then = decided(record)
            if then is not None:
                found = self.compared(record, then.action)
                yield from (found,) if found else ()

    def compared(self, record: Record, was: Action) -> Difference | None:
        """The difference to what it `was`, and None where there is none; counts it."""
        self.verdicts += 1
        now = self._decide(record)
        return _difference(record, was, now) if now.action is not was else None

    def _decide(self, record: Record) -> Decision:
        leaves = record.subject == INTERNET
        # A message that was refused had one direction for all whom it went to.
        toward = INTERNET if leaves else str(record.details.get("destination", LOCAL))
        above = self._changed(self.settings.layers(record.channel, toward))
        found = _findings(record)
        has = self._filter(record.subject)
        if has == OFF:
            found = [one for one in found if one.check != BAYES]
        if has == SHADOW:
            above = shadowing(above, {BAYES})
        if record.subject == LOCAL and record.stage != DELIVERY:
            # Whom only Postfix knows has no policy of his own: what is enforced holds for him.
            forced = [one for one in found if len(allowed(one.check, one.band, above)) == 1]
            return decide(forced, above)
        beneath = self._changed(self.settings.beneath(record.subject))
        layers = (*above, *beneath, *self._below(record.subject))
        role, rulings = _role(record), _rulings(record)
        ruling = next((one for owner, one in rulings.items() if owner.kind is not Kind.LIST), None)
        own = decide(found, layers, role=role, leaves=leaves, ruling=ruling)
        lists, beneath = self._lists(record), layers[len(above) :]

        def ruling_of(layer: Layer) -> Ruling | None:
            return rulings.get(layer.subject)

        return through(own, lists, found, above, beneath, ruling_of, role=role, leaves=leaves)

    def _filter(self, subject: str) -> str:
        """What this recipient has of his own filter now."""
        if self._judging is None:
            return OFF
        self._below(subject)
        return wanted(self._judging, self._filters.get(subject) or self.settings.bayes.default)

    @functools.cached_property
    def _judging(self) -> Mode | None:
        """What the site says of the filters of users, if it has any."""
        told = judging(self.settings.checks)
        return told[0] if told else None

    def _lists(self, record: Record) -> list[MailingList]:
        """Those through which the copy came, with the policies that they have now."""
        names = record.details.get("lists")
        found = []
        for name in names if isinstance(names, list) else []:
            if name not in self._mailing_lists:
                self._mailing_lists[name] = self._list(_address(str(name)))
            one = self._mailing_lists[name]
            found += [one] if one else []
        return found

    def _list(self, address: Address | None) -> MailingList | None:
        if address is None:
            return None
        entry = self.directory.find([address], Deadline.after(self.seconds)).get(address.key)
        one = entry.mailing_list if isinstance(entry, Alias) else None
        if one is None:
            return None
        domain, layer = self._changed((one.domain_layer, one.layer))
        return MailingList(layer, domain)

    def _below(self, subject: str) -> tuple[Layer, ...]:
        """The layers of domain and user as they are now; none for who is neither any more."""
        if subject not in self._layers:
            self._layers[subject] = self._changed(self._asked(subject))
        return self._layers[subject]

    def _asked(self, subject: str) -> tuple[Layer, ...]:
        kind, _blank, name = subject.partition(" ")
        deadline = Deadline.after(self.seconds)
        if kind == Kind.DOMAIN.value:
            layer = self.directory.domains([name], deadline).get(name)
            return (layer,) if layer else ()
        address = _address(name) if kind == Kind.USER.value else None
        if address is None:
            return ()
        user = user_of(self.directory.find([address], deadline).get(address.key))
        self._filters[subject] = user.bayes if user else ""
        return (user.domain_layer, user.layer) if user else ()

    def _changed(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        return tuple(_with(layer, self.changes) for layer in layers)


def _with(layer: Layer, changes: Iterable[Change]) -> Layer:
    rules = dict(layer.rules)
    for one in changes:
        if one.subject == layer.subject:
            allow = (layer.rule(one.check, one.band) or Rule()).allow
            enforced = layer.subject == SITE and allow is not None and len(allow) == 1
            allow = frozenset({one.action}) if enforced else allow
            rules[one.check, one.band] = Rule(allow, one.action)
    return replace(layer, rules=rules)


def decided(record: Record) -> Decision | None:
    """The verdict as it was; None where no policy made it."""
    rows = _rows(record, "reasons")
    if not record.recipient or "findings" not in record.details or record.stage == RELEASE:
        return None
    if any(row.get("check") == ACCOUNT for row in rows):
        return None
    actions = (_action(record, row) for row in rows)
    return Decision(max(actions, default=Action.DELIVER))


def _action(record: Record, row: Mapping[str, object]) -> Action:
    try:
        return Action.parse(str(row.get("action")))
    except ValueError as error:
        raise _damaged(record, error) from None


def _rule(rows: Iterable[Mapping[str, object]], action: Action) -> tuple[str, str, str]:
    """Check, band and layer of the first of these reasons with this action; empty without one."""
    for row in rows:
        if row.get("action") == action.word:
            return str(row.get("check")), str(row.get("band")), str(row.get("layer"))
    return "", "", ""


def _difference(record: Record, was: Action, now: Decision) -> Difference:
    decisive = now.decisive
    if decisive is not None:
        rule = (decisive.finding.check, decisive.finding.band, str(decisive.layer))
    else:
        rule = _rule(_rows(record, "reasons"), was)
    return Difference(record, was, now.action, *rule)


def _findings(record: Record) -> list[Finding]:
    return [
        Finding(str(row.get("check")), str(row.get("outcome")), str(row.get("band") or ""))
        for row in _rows(record, "findings")
    ]


def _rulings(record: Record) -> dict[Subject, Ruling]:
    """The entries that ruled by whose they are, where they made a difference."""
    found: dict[Subject, Ruling] = {}
    for row in _rows(record, "reasons"):
        if "entry" in row:
            kind, _blank, name = str(row.get("owner")).partition(" ")
            try:
                one = Ruling(SenderEntry.parse(str(row["entry"])), Subject(Kind(kind), name))
            except ValueError as error:
                raise _damaged(record, error) from None
            found.setdefault(one.owner, one)
    return found


def _damaged(record: Record, error: ValueError) -> RecordsError:
    return RecordsError(f"a record of {record.reference} is damaged: {error}")


def _rows(record: Record, name: str) -> list[Mapping[str, object]]:
    rows = record.details.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _role(record: Record) -> bool:
    """Whether this is postmaster@ or abuse@: by the address, at SMTP also by whom it reaches."""
    names = [record.recipient]
    if record.stage != DELIVERY:
        names.append(record.subject.partition(" ")[2])
    return any(address.role for address in map(_address, names) if address is not None)


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None
