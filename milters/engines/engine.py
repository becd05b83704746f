"""What a content filter is: it is told of a message and answers with a score and rule names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from iems.serve.deadline import Deadline
from iems.store.spool import Spooled

_UNSAFE = re.compile(r"[^!-~]|[()<>;,\"\\]")


class EngineError(Exception):
    """There is no verdict; the text says why and holds nothing that came from the server."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message and how it came: the client that is judged, and whom it says it comes from.

    `host` is our own name; `ip` is empty where there is no client. All but `message` and `host`
    are words of the client's, and go onto the wire by `word` alone.
    """

    message: Spooled
    host: str
    ip: str = ""
    name: str = ""
    helo: str = ""
    sender: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The score, and the rules that made it: the weightiest first, where weights are told."""

    score: float
    rules: tuple[str, ...] = ()


class Engine(Protocol):
    """One server of one kind, asked by many threads at once."""

    def scan(self, mail: Mail, deadline: Deadline) -> Verdict:
        """Its verdict by the deadline; EngineError."""
        ...

    def ping(self, deadline: Deadline) -> str:
        """Why it does not answer; empty where it does."""
        ...


def word(text: str) -> str:
    """Text of a client's as one word: no blank, line end, comment or quote comes through."""
    return _UNSAFE.sub("?", text[:255])
