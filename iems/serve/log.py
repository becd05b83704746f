"""The log of a process: one datagram a line to syslogd, facility mail, as RFC 3164 has it.

It never blocks, unless it was told to wait a little, and never raises: a line that syslogd does not
take is dropped and counted, and the count is told with the next line that gets through. Values are
quoted and escaped, so that text from outside can neither end a line nor pretend to be a field. A
log is opened after the fork, one a process; all threads may write.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

SYSLOG = Path("/dev/log")

_FACILITY_MAIL = 2 << 3
_ERROR, _WARNING, _INFO = 3, 4, 6

VALUE_LIMIT = 2000
"""Characters of one value: a traceback's last frames, or ten recipients."""

_LINE_LIMIT = 7500
"""Bytes of one line; rsyslog cuts at its maxMessageSize, 8 KiB unless set."""

_RETRY = 1.0
"""Seconds between two attempts to reach a syslogd that is not there."""


def quoted(value: object) -> str:
    """The value in double quotes, as printable ASCII; what was not printable is escaped."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > VALUE_LIMIT:
        text = text[: VALUE_LIMIT - 3] + "..."
    if not text.isascii() or not text.isprintable() or "\\" in text:
        text = text.encode("unicode_escape").decode("ascii")
    return '"' + text.replace('"', '\\"') + '"'


def pairs(fields: dict[str, object]) -> str:
    """The fields as ` key="value"`, each with the blank before it."""
    return "".join(f" {key}={quoted(value)}" for key, value in fields.items())


class Log:
    """Lines of one process. Made by `Log.open`."""

    def __init__(self, ident: str, path: Path | None, wait: float = 0.0) -> None:
        self._tag = f"{ident}[{os.getpid()}]"
        self._path = path
        self._wait = wait
        self._socket: socket.socket | None = None
        self._next_attempt = 0.0
        self._dropped = 0
        self._lock = threading.Lock()
        self.on_error: Callable[[str], None] = _nobody
        """Told every error, too."""

    @classmethod
    def open(
        cls, ident: str, foreground: bool = False, path: Path = SYSLOG, wait: float = 0.0
    ) -> Log:
        """The log of this process: to syslogd at `path`, or with `foreground` to stderr.

        A line waits at most `wait` seconds for syslogd; only a program that nobody waits for has
        any to give.
        """
        return cls(ident, None if foreground else path, wait)

    @property
    def dropped(self) -> int:
        """Lines lost since the last one that got through."""
        return self._dropped

    def event(self, reference: str, queue_id: str, **fields: object) -> None:
        """The one line of a message: `REFERENCE QUEUEID|NOQUEUE key="value" ...`."""
        self._line(_INFO, f"{reference} {queue_id or 'NOQUEUE'}{pairs(fields)}")

    def info(self, text: str, **fields: object) -> None:
        """Something that an administrator may want to know."""
        self._line(_INFO, f"{text}{pairs(fields)}")

    def warning(self, text: str, **fields: object) -> None:
        """Something that goes on working, but should not be so."""
        self._line(_WARNING, f"warning: {text}{pairs(fields)}")

    def error(self, text: str, **fields: object) -> None:
        """Something that does not work."""
        line = f"{text}{pairs(fields)}"
        self._line(_ERROR, f"error: {line}")
        self.on_error(line)

    def failure(self, text: str, error: BaseException, **fields: object) -> None:
        """An error that nobody expected, with the end of its traceback."""
        trace = "".join(traceback.format_exception(error))[-VALUE_LIMIT:]
        self.error(text, **fields, traceback=trace)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _line(self, level: int, text: str) -> None:
        line = text if text.isascii() and text.isprintable() else quoted(text)[1:-1]
        with self._lock:
            if self._dropped and self._send(_WARNING, f"warning: {self._dropped} log lines lost"):
                self._dropped = 0
            if not self._send(level, line):
                self._dropped += 1

    def _send(self, level: int, line: str) -> bool:
        if self._path is None:
            return self._print(line)
        stamp = time.strftime("%b %e %H:%M:%S")
        message = f"<{_FACILITY_MAIL | level}>{stamp} {self._tag}: {line}".encode("ascii")
        for _attempt in range(2):  # the second one when syslogd was restarted meanwhile
            connection = self._connected()
            if connection is None:
                return False
            try:
                connection.send(message[:_LINE_LIMIT])
            except BlockingIOError:
                return False
            except TimeoutError:
                self.close()
                self._next_attempt = time.monotonic() + _RETRY
                return False
            except OSError:
                self.close()
                self._next_attempt = 0.0
            else:
                return True
        return False

    def _print(self, line: str) -> bool:
        try:
            # One write: with two, lines of several workers run into each other.
            sys.stderr.write(f"{self._tag}: {line}\n")
            sys.stderr.flush()
        except OSError:
            return False
        return True

    def _connected(self) -> socket.socket | None:
        if self._socket is not None or self._path is None:
            return self._socket
        if time.monotonic() < self._next_attempt:
            return None
        self._next_attempt = time.monotonic() + _RETRY
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            connection.settimeout(self._wait)
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            return None
        self._socket = connection
        return connection


def _nobody(_text: str) -> None:
    """The log is all there is."""
