"""The token of a release: it says what was signed, for a minute, and nothing else."""

from __future__ import annotations

import base64
import json

import pytest

from iems.codec.findings import Passed
from iems.codec.findings import encode as encode_findings
from iems.codec.mac import mac
from iems.codec.release import LIFE, LIMIT, Release, ReleaseError, decode, encode

SECRET = b"s" * 32
NOW = 1_700_000_000
WANTED = Release("AbCdEfGh0_-1", "grüße+x@b.test", (("dnsbl/one", "listed"),), "user", "carol", NOW)


def secret_of(key_id: str) -> bytes | None:
    """The keyring."""
    return SECRET if key_id == "k1" else None


def signed(told: object) -> str:
    """A token with a right HMAC, whatever is in it."""
    payload = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    return f"k1.{payload}.{mac(SECRET, ('release 1', 'k1', payload))}"


def test_it_says_what_was_signed() -> None:
    token = encode(WANTED, "k1", SECRET)
    assert token.isascii()
    assert " " not in token
    assert decode(token, secret_of, NOW) == WANTED


@pytest.mark.parametrize("at", [-6, LIFE + 1, 1e9])
def test_it_ends(at: float) -> None:
    token = encode(WANTED, "k1", SECRET)
    assert decode(token, secret_of, NOW + LIFE) == WANTED
    with pytest.raises(ReleaseError, match="token has ended"):
        decode(token, secret_of, NOW + at)


def test_no_character_of_it_can_be_another() -> None:
    token = encode(WANTED, "k1", SECRET)
    for at, letter in enumerate(token):
        other = token[:at] + ("A" if letter != "A" else "B") + token[at + 1 :]
        with pytest.raises(ReleaseError):
            decode(other, secret_of, NOW)


@pytest.mark.parametrize("token", ["", "k1", "k1..", "k2.x.y", "é.é.é", "k1.é.x", "a.b.c.d"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(ReleaseError):
        decode(token, secret_of, NOW)


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        ["id", "a@b.test", [], "site", "root", "now"],
        ["id", "a@b.test", [], "site", "root", 10**400],
        ["id", "a@b.test", [["one"]], "site", "root", NOW],
        ["id", "a@b.test", [["one", 2]], "site", "root", NOW],
        ["id", None, [], "site", "root", NOW],
    ],
)
def test_what_is_signed_and_damaged(told: object) -> None:
    with pytest.raises(ReleaseError):
        decode(signed(told), secret_of, NOW)


def test_findings_of_the_same_key_are_no_token() -> None:
    field = encode_findings(Passed("r", "q", "c", "", NOW, ()), "k1", SECRET)
    digest = field.decode().rpartition("h=")[2].strip(";")
    payload = base64.urlsafe_b64encode(json.dumps(["id"]).encode()).decode()
    for token in (field.decode(), f"k1.{payload}.{digest}"):
        with pytest.raises(ReleaseError):
            decode(token, secret_of, NOW)


def test_too_many_rules_are_an_error_and_no_long_line() -> None:
    rules = tuple((f"header/{number}" + "x" * 50, "found") for number in range(30))
    with pytest.raises(ReleaseError, match="more rules than fit"):
        encode(Release("id", "a@b.test", rules, "site", "root", NOW), "k1", SECRET)
    with pytest.raises(ReleaseError, match="no token"):
        decode(signed(["id", "x" * LIMIT, [], "site", "root", NOW]), secret_of, NOW)
