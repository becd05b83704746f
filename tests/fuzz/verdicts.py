"""Laws of what a content filter answers: a verdict, its score a number, or EngineError."""

from __future__ import annotations

import math

from milters.checks.content import evidence_of
from milters.engines import rspamd, spamd
from milters.engines.engine import EngineError


def verdicts(data: bytes) -> None:
    """The same bytes to both, with the length that they want, and as they are."""
    head, _gap, body = data.partition(b"\r\n\r\n")
    whole = head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for read in (spamd.read_answer, rspamd.read_answer):
        for answer in (data, whole):
            try:
                verdict = read(answer)
            except EngineError:
                continue
            assert math.isfinite(verdict.score)
            told = evidence_of(verdict.rules)
            assert told.isascii()
            assert told.isprintable()
            assert len(told) <= 400
