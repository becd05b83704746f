"""`spf`: whom it looks at and when, and what its findings say. RFC 7208 is in `dns/test_spf.py`."""

from __future__ import annotations

import pytest

from iems.dns.resolver import Answer, Resolver, Rtype, Status
from iems.dns.zonefile import ZoneResolver
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import spf
from milters.checks.protocol import Check, Stage
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.1"
DEADLINE = Deadline.after(60)
TXT: tuple[str, Rtype] = ("e.test", "TXT")


def check(resolver: Resolver, stage: Stage = Stage.MAIL) -> Check:
    """The check of one stage, with its default options."""
    made = spf.make("", spf.parse({}, "checks.spf"), tools(resolver))
    return next(one for one in made if one.stage is stage)


def finding(resolver: Resolver, sender: str = "joe@e.test", helo: str = "helo.test") -> Finding:
    """The one finding about a client."""
    pending = check(resolver).start(view(CLIENT, sender=sender, helo=helo), DEADLINE)
    (one,) = pending.result()
    assert one.check == "spf"
    assert pending.result() == (one,)
    return one


@pytest.mark.parametrize(
    ("record", "outcome", "band"),
    [
        (found("v=spf1 +all"), "pass", ""),
        (found("v=spf1 ?all"), "neutral", ""),
        (NXDOMAIN, "none", ""),
        (found("v=spf1 -all"), "fail", "fail"),
        (found("v=spf1 ~all"), "softfail", "softfail"),
        (found("v=spf1 moo"), "permerror", "permerror"),
        (Answer(Status.SERVFAIL), "temperror", "temperror"),
        (Answer(Status.TIMEOUT), "temperror", "temperror"),
    ],
)
def test_outcomes_and_bands(record: Answer, outcome: str, band: str) -> None:
    seen = finding(Answers({TXT: record}))
    assert (seen.outcome, seen.band) == (outcome, band)
    assert bool(seen.reason) == bool(band)
    evidence = dict(seen.evidence)
    assert (evidence["smtp.mailfrom"], evidence["client"]) == ("e.test", CLIENT)


def test_what_is_evidence_and_what_is_said_to_the_client() -> None:
    zone = 'e.test TXT "v=spf1 -all exp=x.test"\nx.test TXT "ask %{o}"'
    failed = finding(ZoneResolver(zone))
    assert dict(failed.evidence) == {
        "smtp.mailfrom": "e.test",
        "client": CLIENT,
        "mechanism": "-all",
        "explanation": "ask e.test",
    }
    assert failed.reason == f"client {CLIENT} is not allowed to send mail of e.test"
    broken = finding(Answers({TXT: found("v=spf1 moo")}))
    assert "moo" in dict(broken.evidence)["problem"]
    assert "moo" not in broken.reason


def test_the_null_sender_is_checked_by_helo() -> None:
    seen = finding(Answers({("mail.e.test", "TXT"): found("v=spf1 -all")}), "", "mail.e.test")
    assert seen.outcome == "fail"
    assert dict(seen.evidence)["smtp.helo"] == "mail.e.test"
    literal = finding(Answers(), "", "[192.0.2.1]")
    assert (literal.outcome, dict(literal.evidence)["smtp.helo"]) == ("none", "[192.0.2.1]")


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("joe@BÜCHER.test", "xn--bcher-kva.test"),
        ("joe@e..test", "joe@e..test"),
        ("joe@[192.0.2.1]", "[192.0.2.1]"),
        ("\udcff\x00@\udcff", "??@?"),
        ("@", "@"),
        ("@a.test,@b.test:joe@e.test", "e.test"),
    ],
)
def test_the_domain_is_shown_as_it_was_asked_for(sender: str, shown: str) -> None:
    seen = finding(ZoneResolver("", whole=True), sender)
    assert (seen.outcome, dict(seen.evidence)["smtp.mailfrom"]) == ("none", shown)


def test_a_local_part_that_is_no_good_saves_nobody() -> None:
    for local in ("x" * 400, "a\x01b", '"', "\udcff", ""):
        assert finding(Answers({TXT: found("v=spf1 -all")}), f"{local}@e.test").outcome == "fail"


def test_the_record_is_asked_for_at_mail_and_one_who_dawdles_gains_nothing() -> None:
    """The time for what follows begins when somebody wants to know."""
    resolver = Answers({("e.test", "A"): found("192.0.2.9")})
    start = Deadline.after(30)
    pending = check(resolver).start(view(CLIENT, sender="joe@e.test"), start)
    assert resolver.asked == [TXT]
    object.__setattr__(start, "at", 0.0)
    resolver.questions[TXT].give(found("v=spf1 a -all"))
    assert pending.result()[0].outcome == "fail"
    (waited,) = resolver.questions["e.test", "A"].waits
    assert 29 < waited <= 30


def test_exempt_clients_have_no_finding() -> None:
    resolver = Answers()
    for known in (view(OWN), view(CLIENT, channel="submission"), view(RELAY)):
        assert check(resolver).start(known, DEADLINE).result() == ()
    assert check(resolver).start(view(CLIENT, authenticated="alice"), DEADLINE).result() == ()
    assert not check(resolver).applies(view(CLIENT, authenticated="alice"))
    assert resolver.asked == []


def test_behind_a_relay_the_hop_is_checked_with_its_own_helo() -> None:
    header = b"Received: from mail.e.test (unknown [192.0.2.1])\n\tby relay\n"
    resolver = ZoneResolver('mail.e.test TXT "v=spf1 ip4:192.0.2.1 -all"')
    behind = check(resolver, Stage.HEADERS)
    (seen,) = behind.start(view(RELAY, header=header), DEADLINE).result()
    assert (seen.outcome, dict(seen.evidence)["smtp.helo"]) == ("pass", "mail.e.test")
    assert behind.start(view(RELAY, header=b"Received: x\n"), DEADLINE).result() == ()
    assert behind.start(view(CLIENT, header=header), DEADLINE).result() == ()


def test_options_are_checked() -> None:
    assert spf.parse({"channels": ["internet", "list"]}, "checks.spf").channels == (
        "internet",
        "list",
    )
    with pytest.raises(SettingsError, match=r"checks\.spf\.exempt_authenticated is 'no'"):
        spf.parse({"exempt_authenticated": "no"}, "checks.spf")
