"""Where a server listens that is asked by address: no name is looked up on the way to it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """The path of a socket, or an address and a port; nowhere, where all are empty."""

    path: str = ""
    ip: str = ""
    port: int = 0

    def __str__(self) -> str:
        """As `parse` reads it."""
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"inet:{host}:{self.port}" if self.ip else ""

    @classmethod
    def parse(cls, text: str) -> Server:
        """`unix:/PATH` or `inet:ADDRESS:PORT`; ValueError. A name would have to be looked up."""
        kind, _colon, rest = text.partition(":")
        if kind == "unix" and rest.startswith("/"):
            return cls(path=rest)
        host, _colon, port = rest.rpartition(":")
        if kind != "inet" or not port.isascii() or not port.isdecimal() or len(port) > 5:
            raise ValueError("expected unix:/PATH or inet:ADDRESS:PORT")
        ip = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
        if not 0 < int(port) < 65536:
            raise ValueError("expected a port from 1 to 65535")
        return cls(ip=ip, port=int(port))


NOWHERE = Server()
