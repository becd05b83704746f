"""What is known of a connection and of a message beside its text (RFC 5321, RFC 5598).

A connection carries many messages, so the two are different objects.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.model.address import Address

INTERNET = "internet"
SUBMISSION = "submission"
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Client:
    """Who connected: `ip` is None where there is no address (unix socket), `name` its PTR name."""

    ip: str | None
    name: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Envelope:
    """One mail transaction as the milter sees it; `sender` None is the null sender `<>`."""

    reference: str
    channel: str
    sender: Address | None
    authenticated: str = ""
    queue_id: str = ""
