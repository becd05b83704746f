"""Copies from outside are marked, each for what it holds; others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iems.codec import trace
from iems.codec.findings import Passed, encode
from iems.codec.header import parse_header, split_message
from iems.codec.trace import Trace, TraceError
from iems.store.keys import Key
from iems.store.spool import MemoryBody
from lmtp.tracing import Tracing
from tests.unit.lmtp.conftest import NOW, SECRET, Office
from tests.unit.lmtp.parts import Taken

TRACING = Tracing(Key("k1", SECRET))


@pytest.fixture
def marking(office: Office) -> Office:
    """An agent of a site that signs."""
    return replace(office, agent=replace(office.agent, tracing=TRACING, now=lambda: NOW))


def proven(taken: Taken) -> Trace | None:
    """What the mark on a copy says; None where it has none."""
    header, rest = split_message(taken.data.removesuffix(b".\r\n"))
    found = trace.marked(parse_header(header))
    if found is None:
        return None
    field, below = found
    digest = trace.digest_of(below, MemoryBody(rest))
    return trace.proven(field.value, digest, {"k1": SECRET}.get, NOW)


def test_each_copy_has_its_own_mark(marking: Office) -> None:
    """One with a verdict, one that names its recipient, one that is plain."""
    marking.deliver("junk", "deliver", "<tag@b.test> ORCPT=rfc822;list@b.test")
    assert len(marking.taken) == 3
    for one in marking.taken:
        assert proven(one) == Trace("ref012345678", NOW)
        assert one.data.startswith(b"X-IEMS-Trace: ")
        with pytest.raises(TraceError):
            proven(replace(one, data=one.data.replace(b"body", b"Body")))


def test_recipients_with_equal_copies_still_share_a_transaction(marking: Office) -> None:
    marking.deliver("deliver", "deliver2")
    assert len(marking.taken) == 1


@pytest.mark.parametrize("channel", ["submission", "local", "list"])
def test_only_what_comes_from_outside_is_marked(marking: Office, channel: str) -> None:
    marking.deliver("deliver", channel=channel)
    assert proven(marking.taken[0]) is None


def test_what_the_milter_has_not_seen_is_not_marked(marking: Office) -> None:
    results = b"Authentication-Results: mail.example.test; dmarc=pass\r\n"
    marking.send("deliver", header=results)
    marking.deliver("deliver", ident="another")
    assert [proven(one) for one in marking.taken] == [None, None]


def test_without_keys_nothing_is_marked(office: Office) -> None:
    office.deliver("deliver")
    assert proven(office.taken[0]) is None


def test_a_mark_that_came_with_the_message_goes(office: Office) -> None:
    office.deliver("deliver", header=b"x-iems-TRACE : k=k1\r\n")
    assert b"trace" not in office.taken[0].data.lower()


def test_a_message_that_begins_with_a_blank_is_not_marked(marking: Office) -> None:
    """Its first line stays above all fields of ours, and nothing covers it."""
    passed = Passed("ref012345678", "4XyZ", "internet", "s@x.test", NOW, ())
    field = b"X-IEMS-Findings:" + encode(passed, "k1", SECRET) + b"\r\n"
    marking.send("deliver", header=field)
    marking.send("deliver", header=b" odd\r\n" + field)
    assert [b"X-IEMS-Trace" in one.data for one in marking.taken] == [True, False]
