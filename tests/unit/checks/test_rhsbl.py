"""`rhsbl/LABEL`: which names are asked about, at which stage, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.dns.resolver import Answer, Status
from iems.model.finding import Finding
from iems.notices.postmaster import NoticeError
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import dnsbl, rhsbl
from milters.checks.guard import Guard, ListHealth, publish, published
from milters.checks.health import HealthTest
from milters.checks.protocol import Check, Stage
from milters.checks.zone import ZoneSettings
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.1"
ZONE = "s3cretkey.list.test"
DEADLINE = Deadline.after(60)
SENDER = "a@Sender.test"


def make(resolver: Answers, guard: Guard | None = None, **options: object) -> dict[Stage, Check]:
    """The checks of one list by stage."""
    settings = rhsbl.parse({"zone": ZONE, **options}, "checks.rhsbl.names")
    return {one.stage: one for one in rhsbl.make("names", settings, tools(resolver, guard))}


def findings(resolver: Answers, stage: Stage, **facts: str) -> tuple[Finding, ...]:
    return make(resolver)[stage].start(view(CLIENT, **facts), DEADLINE).result()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "name", "evidence", "words"),
    [
        (Stage.HELO, "mx.sender.test", "helo", "HELO mx.sender.test"),
        (Stage.MAIL, "sender.test", "domain", "the sender's domain sender.test"),
    ],
)
def test_each_name_is_asked_about_at_its_stage(
    stage: Stage, name: str, evidence: str, words: str
) -> None:
    for answer, outcome, band in (
        (found("127.0.1.2"), "listed", "listed"),
        (NXDOMAIN, "clear", ""),
        (found("127.255.255.254"), "error", "temperror"),
        (Answer(Status.SERVFAIL), "error", "temperror"),
        (Answer(Status.TIMEOUT), "timeout", "temperror"),
    ):
        resolver = Answers({(f"{name}.{ZONE}", "A"): answer})
        (seen,) = findings(resolver, stage, helo="MX.Sender.test.", sender=SENDER)
        assert (seen.check, seen.outcome, seen.band) == ("rhsbl/names", outcome, band)
        assert resolver.asked[0] == (f"{name}.{ZONE}", "A")
        assert ZONE not in repr(seen)
        if band:
            assert words in seen.reason
            assert (evidence, name) in seen.evidence


def test_both_names_unless_one_is_named() -> None:
    assert set(make(Answers())) == {Stage.HELO, Stage.MAIL}
    assert set(make(Answers(), names=["sender"])) == {Stage.MAIL}
    assert set(make(Answers(), names=["helo"])) == {Stage.HELO}


@pytest.mark.parametrize("helo", ["", "localhost", "[192.0.2.1]", "192.0.2.1", "a_b.test", "a..b"])
def test_what_is_no_full_name_is_not_asked_about(helo: str) -> None:
    resolver = Answers()
    assert findings(resolver, Stage.HELO, helo=helo) == ()
    assert resolver.asked == []


@pytest.mark.parametrize("sender", ["", "a", "a@localhost", "a@[192.0.2.1]", "a@b..test"])
def test_a_sender_without_a_domain_is_not_asked_about(sender: str) -> None:
    resolver = Answers()
    assert findings(resolver, Stage.MAIL, sender=sender) == ()
    assert resolver.asked == []


def test_a_name_that_does_not_fit_before_the_zone_is_not_asked_about() -> None:
    fits = ".".join([*["x" * 57] * 3, "x" * 59])
    resolver = Answers()
    assert len(f"{fits}.{ZONE}") == 253
    assert findings(resolver, Stage.MAIL, sender=f"a@{fits}")[0].outcome == "timeout"
    assert findings(resolver, Stage.MAIL, sender=f"a@x{fits}") == ()
    assert len(resolver.asked) == 1


def test_exempt_clients_are_not_asked_about_and_a_relay_says_no_helo() -> None:
    resolver = Answers()
    checks = make(resolver)
    for known in (view(OWN, sender=SENDER), view(CLIENT, sender=SENDER, channel="submission")):
        for check in checks.values():
            assert check.start(known, DEADLINE).result() == ()
    assert checks[Stage.HELO].start(view(RELAY, helo="mx.test"), DEADLINE).result() == ()
    assert resolver.asked == []
    checks[Stage.MAIL].start(view(RELAY, sender=SENDER), DEADLINE)
    assert resolver.asked == [(f"sender.test.{ZONE}", "A")]
    assert not checks[Stage.MAIL].applies(view(CLIENT, authenticated="alice"))


class Deaf:
    """A postmaster and a log that keep what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, name: str, **values: str) -> None:
        if name != "lists-aside":
            raise NoticeError(name)
        self.told.append(values["lists"])

    def warning(self, text: str, **fields: object) -> None:
        self.told.append(f"{text} {fields}")


def test_its_health_is_its_own_and_not_that_of_a_dnsbl_of_the_same_label(tmp_path: Path) -> None:
    file, deaf = tmp_path / "health.json", Deaf()
    lists: dict[str, ZoneSettings] = {
        "names": dnsbl.parse({"zone": "a.test", "families": ["ipv4"]}, "x"),
        "rhsbl/names": rhsbl.parse({"zone": ZONE}, "x"),
    }
    well = {
        ("2.0.0.127.a.test", "A"): found("127.0.0.2"),
        ("1.0.0.127.a.test", "A"): NXDOMAIN,
        (f"test.{ZONE}", "A"): found("127.0.0.2"),
        (f"invalid.{ZONE}", "A"): NXDOMAIN,
    }
    for change, aside in (
        ({}, {}),
        ({(f"test.{ZONE}", "A"): NXDOMAIN}, {"names": "the test entry test is not listed"}),
        ({}, {}),
        ({(f"invalid.{ZONE}", "A"): found("127.0.0.2")}, {"names": "invalid is listed, and so"}),
    ):
        answers = Answers({**well, **change})  # type: ignore[dict-item]
        HealthTest(lists, answers, file, deaf, deaf).run(Deadline.after(60))
        health = published(file)
        assert health["names"].aside == {}
        assert set(health["rhsbl/names"].aside) == set(aside)
        for kind, why in aside.items():
            assert why in health["rhsbl/names"].aside[kind]
    assert ZONE not in repr(deaf.told)


def test_a_list_that_is_set_aside_is_not_asked(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    publish(file, {"rhsbl/names": ListHealth({"names": "it lists everybody"})})
    resolver = Answers()
    known = view(CLIENT, helo="mx.test", sender=SENDER)
    for check in make(resolver, Guard(file)).values():
        (seen,) = check.start(known, DEADLINE).result()
        assert (seen.outcome, seen.band) == ("aside", "temperror")
    assert resolver.asked == []


def test_options_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"names is \['from'\]; expected a list of helo, send"):
        rhsbl.parse({"zone": ZONE, "names": ["from"]}, "checks.rhsbl.names")
    with pytest.raises(SettingsError, match=r"names is \[\]"):
        rhsbl.parse({"zone": ZONE, "names": []}, "checks.rhsbl.names")
    with pytest.raises(SettingsError, match=r"checks\.rhsbl\.names\.families is no setting"):
        rhsbl.parse({"zone": ZONE, "families": ["ipv4"]}, "checks.rhsbl.names")
    with pytest.raises(SettingsError, match=r"zone is missing or no zone") as error:
        rhsbl.parse({"zone": "s3cret key"}, "checks.rhsbl.names")
    assert "s3cret" not in str(error.value)
    assert ZONE not in repr(rhsbl.parse({"zone": ZONE}, "x"))
