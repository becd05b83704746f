"""The end of a draining worker: after a moment without a session, and never with one."""

from __future__ import annotations

import pytest

from iems.serve.deadline import Deadline
from milters import adapter
from tests.unit.lmtp.parts import Heard


def drained(monkeypatch: pytest.MonkeyPatch, sessions: list[int], seconds: float) -> list[str]:
    """What is logged by a worker that finds so many sessions, look by look."""
    log = Heard()
    # As on a machine so busy that the moment is over before anybody looks.
    monkeypatch.setattr(adapter, "_QUIET", 0.0)
    monkeypatch.setattr(adapter, "_sessions", lambda _name: sessions.pop(0))
    adapter._see_off("name", Deadline.after(seconds), log)
    return log.lines


def test_a_session_that_began_meanwhile_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [1, 2, 0]
    assert drained(monkeypatch, sessions, 60) == []
    assert sessions == []


def test_a_drain_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [1, 0]
    [line] = drained(monkeypatch, sessions, 0)
    assert 'the drain ends with open sessions sessions="1"' in line
    assert sessions == [0]
