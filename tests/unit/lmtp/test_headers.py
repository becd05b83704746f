"""The header block as recipients get it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.address import Address
from iems.model.policy import Action
from lmtp import headers

HOSTNAME = "mail.example.test"
FORMS = (
    b"X-IEMS-Verdict: junk; ref=x\r\n",
    b"x-iems-VERDICT:junk\r\n",
    b"X-IEMS-Verdict \t: junk\r\n",
    b"X-IEMS-Verdict:\r\n\tjunk;\r\n ref=x\r\n",
    b"X-IEMS-Verdict\r\n : junk\r\n",
    b"X-IEMS-Verdict\0: junk\r\n",
    b"X-IEMS-Verdict\x0b: junk\r\n",
    b"X-IEMS-Verdict\xa0: junk\r\n",
    b"X-IEMS-Verdict\r: junk\r\n",
    b"X-IEMS-Verdict:: junk\r\n",
    b"X-IEMS-Verdict" + b" " * 3000 + b": junk\r\n",
    b"A: b\nX-IEMS-Verdict: junk\n",
    b"A: b\r\r\nX-IEMS-Verdict: junk\r\n",
    b"A: b\r\n \r\nX-IEMS-Verdict: junk\r\n",
    b"A: b\r\n\r\r\nX-IEMS-Verdict: junk\r\n",
    b"no colon\r\nX-IEMS-Verdict: junk\r\n",
    b": x\r\nX-IEMS-Verdict: junk\r\n",
    b"X-IEMS-Verdict: a\r\nX-IEMS-Verdict: b\r\n",
    b"X-IEMS-Findings: v=1;\r\n\tk=1;\r\n",
    b"x-iems-findings : v=1;\r\n",
    b"X-IEMS-Trace : k=k1;\r\n",
    b"X-IEMS-Fact: known=allow-list\r\n",
    b"X-IEMS-Score\0: 0\r\n",
    b":X-IEMS-Verdict: junk\r\n",
    b"\0X-IEMS-Verdict: junk\r\n",
    b"\xef\xbb\xbfX-IEMS-Verdict: junk\r\n",
    b"\rX-IEMS-Verdict: junk\r\n",
    b"A: b\r\0X-IEMS-Verdict: junk\r\n",
    b"A: b\r\n\rX-IEMS-Verdict: junk\r\n",
)
RESULTS = (
    b"Authentication-Results: mail.example.test; dkim=pass\r\n",
    b"authentication-results :\r\n\tMAIL.example.test 1;\r\n dkim=pass\r\n",
    b"Authentication-Results\0: mail.example.test; dkim=pass\r\n",
    b"Authentication-Results\r\n : mail.example.test; dkim=pass\r\n",
    b"\xa0Authentication-Results: mail.example.test; dkim=pass\r\n",
    b"Authentication-Results: other.test\rAuthentication-Results: mail.example.test\r\n",
    b"A: b\rAuthentication-Results: mail.example.test; dkim=pass\r\n",
    b"Authentication-Results\r\n",
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_our_marks_goes(form: bytes) -> None:
    raw = b"From: a@b.test\r\n" + form + b"Subject: x\r\n"
    rest = headers.clean(headers.read(raw)).copy(b"")
    assert b"x-iems" not in rest.lower()
    assert rest.startswith(b"From: a@b.test\r\n")
    assert rest.endswith(b"Subject: x\r\n")


@pytest.mark.parametrize(
    "form",
    [
        b"X-IEMS-Verdicts: x\r\n",
        b"X-IEMS: x\r\n",
        b"A: X-IEMS-Verdict: x\r\n",
        b"A: b\r\n X-IEMS-Verdict: x\r\n",
        b"A: b\r\n\tAuthentication-Results: mail.example.test; x\r\n",
        b"Authentication-Results: other.test; dkim=pass\r\n",
        b"Authentication-Results-X: mail.example.test; dkim=pass\r\n",
    ],
)
def test_other_fields_stay(form: bytes) -> None:
    assert headers.clean(headers.read(form), HOSTNAME).copy(b"") == form


@pytest.mark.parametrize("form", RESULTS)
def test_results_in_our_name_go_where_the_milter_has_not_seen_the_message(form: bytes) -> None:
    block = headers.read(b"A: b\r\n" + form)
    assert headers.clean(block, HOSTNAME).copy(b"") == b"A: b\r\n"
    assert headers.clean(block).copy(b"") == block.raw


@pytest.mark.parametrize("part", [b"\r", b"\rauthentication-results", b"\r\xa0" * 9, b"x-iems-"])
def test_a_mebibyte_of_what_begins_like_ours_takes_no_longer_than_other_text(part: bytes) -> None:
    # A search that starts anew at each of them took minutes; the time limit is the measure.
    headers.clean(headers.read(b"A:" + part * ((1 << 20) // len(part))), HOSTNAME)


@given(
    st.lists(st.sampled_from([b"A: b\r\n", b"\tc\r\n", b"d\n", b"E:\xff\r\n", *FORMS]), max_size=10)
)
def test_the_rest_is_unchanged_and_ours_is_on_top(parts: list[bytes]) -> None:
    raw = b"".join(parts)
    ours = b"X-IEMS-Verdict: tag; ref=1\r\n"
    copy = headers.clean(headers.read(raw)).copy(ours)
    assert copy.count(ours) == 1
    fields = headers.read(copy).named(b"X-IEMS-Verdict")
    assert [field.raw for field in fields] == [ours] or copy[copy.index(ours) + len(ours) :][
        :1
    ] in b"\t"
    without = copy.replace(ours, b"", 1)
    assert headers.clean(headers.read(without)).copy(b"") == without
    assert len(without) <= len(raw)


def test_a_first_line_with_a_blank_does_not_join_our_field() -> None:
    cleaned = headers.clean(headers.read(b" ; ref=forged\r\nA: b\r\n"))
    assert cleaned.copy(b"X: y\r\n") == b" ; ref=forged\r\nX: y\r\nA: b\r\n"


def test_fields_of_a_copy() -> None:
    assert headers.verdict_field(Action.DELIVER, "r") == b""
    assert (
        headers.verdict_field(Action.JUNK, "ref012345678")
        == b"X-IEMS-Verdict: junk; ref=ref012345678\r\n"
    )
    assert headers.verdict_field(Action.TAG, "r") == b"X-IEMS-Verdict: tag; ref=r\r\n"
    bob = Address.parse("bob@b.test")
    assert headers.original_field("team@b.test", bob) == b"X-Original-To: team@b.test\r\n"
    for same in ("BOB@B.TEST", "", "no address", "a\r\nX: y@b.test", "a@b.test\r\nX: y"):
        assert headers.original_field(same, bob) == b""


@pytest.mark.parametrize("helo", ["mx.x.test", "x" * 2000])
def test_no_received_of_the_sender_hides_the_fields_above_it(helo: str) -> None:
    """Ours is the topmost, and counts as none where the client made it too long to be read."""
    ours = f"Received: from {helo} (mx.x.test [192.0.2.1])\r\n\tby mail.b.test (Postfix) id 4A\r\n"
    forged = "Received: by mail.b.test (Postfix) id 4B\r\n"
    block = headers.read(f"{ours}Subject: casino\r\n{forged}To: a\r\n".encode())
    assert headers.as_sent(block, "mail.b.test").named(b"Subject")
