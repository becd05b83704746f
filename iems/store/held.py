"""A message in quarantine as its description tells: envelope, findings, and why it is there.

The agent writes the description (`lmtp.agent`), and takes it up again when the message is
released. One that was written before findings had their evidence in it is read, too. Whatever is
no description of the agent's is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from iems.codec.findings import of_rows
from iems.model.finding import Finding
from iems.model.policy import Action, Kind
from iems.settings.policy import AT_DELIVERY
from iems.store.records import END_OF_TIME

BandKey: TypeAlias = tuple[str, str]
"""Check and band."""


@dataclass(frozen=True, slots=True)
class Why:
    """What one rule wanted for a recipient, and whether the site enforced that."""

    rule: BandKey
    action: Action
    enforced: bool


@dataclass(frozen=True, slots=True)
class HeldFor:
    """One recipient; `details` is what his record says: reasons, notes, findings.

    `found` is what was found for him alone, and `shadow` are the checks that were so for him.
    """

    address: str
    orcpt: str
    subject: str
    reasons: tuple[Why, ...]
    details: dict[str, object]
    found: tuple[Finding, ...] = ()
    shadow: frozenset[str] = frozenset()

    @property
    def whose(self) -> str:
        """Whose message it is: the user or domain whose policy was asked, else the recipient."""
        kind, _blank, name = self.subject.partition(" ")
        return name if kind in {Kind.USER.value, Kind.DOMAIN.value} else self.address.lower()

    @property
    def decisive(self) -> BandKey | None:
        """The rule that led to quarantine; None where none did."""
        most = max((why.action for why in self.reasons), default=Action.DELIVER)
        if most is Action.DELIVER:
            return None
        return next(why.rule for why in self.reasons if why.action is most)


@dataclass(frozen=True, slots=True)
class Held:
    """A message in quarantine; `time` is when it came there, in seconds of the epoch."""

    id: str
    reference: str
    queue_id: str
    channel: str
    client: str
    time: float
    sender: str
    utf8: bool
    eight_bit: bool
    findings: tuple[Finding, ...]
    fault: str
    recipients: tuple[HeldFor, ...]
    original: bool = False
    """Whether its recipients have got it without the parts that these rules have removed."""


def held(told: Mapping[str, object]) -> Held:
    """The description as a value."""
    try:
        return _held(told)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__} in its description") from None


def _held(told: Mapping[str, Any]) -> Held:
    recipients = tuple(_recipient(row) for row in told["recipients"])
    details = recipients[0].details
    return Held(
        id=_text(told, "id"),
        reference=_text(told, "reference"),
        queue_id=_text(told, "queue_id"),
        channel=_text(told, "channel"),
        client=_text(told, "client", ""),
        time=_time(told),
        sender=_text(told, "sender"),
        utf8=bool(told["smtputf8"]),
        eight_bit=bool(told["eight_bit"]),
        findings=of_rows(told["passed"]) if "passed" in told else tuple(_plain(details)),
        fault=_text(details, "fault", ""),
        recipients=recipients,
        original=bool(told.get("original", False)),
    )


def _recipient(row: Mapping[str, Any]) -> HeldFor:
    names = ("address", "subject", "orcpt")
    return HeldFor(
        _text(row, "address"),
        _text(row, "orcpt", ""),
        _text(row, "subject"),
        tuple(
            Why(_rule(one), Action.parse(_text(one, "action")), bool(one["enforced"]))
            for one in row["reasons"]
        ),
        {name: value for name, value in row.items() if name not in names},
        tuple(one for one in _plain(row) if one.check in AT_DELIVERY),
        frozenset(_text(one, "check") for one in row.get("shadows", ())) & AT_DELIVERY,
    )


def _plain(details: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings as a record has them."""
    for row in details["findings"]:
        check, outcome, band, reason = (
            _text(row, name) for name in ("check", "outcome", "band", "reason")
        )
        yield Finding(check, outcome, band, reason)


def _rule(row: Mapping[str, Any]) -> BandKey:
    return _text(row, "check"), _text(row, "band")


def _time(told: Mapping[str, Any]) -> float:
    time = float(told["time"])
    if not 0 <= time < END_OF_TIME:
        raise ValueError
    return time


def _text(row: Mapping[str, Any], name: str, *default: str) -> str:
    value = row.get(name, *default) if default else row[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value
