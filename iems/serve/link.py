"""A connection to a server of which every step ends by a deadline.

`wait` comes before each step: what is left of the deadline is all the time that the step has, so a
server that hangs, reads nothing or sends a byte at a time holds a thread no longer than one that is
down. Where no time is left, and where a step takes longer, it is a TimeoutError.
"""

from __future__ import annotations

import socket

from iems.model.server import Server
from iems.serve.deadline import Deadline


def connected(server: Server, deadline: Deadline) -> socket.socket:
    """A new connection; OSError."""
    link = _socket(server)
    try:
        wait(link, deadline)
        link.connect(server.path or (server.ip, server.port))
    except OSError:
        link.close()
        raise
    return link


def wait(link: socket.socket, deadline: Deadline) -> None:
    """The next step has what is left of the deadline; TimeoutError."""
    left = deadline.remaining()
    if not left:
        raise TimeoutError
    link.settimeout(left)


def _socket(server: Server) -> socket.socket:
    if server.path:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    family = socket.AF_INET6 if ":" in server.ip else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)
