"""What the MTA asks of a filter, whether it sits behind a socket or in the same process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.fakemta.message import Edit
from tests.fakemta.script import Connect

Macros = Mapping[str, str]
"""All that Postfix knows at this moment; a filter sees the names that it has for the stage."""

CONTINUE, ACCEPT, DISCARD = "continue", "accept", "discard"
"""Answers that are no SMTP reply; every other answer is one, such as `550 5.7.1 no`."""

REJECT = "550 5.7.1 Command rejected"
TEMPFAIL = "451 4.7.1 Service unavailable - try again later"
"""What Postfix 3.7 says for a filter that gives no text of its own (milter8.c)."""


@dataclass(frozen=True)
class Verdict:
    """The filter's answer at the end of a message, with its edits in order."""

    answer: str
    edits: tuple[Edit, ...] = ()


class Filter(Protocol):
    """One connection to a filter."""

    def connect(self, client: Connect, macros: Macros) -> str:
        """A client connected; called again after XCLIENT."""
        ...

    def helo(self, name: str, macros: Macros) -> str:
        """HELO or EHLO."""
        ...

    def mail(self, sender: str, macros: Macros) -> str:
        """MAIL FROM; the sender in angle brackets."""
        ...

    def rcpt(self, recipient: str, macros: Macros) -> str:
        """RCPT TO; the recipient in angle brackets."""
        ...

    def data(self, macros: Macros) -> str:
        """DATA."""
        ...

    def header(self, name: bytes, value: bytes, macros: Macros) -> str:
        """One field; the value with its leading blank, folded with line feeds."""
        ...

    def end_of_headers(self, macros: Macros) -> str:
        """The empty line."""
        ...

    def body(self, piece: bytes) -> str:
        """A piece of the body."""
        ...

    def end_of_message(self, macros: Macros) -> Verdict:
        """The final dot."""
        ...

    def abort(self) -> None:
        """The message is no more."""
        ...

    def quit(self) -> None:
        """The client is gone."""
        ...

    def vanish(self) -> None:
        """The MTA is gone."""
        ...
