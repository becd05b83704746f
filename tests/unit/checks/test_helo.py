"""`helo`: names that are none, that are ours, that the DNS does not know; few questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.printable import printable
from iems.dns.resolver import Answer, Rtype, Status
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import helo
from milters.checks.protocol import Check, Pending, Stage
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.1"
NODATA = Answer(Status.NODATA)
DEADLINE = Deadline.after(60)


def check(resolver: Answers, **options: object) -> Check:
    (one,) = helo.make("", helo.parse(options, "checks.helo"), tools(resolver))
    assert one.stage is Stage.HELO
    return one


def start(resolver: Answers, name: str, **options: object) -> Pending:
    return check(resolver, **options).start(view(CLIENT, helo=name), DEADLINE)


def finding(resolver: Answers, name: str, **options: object) -> Finding:
    (one,) = start(resolver, name, **options).result()
    assert one.check == "helo"
    assert one.band == ("" if one.outcome == "pass" else one.outcome)
    assert bool(one.reason) == bool(one.band)
    return one


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "pc", "a_b.example", "-a.example", "a-.example", "a..example", ".example"),
        *("", ".", "192.0.2.1", "2001:db8::1", "mail.123", "a b.example", "m\u00fcll.example"),
        *("[192.0.2.1", "[192.0.2.256]", "[192.0.2]", "[IPv6:192.0.2.1]", "[IPv6:1::2::3]"),
        *("[2001:db8::1]", "[X:1]", "[]", "x" * 64 + ".example", "x." * 130 + "example"),
        *("a.example..", "mx.example\n"),
    ],
)
def test_what_is_no_name_and_no_literal_is_not_asked_for(name: str) -> None:
    resolver = Answers()
    seen = finding(resolver, name)
    assert seen.band == "syntax"
    assert CLIENT in seen.reason
    assert resolver.asked == []


@pytest.mark.parametrize("name", ["[192.0.2.1]", "[192.0.2.77]", "[IPv6:2001:db8::1]", "[ipv6:::]"])
def test_a_literal_passes_whoever_uses_it(name: str) -> None:
    resolver = Answers()
    assert finding(resolver, name).outcome == "pass"
    assert resolver.asked == []


@pytest.mark.parametrize(
    "name",
    [
        *("mail.example.test", "MAIL.Example.Test.", "example.org", "[127.0.0.1]"),
        *("[198.51.100.200]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.1]"),
    ],
)
def test_what_is_ours_is_nobody_else_s(name: str) -> None:
    resolver = Answers()
    seen = finding(resolver, name, ours=["example.org"])
    assert seen.band == "ours"
    assert dict(seen.evidence) == {"client": CLIENT, "helo": name}
    assert resolver.asked == []


def test_names_below_ours_are_not_ours() -> None:
    resolver = Answers({("a.mail.example.test", "A"): found(CLIENT)})
    assert finding(resolver, "a.mail.example.test").outcome == "pass"


def test_the_name_that_postfix_believes_costs_no_question() -> None:
    resolver = Answers()
    known = view(CLIENT, helo="MX.sender.test", resolved="OK", name="mx.sender.test")
    (seen,) = check(resolver).start(known, DEADLINE).result()
    assert seen.outcome == "pass"
    assert resolver.asked == []
    for resolved, name in (("FORGED", "mx.sender.test"), ("OK", "other.test"), ("", "")):
        known = view(CLIENT, helo="mx.sender.test", resolved=resolved, name=name)
        check(resolver).start(known, DEADLINE)
    assert resolver.asked == [("mx.sender.test", "A")] * 3


@pytest.mark.parametrize(
    ("address", "six", "exchanger", "outcome"),
    [
        (found("192.0.2.9"), None, None, "pass"),
        (NODATA, found("2001:db8::9"), NODATA, "pass"),
        (NODATA, NODATA, found("10 mx.test"), "pass"),
        (NODATA, found("2001:db8::9"), Answer(Status.SERVFAIL), "pass"),
        (NXDOMAIN, None, None, "unresolvable"),
        (NODATA, NODATA, NODATA, "unresolvable"),
        (NODATA, NODATA, NXDOMAIN, "unresolvable"),
        (NODATA, NODATA, Answer(Status.TIMEOUT), "temperror"),
        (NODATA, Answer(Status.REFUSED), NODATA, "temperror"),
        (Answer(Status.SERVFAIL), None, None, "temperror"),
        (Answer(Status.REFUSED), None, None, "temperror"),
        (None, None, None, "temperror"),
    ],
)
def test_a_name_resolves_by_its_addresses_or_its_mx(
    address: Answer | None, six: Answer | None, exchanger: Answer | None, outcome: str
) -> None:
    answers: dict[tuple[str, Rtype], Answer] = {}
    if address:
        answers["mx.sender.test", "A"] = address
    if six and exchanger:
        answers |= {("mx.sender.test", "AAAA"): six, ("mx.sender.test", "MX"): exchanger}
    resolver = Answers(answers)
    assert finding(resolver, "mx.sender.test").outcome == outcome
    assert len(resolver.asked) == (3 if six else 1)


def test_the_question_leaves_at_once_and_the_answer_is_collected_once() -> None:
    resolver = Answers()
    pending = start(resolver, "mx.sender.test")
    assert resolver.asked == [("mx.sender.test", "A")]
    resolver.questions["mx.sender.test", "A"].give(NODATA)
    assert resolver.asked[1:] == [("mx.sender.test", "AAAA"), ("mx.sender.test", "MX")]
    for rtype in ("AAAA", "MX"):
        resolver.questions["mx.sender.test", rtype].give(NODATA)
    assert pending.result() is pending.result()
    assert resolver.questions["mx.sender.test", "A"].collected == 1


def test_exempt_clients_and_relays_have_no_finding() -> None:
    resolver = Answers()
    for known in (view(OWN), view(RELAY), view(CLIENT, channel="submission"), view(None)):
        assert check(resolver).start(known, DEADLINE).result() == ()
    assert not check(resolver).applies(view(CLIENT, authenticated="alice"))
    assert check(resolver, exempt_authenticated=False).applies(view(CLIENT, authenticated="alice"))
    assert resolver.asked == []


@given(st.text(max_size=300) | st.from_regex(r"\[[0-9a-fA-FIPv:.]*\]|[a-z0-9.-]*", fullmatch=True))
def test_no_name_raises(name: str) -> None:
    """The milter hands over what is printable of it."""
    seen = finding(Answers(), printable(name))
    assert seen.reason.isascii()
    assert len(seen.reason) < 250


def test_options_are_checked() -> None:
    assert helo.parse({"ours": ["Example.ORG"]}, "checks.helo").ours == ("example.org",)
    with pytest.raises(SettingsError, match=r"checks\.helo\.ours is \['localhost'\]"):
        helo.parse({"ours": ["localhost"]}, "checks.helo")
    with pytest.raises(SettingsError, match=r"checks\.helo\.names is no setting"):
        helo.parse({"names": []}, "checks.helo")
