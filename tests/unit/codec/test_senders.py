"""Who sent a message, from what checks found: what proves a domain, and whose address counts."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.senders import facts
from iems.model.address import Address
from iems.model.finding import Finding
from iems.model.senders import Facts

JOE = Address.parse("joe@a.test")
RELAYS = [ipaddress.ip_network("198.51.100.0/24")]


def seen(*findings: Finding, client: str = "192.0.2.1", author: bytes | None = None) -> Facts:
    fields = None if author is None else [author]
    return facts(findings, JOE, client, RELAYS, str, fields)


def found(check: str, outcome: str, *evidence: tuple[str, str]) -> Finding:
    return Finding(check, outcome, evidence=evidence)


@pytest.mark.parametrize(
    ("finding", "domain"),
    [
        (found("spf", "pass", ("smtp.mailfrom", "A.test")), "a.test"),
        (found("spf", "pass", ("smtp.mailfrom", "x@a.test")), "a.test"),
        (found("spf", "pass", ("smtp.helo", "a.test")), ""),
        (found("spf", "pass"), ""),
        (found("spf", "fail", ("smtp.mailfrom", "a.test")), ""),
        (found("spf", "softfail", ("smtp.mailfrom", "a.test")), ""),
        (found("spf", "neutral", ("smtp.mailfrom", "a.test")), ""),
        (found("dkim", "pass", ("header.d", "a.test"), ("header.s", "b.test")), "a.test"),
        (found("dkim", "fail", ("header.d", "a.test")), ""),
        (found("dkim", "none"), ""),
        (found("dmarc", "pass", ("header.from", "a.test")), ""),
        (found("arc", "pass", ("header.d", "a.test")), ""),
    ],
)
def test_what_proves_a_domain(finding: Finding, domain: str) -> None:
    assert seen(finding).proven == ({domain} if domain else set())


def test_who_sent_it() -> None:
    bare = seen()
    assert bare.envelope == JOE
    assert (bare.authors, bare.sole) == ((), False)
    whole = seen(author=b" Jane <jane@b.test>")
    assert (whole.authors, whole.sole) == ((("jane", "b.test"),), True)
    both = seen(author=b" jane@b.test, joe@a.test")
    assert (both.authors, both.sole) == ((("jane", "b.test"), ("joe", "a.test")), False)


def test_behind_a_trusted_relay_it_is_the_hop_before() -> None:
    spf = found("spf", "none", ("client", "192.0.2.9"))
    assert str(seen().client) == "192.0.2.1"
    assert str(seen(spf).client) == "192.0.2.1"
    assert seen(client="198.51.100.1").client is None
    assert str(seen(spf, client="198.51.100.1").client) == "192.0.2.9"
    assert seen(client="").client is None
    assert seen(client="[UNAVAILABLE]").client is None


@given(st.lists(st.text()), st.binary(), st.text())
def test_nothing_hostile_raises(texts: list[str], author: bytes, client: str) -> None:
    findings = [found("spf", "pass", ("smtp.mailfrom", one), ("client", one)) for one in texts]
    assert seen(*findings, client=client, author=author).matches is not None
