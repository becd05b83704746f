"""The beat: it arrives however much a process has measured, or the process would be killed."""

from __future__ import annotations

import socket

import pytest

from iems.serve.control import beat, heard
from iems.serve.meter import Meter


@pytest.mark.parametrize("series", [0, 100, 1000, 2000, 2500, 3000, 4000, 8000])
def test_a_beat_arrives_whatever_was_measured(series: int) -> None:
    meter = Meter()
    for number in range(series):
        meter.count("findings_total", check=f"dnsbl/list-{number:05d}", outcome="pass", band="")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        beat(theirs, meter)
        seen = heard(ours)
    assert seen is None or len(seen.counters) == series
    assert seen is not None or series > 1000
