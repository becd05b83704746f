"""What is known of a connection: the channel it came by, and who connected (RFC 5321, RFC 5598)."""

from __future__ import annotations

from dataclasses import dataclass

INTERNET = "internet"
SUBMISSION = "submission"
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Client:
    """Who connected: `ip` is None where there is no address (unix socket), `name` its PTR name."""

    ip: str | None
    name: str = ""
    port: int = 0
