"""Which DNS servers to ask: those of the settings, else those of resolv.conf(5).

Reads one file and opens no socket. A resolv.conf that is missing or names no server means the
server on this host, as for the C library.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
_PORT = 53
_MOST = 3
"""Servers that are used, MAXNS of resolv.conf(5)."""


@dataclass(frozen=True, slots=True)
class Server:
    """One DNS server."""

    address: str
    port: int = _PORT


def servers(configured: Iterable[str], resolv_conf: Path = RESOLV_CONF) -> tuple[Server, ...]:
    """The servers of the settings (`IP`, `IP:PORT`, `[IPV6]:PORT`), else of the file.

    ValueError where a setting is neither.
    """
    found = tuple(_configured(text) for text in configured)
    return found or _system(resolv_conf)


def _configured(text: str) -> Server:
    host, port = text, _PORT
    if text.startswith("["):
        host, _bracket, rest = text[1:].partition("]")
        port = _number(rest.removeprefix(":"), text) if rest else _PORT
    elif text.count(":") == 1:
        host, _colon, rest = text.partition(":")
        port = _number(rest, text)
    try:
        return Server(str(ipaddress.ip_address(host)), port)
    except ValueError:
        raise ValueError(f"{text!r} is no DNS server; expected IP, IP:PORT, [IPV6]:PORT") from None


def _number(text: str, whole: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"{whole!r} is no DNS server; expected a port from 1 to 65535")


def _system(path: Path) -> tuple[Server, ...]:
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    found = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_address(words[1]):
            found.append(Server(words[1]))
    return tuple(found[:_MOST]) or (Server("127.0.0.1"),)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
