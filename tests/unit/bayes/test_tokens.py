"""What a message is to the filter: the same words and key wherever it is read, bounded."""

from __future__ import annotations

import base64

import pytest

from lmtp.bayes.tokens import MAX_MESSAGE, WORDS, all_of, key, message_id, tokens

HEADER = (
    b"Received: from mail.sender.test (out.sender.test [192.0.2.10])\r\n"
    b"\tby mx.example.test (Postfix) with ESMTPS id 4XyZ\r\n"
    b"\tfor <alice@example.test>; Fri, 27 Nov 2026 09:00:00 +0000 (UTC)\r\n"
    b"Received: from desk (unknown [198.51.100.7]) by mail.sender.test with ESMTPSA id 1;\r\n"
    b"\tFri, 27 Nov 2026 08:59:00 +0000\r\n"
    b"Message-ID: <123.abc@sender.test>\r\n"
    b"Date: Fri, 27 Nov 2026 09:58:00 +0100\r\n"
    b"From: Bob Builder <bob@sender.test>\r\n"
    b"To: alice@example.test\r\n"
    b"Subject: Our meeting\r\n"
)
MESSAGE = HEADER + b"\r\nShall we meet on Monday?\r\n"
NO_ID = MESSAGE.replace(b"Message-ID: <123.abc@sender.test>\r\n", b"")

ADDED = (
    b"Return-Path: <bob@sender.test>\r\n"
    b"Delivered-To: alice@example.test\r\n"
    b"Received: from mx.example.test\r\n\tby mx.example.test with LMTP\r\n\tid sJd\r\n"
    b"\t(envelope-from <bob@sender.test>)\r\n\tfor <alice@example.test>; Fri, 27 Nov 2026\r\n"
    b"X-IEMS-Trace: k=1; t=2; r=3;\r\n\th=0\r\n"
    b"X-IEMS-Verdict: junk; ref=4XyZ\r\n"
    b"X-Original-To: info@example.test\r\n"
)
"""What the agent and Dovecot put on top of a copy."""

FILTERS = (
    *(b"X-Spam-Status: Yes, score=9", b"X-Spam-Flag: YES", b"X-Virus-Scanned: clamav"),
    *(b"X-Bogosity: Spam, tests=bogofilter", b"X-DSPAM-Result: Spam", b"X-CRM114-Status: SPAM"),
    *(b"X-Amavis-Alert: BAD", b"X-Rspamd-Server: one", b"X-Antispam: no", b"X-IEMS-Findings: k"),
)
MAILBOX = (
    *(b"Status: RO", b"X-Status: A", b"X-UID: 12", b"X-UIDL: abc", b"X-Keywords: Junk"),
    *(b"Lines: 12", b"Content-Length: 300", b"X-Mozilla-Status: 0001", b"Delivery-Date: today"),
)


def changed(message: bytes) -> dict[str, bytes]:
    """The same message as it may be found later."""
    return {
        "as delivered": ADDED + message,
        "with line ends of a maildir": (ADDED + message).replace(b"\r\n", b"\n"),
        "out of an mbox": b"From bob@sender.test Fri Nov 27 09:00:00 2026\r\n"
        b">From carol@example.test Fri Nov 27 10:00:00 2026\r\n" + ADDED + message,
        "fetched once more": b"Received: from mx.example.test [203.0.113.1]\r\n\tby desk with IMAP"
        b" (fetchmail-6.4)\r\n\tfor <alice@localhost>; today\r\n" + message,
    }


@pytest.mark.parametrize("how", changed(b""))
@pytest.mark.parametrize("message", [MESSAGE, NO_ID], ids=["with an id", "without"])
def test_what_is_added_later_changes_nothing(message: bytes, how: str) -> None:
    later = changed(message)[how]
    assert later != message
    assert tokens(later) == tokens(message)
    assert key(later) == key(message)


@pytest.mark.parametrize("field", [*FILTERS, *MAILBOX], ids=lambda one: one.split(b":")[0].decode())
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_marks_are_not_looked_at(field: bytes, end: bytes) -> None:
    lines = MESSAGE.replace(b"\r\n", end)
    marked = lines.replace(b"Subject:", field + end + b"\tand more" + end + b"Subject:")
    assert marked != lines
    assert tokens(marked) == tokens(MESSAGE)
    assert key(marked.replace(b"123", b"")) == key(lines.replace(b"123", b""))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (MESSAGE, MESSAGE.replace(b"123.abc", b"124.abc")),
        (MESSAGE, MESSAGE.replace(b"Our meeting", b"Our other meeting")),
        (MESSAGE, MESSAGE.replace(b"bob@", b"rob@")),
        (MESSAGE, MESSAGE.replace(b"09:58:00", b"09:58:01")),
        (NO_ID, NO_ID.replace(b"4XyZ", b"4XyY")),
        (NO_ID, NO_ID.replace(b"To: alice", b"To: carol")),
        (b"\r\n", MESSAGE),
    ],
    ids=["id", "subject", "from", "date", "received", "to", "empty"],
)
def test_other_messages_have_other_keys(one: bytes, other: bytes) -> None:
    assert len(key(one)) == len(key(other)) == 16
    assert key(one) != key(other)


def test_the_key_is_of_what_the_header_says_and_not_of_how_it_is_folded() -> None:
    folded = MESSAGE.replace(b"Subject: Our meeting", b"subject:\r\n Our\r\n\tmeeting ")
    assert key(folded) == key(MESSAGE)


def test_the_key_without_an_id_outlives_edits() -> None:
    edited = NO_ID.replace(
        b"Subject:", b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nSubject:"
    )
    assert key(edited) == key(NO_ID)


def test_a_forged_field_further_down_counts_nothing() -> None:
    assert key(MESSAGE.replace(b"\r\n\r\n", b"\r\nSubject: other\r\n\r\n")) == key(MESSAGE)


def test_zero_bytes_are_lost_on_the_way() -> None:
    with_nul = MESSAGE.replace(b"Our meeting", b"Our\0 meeting")
    assert key(with_nul) == key(MESSAGE) == key(with_nul.replace(b"\0", b"\x80"))
    assert tokens(with_nul) == tokens(MESSAGE)


def test_lines_may_end_in_returns_alone() -> None:
    returns = MESSAGE.replace(b"\r\n", b"\r")
    assert tokens(returns) == tokens(MESSAGE)
    assert key(returns) == key(MESSAGE)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (MESSAGE, b"<123.abc@sender.test>"),
        (ADDED + MESSAGE, b"<123.abc@sender.test>"),
        (b"message-id:\r\n <a@b>\r\n\r\n", b"<a@b>"),
        (NO_ID, b""),
        (b"\r\nMessage-ID: <a@b>\r\n", b""),
    ],
    ids=["first", "below others", "folded", "none", "in the body"],
)
def test_message_id(message: bytes, found: bytes) -> None:
    assert message_id(message) == found


HEADER_WORDS = {
    "the first hop from outside": (
        MESSAGE,
        {
            *("received:192.0.2", "received:192.0", "received:helo mail.sender.test"),
            *("received:name out.sender.test", "received:name sender.test"),
            *("received:helo is another name", "received:with esmtps", "received:2 hops"),
            *("hop:198.51", "hop:no name", "hop:helo .desk"),
        },
        {"received:198.51", "received:name mail.sender.test"},
    ),
    "hosts on this side": (
        b"Received: from localhost (localhost [127.0.0.1]) by mx with ESMTP id 1; today\r\n"
        b"Received: by mx (Postfix, from userid 1000) id 2; today\r\n"
        b"Received: from relay (relay [10.1.2.3]) by mx with ESMTP; today\r\n" + MESSAGE,
        {"received:192.0.2", "received:2 hops"},
        {"received:127.0", "received:10.1", "received:helo .localhost"},
    ),
    "an address of IPv6": (
        b"Received: from a.test (a.test [IPv6:2001:db8:1:2::3]) by mx with SMTP; today\r\n\r\n",
        {"received:2001:db8", "received:2001:db8:1", "received:1 hops"},
        {"received:helo is another name"},
    ),
    "names and addresses": (
        MESSAGE,
        {
            *("from:bob", "from:builder", "from:bob@sender.test", "from:@sender.test"),
            *("from:@.test", "to:alice@example.test", "has:Message-ID", "message-id:@sender.test"),
            *("message-id:shape 0.a", "date:+0100", "date:shape Aa, 0 Aa 0 0:0:0 +0"),
        },
        set(),
    ),
    "a subject": (
        b"Subject: =?utf-8?B?" + base64.b64encode("Ärger WITH money".encode()) + b"?=\r\n\r\n",
        {"subject:ärger", "subject:with", "subject:ärger with", "subject:with money"},
        {"subject:all capitals"},
    ),
    "a subject in capitals": (b"Subject: FREE MONEY\r\n\r\n", {"subject:all capitals"}, set()),
    "8-bit octets": (
        "Subject: Grüße\r\n\r\n".encode("latin-1"),
        {"subject:grüße"},
        set(),
    ),
    "results of ours": (
        b"Authentication-Results: mx.example.test; spf=pass smtp.mailfrom=a@b; dkim=none\r\n"
        + MESSAGE,
        {"authentication-results:spf=pass", "authentication-results:dkim=none"},
        set(),
    ),
    "results that came with it": (
        MESSAGE.replace(
            b"Message-ID:", b"Authentication-Results: mx.example.test; spf=pass\r\nMessage-ID:"
        ),
        {"has:Authentication-Results"},
        {"authentication-results:spf=pass"},
    ),
    "a signature": (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=list.sender.test; s=k1; b=AbCdEf==\r\n\r\n",
        {"dkim-signature:d=list.sender.test", "dkim-signature:d=sender.test"},
        {"dkim-signature:abcdef"},
    ),
    "whom a service had it from": (
        b"X-Originating-IP: [192.0.2.77]\r\n\r\n",
        {"x-originating-ip:192.0.2", "x-originating-ip:192.0"},
        set(),
    ),
    "octets that nobody can read": (b"From: a\x01b@c.test\r\n\r\n", {"from:a?b@c.test"}, set()),
    "a field that nobody knows": (
        b"X-Mailer: Mass Mailer 5000\r\n\r\n",
        {"has:X-Mailer", "x-mailer:mass", "x-mailer:####"},
        {"mass"},
    ),
}


@pytest.mark.parametrize("case", HEADER_WORDS)
def test_header(case: str) -> None:
    message, expected, unexpected = HEADER_WORDS[case]
    words = set(tokens(message).words)
    assert expected <= words
    assert not unexpected & words


def part(head: str, body: bytes) -> bytes:
    """A part with a header."""
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
ENCODED = base64.encodebytes("schöne Grüße".encode())
MIME_WORDS = {
    "base64 and a charset": (
        part("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", ENCODED),
        {"schöne", "grüße", "mime:charset utf-8", "mime:base64"},
    ),
    "base64 that is none": (
        part("Content-Transfer-Encoding: base64", b"You won: click! now? (really) -- win, win!"),
        {"click!", "won"},
    ),
    "quoted-printable": (
        part("Content-Transfer-Encoding: quoted-printable", b"Vi=\r\nag=72a"),
        {"viagra"},
    ),
    "an attachment": (
        MIXED
        + part("Content-Type: text/plain", b"hello")
        + b"\r\n--b\r\n"
        + part('Content-Type: application/zip; name="Your Invoice 12345.zip"', b"x" * 3000)
        + b"\r\n--b--\r\n",
        {
            *("hello", "file:application/zip", "file:.zip", "file:invoice", "file:#####"),
            *("file:size 2^12", "mime:multipart/mixed"),
        },
    ),
    "a text that is attached": (
        part("Content-Disposition: attachment; filename=notes.txt", b"secret"),
        {"file:text/plain", "file:.txt", "file:notes"},
    ),
    "a message in a message": (
        part("Content-Type: message/rfc822", b"Subject: inner\r\n\r\ninside"),
        {"inside", "mime:message/rfc822"},
    ),
    "no delimiter": (
        part("Content-Type: multipart/mixed; boundary=b", b"plain text all the same"),
        {"plain", "same", "mime:no-boundary"},
    ),
    "a delimiter that is missing": (
        MIXED + part("Content-Type: text/html", b"<b>one</b> two"),
        {"one", "two", "mime:no-end"},
    ),
    "HTML that is called plain": (
        part("Content-Type: text/plain", b"<html><body>V<!-- x -->ia<b>gra</b></body></html>"),
        {"viagra", "html:comment in word"},
    ),
    "no empty line behind the header": (b"Subject: one\r\nbuy this now", {"subject:one", "buy"}),
    "a header without an end": (b"X: " + b"y" * 70_000 + b"\r\nafter all", {"after", "all"}),
    "no header": (b"\r\nonly text", {"only", "text"}),
}


@pytest.mark.parametrize("case", MIME_WORDS)
def test_parts(case: str) -> None:
    message, expected = MIME_WORDS[case]
    assert expected <= set(tokens(message).words)


def test_some_parts_are_read_of_many() -> None:
    parts = (b"\r\n--b\r\n\r\nw%s" % bytes([97 + one % 26] * (one // 26)) for one in range(520))
    found = tokens(MIXED.removesuffix(b"--b\r\n") + b"".join(parts)).words
    assert {"waa", "mime:many parts"} <= set(found)
    assert "w" + "a" * 19 not in found


def test_an_attachment_is_not_read() -> None:
    message, _expected = MIME_WORDS["a text that is attached"]
    assert "secret" not in tokens(message).words


def test_words_are_distinct_and_bounded() -> None:
    text = b" ".join(
        b"word%s" % bytes((97 + one // 676, 97 + one // 26 % 26, 97 + one % 26))
        for one in range(9000)
    )
    found = tokens(b"Subject: s s s\r\n\r\n" + text).words
    assert len(found) == len(set(found)) == WORDS


def test_a_long_message_is_judged_by_its_head() -> None:
    far = MESSAGE + b"x " * (MAX_MESSAGE // 2)
    assert tokens(far + b"farther") == tokens(far)
    late = b"\r\n".join((HEADER, b"y\r\n" * (MAX_MESSAGE // 2)))
    assert tokens(late + b"z" * 1_000_000) == tokens(late.replace(b"\r\n", b"\n"))


def test_the_text_is_of_the_header_and_of_what_is_shown() -> None:
    message = HEADER + b"Content-Type: text/html\r\n\r\n<p>Shall  we\r\n<b>me</b>et?</p>"
    text = tokens(ADDED + message).text
    assert b"Subject: Our meeting\n" in text
    assert text.partition(b"\n\n")[2] == b"Shall we meet?"
    assert b"Delivered-To" not in text
    long = tokens(HEADER * 100 + b"\r\n" + b"word " * 9000).text
    assert len(long) == 8192
    assert long.partition(b"\n\n")[2].startswith(b"word word")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"Subject: x",
        b"From a@x.test\r\nMessage-ID: <1@x.test>\r\nSubject: pills\r\n\r\ncheap pills\r\n",
        b"\n\0Subject: x\r\n\r\n" + b"word\r\n" * MAX_MESSAGE,
        bytes(range(256)) * 40,
    ],
    ids=["nothing", "header", "whole", "long", "bytes"],
)
def test_all_at_once_is_the_same(message: bytes) -> None:
    assert all_of(message) == (tokens(message), key(message), message_id(message))
