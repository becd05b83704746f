"""The signed address of a release: short, of one case, and good for nothing but what it says."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from iems.codec.signed import (
    OffRequest,
    ReleaseRequest,
    digest_id,
    is_digest,
    off_address,
    release_address,
    request,
)
from iems.model.address import Address

SECRET, OTHER = b"s" * 32, b"o" * 32
ALICE = Address("alice", "b.test")
RULE = ("dnsbl/one", "listed")
ID = "AbCdEfGh0_-1"


def asked(text: str) -> ReleaseRequest:
    """What the address asks, which is something."""
    found = request(text)
    assert isinstance(found, ReleaseRequest)
    return found


def test_it_says_whom_and_what_and_is_signed_for_recipient_and_rule() -> None:
    text = release_address(ALICE, ID, "alice+x@b.test", RULE, SECRET)
    found = asked(text)
    assert (found.user, found.id) == (ALICE, ID)
    assert found.signed_by([OTHER, SECRET], "alice+x@b.test", RULE)
    assert not found.signed_by([OTHER], "alice+x@b.test", RULE)
    assert not found.signed_by([SECRET], "alice@b.test", RULE)
    assert not found.signed_by([SECRET], "alice+x@b.test", ("dnsbl/one", "temperror"))


def test_another_user_or_message_makes_it_wrong() -> None:
    text = release_address(ALICE, ID, "alice@b.test", RULE, SECRET)
    for other in (
        text.replace("alice", "bob"),
        text.replace("b.test", "c.test"),
        release_address(ALICE, "BbCdEfGh0_-1", "alice@b.test", RULE, SECRET)[:26] + text[26:],
    ):
        assert other != text
        assert not asked(other).signed_by([SECRET], "alice@b.test", RULE)


def test_no_letter_of_the_token_can_be_another() -> None:
    text = release_address(ALICE, ID, "alice@b.test", RULE, SECRET)
    start, end = text.index("-") + 1, text.index("@")
    for at in range(start, end):
        other = text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]
        found = asked(other)
        # Of the last letter of the id two bits stand for nothing.
        same = found.id == ID and other[start + 15 : end] == text[start + 15 : end]
        assert found.signed_by([SECRET], "alice@b.test", RULE) == same


def test_case_may_be_lost_on_the_way() -> None:
    text = release_address(Address("Alice", "b.test"), ID, "alice@b.test", RULE, SECRET)
    assert text == text.lower()
    assert asked(text.upper()).signed_by([SECRET], "alice@b.test", RULE)


def test_a_local_part_has_64_octets_at_most() -> None:
    fits = Address("a" * 30, "b.test")
    text = release_address(fits, ID, "x@b.test", RULE, SECRET)
    assert len(text.partition("@")[0]) == 64
    assert release_address(Address("a" * 31, "b.test"), ID, "x@b.test", RULE, SECRET) == ""


def test_a_user_who_has_the_delimiter_in_his_name_has_no_address() -> None:
    """It would be that of a user before the delimiter."""
    assert release_address(Address("a+b", "b.test"), ID, "a+b@b.test", RULE, SECRET) == ""


def test_an_id_of_another_form_has_no_address() -> None:
    for name in ("", "short", "AbCdEfGh0_-1AbCd", "é" * 12, "AbCdEfGh0.-1"):
        assert release_address(ALICE, name, "alice@b.test", RULE, SECRET) == ""


def test_other_addresses_ask_for_nothing() -> None:
    token = release_address(ALICE, ID, "alice@b.test", RULE, SECRET).partition("-")[2]
    token = token.partition("@")[0]
    for local in (
        "alice",
        "alice+iems-news",
        f"alice+{token}",
        f"alice+iems-{token}a",
        f"alice+iems-{token[1:]}",
        f"alice+iems-{token[:-1]}1",
        f"alice+x+iems-{token}",
        f"+iems-{token}",
    ):
        assert request(f"{local}@b.test") is None
    assert request(f"alice+iems-{token}") is None


@given(st.binary(min_size=9, max_size=9), st.text(), st.text(), st.text())
def test_every_id_comes_back(octets: bytes, recipient: str, check: str, band: str) -> None:
    name = base64.urlsafe_b64encode(octets).decode()
    recipient, check, band = (
        text.encode("utf-8", "replace").decode() for text in (recipient, check, band)
    )
    found = asked(release_address(ALICE, name, recipient, (check, band), SECRET))
    assert found.id == name
    assert found.signed_by([SECRET], recipient, (check, band))


@given(st.one_of(st.text(), st.from_regex(r"[^@]{0,9}\+iems-[a-z2-7]{20,30}@b\.test")))
def test_no_text_is_an_error_or_signed(text: str) -> None:
    found = request(text)
    if isinstance(found, ReleaseRequest):
        assert not found.signed_by([SECRET], "alice@b.test", RULE)


def test_who_wants_no_digest_says_that_and_nothing_else() -> None:
    text = off_address(ALICE, SECRET)
    found = request(text.upper())
    assert isinstance(found, OffRequest)
    assert found.user.key == ALICE.key
    assert found.signed_by([OTHER, SECRET])
    assert not found.signed_by([OTHER])
    other = request(text.replace("alice", "bob"))
    assert isinstance(other, OffRequest)
    assert not other.signed_by([SECRET])
    assert off_address(Address("a" * 42, "b.test"), SECRET) == ""


def test_a_digest_is_known_by_its_id() -> None:
    one, two = (digest_id("mail.b.test", SECRET) for _time in range(2))
    assert one != two
    assert is_digest(one, [OTHER, SECRET])
    assert not is_digest(one, [OTHER])
    assert not is_digest(one[:14] + ("a" if one[14] != "a" else "b") + one[15:], [SECRET])
    assert not is_digest(one + "x", [SECRET])
