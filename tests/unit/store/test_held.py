"""A description of the agent's as a value; anything else is a ValueError."""

from __future__ import annotations

from typing import Any

import pytest

from iems.model.policy import Action
from iems.store.held import held

REASON = {"check": "dnsbl/one", "band": "listed", "action": "quarantine", "enforced": False}
ROW: dict[str, Any] = {
    "address": "Alice+x@b.test",
    "orcpt": "rfc822;sales@b.test",
    "subject": "user alice@b.test",
    "reasons": [{**REASON, "check": "iprev", "action": "junk"}, REASON, {**REASON, "check": "z"}],
    "findings": [{"check": "iprev", "outcome": "fail", "band": "mismatch", "reason": "no"}],
    "notes": [],
}
TOLD: dict[str, Any] = {
    "id": "abc",
    "reference": "REF",
    "queue_id": "4Q",
    "channel": "internet",
    "client": "192.0.2.1",
    "time": 10.5,
    "sender": "s@x.test",
    "smtputf8": False,
    "eight_bit": True,
    "passed": [["dnsbl/one", "fail", "listed", "on it", 1.5, [["zone", "one"]]]],
    "recipients": [ROW],
}


def test_what_the_agent_wrote() -> None:
    told = held(TOLD)
    assert (told.id, told.sender, told.client, told.time) == ("abc", "s@x.test", "192.0.2.1", 10.5)
    assert (told.utf8, told.eight_bit) == (False, True)
    [finding] = told.findings
    assert (finding.score, finding.evidence) == (1.5, (("zone", "one"),))
    [one] = told.recipients
    assert one.whose == "alice@b.test"
    assert one.decisive == ("dnsbl/one", "listed")
    assert [why.action for why in one.reasons] == [
        Action.JUNK,
        Action.QUARANTINE,
        Action.QUARANTINE,
    ]
    assert one.details["notes"] == []


def test_what_was_written_without_evidence() -> None:
    old = {name: value for name, value in TOLD.items() if name not in {"passed", "client"}}
    told = held(old)
    assert (told.client, [one.check for one in told.findings]) == ("", ["iprev"])


@pytest.mark.parametrize(
    ("subject", "whose"),
    [("domain b.test", "b.test"), ("", "alice+x@b.test"), ("internet", "alice+x@b.test")],
)
def test_whose_it_is_where_no_user_was_asked(subject: str, whose: str) -> None:
    [one] = held({**TOLD, "recipients": [{**ROW, "subject": subject}]}).recipients
    assert one.whose == whose


def test_where_nothing_was_found_no_rule_led_there() -> None:
    [one] = held({**TOLD, "recipients": [{**ROW, "reasons": []}]}).recipients
    assert one.decisive is None
    spared = [{**REASON, "action": "deliver"}]
    [one] = held({**TOLD, "recipients": [{**ROW, "reasons": spared}]}).recipients
    assert one.decisive is None


@pytest.mark.parametrize(
    "over",
    [
        {"recipients": []},
        {"recipients": [5]},
        {"recipients": [{**ROW, "reasons": [{**REASON, "action": "explode"}]}]},
        {"recipients": [{**ROW, "reasons": 5}]},
        {"recipients": [{**ROW, "address": None}]},
        {"sender": 5},
        {"time": "soon"},
        {"time": float("nan")},
        {"time": 1e300},
        {"passed": [["one"]]},
        {"passed": 5},
    ],
)
def test_what_is_none(over: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="in its description"):
        held({**TOLD, **over})
