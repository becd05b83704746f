"""A milter whose chain does what the addresses say, and tells in a header what it saw.

    python -m tests.integration.serve.milter SOCKET [TIMES]

Local parts of recipients and words of HELO, sender and header fields ask for something: `reject`,
`tempfail`, `percent`, `badcode`, `boom` (an exception), `slow`. To `rewritten` goes another message
in the place of the one in whose body it stands in hexadecimal. The header X-Seen holds the events
as JSON in hexadecimal, X-Chains how many chains the worker holds and how many messages of this one
were aborted.
"""

from __future__ import annotations

import gc
import json
import os
import socket as sockets
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from iems.codec.header import parse_header
from iems.edits.edit import Edit as Change
from iems.mime.splice import Splice
from iems.model.envelope import Client
from iems.serve.log import Log
from iems.serve.supervisor import Control, Job, Timing, serve
from iems.store.spool import MemoryBody
from milters import adapter
from milters.chain import Chain
from milters.draft import Draft
from milters.reply import (
    ChangeHeader,
    Continue,
    DeleteRecipient,
    Edit,
    InsertHeader,
    Reject,
    Reply,
    TempFail,
)

_REPLIES: Mapping[str, Reply] = {
    "reject": Reject(550, "5.7.1", "not wanted"),
    "tempfail": TempFail(450, "4.7.1", "not now"),
    "percent": Reject(550, "5.7.1", "100% sure\r\nof %s and caf\u00e9"),
    "badcode": Reject(250, "2.0.0", "no refusal at all"),
}


class TellingChain(Chain):
    """Keeps what it hears until the end of the message."""

    reads_bodies = True
    alive: ClassVar[weakref.WeakSet[TellingChain]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)
        self._aborted = 0
        self._connected: list[object] = []
        self._helo: list[object] = []
        self._seen: list[object] = []
        self._recipients: list[str] = []
        self._body = b""

    @property
    def reference(self) -> str:
        """A reference of the message."""
        return "REFERENCE"

    def connect(self, client: Client, macros: Mapping[str, str]) -> Reply:
        """A client."""
        self._connected = ["connect", client.ip, client.name, dict(macros)]
        return Continue()

    def helo(self, name: str) -> Reply:
        """HELO."""
        self._helo = ["helo", name]
        return _asked(name.partition(".")[0])

    def mail(self, sender: str, macros: Mapping[str, str]) -> Reply:
        """MAIL."""
        self._seen = [self._connected, self._helo, ["mail", sender, sorted(macros)]]
        self._recipients = []
        self._body = b""
        return _asked(sender.strip("<>").partition("@")[0])

    def rcpt(self, recipient: str, macros: Mapping[str, str]) -> Reply:
        """RCPT."""
        word = recipient.strip("<>").partition("@")[0]
        if word == "slow":
            threading.Event().wait(1.0)
        self._seen.append(["rcpt", recipient, "i" in macros])
        self._recipients.append(recipient)
        return _asked(word)

    def header(self, name: bytes, value: bytes) -> None:
        """A field."""
        self._seen.append(["header", name.decode("latin-1"), value.decode("latin-1")])
        if name == b"X-Boom":
            raise ValueError("a field that the chain cannot bear")

    def end_of_headers(self) -> Reply:
        """The end of the header."""
        self._seen.append(["end of headers"])
        return Continue()

    def body(self, piece: bytes) -> None:
        """A piece of the body, however it is cut."""
        if b"boom in the body" in piece:
            raise ValueError("a body that the chain cannot bear")
        self._body += piece

    def end_of_message(self, macros: Mapping[str, str]) -> tuple[Reply, tuple[Edit, ...]]:
        """Refusals and edits as the recipients ask for."""
        self._seen.append(["body", self._body.decode("latin-1")])
        self._seen.append(["end of message", bool(macros["i"])])
        words = {one.strip("<>").partition("@")[0] for one in self._recipients}
        if "endboom" in words:
            raise ValueError("an end that the chain cannot bear")
        if "endreject" in words:
            return _REPLIES["reject"], ()
        if "rewritten" in words:
            return Continue(), self._rewritten()
        seen = json.dumps(self._seen).encode().hex().encode()
        lines = b"\r\n\t".join(seen[at : at + 900] for at in range(0, len(seen), 900))
        edits: list[Edit] = [InsertHeader(0, b"X-Seen", lines)]
        edits += [InsertHeader(0, b"X-Worker", b"%d" % os.getpid())]
        gc.collect()
        edits += [InsertHeader(1, b"X-Chains", b"%d %d" % (len(self.alive), self._aborted))]
        edits += [ChangeHeader(b"X-Forged", 2, None), ChangeHeader(b"X-Forged", 1, None)]
        edits += [ChangeHeader(b"X-Old", 1, b"new value")]
        edits += [DeleteRecipient(one) for one in self._recipients if "gone@" in one]
        return Continue(), tuple(edits)

    def _rewritten(self) -> tuple[Edit, ...]:
        rows = [one[1:] for one in self._seen if isinstance(one, list) and one[0] == "header"]
        header = "".join(f"{name}:{value}\n" for name, value in rows).replace("\n", "\r\n")
        block = parse_header(header.encode("latin-1"))
        before = Draft(block, block, MemoryBody(b"\r\n" + self._body))
        whole = Splice(0, len(before.data), bytes.fromhex(self._body.decode()))
        return before.edited(Change((whole,))).difference()

    def abort(self) -> None:
        """RSET, or the client went away."""
        self._seen = []
        self._aborted += 1

    def close(self) -> None:
        """The connection ended."""


def _asked(word: str) -> Reply:
    if word == "boom":
        raise ValueError("something that the chain cannot bear")
    return _REPLIES.get(word, Continue())


@dataclass(frozen=True)
class TellingMilter:
    """Service and generation in one."""

    socket: Path
    name: str = "telling"
    workers: int = 2
    socket_group: str = ""
    fingerprint: str = "telling"
    max_memory: int = 1 << 40

    @property
    def daemon(self) -> TellingMilter:
        """And its own settings."""
        return self

    @property
    def status(self) -> Path:
        """Where the supervisor says how it is."""
        return self.socket.with_name("status.json")

    def prepare(self) -> TellingMilter:
        """Nothing can be wrong."""
        return self

    def work(self, listener: sockets.socket, control: Control, log: Log) -> None:
        """The adapter under test."""
        adapter.serve(TellingChain, listener, control, log)

    def jobs(self, _control: Control, _log: Log) -> Sequence[Job]:
        """None."""
        return ()


def main() -> int:
    """Run the daemon."""
    times = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    return serve(TellingMilter(Path(sys.argv[1])), foreground_log=True, timing=Timing(**times))


if __name__ == "__main__":
    sys.exit(main())
