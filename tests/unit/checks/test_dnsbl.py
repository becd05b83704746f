"""`dnsbl/LABEL`: what is asked, what an answer means, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.dns.resolver import Answer, Status
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import dnsbl
from milters.checks.guard import Guard, ListHealth, publish
from milters.checks.protocol import Check, Stage
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.1"
ZONE = "s3cretkey.list.test"
ASKED = f"1.2.0.192.{ZONE}"
DEADLINE = Deadline.after(60)


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """A guard that holds nothing against any list."""
    return Guard(tmp_path / "health.json")


def make(resolver: Answers, guard: Guard, stage: Stage = Stage.CONNECT, **options: object) -> Check:
    """The check `dnsbl/spamlist` of one stage."""
    settings = dnsbl.parse({"zone": ZONE, **options}, "checks.dnsbl.spamlist")
    made = dnsbl.make("spamlist", settings, tools(resolver, guard))
    return next(one for one in made if one.stage is stage)


def finding(answer: Answer, guard: Guard, **options: object) -> Finding:
    """What an answer about the client becomes."""
    check = make(Answers({(ASKED, "A"): answer}), guard, Stage.CONNECT, **options)
    (one,) = check.start(view(CLIENT), DEADLINE).result()
    assert one.check == check.name == "dnsbl/spamlist"
    return one


@pytest.mark.parametrize(
    ("answer", "outcome", "band"),
    [
        (found("127.0.0.2"), "listed", "listed"),
        (found("127.0.0.4", "127.0.0.10"), "listed", "listed"),
        (NXDOMAIN, "clear", ""),
        (Answer(Status.NODATA), "clear", ""),
        (found("127.255.255.254"), "error", "temperror"),
        (found("127.0.0.2", "127.255.255.252"), "error", "temperror"),
        (found("127.0.0.1"), "error", "temperror"),
        (found("198.51.100.80"), "error", "temperror"),
        (Answer(Status.SERVFAIL), "error", "temperror"),
        (Answer(Status.REFUSED), "error", "temperror"),
        (Answer(Status.TIMEOUT), "timeout", "temperror"),
    ],
)
def test_listed_clear_error_and_silence_are_told_apart(
    answer: Answer, outcome: str, band: str, guard: Guard
) -> None:
    seen = finding(answer, guard)
    assert (seen.outcome, seen.band) == (outcome, band)
    assert ZONE not in repr(seen)


def test_the_masks_say_which_answers_count(guard: Guard) -> None:
    options = {"mask": ["127.0.0.2", "127.0.1.0/24"], "errors": ["127.0.0.128/25"]}
    words = {
        code: finding(found(code), guard, **options).outcome
        for code in ("127.0.0.2", "127.0.1.77", "127.0.0.3", "127.0.0.200", "127.255.255.254")
    }
    assert words == {
        "127.0.0.2": "listed",
        "127.0.1.77": "listed",
        "127.0.0.3": "clear",
        "127.0.0.200": "error",
        "127.255.255.254": "clear",
    }
    assert finding(found("127.0.0.3", "127.0.0.2"), guard, **options).outcome == "listed"


def test_a_listing_tells_client_label_and_contact_and_never_the_zone(guard: Guard) -> None:
    resolver = Answers(
        {
            (ASKED, "A"): found("127.0.0.2"),
            (ASKED, "TXT"): found("see\r\n https://S3cretkey.LIST.test/q?1 \xe4"),
        }
    )
    check = make(resolver, guard, contact="https://lists.test/help")
    (seen,) = check.start(view(CLIENT), DEADLINE).result()
    assert CLIENT in seen.reason
    assert "spamlist" in seen.reason
    assert dict(seen.evidence) == {
        "client": CLIENT,
        "contact": "https://lists.test/help",
        "answers": "127.0.0.2",
        "text": "see?? https://spamlist/q?1 ?",
    }
    assert "s3cretkey" not in (repr(seen) + repr(check)).lower()
    assert "contact" not in dict(finding(found("127.0.0.2"), guard).evidence)


def test_evidence_is_bounded(guard: Guard) -> None:
    codes = [f"127.0.0.{last}" for last in range(2, 60)]
    resolver = Answers({(ASKED, "A"): found(*codes), (ASKED, "TXT"): found("x" * 5000, "y")})
    (seen,) = make(resolver, guard).start(view(CLIENT), DEADLINE).result()
    assert dict(seen.evidence)["answers"] == " ".join(codes[:8])
    assert len(dict(seen.evidence)["text"]) == 200
    seen = finding(found(*codes, "127.255.255.1"), guard)
    assert seen.outcome == "error"
    assert len(seen.reason) < 300


def test_the_list_s_text_is_asked_when_the_listing_is_known_and_not_waited_for(
    guard: Guard,
) -> None:
    resolver = Answers()
    pending = make(resolver, guard).start(view(CLIENT), DEADLINE)
    assert resolver.asked == [(ASKED, "A")]
    resolver.questions[ASKED, "A"].give(found("127.0.0.2"))
    assert resolver.asked[1:] == [(ASKED, "TXT")]
    (seen,) = pending.result()
    assert seen.outcome == "listed"
    assert "text" not in dict(seen.evidence)
    assert resolver.questions[ASKED, "TXT"].waits == [0.0]
    clear = Answers({(ASKED, "A"): NXDOMAIN})
    make(clear, guard).start(view(CLIENT), DEADLINE).result()
    assert clear.asked == [(ASKED, "A")]


def test_the_question_leaves_at_once_and_the_answer_is_collected_once(guard: Guard) -> None:
    resolver = Answers()
    pending = make(resolver, guard).start(view(CLIENT), DEADLINE)
    question = resolver.questions[ASKED, "A"]
    assert question.collected == 0
    first = pending.result()
    question.give(found("127.0.0.2"))
    assert pending.result() == first
    assert question.collected == 1


def test_ipv6_is_asked_by_nibbles_and_only_of_lists_that_know_it(guard: Guard) -> None:
    resolver = Answers()
    make(resolver, guard).start(view("2001:db8:1:2:3:4:567:89ab"), DEADLINE)
    name = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"  # RFC 5782 2.4
    assert resolver.asked == [(f"{name}.{ZONE}", "A")]
    only4 = make(resolver, guard, families=["ipv4"])
    assert only4.start(view("2001:db8::1"), DEADLINE).result() == ()
    assert len(resolver.asked) == 1


def test_exempt_clients_are_not_asked_about(guard: Guard) -> None:
    resolver = Answers()
    check = make(resolver, guard)
    for known in (view(OWN), view(None), view(CLIENT, channel="submission"), view(RELAY)):
        assert check.start(known, DEADLINE).result() == ()
    assert not check.applies(view(CLIENT, authenticated="alice"))
    assert make(resolver, guard, exempt_authenticated=False).applies(
        view(CLIENT, authenticated="alice")
    )
    assert resolver.asked == []


def test_behind_a_relay_the_first_untrusted_hop_is_asked_about(guard: Guard) -> None:
    resolver = Answers({(ASKED, "A"): found("127.0.0.2")})
    check = make(resolver, guard, Stage.HEADERS)
    header = b"Received: from h (n [192.0.2.1])\n\tby relay\n"
    (seen,) = check.start(view(RELAY, header=header), DEADLINE).result()
    assert seen.outcome == "listed"
    assert ("client", CLIENT) in seen.evidence
    resolver.asked.clear()
    assert check.start(view("192.0.2.99", header=header), DEADLINE).result() == ()
    assert resolver.asked == []


def test_a_list_that_is_set_aside_is_not_asked(tmp_path: Path) -> None:
    publish(tmp_path / "health.json", {"spamlist": ListHealth({"ipv4": "it lists everybody"})})
    resolver = Answers()
    check = make(resolver, Guard(tmp_path / "health.json"))
    (seen,) = check.start(view(CLIENT), DEADLINE).result()
    assert (seen.outcome, seen.band) == ("aside", "temperror")
    assert "it lists everybody" in seen.reason
    assert resolver.asked == []
    check.start(view("2001:db8::1"), DEADLINE)
    assert len(resolver.asked) == 1


def test_three_timeouts_in_a_row_rest_the_list_and_any_answer_begins_anew(guard: Guard) -> None:
    resolver = Answers()
    check = make(resolver, guard)
    for answer in (None, None, NXDOMAIN, None, None, None):
        pending = check.start(view(CLIENT), DEADLINE)
        if answer:
            resolver.questions[ASKED, "A"].give(answer)
        assert pending.result()[0].outcome == ("clear" if answer else "timeout")
    asked = len(resolver.asked)
    (seen,) = check.start(view(CLIENT), DEADLINE).result()
    assert (seen.outcome, seen.band) == ("aside", "temperror")
    assert len(resolver.asked) == asked


def test_the_questions_of_all_lists_leave_before_any_answer_is_collected(guard: Guard) -> None:
    resolver = Answers()
    lists = [
        dnsbl.make(label, dnsbl.parse({"zone": f"{label}.test"}, "x"), tools(resolver, guard))[0]
        for label in ("a", "b", "c", "d")
    ]
    pendings = [check.start(view(CLIENT), DEADLINE) for check in lists]
    assert len(resolver.asked) == 4
    assert not any(question.collected for question in resolver.questions.values())
    assert [pending.result()[0].check for pending in pendings] == [one.name for one in lists]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"mask": ["2001:db8::/32"]}, r"mask is .*expected a list of IPv4 networks"),
        ({"mask": []}, r"mask is \[\]; expected"),
        ({"errors": ["127.0.0.1/8"]}, r"errors is .*host bits set"),
        ({"health": "sometimes"}, r"health is 'sometimes'; expected one of rfc5782"),
        ({"families": ["ipv5"]}, r"families is \['ipv5'\]; expected a list of ipv4, ipv6"),
        ({"families": []}, r"families is \[\]"),
        ({"contact": "ü"}, r"contact is 'ü'; expected at most 200 ASCII"),
        ({"contact": 7}, r"contact is 7; expected"),
        ({"exempt_authenticated": 1}, r"exempt_authenticated is 1; expected true or false"),
        ({"zones": "x"}, r"zones is no setting; did you mean zone"),
    ],
)
def test_an_option_that_is_wrong_is_named_with_what_is_expected(
    options: dict[str, object], fault: str
) -> None:
    with pytest.raises(SettingsError, match=r"checks\.dnsbl\.spamlist\." + fault) as error:
        dnsbl.parse({"zone": ZONE, **options}, "checks.dnsbl.spamlist")
    assert ZONE not in str(error.value)


@pytest.mark.parametrize("zone", [None, "", "s3cret key", 7, "s3cret." * 40 + "test", "s3cret..x"])
def test_a_zone_that_is_none_is_an_error_that_does_not_quote_it(zone: object) -> None:
    with pytest.raises(SettingsError, match=r"checks\.dnsbl\.spamlist\.zone is missing") as error:
        dnsbl.parse({"zone": zone} if zone is not None else {}, "checks.dnsbl.spamlist")
    assert "s3cret" not in str(error.value)


def test_the_longest_zone_still_makes_a_name_and_the_options_do_not_show_it(guard: Guard) -> None:
    zone = ".".join(["z" * 59] * 3)
    settings = dnsbl.parse({"zone": zone}, "x")
    assert zone not in repr(settings)
    resolver = Answers()
    (check, *_more) = dnsbl.make("l", settings, tools(resolver, guard))
    check.start(view("2001:db8::1"), DEADLINE)
    assert len(resolver.asked[0][0]) <= 253
