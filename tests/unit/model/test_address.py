"""Addresses compare with the domain as lower-case A-label and the local part in NFC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.address import Address, AddressError, domain_name

LONG = ".".join(["d" * 61] * 4 + ["x"])
"""249 characters: with a local part of 70 an address of 320, the most there may be."""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Alice@Example.TEST", "alice@example.test"),
        ("<alice@example.test>", "alice@example.test"),
        ('"alice"@example.test', "alice@example.test"),
        ('"a b"@example.test', "a b@example.test"),
        (r'"a\"b"@example.test', 'a"b@example.test'),
        ("andré@bücher.example", "andré@xn--bcher-kva.example"),
        ("andre\u0301@example.test", "andr\u00e9@example.test"),
        ("<@relay.example:bob@example.test>", "bob@example.test"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@example.test.", "a@example.test"),
        ("<a@example.test", "<a@example.test"),
        ("a:b@example.test", "a:b@example.test"),
        ('"a@example.test', '"a@example.test'),
        ('a"@example.test', 'a"@example.test'),
        ('"@example.test', '"@example.test'),
        ("a@b@example.test", "a@b@example.test"),
        ("a\ud7ff\ue000@example.test", "a\ud7ff\ue000@example.test"),
        ("a" * 256 + "@b.test", "a" * 256 + "@b.test"),
        ("a" * 70 + "@" + LONG, "a" * 70 + "@" + LONG),
    ],
)
def test_parse(text: str, key: str) -> None:
    assert Address.parse(text).key == key


@pytest.mark.parametrize(
    "text",
    ["", "<>", "alice", "@example.test", "a@", "a@b..c", "a@-b.test", "a\n@b.test", "a@b\x00.test",
     "ab@b.test>", "a\x1f@b.test", "a\x7f@b.test", "a\ud800@b.test",
     "a" * 257 + "@b.test", "a" * 71 + "@" + LONG, "@relay.example", '""@b.test',
     "a@" + "x" * 64 + ".test", "a@" + "b" * 400, "a@ü" + "x" * 300, "\udcff@b.test"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(text)


def test_the_default_domain_completes() -> None:
    assert Address.parse("postmaster", default_domain="mail.example.test").role
    assert (
        str(Address.parse("root", default_domain="mail.example.test")) == "root@mail.example.test"
    )


def test_without_a_domain_there_is_no_address() -> None:
    with pytest.raises(AddressError, match="no domain in 'alice'"):
        Address.parse("alice")


@pytest.mark.parametrize(
    ("local", "text"),
    [
        ("a.b", "a.b@x.test"),
        ("a b", '"a b"@x.test'),
        ("a..b", '"a..b"@x.test'),
        ('a"\\b', r'"a\"\\b"@x.test'),
        ("", '""@x.test'),
    ],
)
def test_a_local_part_is_quoted_where_it_must_be(local: str, text: str) -> None:
    assert str(Address(local, "x.test")) == text


def test_role_addresses_are_known_in_any_case() -> None:
    assert Address.parse("PostMaster@x.test").role
    assert Address.parse("ABUSE@x.test").role
    assert not Address.parse("postmasters@x.test").role


def test_the_lengths_of_a_domain_name_and_its_labels() -> None:
    label = "a" * 63
    assert domain_name(f" {label}.Test. ") == f"{label}.test"
    longest = ".".join([label, label, label, "a" * 61])
    assert domain_name(longest) == longest
    for text in (f"{label}a.test", f"{longest}a", "a.b\nc"):
        with pytest.raises(AddressError):
            domain_name(text)


def test_extension() -> None:
    base = Address.parse("alice+lists@example.test").without_extension()
    assert base == Address.parse("alice@example.test")
    assert Address.parse("alice@example.test").without_extension() is None
    assert Address.parse("+x@example.test").without_extension() is None


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
def test_every_local_part_survives_printing(local: str) -> None:
    quoted = local.replace("\\", "\\\\").replace('"', '\\"')
    address = Address.parse(f'"{quoted}"@example.test')
    assert Address.parse(str(address)).key == address.key
