"""`uribl/LABEL`: which links are asked about, of whose mail, and what is said of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from iems.codec.header import parse_header
from iems.dns.resolver import Answer, Status
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.store.spool import MemoryBody, Spooled
from milters.checks import uribl
from milters.checks.guard import Guard, ListHealth, publish
from milters.checks.protocol import Check, Stage, View
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, site, tools, view

CLIENT = "192.0.2.1"
ZONE = "s3cretkey.list.test"
DEADLINE = Deadline.after(60)
HTML = b"Content-Type: text/html\r\n"


def make(resolver: Answers, guard: Guard | None = None, **options: object) -> Check:
    """The check of one list."""
    settings = uribl.parse({"zone": ZONE, **options}, "checks.uribl.links")
    (check,) = uribl.make("links", settings, tools(resolver, guard))
    return check


def mail(body: str, header: bytes = b"", ip: str = CLIENT) -> View:
    """The view at the end of a message."""
    message = Spooled(header, MemoryBody(b"\r\n" + body.encode()))
    known = view(ip, header=header)
    return replace(known, header=parse_header(header), message=message)


def asked(body: str, header: bytes = b"", **options: object) -> list[str]:
    """What is asked about, without the zone."""
    resolver = Answers()
    make(resolver, None, **options).start(mail(body, header), DEADLINE)
    return [name.removesuffix(f".{ZONE}") for name, _rtype in resolver.asked]


def findings(resolver: Answers, body: str, **options: object) -> tuple[Finding, ...]:
    return make(resolver, None, **options).start(mail(body), DEADLINE).result()


def test_the_registered_domain_of_a_link_is_asked_about() -> None:
    for answer, outcome, band in (
        (found("127.0.1.2"), "listed", "listed"),
        (NXDOMAIN, "clear", ""),
        (found("127.255.255.254"), "error", "temperror"),
        (Answer(Status.SERVFAIL), "error", "temperror"),
        (Answer(Status.TIMEOUT), "timeout", "temperror"),
    ):
        resolver = Answers({(f"evil.co.uk.{ZONE}", "A"): answer})
        (seen,) = findings(resolver, "http://www.EVIL.co.uk/x")
        assert (seen.check, seen.outcome, seen.band) == ("uribl/links", outcome, band)
        assert ZONE not in repr(seen)
        if band:
            assert "linked host evil.co.uk" in seen.reason
            assert ("domain", "evil.co.uk") in seen.evidence
        if band == "listed":
            assert ("answers", "127.0.1.2") in seen.evidence
            assert resolver.asked[1] == (f"evil.co.uk.{ZONE}", "TXT")
    assert make(Answers()).stage is Stage.BODY


def test_all_names_of_a_message_have_the_time_of_one_question_together() -> None:
    resolver = Answers()
    assert findings(resolver, "http://a.test/ http://b.test/ http://c.test/")[0].band == "temperror"
    seconds = site().dns.timeout
    waits = [one.waits[0] for one in resolver.questions.values()]
    assert len(waits) == 3
    assert all(before >= after for before, after in itertools.pairwise([seconds, *waits]))


def test_the_whole_name_where_the_list_wants_it() -> None:
    body = "http://a.b.co.uk/ http://b.co.uk/"
    assert asked(body) == ["b.co.uk"]
    assert asked(body, ask="host") == ["a.b.co.uk", "b.co.uk"]
    assert asked("http://co.uk/ http://co.uk.test/") == ["uk.test"]


def test_addresses_in_links_are_asked_about_in_reverse_where_the_list_knows_them() -> None:
    body = "http://192.0.2.9/ http://0xC000020A/ http://[2001:db8::1]/"
    assert asked(body) == []
    assert asked(body, families=["ipv4"]) == ["9.2.0.192", "10.2.0.192"]
    (six,) = asked(body, families=["ipv6"])
    assert six.startswith("1.0.0.0.")
    resolver = Answers({(f"9.2.0.192.{ZONE}", "A"): found("127.0.0.2")})
    (seen,) = findings(resolver, body, families=["ipv4"])
    assert (seen.outcome, ("address", "192.0.2.9") in seen.evidence) == ("listed", True)


def test_bare_names_mail_addresses_and_what_is_skipped() -> None:
    body = "www.a.com b.org report.doc readme.nosuchtop x@c.com http://d.nosuchtop/ http://in.e.com"
    assert asked(body) == ["a.com", "b.org", "d.nosuchtop", "e.com"]
    assert asked(body, bare=False, skip=["E.com.", "a.com"]) == ["d.nosuchtop"]
    assert asked(body, mailto=True, skip=["com", "nosuchtop"]) == ["b.org"]
    assert "c.com" in asked(body, mailto=True)
    assert asked('<a href="//f.test">g.com', HTML) == ["f.test", "g.com"]


def test_each_name_once_in_the_order_of_the_message_and_no_more_than_most() -> None:
    body = " ".join(f"http://x{number % 30}.n{number % 30}.test/" for number in range(90))
    assert asked(body) == [f"n{number}.test" for number in range(20)]
    assert asked(body, most=3) == ["n0.test", "n1.test", "n2.test"]


def test_no_more_than_max_read_is_read_and_once_for_all_lists() -> None:
    text = "http://a.test/ " + " " * 2000 + "http://b.test/"
    assert asked(text, max_read=1024) == ["a.test"]
    reads: list[int] = []

    class Counted(MemoryBody):
        def pieces(self) -> Iterator[bytes]:
            reads.append(1)
            return super().pieces()

    known = replace(mail(""), message=Spooled(b"", Counted(b"\r\n" + text.encode())))
    for most in (2048, 4096, 4096, 2048):
        make(Answers(), max_read=most).start(known, DEADLINE)
    assert len(reads) == 2


def test_a_large_body_is_not_read_to_its_end() -> None:
    reads: list[int] = []

    class Large(MemoryBody):
        def pieces(self) -> Iterator[bytes]:
            for number in range(100):
                reads.append(number)
                yield b" " * 1024

    known = replace(mail(""), message=Spooled(b"", Large(b"")))
    make(Answers(), max_read=2048).start(known, DEADLINE)
    assert reads == [0, 1]


def test_a_body_that_cannot_be_read_is_no_verdict() -> None:
    class Broken(MemoryBody):
        def pieces(self) -> Iterator[bytes]:
            raise OSError("disk")

    known = replace(mail(""), message=Spooled(b"", Broken(b"")))
    (seen,) = make(Answers()).start(known, DEADLINE).result()
    assert (seen.outcome, seen.band) == ("temperror", "temperror")


def test_the_first_listed_link_speaks_for_all_and_errors_only_where_none_is() -> None:
    body = "http://a.test http://b.test http://c.test http://d.test"
    answers = {
        (f"a.test.{ZONE}", "A"): Answer(Status.TIMEOUT),
        (f"b.test.{ZONE}", "A"): found("127.0.0.1"),
        (f"c.test.{ZONE}", "A"): NXDOMAIN,
        (f"d.test.{ZONE}", "A"): found("127.0.0.2"),
    }
    for outcome, name in (("listed", "d"), ("error", "b"), ("timeout", "a"), ("clear", "")):
        (seen,) = findings(Answers(answers), body)  # type: ignore[arg-type]
        assert seen.outcome == outcome
        assert not name or ("domain", f"{name}.test") in seen.evidence
        answers[f"{name}.test.{ZONE}", "A"] = NXDOMAIN


def test_a_message_counts_as_one_question_for_the_health_of_its_list(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "health.json")
    body = " ".join(f"http://n{number}.test" for number in range(10))
    for outcome in ("timeout", "timeout", "timeout", "aside"):
        (seen,) = make(Answers(), guard).start(mail(body), DEADLINE).result()
        assert seen.outcome == outcome


def test_a_list_that_answers_about_one_of_the_names_lives(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "health.json")
    for _message in range(5):
        resolver = Answers({(f"b.test.{ZONE}", "A"): NXDOMAIN})
        (seen,) = (
            make(resolver, guard).start(mail("http://a.test http://b.test"), DEADLINE).result()
        )
        assert seen.outcome == "timeout"


def test_each_kind_is_set_aside_on_its_own(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    publish(file, {"uribl/links": ListHealth({"names": "it lists everybody"})})
    both, name = "http://a.test http://192.0.2.9", "http://a.test"
    for answer, outcome in ((NXDOMAIN, "aside"), (found("127.0.0.2"), "listed")):
        resolver = Answers({(f"9.2.0.192.{ZONE}", "A"): answer})
        check = make(resolver, Guard(file), families=["ipv4"])
        (seen,) = check.start(mail(both), DEADLINE).result()
        assert (seen.outcome, resolver.asked[0][0]) == (outcome, f"9.2.0.192.{ZONE}")
    resolver = Answers()
    (seen,) = make(resolver, Guard(file)).start(mail(name), DEADLINE).result()
    assert (seen.outcome, seen.band, resolver.asked) == ("aside", "temperror", [])


def test_its_test_entries_are_those_of_names_and_of_the_families() -> None:
    settings = uribl.parse({"zone": ZONE, "families": ["ipv4"]}, "x")
    assert {kind: one.names for kind, one in settings.entries().items()} == {
        "names": ("test", "invalid"),
        "ipv4": ("2.0.0.127", "1.0.0.127"),
    }
    assert uribl.health_key("links") == "uribl/links"


def test_no_links_no_finding_and_exempt_clients_are_not_read() -> None:
    resolver = Answers()
    assert findings(resolver, "no links at all") == ()
    check = make(resolver)
    body = "http://a.test"
    assert check.start(mail(body, ip=OWN), DEADLINE).result() == ()
    for known in (replace(mail(body), authenticated="alice"), replace(mail(body), channel="local")):
        assert not check.applies(known)
        assert check.start(known, DEADLINE).result() == ()
    assert resolver.asked == []
    check.start(mail(body, ip=RELAY), DEADLINE)
    assert resolver.asked == [(f"a.test.{ZONE}", "A")]


def test_a_name_that_does_not_fit_before_the_zone_is_not_asked_about() -> None:
    fits = ".".join([*["x" * 57] * 3, "x" * 59])
    assert len(f"{fits}.{ZONE}") == 253
    assert asked(f"http://{fits}/", ask="host") == [fits]
    assert asked(f"http://x{fits}/", ask="host") == []


def test_options_are_checked() -> None:
    for options, fault in (
        ({"families": ["ipv5"]}, r"families is \['ipv5'\]; expected a list of ipv4, ipv6"),
        ({"skip": ["a b"]}, r"skip is \['a b'\]; expected a list of domain names"),
        ({"ask": "url"}, r"ask is 'url'; expected one of domain, host"),
        ({"most": 0}, r"most is 0"),
        ({"max_read": 1}, r"max_read is 1"),
        ({"names": ["helo"]}, r"checks\.uribl\.links\.names is no setting"),
        ({"zone": "s3cret key"}, r"zone is missing or no zone"),
    ):
        with pytest.raises(SettingsError, match=fault) as error:
            uribl.parse({"zone": ZONE, **options}, "checks.uribl.links")
        assert "s3cret" not in str(error.value)
    assert ZONE not in repr(uribl.parse({"zone": ZONE}, "x"))
