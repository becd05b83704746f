"""A server that takes every message and shows it: the end of the way for a Postfix under test.

It speaks LMTP (one reply a recipient) and SMTP (one reply) on one port of the loopback, and keeps
the bytes as they came.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from tests.waiting import eventually

_GREETING = (
    b"250-sink.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-XFORWARD IDENT\r\n250 SIZE\r\n"
)


@dataclass(frozen=True)
class Caught:
    """One transaction."""

    sender: str
    recipients: tuple[str, ...]
    message: bytes
    ident: str
    """Postfix's queue id, where it was told by XFORWARD."""


class Sink:
    """The server; `known` decides what is said to a RCPT, `reply` to it at the end of DATA."""

    def __init__(
        self,
        reply: Callable[[str], str] = lambda _recipient: "250 2.0.0 ok",
        known: Callable[[str], str] = lambda _recipient: "250 ok",
    ) -> None:
        self._caught: list[Caught] = []
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.keep = self._caught.append
        self._server.reply, self._server.known = reply, known
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def caught(self, ident: str = "") -> list[Caught]:
        """What came so far; only the transactions of one queue id where it is given."""
        return [one for one in list(self._caught) if ident in {"", one.ident}]

    def wait(self, ident: str, deadline: float = 15) -> Caught:
        """The transaction of this queue id, once it is there."""
        return eventually(lambda: self.caught(ident), deadline, f"{ident} is not delivered")[0]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    keep: Callable[[Caught], None]
    reply: Callable[[str], str]
    known: Callable[[str], str]


class _Session(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self._say(b"220 sink.example\r\n")
        sender, recipients, ident, lmtp = "", [""], "", False
        for line in iter(self.rfile.readline, b""):
            text = line.decode("utf-8", "surrogateescape").strip()
            verb = text.upper()
            if verb.startswith(("LHLO", "EHLO")):
                lmtp = verb.startswith("LHLO")
                self._say(_GREETING)
            elif verb.startswith("XFORWARD"):
                words = dict(word.split("=", 1) for word in text.split()[1:])
                ident = words.get("IDENT", ident)
                self._say(b"250 ok\r\n")
            elif verb.startswith("MAIL FROM:"):
                sender, recipients = _path(text), []
                self._say(b"250 ok\r\n")
            elif verb.startswith("RCPT TO:"):
                recipients.append(_path(text))
                self._say(f"{self.server.known(recipients[-1])}\r\n".encode())
            elif verb == "DATA":
                self._say(b"354 go on\r\n")
                self.server.keep(Caught(sender, tuple(recipients), self._message(), ident))
                for recipient in recipients if lmtp else recipients[:1]:
                    self._say(f"{self.server.reply(recipient)}\r\n".encode())
            elif verb == "QUIT":
                self._say(b"221 bye\r\n")
                return
            else:
                self._say(b"250 ok\r\n")

    def _message(self) -> bytes:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(line[1:] if line.startswith(b".") else line for line in lines)

    def _say(self, octets: bytes) -> None:
        self.wfile.write(octets)


def _path(text: str) -> str:
    return text[text.index("<") + 1 : text.rindex(">")]
