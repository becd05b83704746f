"""What the tests of the agent have in common: a log, and a next hop that is scripted."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iems.serve.log import Log


class Heard(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test", None)
        self.lines: list[str] = []

    def _line(self, level: int, text: str) -> None:
        del level
        self.lines.append(text)


@dataclass
class Taken:
    """One transaction as the next hop saw it: commands, and the octets of DATA with its end."""

    mail: str
    recipients: list[str]
    data: bytes = b""


@dataclass
class Hop:
    """An LMTP server on a unix socket that replies as it is told.

    `rcpt` and `final` map an address to the reply at RCPT and after DATA. `moments` maps a moment
    (`connect`, `mail`, `data`, `text`, `final`, or `other`, which is any other command) to what is
    done there; False cuts the connection.
    """

    path: Path
    extensions: Sequence[str] = ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME")
    rcpt: Mapping[str, str] = field(default_factory=dict)
    final: Mapping[str, str] = field(default_factory=dict)
    mail: str = "250 2.1.0 OK"
    start: str = "354 OK"
    greeting: str = "220 hop LMTP"
    moments: dict[str, Callable[[], bool]] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Hop:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(50)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self._threads[0].start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()
        self.path.unlink()

    @property
    def target(self) -> str:
        """As the settings write it."""
        return f"unix:{self.path}"

    def cut(self) -> None:
        """Close every connection there is."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with (
            contextlib.suppress(ConnectionError, _CutError),
            connection,
            connection.makefile("rb") as file,
        ):
            self._talk(_Talk(file.readline, connection.sendall))

    def _talk(self, talk: _Talk) -> None:
        self._moment("connect")
        talk.say(self.greeting)
        taken = Taken("", [])
        while line := talk.line():
            verb = line.partition(" ")[0].upper()
            if verb == "LHLO":
                words = ["hop", *self.extensions]
                last = len(words) - 1
                for at, word in enumerate(words):
                    talk.say(f"250{' ' if at == last else '-'}{word}")
            elif verb == "MAIL":
                self._moment("mail")
                taken = Taken(line, [])
                talk.say(self.mail)
            elif verb == "RCPT":
                answer = self.rcpt.get(_address(line), "250 2.1.5 OK")
                if answer.startswith("2"):
                    taken.recipients.append(line)
                talk.say(answer)
            elif verb == "DATA":
                self._moment("data")
                talk.say(self.start if taken.recipients else "503 5.5.1 No recipients")
                if taken.recipients and self.start.startswith("354"):
                    self._message(talk, taken)
            else:
                self._moment("other")
                talk.say("250 2.0.0 OK")

    def _message(self, talk: _Talk, taken: Taken) -> None:
        self._moment("text")
        lines = [talk.octets()]
        while lines[-1] != b".\r\n":
            lines.append(talk.octets())
        taken.data = b"".join(lines)
        self.taken.append(taken)
        self._moment("final")
        for line in taken.recipients:
            talk.say(self.final.get(_address(line), "250 2.0.0 Saved"))

    def _moment(self, name: str) -> None:
        if not self.moments.get(name, lambda: True)():
            raise _CutError


class _CutError(Exception):
    """The script says that the connection ends here."""


@dataclass
class _Talk:
    """One connection of the hop."""

    read: Callable[[], bytes]
    write: Callable[[bytes], None]

    def octets(self) -> bytes:
        """The next line as it came."""
        line = self.read()
        if not line:
            raise _CutError
        return line

    def line(self) -> str:
        """The next command; empty at the end of the connection."""
        return self.read().decode().rstrip("\r\n")

    def say(self, text: str) -> None:
        """One line."""
        self.write(text.encode() + b"\r\n")


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
