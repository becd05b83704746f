"""Received of our own Postfix in all its forms, and in those that a client would give it."""

from __future__ import annotations

import time

import pytest

from iems.codec.received import Arrival, arrival

HOST = "mail.example.test"
DATE = b"Thu, 26 Nov 2026 21:59:25 +0000 (UTC)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            b" from helo.example (mx.a.example [192.0.2.1])\r\n\tby mail.example.test (Postfix) "
            b"with ESMTP id 4jb9;\r\n\t" + DATE,
            Arrival("4jb9", "ESMTP", "helo.example", "mx.a.example", "192.0.2.1"),
        ),
        (
            b" from [127.0.0.1] (unknown [IPv6:2001:db8::1])\n\t(using TLSv1.3 with cipher X "
            b"(256/256 bits)\n\t key-exchange X25519)\n\t(Client did not present a certificate)\n"
            b"\t(Authenticated sender: a@b.example)\n\tby mail.example.test (Postfix) with ESMTPSA "
            b"id 4jb9\n\tfor <alice@example.test>; " + DATE,
            Arrival("4jb9", "ESMTPSA", "[127.0.0.1]", "", "2001:db8::1"),
        ),
        (
            b" by mail.example.test (Postfix, from userid 0)\n\tid 4jb9; " + DATE,
            Arrival("4jb9"),
        ),
        (b" by MAIL.example.test (Postfix)\n\tid 4jb9; " + DATE, Arrival("4jb9")),
        (b" from a (b [192.0.2.1]) by other.example (Postfix) with SMTP id 4; " + DATE, None),
        (b" from a (b [192.0.2.999]) by mail.example.test (Postfix) with SMTP id 4; x", None),
        (b" from a (b [192.0.2.1]) by mail.example.test (Postfix) with SMTP id 4; " + DATE, None),
        (b" from mail.example.test by mail.example.test with LMTP id abc; " + DATE, None),
        (b"", None),
    ],
)
def test_what_it_tells(value: bytes, expected: Arrival | None) -> None:
    assert arrival(value, HOST) == expected


def test_who_has_logged_in() -> None:
    kinds = ("SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA", "UTF8SMTPSA", "")
    logged_in = [kind for kind in kinds if Arrival("4", kind).authenticated]
    assert logged_in == ["ESMTPA", "ESMTPSA", "UTF8SMTPSA"]


def test_a_helo_like_a_whole_field_counts_for_nothing() -> None:
    forged = b"x (trusted [127.0.0.1]) by mail.example.test (Postfix) with SMTP id FORGED; now"
    value = b"from %s (evil [192.0.2.66])\n\tby mail.example.test (Postfix) with ESMTP id 4; x"
    found = arrival(value % forged, HOST)
    assert found is not None
    assert (found.queue_id, found.ip, found.name) == ("4", "192.0.2.66", "evil")


def test_a_recipient_like_a_whole_field_counts_for_nothing() -> None:
    forged = b"(x [127.0.0.1]) by mail.example.test (Postfix) with ESMTPA id FORGED for <y"
    value = (
        b"from helo (evil [192.0.2.66])\r\n\tby mail.example.test (Postfix) with ESMTP id 4\r\n"
        b'\tfor <"alice+ %s>"@example.test>; %s' % (forged, DATE)
    )
    assert arrival(value, HOST) == Arrival("4", "ESMTP", "helo", "evil", "192.0.2.66")


@pytest.mark.parametrize("begin", [b"from helo (evil [192.0.2.66])\n\t", b""])
def test_what_a_sender_has_behind_it_counts_for_nothing(begin: bytes) -> None:
    ours = begin + b"by mail.example.test (Postfix) with ESMTP id 4; " + DATE
    forged = b"\n\tby mail.example.test (Postfix) with ESMTPA id FORGED; " + DATE
    for text in (b"\n X: forged; twice", forged, b"\n (a [192.0.2.1])" + forged):
        found = arrival(ours + text, HOST)
        assert found is not None
        assert found == arrival(ours, HOST)
        assert found.queue_id == "4"


@pytest.mark.parametrize(
    "piece",
    [b" (a [b])", b"by mail.example.test (P) id 4 ", b"by mail.example.test (P) id 4 for <"],
)
def test_no_text_is_looked_at_for_long(piece: bytes) -> None:
    began = time.monotonic()
    assert arrival(b"from " + piece * (1_980 // len(piece)) + b"!", HOST) is None
    assert arrival(b"from " + piece * 100_000, HOST) is None
    assert time.monotonic() - began < 5
