"""`dmarc`: what SPF and DKIM found, weighed by what the domain in From asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from iems.dns.suffixes import Suffixes
from iems.dns.zonefile import ZoneResolver
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import dmarc
from milters.checks.clients import ClientSettings, clients
from milters.checks.dmarc import Dmarc
from milters.checks.protocol import Check, Known, Pending, Stage, View
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, site, tools, view

CLIENT = "192.0.2.1"
DEADLINE = Deadline.after(60)
ZONE = """
_dmarc.e.test TXT "v=DMARC1; p=reject"
_dmarc.q.test TXT "v=DMARC1; p=quarantine; sp=none; np=reject"
there.q.test A 192.0.2.1
_dmarc.n.test TXT "v=DMARC1; p=none"
_dmarc.strict.test TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
_dmarc.some.test TXT "v=DMARC1; p=reject; pct=30"
_dmarc.try.test TXT "v=DMARC1; p=reject; t=y"
_dmarc.broken.test TXT "v=DMARC1; p=moo"
_dmarc.lost.test TXT SERVFAIL
_dmarc.dark.e.test TXT TIMEOUT
"""
SUFFIXES = Suffixes()
NO_SPF = Finding("spf", "none", "", "", None, (("smtp.mailfrom", "x.test"),))
NO_DKIM = Finding("dkim", "none")


@dataclass(frozen=True)
class Fake:
    """A check that has found this."""

    name: str
    stage: Stage = Stage.BODY

    def start(self, view: View, deadline: Deadline) -> Pending:
        raise NotImplementedError

    def applies(self, view: View) -> bool:
        return not view.authenticated


def spf(domain: str, outcome: str = "pass", identity: str = "smtp.mailfrom") -> Finding:
    """What SPF found of a domain."""
    return Finding("spf", outcome, "", "", None, ((identity, domain), ("client", CLIENT)))


def dkim(domain: str, outcome: str = "pass") -> Finding:
    """What DKIM found of a signature."""
    return Finding("dkim", outcome, "", "", None, (("header.d", domain), ("header.s", "s")))


def seen(known: View, found: Iterable[Finding]) -> View:
    """The view, with what the other checks found."""
    by_name: dict[str, list[Finding]] = {}
    for finding in found:
        by_name.setdefault(finding.check, []).append(finding)
    running: list[tuple[Check, Pending]] = [
        (Fake(name), Known(tuple(findings))) for name, findings in by_name.items()
    ]
    return replace(known, running=lambda: running)


def check(draw: int = 0) -> Dmarc:
    """The check with its default options; `draw` is what chance says."""
    rule = clients(site(), ClientSettings())
    return Dmarc(rule, ZoneResolver(ZONE, whole=True), SUFFIXES, lambda: draw)


def finding(author: str, *found: Finding, draw: int = 0, ip: str = CLIENT) -> Finding:
    """The one finding about a message; who says nothing else has neither SPF nor DKIM."""
    names = {one.check for one in found}
    rest = [one for one in (NO_SPF, NO_DKIM) if one.check not in names]
    header = "".join(f"From: {one}\n" for one in author.split("|") if one)
    known = seen(view(ip, header=header.encode() + b"Subject: x\n"), [*found, *rest])
    pending = check(draw).start(known, DEADLINE)
    (one,) = pending.result()
    assert one.check == "dmarc"
    assert pending.result() == (one,)
    return one


def verdict(author: str, *found: Finding, draw: int = 0) -> str:
    """Outcome and band."""
    one = finding(author, *found, draw=draw)
    return f"{one.outcome} {one.band}".strip()


@pytest.mark.parametrize(
    ("author", "found", "result"),
    [
        ("joe@e.test", [spf("e.test")], "pass"),
        ("joe@e.test", [dkim("e.test")], "pass"),
        ("joe@e.test", [spf("b.e.test")], "pass"),
        ("joe@e.test", [spf("joe@B.e.test")], "pass"),
        ("joe@a.e.test", [dkim("e.test")], "pass"),
        ("joe@a.e.test", [dkim("b.c.e.test")], "pass"),
        ("joe@e.test", [spf("e.test", identity="smtp.helo")], "pass"),
        ("joe@e.test", [dkim("x.test"), dkim("e.test", "fail"), dkim("e.test")], "pass"),
        ("joe@e.test", [spf("e.test", "fail"), dkim("e.test")], "pass"),
        ("joe@e.test", [], "fail reject"),
        ("joe@e.test", [spf("x.test"), dkim("x.test")], "fail reject"),
        ("joe@e.test", [spf("note.test"), dkim("ee.test")], "fail reject"),
        ("joe@e.test", [spf("test"), dkim("test")], "fail reject"),
        ("joe@e.test", [spf("e.test", "softfail"), dkim("e.test", "fail")], "fail reject"),
        ("joe@e.test", [spf("e.test", "permerror"), dkim("e.test", "policy")], "fail reject"),
        ("joe@e.test", [spf(""), dkim("")], "fail reject"),
        ("joe@q.test", [], "fail quarantine"),
        ("joe@there.q.test", [], "fail none"),
        ("joe@gone.q.test", [], "fail reject"),
        ("joe@n.test", [], "fail none"),
        ("joe@strict.test", [spf("strict.test")], "pass"),
        ("joe@strict.test", [dkim("strict.test")], "pass"),
        ("joe@strict.test", [spf("a.strict.test"), dkim("a.strict.test")], "fail reject"),
        ("joe@try.test", [], "fail quarantine"),
        ("joe@nothing.test", [], "none"),
        ("joe@nothing.test", [spf("nothing.test")], "none"),
        ("joe@broken.test", [spf("broken.test")], "permerror permerror"),
        ("joe@lost.test", [spf("lost.test")], "temperror temperror"),
    ],
)
def test_what_it_comes_to(author: str, found: list[Finding], result: str) -> None:
    assert verdict(author, *found) == result


@pytest.mark.parametrize(
    ("author", "found", "result"),
    [
        ("joe@e.test", [spf("e.test", "temperror")], "temperror temperror"),
        ("joe@e.test", [dkim("a.e.test", "temperror")], "temperror temperror"),
        ("joe@e.test", [spf("x.test", "temperror"), dkim("x.test", "temperror")], "fail reject"),
        ("joe@e.test", [spf("e.test", "temperror"), dkim("e.test")], "pass"),
        ("joe@e.test", [dkim("dark.e.test")], "temperror temperror"),
        ("joe@e.test", [dkim("dark.e.test"), spf("e.test")], "pass"),
        ("joe@n.test", [spf("n.test", "temperror")], "temperror temperror"),
    ],
)
def test_what_cannot_be_told_now_is_no_failure(
    author: str, found: list[Finding], result: str
) -> None:
    assert verdict(author, *found) == result


@pytest.mark.parametrize("only", [NO_SPF, NO_DKIM])
def test_who_has_only_half_of_the_evidence_does_not_judge(only: Finding) -> None:
    """`spf` or `dkim` is off, or did not look at this client."""
    known = seen(view(CLIENT, header=b"From: joe@e.test\n"), [only])
    (one,) = check().start(known, DEADLINE).result()
    assert (one.outcome, one.band) == ("temperror", "temperror")
    half = replace(only, outcome="pass", evidence=(("smtp.mailfrom", "e.test"),))
    if only.check == "spf":
        (one,) = check().start(seen(known, [half]), DEADLINE).result()
        assert one.outcome == "pass"


@pytest.mark.parametrize(
    ("author", "found", "result"),
    [
        ("joe@e.test, jim@n.test", [spf("e.test"), dkim("n.test")], "pass"),
        ("joe@e.test, jim@n.test", [spf("e.test")], "fail none"),
        ("joe@n.test, jim@e.test", [spf("n.test")], "fail reject"),
        ("joe@q.test, jim@e.test, al@n.test", [], "fail reject"),
        ("joe@e.test, jim@nothing.test", [spf("e.test")], "none"),
        ("joe@e.test, jim@lost.test", [spf("e.test")], "temperror temperror"),
        ("joe@e.test, jim@lost.test", [], "fail reject"),
        ("joe@e.test <jim@nothing.test>", [spf("nothing.test")], "fail reject"),
        ("joe@e.test|jim@n.test", [spf("e.test"), dkim("n.test")], "permerror permerror"),
        ("joe@e.test|joe@e.test", [spf("e.test")], "permerror permerror"),
        ("joe@n.test|joe@e.test", [spf("n.test")], "fail reject"),
        ("joe@e.test|joe@lost.test", [spf("e.test")], "temperror temperror"),
        ("", [spf("e.test")], "permerror permerror"),
        ("joe", [spf("e.test")], "permerror permerror"),
        ('"joe@e.test" <jim@n.test', [spf("n.test"), dkim("n.test")], "fail reject"),
        ("<joe@e.test", [spf("e.test")], "permerror permerror"),
    ],
)
def test_more_than_one_author_never_passes_by_ambiguity(
    author: str, found: list[Finding], result: str
) -> None:
    assert verdict(author, *found) == result


def test_a_share_of_the_mail_gets_the_policy_and_the_rest_one_step_less() -> None:
    assert verdict("joe@some.test", draw=29) == "fail reject"
    assert verdict("joe@some.test", draw=30) == "fail quarantine"
    assert verdict("joe@e.test", draw=99) == "fail reject"
    assert verdict("joe@some.test", spf("some.test"), draw=99) == "pass"


def test_what_is_evidence_and_what_is_said() -> None:
    failed = finding("joe@gone.q.test")
    assert failed.evidence == (("header.from", "gone.q.test"), ("policy.dmarc", "reject"))
    assert failed.reason == ("gone.q.test does not stand behind this message; its policy is reject")
    passed = finding("joe@e.test", spf("e.test"))
    assert (passed.reason, dict(passed.evidence)["policy.dmarc"]) == ("", "reject")
    assert finding("joe@nothing.test").evidence == (("header.from", "nothing.test"),)
    assert finding("").reason == "the message has 0 From fields"
    assert "servfail" in dict(finding("joe@lost.test").evidence)["problem"]


def test_exempt_clients_have_no_finding_and_relays_are_not_exempt() -> None:
    header = b"From: joe@e.test\n"
    for known in (view(OWN, header=header), view(CLIENT, channel="submission", header=header)):
        assert check().start(known, DEADLINE).result() == ()
    assert not check().applies(view(CLIENT, authenticated="alice"))
    assert finding("joe@e.test", ip=RELAY).band == "reject"


def test_the_records_are_asked_for_at_once() -> None:
    resolver = Answers()
    made = dmarc.make("", dmarc.parse({}, "checks.dmarc"), tools(resolver))
    assert [one.stage for one in made] == [Stage.BODY]
    made[0].start(view(CLIENT, header=b"From: joe@a.e.test\n"), DEADLINE)
    assert [name for name, _rtype in resolver.asked] == [
        "_dmarc.a.e.test",
        "_dmarc.e.test",
        "_dmarc.test",
    ]


def test_domains_that_cannot_be_aligned_are_not_asked_for() -> None:
    resolver = Answers({("_dmarc.e.test", "TXT"): found("v=DMARC1; p=reject")})
    for name in ("_dmarc.test", "_dmarc.b.e.test"):
        resolver.answers[name, "TXT"] = NXDOMAIN
    made = dmarc.make("", dmarc.parse({}, "checks.dmarc"), tools(resolver))[0]
    known = view(CLIENT, header=b"From: joe@e.test\n")
    several = seen(known, [spf("x.test"), dkim("y.test"), dkim("b.e.test")])
    assert made.start(several, DEADLINE).result()[0].outcome == "pass"
    assert [name for name, _rtype in resolver.asked] == [
        "_dmarc.e.test",
        "_dmarc.test",
        "_dmarc.b.e.test",
    ]


def test_chance_is_a_number_below_a_hundred() -> None:
    made = dmarc.make("", dmarc.parse({}, "checks.dmarc"), tools(Answers()))[0]
    assert isinstance(made, Dmarc)
    assert {made.draw() for _ in range(5000)} == set(range(100))


def test_options_are_checked() -> None:
    assert dmarc.parse({"channels": ["list"]}, "checks.dmarc").channels == ("list",)
    with pytest.raises(SettingsError, match=r"checks\.dmarc\.exempt_authenticated is 'no'"):
        dmarc.parse({"exempt_authenticated": "no"}, "checks.dmarc")
