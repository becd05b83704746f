"""rspamd's normal worker, asked by HTTP (`/checkv2`): a score and the names of the symbols.

What it is told of client and sender stands in fields of the request. Of its answer only the score
and the symbols with a weight count; its own thresholds and its action do not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError, Mail, Verdict, word
from milters.engines.link import content, exchange

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\Z)")


@dataclass(frozen=True, slots=True)
class Rspamd:
    """One rspamd."""

    server: Server

    def scan(self, mail: Mail, deadline: Deadline) -> Verdict:
        """Its verdict by the deadline; EngineError."""
        return read_answer(exchange(self.server, _request(mail), deadline))

    def ping(self, deadline: Deadline) -> str:
        """Why it does not answer; empty where it does."""
        request = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        try:
            answer = _body(exchange(self.server, [request], deadline))
        except EngineError as error:
            return str(error)
        return "" if answer.strip() == b"pong" else "does not speak the protocol of rspamd"


def read_answer(answer: bytes) -> Verdict:
    """The verdict of an answer to `/checkv2`; EngineError."""
    try:
        told = json.loads(_body(answer), parse_int=float)
    except (ValueError, RecursionError):
        raise EngineError("answers with no JSON") from None
    score = _number(told.get("score")) if isinstance(told, dict) else None
    if score is None:
        raise EngineError("tells no score")
    # It adds 32-bit fractions: 3.5 + 3.2 is told as 6.699999.
    return Verdict(round(score, 3), _rules(told.get("symbols")))


def _request(mail: Mail) -> Iterator[bytes]:
    message = mail.message
    fields = [
        "POST /checkv2 HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {message.size}",
        f"From: <{word(mail.sender)}>",
    ]
    if mail.ip:
        fields.append(f"IP: {word(mail.ip)}")
        fields.append(f"Helo: {word(mail.helo)}")
        fields.append(f"Hostname: {word(mail.name) or 'unknown'}")
    if mail.user:
        fields.append(f"User: {word(mail.user)}")
    yield "".join(f"{field}\r\n" for field in [*fields, ""]).encode("ascii")
    yield message.header
    yield from message.body.pieces()


def _body(answer: bytes) -> bytes:
    lines, body = content(answer)
    status = _STATUS.match(lines[0])
    if status is None:
        raise EngineError("does not speak the protocol of rspamd")
    if int(status[1]) != 200:
        raise EngineError(f"answers with error {int(status[1])}")
    return body


def _rules(symbols: object) -> tuple[str, ...]:
    weights = {}
    for name, told in symbols.items() if isinstance(symbols, dict) else ():
        weight = _number(told.get("score")) if isinstance(told, dict) else None
        if weight:
            weights[name] = weight
    return tuple(sorted(weights, key=lambda name: -abs(weights[name])))


def _number(value: object) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None
