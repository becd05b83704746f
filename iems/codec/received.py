"""Received (RFC 5321 section 4.4) as our own Postfix writes it: how a message came to this host.

Anybody can write such a field; whose it is tells its place, which the caller knows. HELO and the
recipient are the client's own text, and may look like the rest of one: only what is ours begins a
line. A message that begins with a blank or a CR goes on where ours ends: of such lines the first
counts.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.model.envelope import parse_ip

_LIMIT = 2_000
"""Bytes; ours has some hundred, and a HELO made for it would have the pattern look for long."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """`ip` is None where the message did not come by SMTP, `name` empty where none is verified.

    `protocol` ends in `A` where the client had logged in (RFC 3848).
    """

    queue_id: str
    protocol: str = ""
    helo: str = ""
    name: str = ""
    ip: str | None = None

    @property
    def authenticated(self) -> bool:
        """Whether the client had logged in."""
        return self.protocol.upper().endswith("A")


def arrival(value: bytes, hostname: str) -> Arrival | None:
    """What the field tells; None where Postfix on this host did not write it."""
    found = _pattern(hostname).fullmatch(value.strip()) if len(value) <= _LIMIT else None
    if found is None:
        return None
    helo, name, ip, protocol, queue_id = (
        printable((part or b"").decode("utf-8", "replace")) for part in found.groups()
    )
    ip = ip.removeprefix("IPv6:")
    if ip and parse_ip(ip) is None:
        return None
    return Arrival(queue_id, protocol, helo, "" if name == "unknown" else name, ip or None)


@functools.lru_cache(maxsize=8)
def _pattern(hostname: str) -> re.Pattern[bytes]:
    client = rb"from ([^\n]*) \((\S+) \[([^\[\]\s]+)\]\)\r?\n(?:[ \t][^\n]*\n)*?[ \t]+"
    here = re.escape(hostname.encode())
    return re.compile(
        rb"(?:%s)?by %s \([^()]*\)(?: with ([A-Za-z0-9]+))?\s+id ([A-Za-z0-9]+)\b"
        rb"(?:\s+for <[^\n]*>)?\s*(?:;[^\n]*(?:\n[^\n]*)*)?" % (client, here),
        re.IGNORECASE,
    )
