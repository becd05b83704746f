"""Authentication-Results: ours are printed after RFC 8601, others' ids are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.authres import authentication_results, authserv_id, claims, results
from iems.model.finding import Finding


def test_one_result_a_line() -> None:
    seen = (
        Finding("dnsbl/x", "fail", "listed"),
        Finding("iprev", "fail", "mismatch", 'no "name"', None, (("policy.iprev", "192.0.2.1"),)),
    )
    assert authentication_results("mx.example", seen) == (
        b'mx.example;\r\n\tiprev=fail reason="no \\"name\\"" policy.iprev=192.0.2.1'
    )


def test_only_properties_are_printed_and_quoted_where_they_are_no_token() -> None:
    evidence = (("policy.iprev", "2001:db8::1"), ("name", "x"), ("policy.x", 'a "b\\'))
    seen = (Finding("iprev", "pass", "", "", None, evidence), Finding("iprev", "x", "", "a\\b"))
    assert authentication_results("mx.example", seen) == (
        b"mx.example;\r\n\tiprev=pass policy.iprev=2001:db8::1 "
        b'policy.x="a \\"b\\\\";\r\n\tiprev=x reason="a\\\\b"'
    )
    strange = (Finding("iprev", "p\u00e4ss"),)
    assert authentication_results("mx.example", strange) == b"mx.example;\r\n\tiprev=p?ss"


def test_no_method_is_none() -> None:
    assert authentication_results("mx.example", ()) == b"mx.example;\r\n\tnone"


@pytest.mark.parametrize(
    "value",
    [
        b"mx.example; iprev=pass",
        b" MX.Example 1; none",
        b'"mx.example"; none',
        b"(a (nested) comment) mx.example; none",
        b"\r\n\tmx.example\r\n\t; none",
        b"mx.example(x); none",
        b"mx.example(x)1; none",
        b"(a;b) mx.example; none",
        b"(a \\) b) mx.example; none",
        b") mx.example; none",
        b'("not quoted) mx.example; none',
        b'"MX.ex\\ample"; none',
        b'"mx.example',
    ],
)
def test_the_id_is_found_however_it_is_written(value: bytes) -> None:
    assert authserv_id(value) == b"mx.example"


@pytest.mark.parametrize(
    "value", [b"", b"; none", b"(mx.example; none", b'""; mx.example', b"\r\n\t"]
)
def test_where_there_is_no_id(value: bytes) -> None:
    assert authserv_id(value) == b""


def test_a_quoted_id_may_hold_what_would_end_it_elsewhere() -> None:
    assert authserv_id(b'"a;(b"; none') == b"a;(b"


@pytest.mark.parametrize(
    "value",
    [
        b"mx.example",
        b"MX.Example; none",
        b"mx.example.; none",
        b"mx.example/1; none",
        b"mx.example, other.test; none",
        b"mx.example=1; none",
        b": mx.example; none",
        b"=?utf-8?q?mx.example?=; none",
        b"mx.\0example; none",
        b"mx.\rexample; none",
        b"mx.\x0bexample; none",
        b"mx.example\xa0; none",
        "mx\u3002exa\u00admple; none".encode(),
        "\uff4dx.example; none".encode(),
        "\U000e0001.test; none".encode(),
        b"x" * 1001 + b"; none",
        b"; none",
        b"",
    ],
)
def test_what_a_reader_may_take_for_ours_claims_to_be(value: bytes) -> None:
    assert claims(value, "mx.example")


@pytest.mark.parametrize(
    "value",
    [
        b"mx.example.test; none",
        b"other.mx.example; none",
        b"mx; none",
        b"other.test/mx.example; none",
        b"x" * 1000 + b"; none",
        "b\u00fccher.example; none".encode(),
    ],
)
def test_others_claim_nothing(value: bytes) -> None:
    assert not claims(value, "mx.example")


def test_an_id_in_utf8_is_compared_as_an_a_label() -> None:
    assert claims("B\u00dcCHER.example; none".encode(), "xn--bcher-kva.example")


def test_deeply_nested_comments_cost_no_more_than_others() -> None:
    # With one pass a level this took a minute; the test's own time limit is the measure.
    assert authserv_id(b"(" * 50_000 + b")" * 50_000 + b"mx.example") == b"mx.example"


@given(st.binary(max_size=80))
def test_any_bytes_give_an_id_or_nothing(value: bytes) -> None:
    assert isinstance(authserv_id(value), bytes)
    assert isinstance(claims(value, "mx.example"), bool)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"mx.example; spf=pass smtp.mailfrom=a; dkim=fail", [("spf", "pass"), ("dkim", "fail")]),
        (b"mx.example 1; SPF/1 = Pass (a; dkim=pass)", [("spf", "pass")]),
        (b'mx.example; spf=fail reason="x; dkim=pass"', [("spf", "fail")]),
        (b"mx.example;\r\n\tdmarc=none;;x", [("dmarc", "none")]),
        (b"mx.example; none", []),
        (b"spf=pass", []),
        (b"", []),
        (b"\xff; \xff=\xff; spf=\xff", []),
    ],
)
def test_results(value: bytes, found: list[tuple[str, str]]) -> None:
    """Comments and quotes tell nothing."""
    assert list(results(value)) == found
