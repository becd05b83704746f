"""A virus after the queue: no copy gets into a mailbox, whatever else speaks for or against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iems.model.finding import Finding
from iems.settings.policy import missing_findings
from tests.unit.lmtp.conftest import LISTED, NOW, Office, settings

INFECTED = Finding("virus", "infected", "infected", "Test.Eicar")
ENGINES = {"a": {"kind": "clamd", "server": "unix:/nowhere"}}


def with_virus(office: Office, **virus: object) -> Office:
    """The office whose site scans for viruses."""
    one = {"mode": "delegate", "default": {"listed": "deliver"}}
    table = {"mode": "enforce", "engines": ENGINES, **virus}
    made = settings(checks={"dnsbl": {"one": one}, "virus": table})
    origin = replace(office.agent.origin, missing=missing_findings(made.checks))
    return replace(office, agent=replace(office.agent, settings=made, origin=origin))


def quarantined(office: Office, answers: list[str]) -> bool:
    kept = len(office.quarantined) == 1 and office.taken == []
    return kept and all(answer.startswith("250 2.0.0 Taken") for answer in answers)


@pytest.mark.parametrize("channel", ["internet", "submission", "local"])
def test_a_reject_is_quarantine_and_never_junk_or_a_bounce(office: Office, channel: str) -> None:
    one = with_virus(office)
    assert quarantined(one, one.deliver("deliver", findings=[INFECTED], channel=channel))
    (record,) = one.records()
    assert "reject after the queue is quarantine of what carries a virus" in str(record.details)


def test_the_site_s_way_with_other_rejects_does_not_let_it_pass(office: Office) -> None:
    """alice rejects whom a list names, which would be junk, and the site keeps viruses."""
    one = with_virus(office, default={"infected": "quarantine"})
    assert quarantined(one, one.deliver("reject", findings=[LISTED, INFECTED]))
    assert one.deliver("reject", findings=[LISTED])[0].startswith("250 2.0.0 Saved")


@pytest.mark.parametrize("channel", ["internet", "submission", "local"])
def test_what_another_finding_rejects_makes_no_bounce_of_it(office: Office, channel: str) -> None:
    """The bounce would bring the message to whoever its sender is said to be."""
    one = with_virus(office, default={"infected": "quarantine"})
    made = replace(one.agent.settings, reject_after_queue="bounce")
    one = replace(one, agent=replace(one.agent, settings=made))
    answers = one.deliver("reject", findings=[LISTED, INFECTED], channel=channel)
    assert quarantined(one, answers)
    late = Finding("virus", "temperror", "temperror", "nobody looked")
    (answer,) = one.deliver("reject", findings=[LISTED, late], channel=channel)
    assert answer.startswith("451 4.7.1")


@pytest.mark.parametrize("band", ["infected", "unscanned"])
def test_who_says_that_a_mailbox_had_the_message_gets_no_virus_into_it(
    office: Office, band: str
) -> None:
    """A loop is a reject, which would be junk, and anybody can write the field."""
    one = with_virus(office, default={"infected": "quarantine", "unscanned": "quarantine"})
    found = Finding("virus", band, band, "seen")
    had = b"Delivered-To: deliver@b.test\r\n"
    assert quarantined(one, one.deliver("deliver", findings=[found], header=had))
    assert one.deliver("deliver", findings=[], header=had) == ["250 2.0.0 Saved"]


def test_what_the_matrix_says_of_the_pair_is_done(office: Office) -> None:
    matrix = {
        "internet": {"local": {"infected": "discard"}},
        "*": {"local": {"infected": "tag"}, "internet": {"infected": "reject"}},
    }
    one = with_virus(office, matrix=matrix)
    assert one.deliver("junk", findings=[INFECTED])[0].startswith("250 2.0.0 Taken")
    assert one.taken == []
    assert one.deliver("junk", findings=[INFECTED], channel="submission") == ["250 2.0.0 Saved"]
    (copy,) = one.taken
    assert b"X-IEMS-Verdict: tag" in copy.data


@pytest.mark.parametrize("header", [b"", b"X-IEMS-Findings: v=1; k=k1;\r\n"])
def test_without_its_findings_no_message_is_delivered(office: Office, header: bytes) -> None:
    """Lost, forged or of another message: it counts as one that nobody looked at."""
    one = with_virus(office)
    received = "Received: by mail.example.test (Postfix) id 4XyZ; "
    stamp = f"{received}Fri, 1 Jan 2038 00:00:00 +0000\r\n".encode()
    assert one.send("deliver", header=stamp + header)[0].startswith("451 4.7.1")
    assert one.deliver("deliver", findings=[], ident="4Other", at=NOW)[0].startswith("250 2.0.0 T")
    assert one.taken == []
    assert len(one.quarantined) == 1


def test_a_check_in_shadow_keeps_nothing_back(office: Office) -> None:
    one = with_virus(office, mode="shadow")
    assert one.send("deliver", header=b"") == ["250 2.0.0 Saved"]
    assert one.deliver("deliver", findings=[INFECTED]) == ["250 2.0.0 Saved"]


@pytest.mark.parametrize("channel", ["internet", "submission"])
@pytest.mark.parametrize("other", ["deliver", "tag", "junk", "reject"])
def test_a_removal_that_nobody_has_made_is_quarantine(
    office: Office, other: str, channel: str
) -> None:
    """And a reject by something else is no bounce that holds a virus."""
    one = with_virus(office, default={"infected": "remove"})
    assert quarantined(one, one.deliver(other, findings=[LISTED, INFECTED], channel=channel))
    (record,) = one.records()
    assert "of a virus that nobody has removed" in str(record.details)
