"""Laws of virus scanners: what is scanned of a message, and what their answers are taken for."""

from __future__ import annotations

from iems.codec.header import split_message
from iems.store.spool import MemoryBody, Spooled
from milters.engines import clamd
from milters.engines.engine import EngineError
from milters.engines.readings import TooManyError, others, whole
from milters.engines.scanner import Verdict


def readings(data: bytes) -> None:
    """Each reading has the size that it says, and all of them a bounded one."""
    header, body = split_message(data)
    message = Spooled(header, MemoryBody(body))
    assert b"".join(whole(message).pieces()) == clamd.MAIL + data
    total = 0
    try:
        for octets in others(message):
            assert octets.size == len(b"".join(octets.pieces()))
            total += octets.size
    except TooManyError:
        pass
    assert total <= 8 * max(len(data), 64 << 10)


def scans(data: bytes) -> None:
    """One answer alone is clean."""
    try:
        said = clamd.read_answer(data)
    except EngineError:
        return
    assert said.verdict is not Verdict.CLEAN or data == b"stream: OK\0"
    assert said.name.isascii()
    assert said.name.isprintable()
