"""Whose message it is, by its From fields: what some reader may see is what counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.author import MOST, authors
from tests.cost import costs_less


def domains(*fields: bytes | str) -> str:
    """The domains, and a `!` where there is a fault."""
    found = authors([one.encode() if isinstance(one, str) else one for one in fields])
    return " ".join((*found.domains, *(["!"] if found.fault else [])))


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (" joe@e.test", "e.test"),
        (" Joe <joe@E.Test>", "e.test"),
        (" joe@e.test.", "e.test"),
        (' "Joe, of (x" <joe@e.test>', "e.test"),
        (" Joe <joe@e.test> (at home (or not))", "e.test"),
        (" joe (x) @ (y) e (z) . test", "e.test"),
        (" joe@\r\n\te.test", "e.test"),
        (' "joe@a.test" <joe@e.test>', "e.test"),
        (" (joe@a.test) joe@e.test", "e.test"),
        (' "joe@a.test"@e.test', "e.test"),
        (r' "joe\"@a.test" <joe@e.test>', "e.test"),
        (" =?utf-8?q?joe=40a.test?= <joe@e.test>", "e.test"),
        (" Jürgen <j@bücher.test>", "xn--bcher-kva.test"),
        (b" J\xfcrgen <j@e.test>", "e.test"),
        (" me@home <joe@e.test>", "e.test"),
        (" joe@e.test, jane@E.test", "e.test"),
        (" joe@e.test, Jane <jane@f.test>", "e.test f.test"),
        (" All: joe@e.test, jane@f.test;", "e.test f.test"),
        (" joe@a.test <joe@e.test>", "a.test e.test"),
        (" <joe@a.test> <joe@e.test>", "a.test e.test"),
        (" joe@a.test@e.test", "a.test e.test"),
        (" <@a.test:joe@e.test>", "a.test e.test"),
        (" joe@a.test joe@e.test", "a.test e.test"),
        (r" joe\@a.test <joe@e.test>", "a.test e.test !"),
        (r' \" "<joe@a.test>" <joe@e.test>', "a.test e.test !"),
        (r" (\)) joe@e.test", "e.test"),
        (' "joe@a.test <joe@e.test>', "a.test e.test !"),
        (" joe@a.test) <joe@e.test>", "a.test e.test !"),
        (" (joe@a.test <joe@e.test>", "a.test e.test !"),
        (" <joe@a.test <joe@e.test>>", "a.test e.test !"),
        (" joe@e.test>", "e.test !"),
        (b" joe@e.test\0", "e.test !"),
        (b" joe@e.te\x01st", "e.te e.test !"),
        (b" joe@\x7fe.test", "e.test !"),
        (b" joe@e.test\rFrom: joe@a.test", "e.test a.test e.testfrom !"),
        (" joe@-e-.test", "!"),
        (b" joe@\xff.test", "!"),
        (" joe@[192.0.2.1]", "!"),
        (" joe@home", "!"),
        (" joe", "!"),
        (" undisclosed:;", "!"),
        (" =?utf-8?q?joe=40a.test?=", "!"),
        (" <>", "!"),
        ("", "!"),
    ],
)
def test_one_field(field: bytes | str, found: str) -> None:
    assert domains(field) == found


def test_one_field_is_expected() -> None:
    assert domains() == "!"
    assert domains(" joe@e.test", " joe@f.test") == "e.test f.test !"
    assert domains(" joe@e.test", " joe@e.test") == "e.test !"


def test_domains_are_bounded() -> None:
    many = [f"joe@d{number}.test" for number in range(MOST + 1)]
    assert domains(", ".join(many[:-1])).count("test") == MOST
    assert "!" not in domains(", ".join(many[:-1]))
    assert domains(", ".join(many)).endswith(f"d{MOST - 1}.test !")
    assert domains(*many).count("test") == MOST


def test_all_is_read_that_postfix_lets_through() -> None:
    assert domains("joe@e.test" + " " * 102_400 + "<joe@a.test>") == "e.test a.test"


@pytest.mark.parametrize("tail", [" " * 131_072 + "<joe@a.test>", ", joe@e" * 100 + ", joe@a.test"])
def test_what_is_not_read_is_a_fault(tail: str) -> None:
    assert domains("joe@e.test" + tail) == "e.test !"


@pytest.mark.parametrize("text", ["\u0301\u0323", "\xe9.", "@\xe9.\xe9"])
def test_letters_of_the_world_cost_no_more(text: str) -> None:
    with costs_less(1.0):
        domains(*[f"joe@{text * 20_000}"] * MOST)


@pytest.mark.parametrize("text", ["@a .", "(", "<", '"', "\\", "@", " ", "a@b.c,", "@a. ", "((@("])
def test_the_work_is_in_proportion(text: str) -> None:
    with costs_less(1.0):
        domains(text * 20_000)


@given(st.lists(st.binary(), max_size=3), st.text('@.<>"(),:;\\ \r\nab', max_size=40))
def test_any_bytes_are_authors_or_a_fault(fields: list[bytes], text: str) -> None:
    for found in (authors(fields), authors([text.encode()])):
        assert found.domains or found.fault
        assert all(domain.isascii() and domain == domain.lower() for domain in found.domains)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (" joe@e.test", "joe@e.test"),
        (" Joe <J.Doe@E.test>", "J.Doe@e.test"),
        (" joe (x) @ e.test", "joe@e.test"),
        (' "x@y.test" <joe@e.test>', "joe@e.test"),
        (" joe@e.test <joe@e.test>", "joe@e.test"),
        (' "joe"@e.test', "@e.test"),
        (' a."joe"@e.test', "@e.test"),
        (' "a" . joe@e.test', "@e.test"),
        (" a.(x)joe@e.test", "@e.test"),
        (f" a.{' ' * 300}joe@e.test", "@e.test"),
        (" a (x) .joe@e.test", "@e.test"),
        (" A. <joe@e.test>", "joe@e.test"),
        (" @e.test", "@e.test"),
        (f" {'x' * 256}@e.test", f"{'x' * 256}@e.test"),
        (f" {'x' * 257}@e.test", "@e.test"),
        (" j\u00fcrgen@e.test", "j\u00fcrgen@e.test"),
        (" joe@e.test, jane@e.test", "joe@e.test jane@e.test several"),
        (" joe@e.test, jane@home", "joe@e.test jane@home several"),
        (" joe@e.test@f.test", "joe@e.test e.test@f.test several"),
        (" joe@e.test>", "joe@e.test several"),
        (" joe@e.test, x@[192.0.2.1]", "joe@e.test several"),
        (' joe@"e".test', "several"),
        (" joe", "several"),
        (" " + ",".join(f"a{at}@e.test" for at in range(20)), None),
    ],
)
def test_the_addresses_and_whether_there_is_one_author(field: str, found: str | None) -> None:
    seen = authors([field.encode()])
    if found is None:
        assert len(seen.addresses) == MOST
        assert not seen.sole
        return
    told = [f"{local}@{domain}" for local, domain in seen.addresses]
    assert " ".join((*told, *([] if seen.sole else ["several"]))) == found


def test_two_from_fields_have_no_sole_author() -> None:
    assert not authors([b" joe@e.test", b" joe@e.test"]).sole
    assert not authors([]).sole
