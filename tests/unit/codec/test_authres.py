"""Authentication-Results: ours are printed after RFC 8601, others' ids are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.authres import authentication_results, authserv_id
from iems.model.finding import Finding


def test_one_result_a_line() -> None:
    seen = (
        Finding("dnsbl/x", "fail", "listed"),
        Finding("iprev", "fail", "mismatch", 'no "name"', None, (("policy.iprev", "192.0.2.1"),)),
    )
    assert authentication_results("mx.example", seen) == (
        b'mx.example;\r\n\tiprev=fail reason="no \\"name\\"" policy.iprev=192.0.2.1'
    )


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
    ],
)
def test_the_id_is_found_however_it_is_written(value: bytes) -> None:
    assert authserv_id(value) == b"mx.example"


@given(st.binary(max_size=80))
def test_any_bytes_give_an_id_or_nothing(value: bytes) -> None:
    assert isinstance(authserv_id(value), bytes)
