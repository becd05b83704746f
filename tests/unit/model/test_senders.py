"""Entries of lists of senders: which one speaks of a message, and when it may allow it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.address import Address
from iems.model.envelope import parse_ip
from iems.model.senders import Facts, SenderEntry, entry_for

JOE = "joe@news.good.test"
HOSTS = ["good.test", "news.good.test", "a.news.good.test", "evil.test", "test", "bad.co.test"]
PATTERNS = [
    JOE,
    "jane@evil.test",
    *HOSTS[:4],
    ".good.test",
    ".news.good.test",
    ".test",
    "192.0.2.0/24",
    "192.0.2.7",
    "2001:db8::/32",
]
entries = st.builds(
    SenderEntry.parse,
    st.one_of(
        st.sampled_from([f"block {one}{end}" for one in PATTERNS for end in ("", " envelope")]),
        st.sampled_from([f"allow {one}" for one in PATTERNS]),
        st.sampled_from([f"allow {one} unverified" for one in PATTERNS]),
    ),
)
lists = st.lists(entries, max_size=6).map(lambda found: {one.pattern: one for one in found})
authors = st.tuples(st.sampled_from(["joe", "jane", ""]), st.sampled_from(HOSTS))


def registered(domain: str) -> str:
    """Two labels, where there are two: the public suffixes of these tests are single labels."""
    labels = domain.split(".")
    return ".".join(labels[-2:]) if len(labels) > 1 else ""


facts = st.builds(
    Facts,
    st.just(registered),
    envelope=st.none() | st.builds(Address, st.just("joe"), st.sampled_from(HOSTS)),
    proven=st.frozensets(st.sampled_from(HOSTS), max_size=2),
    authors=st.lists(authors, max_size=2).map(tuple),
    sole=st.booleans(),
    client=st.sampled_from(["192.0.2.7", "192.0.2.8", "2001:db8::1", "198.51.100.1"]).map(parse_ip),
)


def ruled(facts: Facts, *texts: str, hope: bool = False) -> str:
    found = [SenderEntry.parse(text) for text in texts]
    return str(entry_for({one.pattern: one for one in found}, facts, hope=hope) or "")


def mail(sender: str = "", *proven: str, author: str = "", client: str = "") -> Facts:
    local, _at, domain = author.partition("@")
    return Facts(
        registered,
        envelope=Address.parse(sender) if sender else None,
        proven=frozenset(proven),
        authors=((local, domain),) if author else (),
        sole=bool(author),
        client=parse_ip(client),
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("allow Joe@Good.Test", "allow joe@good.test"),
        ("allow joe@good.test unverified", "allow joe@good.test unverified"),
        ('block "joe x"@good.test', 'block "joe x"@good.test'),
        ("block Good.Test.", "block good.test"),
        ("block b\u00fccher.test", "block xn--bcher-kva.test"),
        ("allow .Test", "allow .test"),
        ("allow 192.0.2.1", "allow 192.0.2.1/32"),
        ("allow 192.0.2.0/24 unverified", "allow 192.0.2.0/24 unverified"),
        ("block 2001:DB8::/32", "block 2001:db8::/32"),
        ("block Joe@Good.Test envelope", "block joe@good.test envelope"),
    ],
)
def test_an_entry_has_one_form(text: str, written: str) -> None:
    assert str(SenderEntry.parse(text)) == written
    assert str(SenderEntry.parse(written)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "allow",
        "allow ",
        "deny good.test",
        "Allow good.test",
        "block good.test unverified",
        "allow good.test envelope",
        "block envelope",
        "allow unverified",
        "allow test",
        "allow *.good.test",
        "allow @good.test",
        "allow joe@",
        "allow 192.0.2.1/24",
        "allow 192.0.2.0/33",
        "allow good test",
        "allow .",
        "block " + "x" * 400,
    ],
)
def test_what_is_no_entry_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SenderEntry.parse(text)


@given(st.text())
def test_whatever_is_read_can_be_written(text: str) -> None:
    for word in ("allow", "block"):
        try:
            entry = SenderEntry.parse(f"{word} {text}")
        except ValueError:
            continue
        assert SenderEntry.parse(str(entry)) == entry


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        (mail(JOE), False),
        (mail(JOE, "news.good.test"), True),
        (mail(JOE, "good.test"), True),
        (mail(JOE, "evil.test"), False),
        (mail(JOE, "test"), False),
        (mail(author=JOE), False),
        (mail("", "good.test", author=JOE), True),
        (mail("x@evil.test", "evil.test", author=JOE), False),
        (mail("x@evil.test", "good.test", author=JOE), True),
    ],
)
def test_an_allow_entry_counts_where_the_sender_is_proven(facts: Facts, allowed: bool) -> None:
    for pattern in (JOE, "news.good.test", ".good.test"):
        assert bool(ruled(facts, f"allow {pattern}")) is allowed
        assert ruled(facts, f"allow {pattern} unverified")
        assert ruled(facts, f"block {pattern}")


def test_a_block_of_the_envelope_heeds_no_author() -> None:
    for pattern in (JOE, "news.good.test", ".good.test"):
        entry = f"block {pattern} envelope"
        assert ruled(mail(JOE, author="x@evil.test"), entry) == entry
        assert not ruled(mail("x@evil.test", author=JOE), entry)
        assert not ruled(mail("", author=JOE), entry)


@given(lists, facts)
def test_no_allow_entry_counts_without_proof(senders: dict[str, SenderEntry], seen: Facts) -> None:
    entry = entry_for(senders, seen)
    if entry is None or not entry.allows or "/" in entry.pattern or entry.unverified:
        return
    domains = {seen.envelope.domain} if seen.envelope else set()
    domains |= {domain for _local, domain in seen.authors} if seen.sole else set()
    behind = {registered(one) for one in seen.proven} - {""}
    assert any(registered(one) in behind or one in seen.proven for one in domains)


@given(lists, facts, facts)
def test_one_of_several_authors_allows_nothing(
    senders: dict[str, SenderEntry], seen: Facts, other: Facts
) -> None:
    """With or without proof: From that names several is as good as From that names none."""
    several = Facts(registered, None, seen.proven, (*seen.authors, *other.authors), sole=False)
    entry = entry_for(senders, several)
    assert entry is None or not entry.allows


@given(lists, facts)
def test_a_block_entry_needs_no_proof(senders: dict[str, SenderEntry], seen: Facts) -> None:
    """What is proven makes no difference where nothing is allowed."""
    blocks = {one.pattern: one for one in senders.values() if not one.allows}
    bare = Facts(registered, seen.envelope, frozenset(), seen.authors, seen.sole, seen.client)
    assert entry_for(blocks, seen) == entry_for(blocks, bare)


@given(lists, facts)
def test_hope_is_never_less_than_what_is_known(
    senders: dict[str, SenderEntry], seen: Facts
) -> None:
    known, hoped = entry_for(senders, seen), entry_for(senders, seen, hope=True)
    if known is not None and known.allows:
        assert hoped is not None
        assert hoped.allows
    if known is None:
        assert hoped is None or hoped.allows


def test_the_more_exact_entry_counts() -> None:
    seen = mail(JOE, "good.test", client="192.0.2.7")
    order = [JOE, "news.good.test", ".good.test", ".test", "192.0.2.0/24", "0.0.0.0/0"]
    for at, pattern in enumerate(order):
        for word in ("allow", "block"):
            other = "block" if word == "allow" else "allow"
            below = [f"{other} {one}" for one in order[at + 1 :]]
            assert ruled(seen, *below, f"{word} {pattern}") == str(
                SenderEntry.parse(f"{word} {pattern}")
            )


def test_of_two_that_are_as_exact_the_block_counts() -> None:
    seen = mail(JOE, "good.test", author="jane@evil.test")
    assert ruled(seen, "allow news.good.test", "block evil.test") == "block evil.test"
    assert ruled(seen, f"allow {JOE}", "block evil.test") == f"allow {JOE}"


def test_a_name_below_a_domain_is_not_the_domain() -> None:
    assert ruled(mail("a@good.test"), "block .good.test") == ""
    assert ruled(mail("a@xgood.test"), "block good.test", "block .good.test") == ""
    assert ruled(mail("a@x.good.test"), "block good.test") == ""


def test_a_client_proves_itself() -> None:
    assert ruled(mail(client="192.0.2.7"), "allow 192.0.2.0/24")
    assert ruled(mail(client="::ffff:192.0.2.7"), "allow 192.0.2.0/24")
    assert not ruled(mail(client="192.0.3.7"), "allow 192.0.2.0/24")
    assert not ruled(mail(JOE), "allow 192.0.2.0/24")


@pytest.mark.parametrize(
    ("entry", "waits"),
    [
        ("allow good.test", True),
        ("allow jane@other.good.test", True),
        ("allow .news.good.test", True),
        ("allow .test", True),
        ("allow evil.test", False),
        ("allow xgood.test", False),
        ("allow 192.0.2.0/24", False),
        ("block good.test", False),
    ],
)
def test_what_header_or_dkim_may_still_allow(entry: str, waits: bool) -> None:
    """An entry of the organisational domain of the envelope sender."""
    assert bool(ruled(mail("joe@x.good.test"), entry, hope=True)) is waits
    assert not ruled(mail(), entry, hope=True)


def test_a_network_is_found_whatever_its_length() -> None:
    for client in ("192.0.2.7", "2001:db8::7"):
        address = ipaddress.ip_address(client)
        for length in range(address.max_prefixlen + 1):
            network = ipaddress.ip_network((client, length), strict=False)
            assert ruled(mail(client=client), f"block {network}") == f"block {network}"
