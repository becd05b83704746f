"""`sender`: domains that take mail, that say they take none, and that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.dns.resolver import Answer, Rtype, Status
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import sender
from milters.checks.protocol import Check, Pending, Stage
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.1"
NODATA = Answer(Status.NODATA)
FAILED = Answer(Status.SERVFAIL)
DEADLINE = Deadline.after(60)


def check(resolver: Answers, **options: object) -> Check:
    (one,) = sender.make("", sender.parse(options, "checks.sender"), tools(resolver))
    assert one.stage is Stage.MAIL
    return one


def start(resolver: Answers, address: str) -> Pending:
    return check(resolver).start(view(CLIENT, sender=address), DEADLINE)


def finding(resolver: Answers, address: str) -> Finding:
    (one,) = start(resolver, address).result()
    assert one.check == "sender"
    assert one.band == ("" if one.outcome in {"pass", "literal"} else one.outcome)
    assert bool(one.reason) == bool(one.band)
    return one


@pytest.mark.parametrize(
    ("exchangers", "four", "six", "outcome"),
    [
        (found("10 mx.test"), None, None, "pass"),
        (found("0 "), None, None, "nullmx"),
        (found("0 ", "10 mx.test"), None, None, "pass"),
        (NODATA, found("192.0.2.9"), NODATA, "pass"),
        (NODATA, NODATA, found("2001:db8::9"), "pass"),
        (NODATA, FAILED, found("2001:db8::9"), "pass"),
        (NODATA, NODATA, NODATA, "nodomain"),
        (NODATA, NODATA, NXDOMAIN, "nodomain"),
        (NODATA, NODATA, FAILED, "temperror"),
        (NODATA, Answer(Status.TIMEOUT), NODATA, "temperror"),
        (NXDOMAIN, None, None, "nodomain"),
        (FAILED, None, None, "temperror"),
        (Answer(Status.REFUSED), None, None, "temperror"),
        (None, None, None, "temperror"),
    ],
)
def test_a_domain_takes_mail_by_its_mx_or_its_address(
    exchangers: Answer | None, four: Answer | None, six: Answer | None, outcome: str
) -> None:
    answers: dict[tuple[str, Rtype], Answer] = {}
    if exchangers:
        answers["sender.test", "MX"] = exchangers
    if four and six:
        answers |= {("sender.test", "A"): four, ("sender.test", "AAAA"): six}
    resolver = Answers(answers)
    seen = finding(resolver, "a@Sender.Test")
    assert seen.outcome == outcome
    assert dict(seen.evidence) == {"domain": "sender.test"}
    assert len(resolver.asked) == (3 if four else 1)


@pytest.mark.parametrize(
    "address",
    [
        *("a", "a@", "a@localhost", "a@-x.test", "a@b..test", "@b.test", "a b\u00e4\x00c"),
        *("a@[192.0.2]", "a@[192.0.2.256]", "a@[IPv6:1::2::3]", "a@[2001:db8::1]"),
    ],
)
def test_what_can_be_no_domain_is_not_asked_for(address: str) -> None:
    resolver = Answers()
    assert finding(resolver, address).band == "nodomain"
    assert resolver.asked == []


@pytest.mark.parametrize("address", ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"])
def test_a_literal_needs_no_domain(address: str) -> None:
    resolver = Answers()
    assert finding(resolver, address).outcome == "literal"
    assert resolver.asked == []


def test_the_null_sender_has_no_finding() -> None:
    resolver = Answers()
    assert start(resolver, "").result() == ()
    assert resolver.asked == []


def test_the_question_leaves_at_once_and_the_answer_is_collected_once() -> None:
    resolver = Answers()
    pending = start(resolver, "a@sender.test")
    assert resolver.asked == [("sender.test", "MX")]
    resolver.questions["sender.test", "MX"].give(NODATA)
    assert resolver.asked[1:] == [("sender.test", "A"), ("sender.test", "AAAA")]
    resolver.questions["sender.test", "A"].give(found("192.0.2.9"))
    assert pending.result()[0].outcome == "pass"
    assert pending.result() is pending.result()
    assert resolver.questions["sender.test", "MX"].collected == 1


def test_exempt_clients_have_no_finding_and_relays_do() -> None:
    resolver = Answers()
    for known in (
        view(OWN, sender="a@b.test"),
        view(None, sender="a@b.test"),
        view(CLIENT, sender="a@b.test", channel="submission"),
        view(CLIENT, sender="a@b.test", authenticated="alice"),
    ):
        assert check(resolver).start(known, DEADLINE).result() == ()
    assert resolver.asked == []
    check(resolver).start(view(RELAY, sender="a@b.test"), DEADLINE)
    assert resolver.asked == [("b.test", "MX")]
    assert not check(resolver).applies(view(CLIENT, authenticated="alice"))


@given(st.text(max_size=400) | st.text(st.sampled_from('a.-@[]:1IPv6"\u00e4'), max_size=300))
def test_no_sender_raises(address: str) -> None:
    (seen,) = start(Answers(), address).result() or (None,)
    assert seen is None or (seen.reason.isascii() and len(seen.reason) < 250)


def test_options_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"checks\.sender\.exempt_authenticated is 'no'"):
        sender.parse({"exempt_authenticated": "no"}, "checks.sender")
    with pytest.raises(SettingsError, match=r"checks\.sender\.verify is no setting"):
        sender.parse({"verify": True}, "checks.sender")
