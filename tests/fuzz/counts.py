"""Laws of what a server of counts answers: a number, a wait, who is held, or an error of ours."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Sequence

from iems.model.server import NOWHERE
from iems.serve.deadline import Deadline
from iems.store import resp
from iems.store.counters import Claim, CountersError
from iems.store.counterserver import CounterServer
from iems.store.resp import Answer, AnsweredError, Login, Resp

_MOST = 65536
"""Bytes that a socket takes at once."""


def counts(data: bytes) -> None:
    """The same bytes to every question."""
    notes: list[str] = []
    server = CounterServer(_Saying(data), "server", "iems:", notes.append)
    soon = Deadline.after(60)
    with contextlib.suppress(CountersError):
        assert server.peek("a", 60.0, soon) >= 0
    with contextlib.suppress(CountersError):
        [wait] = server.take([Claim("a", 60.0, 1)], soon)
        assert 0 <= wait < math.inf
    with contextlib.suppress(CountersError):
        assert server.is_held("a", soon) in {True, False}
    with contextlib.suppress(CountersError):
        for one in server.held(soon):
            assert one.user.encode()
    assert all(note.isprintable() and len(note) < 400 for note in notes)


class _Saying(Resp):
    """A server that says always the same, and closes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(NOWHERE, Login())
        self._data = data[:_MOST]

    def ask(self, command: Sequence[bytes], deadline: Deadline) -> Answer:
        del command
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                theirs.sendall(self._data)
            answer = resp.read(ours, deadline)
        if isinstance(answer, AnsweredError):
            raise answer
        return answer
