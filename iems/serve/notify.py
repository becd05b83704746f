"""What systemd is told and tells: how it goes by sd_notify(3), sockets by sd_listen_fds(3).

start-stop-daemon(8) listens, too: to READY, and to ERRNO of a daemon that does not begin.
Without NOTIFY_SOCKET or LISTEN_FDS in the environment nothing happens. A notification that does not
get through is not repeated: systemd's own time-out shows it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

FIRST = 3
"""The first descriptor that is passed (SD_LISTEN_FDS_START)."""


def notify(state: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Send `READY=1`, `RELOADING=1`, `STOPPING=1` or `ERRNO=...` if somebody asked for it."""
    target = environment.get("NOTIFY_SOCKET", "")
    if not target:
        return
    if state == "RELOADING=1":
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    address = "\0" + target[1:] if target.startswith("@") else target
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection,
    ):
        connection.setblocking(False)
        connection.sendto(state.encode(), address)


def passed_socket(environment: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket that systemd, or our own image of before, passed; None if none was.

    The variables are removed: they are meant for this process only.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or int(count) < 1:
        return None
    os.set_inheritable(FIRST, False)
    return socket.socket(fileno=FIRST)
