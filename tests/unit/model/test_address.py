"""Addresses compare with the domain as lower-case A-label and the local part in NFC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.address import Address, AddressError


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
    ],
)
def test_parse(text: str, key: str) -> None:
    assert Address.parse(text).key == key


@pytest.mark.parametrize(
    "text",
    ["", "<>", "alice", "@example.test", "a@", "a@b..c", "a@-b.test", "a\n@b.test", "a@b\x00.test",
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
