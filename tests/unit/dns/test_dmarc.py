"""The tree walk: which record is for a domain, and whose the domain is (RFC 9989 section 4.10)."""

from __future__ import annotations

import pytest

from iems.dns.dmarc import DnsError, Tree
from iems.dns.suffixes import Suffixes
from iems.dns.zonefile import ZoneResolver
from iems.serve.deadline import Deadline
from tests.unit.checks.world import Answers

SUFFIXES = Suffixes()
DEADLINE = Deadline.after(60)
ZONE = """
_dmarc.example.com TXT "v=DMARC1; p=reject"
_dmarc.own.example.com TXT "v=DMARC1; p=none"
_dmarc.apart.example.com TXT "v=DMARC1; p=none; psd=n"
_dmarc.two.example.com TXT "v=DMARC1; p=none"
_dmarc.two.example.com TXT "v=DMARC1; p=reject"
_dmarc.other.example.com TXT "hello"
_dmarc.broken.example.com TXT "v=DMARC1; p=moo"
_dmarc.bank TXT "v=DMARC1; p=reject; psd=y"
_dmarc.first.bank TXT "v=DMARC1; p=none"
_dmarc.co.uk TXT "v=DMARC1; p=quarantine"
_dmarc.shops.test TXT "v=DMARC1; p=none; psd=y"
_dmarc.sub.only.test TXT "v=DMARC1; p=none"
_dmarc.lost.test TXT SERVFAIL
_dmarc.g.f.e.d.c.b.long.test TXT "v=DMARC1; p=none"
_dmarc.f.e.d.c.b.long.test TXT "v=DMARC1; p=none"
"""


def tree() -> Tree:
    """The tree of a message."""
    return Tree(ZoneResolver(ZONE, whole=True), SUFFIXES)


@pytest.mark.parametrize(
    ("domain", "place"),
    [
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("own.example.com", "own.example.com"),
        ("a.own.example.com", "example.com"),
        ("a.apart.example.com", "apart.example.com"),
        ("two.example.com", "example.com"),
        ("other.example.com", "example.com"),
        ("broken.example.com", "broken.example.com"),
        ("first.bank", "first.bank"),
        ("second.bank", "bank"),
        ("a.second.bank", "bank"),
        ("bank", "bank"),
        ("shop.co.uk", "co.uk"),
        ("none.test", ""),
        ("test", ""),
    ],
)
def test_the_record_of_a_domain(domain: str, place: str) -> None:
    found = tree().policy(domain, DEADLINE)
    assert (found.domain if found else "") == place


@pytest.mark.parametrize(
    ("domain", "organisation"),
    [
        ("a.b.example.com", "example.com"),
        ("a.own.example.com", "example.com"),
        ("a.apart.example.com", "apart.example.com"),
        ("a.b.second.bank", "second.bank"),
        ("a.first.bank", "first.bank"),
        ("bank", "bank"),
        ("c.b.a.shops.test", "a.shops.test"),
        ("shops.test", "shops.test"),
        ("a.sub.only.test", "sub.only.test"),
        ("a.none.test", "a.none.test"),
        ("a.shop.co.uk", "shop.co.uk"),
    ],
)
def test_whose_a_domain_is(domain: str, organisation: str) -> None:
    assert tree().organisation(domain, DEADLINE) == organisation


def test_a_public_suffix_without_a_word_of_its_own_is_nobody_s_domain() -> None:
    """Those who have names below it are not one organisation, whatever record stands at it."""
    zone = '_dmarc.github.io TXT "v=DMARC1; p=reject"'
    shared = Tree(ZoneResolver(zone, whole=True), SUFFIXES)
    assert shared.organisation("a.github.io", DEADLINE) == "a.github.io"
    said = Tree(ZoneResolver(zone.replace("p=", "psd=n; p="), whole=True), SUFFIXES)
    assert said.organisation("a.github.io", DEADLINE) == "github.io"


def test_a_name_that_cannot_be_asked_for_is_an_error_where_it_counts() -> None:
    with pytest.raises(DnsError, match=r"_dmarc\.lost\.test TXT: servfail"):
        tree().policy("a.lost.test", DEADLINE)
    zone = '_dmarc.a.test TXT "v=DMARC1; p=none"\n_dmarc.test TXT TIMEOUT'
    walk = Tree(ZoneResolver(zone, whole=True), SUFFIXES)
    assert walk.policy("a.test", DEADLINE) is not None
    with pytest.raises(DnsError):
        walk.organisation("a.test", DEADLINE)
    ended = Tree(ZoneResolver(zone.replace("p=", "psd=n; p="), whole=True), SUFFIXES)
    assert ended.organisation("b.a.test", DEADLINE) == "a.test"


def test_eight_names_are_asked_for_at_once_and_each_once() -> None:
    resolver = Answers()
    asking = Tree(resolver, SUFFIXES)
    asking.ask("j.i.h.g.f.e.d.c.b.test")
    asking.ask("b.test")
    assert [name for name, _rtype in resolver.asked] == [
        "_dmarc.j.i.h.g.f.e.d.c.b.test",
        "_dmarc.g.f.e.d.c.b.test",
        "_dmarc.f.e.d.c.b.test",
        "_dmarc.e.d.c.b.test",
        "_dmarc.d.c.b.test",
        "_dmarc.c.b.test",
        "_dmarc.b.test",
        "_dmarc.test",
    ]
    asking.ask(".".join(["x" * 60] * 4) + ".long.test")
    assert len(resolver.asked) == 12


@pytest.mark.parametrize(
    ("records", "exists"),
    [
        ("", False),
        ("a.test TXT x", False),
        ("a.test AAAA ::1", True),
        ("a.test A 192.0.2.1", True),
        ("a.test MX 0 .", True),
        ("a.test A NODATA\na.test AAAA SERVFAIL\na.test MX NODATA", True),
    ],
)
def test_what_has_neither_address_nor_exchanger_does_not_exist(
    records: str,
    exists: bool,
) -> None:
    resolver = ZoneResolver(records, whole=True)
    assert Tree(resolver, SUFFIXES).exists("a.test", DEADLINE) is exists
