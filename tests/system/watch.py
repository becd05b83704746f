"""What a stranger meets at the ports of a machine while it is provisioned.

Each port is tried until it has answered once. A port that nobody opened is not among the answers.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_INTERVAL = 0.2
"""Seconds between two tries; what listens too early does so for many."""

_PATIENCE = 5.0
"""Seconds for one answer."""


@contextmanager
def first_answers(host: str) -> Iterator[Mapping[int, str]]:
    """What each port said first, complete at the end of the context."""
    answers: dict[int, str] = {}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_INTERVAL):
            for port in _QUESTIONS.keys() - answers:
                with contextlib.suppress(OSError):
                    answers[port] = _QUESTIONS[port](host, port)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield answers
    finally:
        stop.set()
        watcher.join()


def _greeting(host: str, port: int) -> str:
    with socket.create_connection((host, port), _PATIENCE) as client, client.makefile() as lines:
        return lines.readline().strip()


def _certificate(host: str, port: int) -> str:
    return ssl.get_server_certificate((host, port), timeout=_PATIENCE)


def _open(host: str, port: int) -> str:
    socket.create_connection((host, port), _PATIENCE).close()
    return "open"


_QUESTIONS: Mapping[int, Callable[[str, int], str]] = {
    25: _greeting,
    389: _open,
    993: _certificate,
}
