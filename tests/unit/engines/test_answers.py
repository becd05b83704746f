"""spamd and rspamd: what each is asked, and what becomes of its answer, true or not."""

from __future__ import annotations

import json
import math
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.store.spool import MemoryBody, Spooled
from milters.engines import rspamd, spamd
from milters.engines.engine import EngineError, Mail, Verdict, word
from tests.contentfilter import ContentFilter, answering, request, symbols

HEADER = b"From: a@sender.example\r\nSubject: s\r\n\r\n"
MESSAGE = Spooled(HEADER, MemoryBody(b"text\r\n"))
MAIL = Mail(
    *(MESSAGE, "mail.example.test", "192.0.2.1", "mx.sender.example", "helo.sender.example"),
    "a@sender.example",
)
FORGED = Mail(
    MESSAGE,
    "mail.example.test",
    "2001:db8::1",
    "x\r\nIP: 192.0.2.9",
    "good.example (good.example [192.0.2.9])\r\nX: y",
    "a@b>\r\nIP: 192.0.2.9",
    "user\r\nIP: 192.0.2.9",
)


def http(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nServer: x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def told(**fields: object) -> bytes:
    return http(json.dumps(fields).encode())


def asked(engine: type[spamd.Spamd | rspamd.Rspamd], mail: Mail, answer: bytes) -> bytes:
    """What reaches the server."""
    seen: list[bytes] = []

    def serve(link: socket.socket, _over: threading.Event) -> None:
        seen.append(request(link))
        link.sendall(answer)

    with ContentFilter(serve) as server:
        engine(Server.parse(server.address)).scan(mail, Deadline.after(5))
    return seen[0]


class TestSpamd:
    """Its own protocol."""

    def test_a_verdict(self) -> None:
        assert spamd.read_answer(symbols("7.5", "A_RULE,B")) == Verdict(7.5, ("A_RULE", "B"))
        assert spamd.read_answer(symbols("-1.9")) == Verdict(-1.9)

    def test_it_is_told_of_the_client_above_the_message(self) -> None:
        sent = asked(spamd.Spamd, MAIL, symbols("0.0"))
        head, _gap, message = sent.partition(b"\r\n\r\n")
        assert head == b"SYMBOLS SPAMC/1.5\r\nContent-length: %d" % len(message)
        added, _header, body = message.partition(HEADER)
        assert body == b"text\r\n"
        sender, received = added.split(b"\r\n", 1)
        assert sender == b"Return-Path: <a@sender.example>"
        assert received.startswith(
            b"Received: from helo.sender.example (mx.sender.example [192.0.2.1])\r\n"
            b"\tby mail.example.test (Postfix) with ESMTP id 0; "
        )
        assert received.count(b"\r\n") == 2

    def test_no_word_of_the_client_s_becomes_a_field(self) -> None:
        sent = asked(spamd.Spamd, FORGED, symbols("0.0"))
        added = sent.partition(b"\r\n\r\n")[2].partition(HEADER)[0]
        assert [line.partition(b" ")[0] for line in added.split(b"\r\n")] == [
            *(b"Return-Path:", b"Received:", b"\tby", b"")
        ]
        assert b"Received: from good.example??good.example?[192.0.2.9]???X:?y (x??IP:" in added
        assert b"[IPv6:2001:db8::1])" in added

    def test_mail_without_a_client(self) -> None:
        sent = asked(spamd.Spamd, Mail(MESSAGE, "mail.example.test"), symbols("0.0"))
        assert sent.partition(b"\r\n\r\n")[2] == b"Return-Path: <>\r\n" + HEADER + b"text\r\n"

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (symbols("7.5").replace(b" 0 EX_OK", b" 79 EX_TIMEOUT"), "answers with error 79"),
            (symbols("7.5").replace(b"SPAMD/1.1", b"HTTP/1.1"), "does not speak the protocol"),
            (symbols("nan"), "tells no score"),
            (symbols("1e3"), "tells no score"),
            (symbols("9" * 5000), "tells no score"),
            (symbols("7.5").replace(b"Spam:", b"Ham:"), "tells no score"),
            (symbols("7.5").replace(b"Spam", b"Spam: True ; 1 / 5\r\nSpam"), "tells no score"),
            (symbols("7.5", "A,B")[:-1], "not whole"),
            (symbols("7.5", "A,B") + b"C", "not whole"),
        ],
    )
    def test_no_verdict(self, answer: bytes, why: str) -> None:
        with pytest.raises(EngineError, match=why):
            spamd.read_answer(answer)

    def test_ping(self) -> None:
        for answer, why in (
            (b"SPAMD/1.5 0 PONG\r\n", ""),
            (b"SPAMD/1.5 76 Bad header line\r\n", "does not speak the protocol of spamd"),
            (b"220 mail ESMTP\r\n", "does not speak the protocol of spamd"),
            (b"", "does not speak the protocol of spamd"),
        ):
            with ContentFilter(answering(answer)) as server:
                one = spamd.Spamd(Server.parse(server.address))
                assert one.ping(Deadline.after(5)) == why
        assert one.ping(Deadline.after(5)).startswith("cannot be asked: ")


class TestRspamd:
    """HTTP and JSON."""

    def test_a_verdict_tells_the_weightiest_rule_first(self) -> None:
        rules = {"A": {"score": 0.5}, "B": {"score": -3}, "NONE": {"score": 0.0}, "X": {}, "Y": 1}
        verdict = rspamd.read_answer(told(score=6.699999, required_score=15, symbols=rules))
        assert verdict == Verdict(6.7, ("B", "A"))
        assert rspamd.read_answer(told(score=-2)) == Verdict(-2.0)

    def test_it_is_told_of_the_client_in_fields(self) -> None:
        sent = asked(rspamd.Rspamd, MAIL, told(score=0))
        head, _gap, message = sent.partition(b"\r\n\r\n")
        assert message == HEADER + b"text\r\n"
        assert head.split(b"\r\n") == [
            b"POST /checkv2 HTTP/1.1",
            b"Host: localhost",
            b"Connection: close",
            b"Content-Length: %d" % len(message),
            b"From: <a@sender.example>",
            b"IP: 192.0.2.1",
            b"Helo: helo.sender.example",
            b"Hostname: mx.sender.example",
        ]

    def test_no_word_of_the_client_s_becomes_a_field(self) -> None:
        sent = asked(rspamd.Rspamd, FORGED, told(score=0))
        fields = sent.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert [one for one in fields if one.startswith(b"IP")] == [b"IP: 2001:db8::1"]
        assert len(fields) == 9

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (told(score="7"), "tells no score"),
            (told(score=True), "tells no score"),
            (told(score=None), "tells no score"),
            (told(score=math.nan), "tells no score"),
            (told(score=-math.inf), "tells no score"),
            (told(error="invalid command"), "tells no score"),
            (http(b'{"score": 1' + b"0" * 5000 + b"}"), "tells no score"),
            (http(b'{"score": 1e400}'), "tells no score"),
            (http(b"[1]"), "tells no score"),
            (http(b"[" * 100_000), "answers with no JSON"),
            (http(b"\xff\xfe{"), "answers with no JSON"),
            (http(b"{}", b"500 x"), "answers with error 500"),
            (http(b"{}").replace(b"HTTP/1.1", b"SPAMD/1.1"), "does not speak the protocol"),
            (told(score=1)[:-1], "not whole"),
        ],
    )
    def test_no_verdict(self, answer: bytes, why: str) -> None:
        with pytest.raises(EngineError, match=why):
            rspamd.read_answer(answer)

    def test_ping(self) -> None:
        for answer, why in (
            (http(b"pong\r\n"), ""),
            (http(b"no"), "does not speak the protocol of rspamd"),
            (http(b"pong", b"403 x"), "answers with error 403"),
            (b"", "closes the connection without an answer"),
        ):
            with ContentFilter(answering(answer)) as server:
                one = rspamd.Rspamd(Server.parse(server.address))
                assert one.ping(Deadline.after(5)) == why
        assert one.ping(Deadline.after(5)).startswith("cannot be asked: ")


@given(st.text())
def test_a_client_s_text_is_one_word(text: str) -> None:
    one = word(text)
    assert one.isascii()
    assert len(one) == min(len(text), 255)
    assert not set(one) & set(' \t\r\n\0()<>;"\\')
