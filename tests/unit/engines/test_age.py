"""The age of signatures: a level, and a notice where they are old."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping

import pytest

from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.serve.meter import Meter, series
from milters.engines.age import DAY, ages
from milters.engines.clamd import Clamd
from milters.engines.engine import EngineError
from tests.contentfilter import ContentFilter, stream

MADE = 1_790_000_000.0


def version(text: str) -> ContentFilter:
    """A clamd that says this of itself."""

    def serve(link: socket.socket, _over: threading.Event) -> None:
        stream(link)
        link.sendall(text.encode() + b"\0")

    return ContentFilter(serve)


def told(days: int, age: float, text: str = "") -> tuple[Mapping[str, str], float | None]:
    """What postmaster would hear, and the level."""
    meter, heard = Meter(), list[Mapping[str, str]]()
    made = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(MADE))
    with version(text or f"ClamAV 1.4.6/27400/{made}") as server:
        scanners = {"virus/a": Clamd(Server.parse(server.address))}
        ages(scanners, days, meter, heard.append, lambda: MADE + age).run(Deadline.after(10))
    (one,) = heard
    level = meter.snapshot().levels.get(series("signatures_age_seconds", {"backend": "virus/a"}))
    return one, level


def test_the_age_is_a_level_and_postmaster_hears_of_old_ones() -> None:
    assert told(3, 3 * DAY) == ({"virus/a": ""}, 3 * DAY)
    assert told(3, 4 * DAY) == ({"virus/a": "signatures of 4 days ago"}, 4 * DAY)
    assert told(0, 400 * DAY) == ({"virus/a": ""}, 400 * DAY)
    assert told(3, -DAY) == ({"virus/a": ""}, 0.0), "a clock that is slow"


@pytest.mark.parametrize("text", ["ClamAV 1.4.6", "ClamAV 1.4.6/27400/some day", "PONG"])
def test_what_says_no_age_has_none(text: str) -> None:
    assert told(3, 40 * DAY, text) == ({}, None)


def test_what_is_no_clamd_has_none() -> None:
    with version("ClamAV 1.4.6/x/Fri Nov 27 10:00:00 2026") as server:
        one = Clamd(Server.parse(server.address))
        with pytest.raises(EngineError, match="does not speak the protocol of clamd"):
            one.signed(Deadline.after(5))
    with pytest.raises(EngineError, match="cannot be asked"):
        one.signed(Deadline.after(5))
