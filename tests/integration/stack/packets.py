"""One DNS question over UDP (RFC 1035), written and read by hand; and a server that is deaf.

Independent of the resolver under test: only A answers are read, anything else counts as none.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType

_TIMEOUT = 10.0


def ask(port: int, name: str) -> tuple[str, ...]:
    """The A records that the server on this port of 127.0.0.1 answers; () for none or silence."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_TIMEOUT)
        client.connect(("127.0.0.1", port))
        try:
            client.send(question)
            answer = client.recv(4096)
        except OSError:
            return ()
    return _addresses(answer, len(question))


class DeafServer:
    """A UDP port of 127.0.0.1 that takes questions and answers none."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> DeafServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()


def _addresses(answer: bytes, start: int) -> tuple[str, ...]:
    count = struct.unpack(">H", answer[6:8])[0]
    found, place = [], start
    for _record in range(count):
        while answer[place] & 0xC0 != 0xC0 and answer[place]:
            place += answer[place] + 1
        place += 2 if answer[place] else 1
        rtype, _class, _ttl, length = struct.unpack(">2HIH", answer[place : place + 10])
        place += 10
        if rtype == 1 and length == 4:
            found.append(socket.inet_ntoa(answer[place : place + 4]))
        place += length
    return tuple(sorted(found))
