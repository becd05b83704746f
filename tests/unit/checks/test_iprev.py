"""`iprev`: the words of RFC 8601, from Postfix's result or from questions of our own."""

from __future__ import annotations

import pytest

from iems.dns.resolver import Answer, Status
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import iprev
from milters.checks.protocol import Check, Stage
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.1"
REVERSE = "1.2.0.192.in-addr.arpa"
DEADLINE = Deadline.after(60)


def check(resolver: Answers, stage: Stage = Stage.CONNECT) -> Check:
    """The check of one stage, with its default options."""
    made = iprev.make("", iprev.parse({}, "checks.iprev"), tools(resolver))
    return next(one for one in made if one.stage is stage)


def finding(resolver: Answers, ip: str = CLIENT, **facts: str) -> Finding:
    """The one finding about a client."""
    (one,) = check(resolver).start(view(ip, **facts), DEADLINE).result()  # type: ignore[arg-type]
    assert one.check == "iprev"
    return one


@pytest.mark.parametrize(
    ("told", "outcome", "band"),
    [
        ("OK", "pass", ""),
        ("FORGED", "fail", "mismatch"),
        ("FAIL", "permerror", ""),
        ("TEMP", "temperror", "temperror"),
    ],
)
def test_the_result_of_postfix_is_taken_without_a_question(
    told: str, outcome: str, band: str
) -> None:
    resolver = Answers()
    seen = finding(resolver, resolved=told, name="unknown" if outcome != "pass" else "mail.test")
    assert (seen.outcome, seen.band) == (outcome, band)
    assert dict(seen.evidence)["policy.iprev"] == CLIENT
    assert dict(seen.evidence).get("name") == ("mail.test" if outcome == "pass" else None)
    assert resolver.asked == []


def test_a_name_that_leads_back_passes() -> None:
    resolver = Answers(
        {
            (REVERSE, "PTR"): found("other.test", "mail.test"),
            ("other.test", "A"): found("192.0.2.9"),
            ("mail.test", "A"): found("192.0.2.8", CLIENT),
        }
    )
    seen = finding(resolver)
    assert (seen.outcome, seen.band, seen.reason) == ("pass", "", "")
    assert ("name", "mail.test") in seen.evidence
    six = Answers(
        {
            ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): found("six.test"),
            ("six.test", "AAAA"): found("2001:DB8:0::1"),
        }
    )
    assert finding(six, "2001:db8::1").outcome == "pass"


@pytest.mark.parametrize(
    "forward", [found("192.0.2.9"), NXDOMAIN, Answer(Status.NODATA), found("no address")]
)
def test_a_name_that_leads_elsewhere_or_nowhere_fails(forward: Answer) -> None:
    resolver = Answers({(REVERSE, "PTR"): found("mail.test"), ("mail.test", "A"): forward})
    seen = finding(resolver)
    assert (seen.outcome, seen.band) == ("fail", "mismatch")
    assert CLIENT in seen.reason
    assert ("name", "mail.test") in seen.evidence


@pytest.mark.parametrize("reverse", [NXDOMAIN, Answer(Status.NODATA)])
def test_a_client_without_name_is_a_permanent_error_and_asks_for_nothing(reverse: Answer) -> None:
    seen = finding(Answers({(REVERSE, "PTR"): reverse}))
    assert (seen.outcome, seen.band) == ("permerror", "")


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.SERVFAIL, Status.REFUSED])
def test_a_failure_of_the_dns_is_temporary(status: Status) -> None:
    broken = Answer(status)
    assert finding(Answers({(REVERSE, "PTR"): broken})).band == "temperror"
    names = {(REVERSE, "PTR"): found("a.test", "b.test"), ("a.test", "A"): broken}
    seen = finding(Answers({**names, ("b.test", "A"): found("192.0.2.9")}))  # type: ignore[dict-item]
    assert (seen.outcome, seen.band) == ("temperror", "temperror")
    seen = finding(Answers({**names, ("b.test", "A"): found(CLIENT)}))  # type: ignore[dict-item]
    assert seen.outcome == "pass"


def test_names_that_are_no_host_names_are_not_followed_and_others_not_without_end() -> None:
    names = [f"n{number}.test" for number in range(30)]
    resolver = Answers({(REVERSE, "PTR"): found("bad name\\032", "x" * 64, "", *names)})
    assert finding(resolver).outcome == "temperror"
    assert [name for name, rtype in resolver.asked if rtype == "A"] == names[:10]
    only_bad = Answers({(REVERSE, "PTR"): found("a b\\010\x07")})
    seen = finding(only_bad)
    assert seen.outcome == "fail"
    assert dict(seen.evidence)["name"] == "a b\\010?"


def test_the_forward_question_leaves_as_soon_as_the_name_is_known() -> None:
    resolver = Answers()
    pending = check(resolver).start(view(CLIENT), DEADLINE)
    assert resolver.asked == [(REVERSE, "PTR")]
    resolver.questions[REVERSE, "PTR"].give(found("mail.test"))
    assert resolver.asked[1:] == [("mail.test", "A")]
    resolver.questions["mail.test", "A"].give(found(CLIENT))
    assert pending.result()[0].outcome == "pass"
    assert pending.result() == pending.result()
    assert resolver.questions["mail.test", "A"].collected == 1


def test_exempt_clients_have_no_finding() -> None:
    resolver = Answers()
    for known in (view(OWN), view(CLIENT, channel="submission"), view(RELAY, resolved="OK")):
        assert check(resolver).start(known, DEADLINE).result() == ()
    assert not check(resolver).applies(view(CLIENT, authenticated="alice"))
    assert resolver.asked == []


def test_behind_a_relay_the_hop_is_asked_about_whatever_postfix_says_of_the_relay() -> None:
    resolver = Answers({(REVERSE, "PTR"): NXDOMAIN})
    header = b"Received: from h (unknown [192.0.2.1])\n\tby relay\n"
    known = view(RELAY, header=header, resolved="OK")
    (seen,) = check(resolver, Stage.HEADERS).start(known, DEADLINE).result()
    assert seen.outcome == "permerror"
    assert (
        check(resolver, Stage.HEADERS).start(view(CLIENT, header=header), DEADLINE).result() == ()
    )


def test_options_are_checked() -> None:
    assert iprev.parse({"channels": ["internet", "submission"]}, "checks.iprev").channels == (
        "internet",
        "submission",
    )
    with pytest.raises(SettingsError, match=r"checks\.iprev\.exempt_authenticated is 'no'"):
        iprev.parse({"exempt_authenticated": "no"}, "checks.iprev")
    with pytest.raises(SettingsError, match=r"checks\.iprev\.zone is no setting"):
        iprev.parse({"zone": "a.test"}, "checks.iprev")
