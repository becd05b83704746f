"""A mark is good for the message that it was made for, as it was, for a day; and hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.header import parse_header, split_message
from iems.codec.trace import LIFE, Trace, TraceError, digest_of, mark, marked, proven
from iems.store.spool import MemoryBody

NOW = 1_700_000_000
SECRETS = {"k1": b"s" * 32, "k2": b"t" * 32}
MESSAGE = (
    b"Authentication-Results: mail.example.test;\r\n\tdmarc=pass\r\n"
    b"Received: from a by b; now\r\n"
    b"From: Alice <alice@sender.example>\r\n"
    b"Subject: two\r\n lines\r\n"
    b"\r\n"
    b"Two  blanks \r\n\r\nLast.\r\n"
)
TRACE = Trace("ref012345678", NOW)


def made(message: bytes = MESSAGE, trace: Trace = TRACE, key: str = "k1") -> bytes:
    """The message with its mark on top."""
    header, rest = split_message(message)
    digest = digest_of(header, MemoryBody(rest))
    return b"X-IEMS-Trace: " + mark(trace, digest, key, SECRETS[key]) + b"\r\n" + message


def read(message: bytes, now: float = NOW) -> Trace | None:
    """What the mark says; None where there is none."""
    header, rest = split_message(message)
    found = marked(parse_header(header))
    if found is None:
        return None
    field, below = found
    return proven(field.value, digest_of(below, MemoryBody(rest)), SECRETS.get, now)


def test_a_copy_is_known_as_it_was_delivered() -> None:
    assert read(made()) == TRACE
    assert read(made(key="k2")) == TRACE
    assert read(MESSAGE) is None


@pytest.mark.parametrize(
    "above", [b"X-Sieve: Pigeonhole\r\n", b"Delivered-To: a@b\r\n", b"Received: by c\r\n", b""]
)
def test_the_way_adds_fields_of_its_own(above: bytes) -> None:
    assert read(above + made()) == TRACE


@pytest.mark.parametrize(
    "name",
    [b"From", b"Subject", b"Authentication-Results", b"ARC-Seal", b"DKIM-Signature", b"List-Id",
     b"Content-Type", b"MIME-Version", b"To", b"Resent-From", b"X-IEMS-Trace"],
)  # fmt: skip
def test_nobody_adds_a_field_that_readers_take_for_the_message_s_own(name: bytes) -> None:
    for at in (0, made().index(b"From:"), made().index(b"\r\n\r\n") + 2):
        added = made()[:at] + name + b": x\r\n" + made()[at:]
        with pytest.raises(TraceError, match=r"added|changed"):
            read(added)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Last", b"Lost"),
        (b"Two  blanks", b"Two blanks"),
        (b"two\r\n lines", b"two lines"),
        (b"Alice", b"Eve"),
        (b"dmarc=pass", b"dmarc=none"),
        (b"Received: from", b"Received: from x"),
        (b"r=ref012345678", b"r=ref012345679"),
        (b"t=1700000000", b"t=1700000001"),
        (b"k=k1", b"k=k2"),
        (b"\r\n\r\n", b"\r\nX-More: x\r\n\r\n"),
        (b"Subject: two\r\n lines\r\n", b""),
        (b"\r\n\r\nTwo", b"\r\n\r\n\r\nTwo"),
    ],
)
def test_what_was_changed_is_not_known(old: bytes, new: bytes) -> None:
    changed = made().replace(old, new, 1)
    assert changed != made()
    with pytest.raises(TraceError, match="was changed"):
        read(changed)


def test_a_mark_ends_after_a_day() -> None:
    assert read(made(), NOW + LIFE) == TRACE
    assert read(made(), NOW - 300) == TRACE
    for now in (NOW + LIFE + 1, NOW - 301):
        with pytest.raises(TraceError, match="too long ago"):
            read(made(), now)


def test_the_key_of_another_site() -> None:
    with pytest.raises(TraceError, match="unknown key"):
        read(made().replace(b"k=k1", b"k=k9"))


_PARTS = st.sampled_from(
    [b"k=k1", b"k=", b"t=1", b"t=x", b"t=" + b"9" * 13, b"r=x", b"r=\xff", b"h=QUFB", b"", b"="]
)


@given(st.lists(_PARTS | st.binary(max_size=8), max_size=8))
def test_hostile_bytes_are_no_mark(parts: list[bytes]) -> None:
    value = b";".join(parts)
    with pytest.raises(TraceError):
        proven(value, b"", SECRETS.get, NOW)
