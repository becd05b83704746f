"""check_host(): the cases of `spf/`, what no record may contain, and what no record may cost.

Each file of `spf/` holds cases, stated from the text of RFC 7208: `= SECTION: what it is about`,
the zone (what is not in it does not exist), and `> OUTCOME` with what differs from the client
192.0.2.1, who says `HELO mail.e.test` and `MAIL FROM:<joe@e.test>`; `! TEXT` is the explanation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.spf import LONGEST
from iems.dns.resolver import Answer, Rtype
from iems.dns.spf import Evaluation, Identity, Records, Result
from iems.dns.zonefile import ZoneResolver
from iems.serve.deadline import Deadline
from tests.cost import costs_less
from tests.unit.checks.world import Answers, found

FOLDER = Path(__file__).parent / "spf"
CLIENT, SENDER, HELO = "192.0.2.1", "joe@e.test", "mail.e.test"
TWICE = ["redirect=e.test redirect=e.test", "exp=e.test exp=e.test", "Exp=e.test eXP=e.test"]

POINTER = "1.2.0.192.in-addr.arpa"
Zone = dict[tuple[str, Rtype], Answer]
WHO = Identity.of(ipaddress.ip_address(CLIENT), SENDER, HELO, "here")
OUTCOMES = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}


@dataclass
class Case:
    """One question and the answer of the RFC."""

    about: str
    zone: list[str] = field(default_factory=list)
    outcome: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    explanation: str = ""

    def __str__(self) -> str:
        return self.about


def cases() -> Iterator[Case]:
    """All of them."""
    for file in sorted(FOLDER.glob("*.cases")):
        for block in file.read_text().split("\n= ")[1:]:
            about, *lines = block.splitlines()
            case = Case(about)
            for line in lines:
                if line.startswith("> "):
                    case.outcome, *facts = line[2:].split()
                    case.facts = dict(fact.split("=", 1) for fact in facts)
                elif line.startswith("! "):
                    case.explanation = line[2:]
                else:
                    case.zone.append(line)
            yield case


def faults() -> list[str]:
    """The terms of `spf/faults`, and some that are too long for it."""
    words = (FOLDER / "faults").read_text().partition("\n\n")[2].split()
    return [*words, *TWICE, f"a/{'1' * 5000}", f"ip4:{'1' * 5000}"]


def check(zone: str, ip: str = CLIENT, sender: str = SENDER, helo: str = HELO) -> Result:
    """The result where this zone is all there is."""
    who = Identity.of(ipaddress.ip_address(ip), sender, helo, "mx.here.test")
    resolver = ZoneResolver(zone, whole=True)
    return Evaluation(resolver, who, Records(), lambda: 1e9).result(Deadline.after(60))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_the_rfc_s(case: Case) -> None:
    result = check("\n".join(case.zone), **case.facts)
    assert (result.outcome, result.explanation) == (case.outcome, case.explanation)


@pytest.mark.parametrize("term", faults())
def test_a_fault_anywhere_is_the_result(term: str) -> None:
    """Section 4.6: before anything is evaluated, so also behind a match."""
    result = check(f'e.test TXT "v=spf1 +all {term}"')
    assert result.outcome == "permerror"
    assert term[:60].split(" ")[-1][:60] in result.problem
    included = f'e.test TXT "v=spf1 include:i.test -all"\ni.test TXT "v=spf1 +all {term}"'
    assert check(included).outcome == "permerror"


def test_what_the_terms_need_is_asked_together_and_no_more_than_that() -> None:
    text = "v=spf1 a include:i.test exists:%{p}.test ptr mx ip4:192.0.2.0/24 a:late.test -all"
    resolver = Answers({("e.test", "TXT"): found(text)})
    evaluation = Evaluation(resolver, WHO, Records())
    assert resolver.asked == [("e.test", "TXT")]
    assert evaluation.result(Deadline.after(0)).outcome == "temperror"
    assert resolver.asked[1:] == [
        ("e.test", "A"),
        ("i.test", "TXT"),
        (POINTER, "PTR"),
        ("e.test", "MX"),
    ]


def test_hosts_of_an_mx_and_names_of_a_client_are_asked_together() -> None:
    hosts = [f"m{number}.test" for number in range(3)]
    answers: Zone = {
        ("e.test", "TXT"): found("v=spf1 ptr mx -all"),
        ("e.test", "MX"): found(*(f"10 {host}" for host in hosts)),
        (POINTER, "PTR"): found("a.e.test", "b.e.test"),
    }
    resolver = Answers(answers)
    assert Evaluation(resolver, WHO, Records()).result(Deadline.after(0)).outcome == "temperror"
    asked = [name for name, rtype in resolver.asked if rtype == "A"]
    assert asked == ["a.e.test", "b.e.test", *hosts]


def test_no_name_is_asked_twice() -> None:
    answers: Zone = {("e.test", "TXT"): found("v=spf1 a a:E.test a:e.test. ptr ptr:%{p} -all")}
    answers["e.test", "A"] = found("192.0.2.9")
    resolver = Answers({**answers, (POINTER, "PTR"): found("E.test")})
    assert Evaluation(resolver, WHO, Records()).result(Deadline.after(60)).outcome == "fail"
    assert len(resolver.asked) == len(set(resolver.asked)) == 3


def test_a_record_cannot_ask_without_end() -> None:
    """10 hosts for each of 10 MX, and the 10 names of the client, are the most."""
    answers: Zone = {
        ("e.test", "TXT"): found(f"v=spf1 ptr:%{{p}} {'mx:%{p}.x mx:d.test ' * 50}-all")
    }
    many = [f"m{number}.test" for number in range(10)]
    answers["d.test", "MX"] = found(*(f"10 {name}" for name in many))
    answers[POINTER, "PTR"] = found(*(f"p{number}.test" for number in range(60)))
    resolver = Answers(answers)
    Evaluation(resolver, WHO, Records()).result(Deadline.after(0))
    chain: Zone = {
        (f"i{n}.test", "TXT"): found("v=spf1 " + "".join(f"include:i{n}.test " for n in range(60)))
        for n in range(60)
    }
    deep = Answers({("e.test", "TXT"): chain["i0.test", "TXT"], **chain})
    assert Evaluation(deep, WHO, Records()).result(Deadline.after(60)).outcome == "permerror"
    assert len(deep.asked) < 60
    assert len(resolver.asked) < 60


@pytest.mark.parametrize(
    "text",
    [
        "a:x." + "a" * 15_000 + "!",
        "a:x." + "a-" * 7_000 + "!",
        "exists:%%" + ".a" * 7_000 + ".%{d}",
        "exists:" + "%{s.-+,/_=}" * 1_400 + ".%{d}",
        "exists:" + "%{p}" * 3_900 + ".%{d}",
        "a:" + "a." * 7_000 + "%",
        "ip4:1.2.3.4 " * 1_300,
        "x=%{d} " * 2_300,
        "a/1//" * 3_000,
        "-" * 16_000,
        "%" * 16_000,
    ],
)
def test_no_record_costs_more_than_a_blink(text: str) -> None:
    """Regular expressions that go back, expansions that grow: none of it is in proportion."""
    zone = f'e.test TXT "v=spf1 {text} -all"\n{POINTER} PTR mail.test\nmail.test A 192.0.2.1'
    assert len(text) < LONGEST
    with costs_less(0.5):
        assert check(zone).outcome in OUTCOMES


def test_a_record_of_any_length_is_not_read() -> None:
    assert check(f'e.test TXT "v=spf1 {"x=1 " * 4000}+all"').outcome == "pass"
    assert check(f'e.test TXT "v=spf1 {"x=1 " * LONGEST}+all"').outcome == "permerror"


def test_what_is_told_is_printable_and_bounded() -> None:
    said = check('e.test TXT "v=spf1 -all exp=x.test"\nx.test TXT "%{l}' + "x" * 999 + '"')
    assert len(said.explanation) == 200
    faulty = check(f'e.test TXT "v=spf1 \x07{"y" * 999}"')
    assert faulty.problem.isprintable()
    assert len(faulty.problem) <= 200
    quoted = check(
        'e.test TXT "v=spf1 -all exp=x.test"\nx.test TXT "%{l}"', sender='"a\x7f\\\x1b"@e.test'
    )
    assert quoted.explanation == "a??"


def test_many_threads_do_not_hear_of_each_other() -> None:
    """Each domain authorises one client, and says so with its own name."""
    zone = "\n".join(
        f'd{n}.test TXT "v=spf1 exists:%{{l}}.%{{i}}.d{n}.test -all exp=x.d{n}.test"\n'
        f'u{n}.192.0.2.{n}.d{n}.test A 127.0.0.2\nx.d{n}.test TXT "%{{o}} %{{l}}"'
        for n in range(100)
    )
    resolver, records = ZoneResolver(zone, whole=True), Records()

    def one(number: int) -> tuple[str, str]:
        n, good = number % 100, number % 2
        address = ipaddress.ip_address(f"192.0.2.{n if good else 200}")
        who = Identity.of(address, f"u{n}@d{n}.test", HELO, "here")
        result = Evaluation(resolver, who, records).result(Deadline.after(60))
        return result.outcome, result.explanation

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(2000)))
    for number, result in enumerate(results):
        n = number % 100
        assert result == (("pass", "") if number % 2 else ("fail", f"d{n}.test u{n}"))


def test_the_deadline_holds() -> None:
    """What never answers is a temporary error, whatever the terms."""
    silent = Answers({("e.test", "TXT"): found("v=spf1 a mx exists:x.test include:y.test -all")})
    assert Evaluation(silent, WHO, Records()).result(Deadline.after(0)).outcome == "temperror"
    (waits,) = silent.questions["e.test", "A"].waits
    assert waits == 0


_RECORDS = st.text(
    st.sampled_from(list("vspf1=amxptr:ip46/.-+~?%{}dlsohict _=exincludrallé\x00\x7f0123456789"))
)


@given(_RECORDS, _RECORDS, st.text(), st.text())
def test_any_text_has_an_outcome(record: str, other: str, sender: str, helo: str) -> None:
    records: Zone = {
        ("e.test", "TXT"): found("v=spf1 " + record),
        ("e.test", "A"): found(other, "192.0.2.9"),
        ("e.test", "MX"): found(other, "x y z"),
        (POINTER, "PTR"): found(other, "e.test"),
    }
    for mail in (f"{sender}@e.test", sender):
        who = Identity.of(ipaddress.ip_address(CLIENT), mail, helo, "here")
        result = Evaluation(Answers(records), who, Records()).result(Deadline.after(0))
        assert result.outcome in OUTCOMES
        for text in (result.mechanism, result.problem, result.explanation):
            assert text.isascii()
            assert len(text) <= 200
