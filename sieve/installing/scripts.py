"""What who installs needs of a server, whichever way leads to it: the scripts of one user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ServerError(Exception):
    """There is no server that answers now, or it said what makes no sense."""


class RefusedError(Exception):
    """The server did not do it; the message is what it said, `code` its response code or empty."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Scripts(Protocol):
    """The scripts of one user; all raise ServerError and RefusedError.

    Which of them is active nobody changes here.
    """

    @property
    def extensions(self) -> frozenset[str]:
        """What the server's Sieve knows, by the names that `require` takes."""

    def listed(self) -> Mapping[str, bool]:
        """The names of all scripts, and of each whether it is the active one."""

    def get(self, name: str) -> bytes | None:
        """A script, byte by byte; None where there is none of this name."""

    def put(self, name: str, script: bytes) -> None:
        """Keep a script in the place of the one of this name, which stays where it is refused."""

    def delete(self, name: str) -> None:
        """Take a script away; one that is active is refused."""
