"""A virus scanner behind ICAP (RFC 3507), asked by RESPMOD: is there a virus in this response?

The octets go as the body of a response to a request that nobody made, for that is what ICAP knows.
204 says that nothing is to be changed. A 200 counts only with a header field in which servers name
what they found (`X-Infection-Found`, `X-Violations-Found`, `X-Virus-ID`): one without is no
verdict, nor is any other code; 413 says that the octets are too many.

Failure: a server that has no scanner may answer 204 all the same (`milters.engines.proven`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError
from milters.engines.link import exchange
from milters.engines.scanner import Octets, Scanned, Verdict, named

_STATUS = re.compile(rb"ICAP/1\.\d (\d{3})(?: |\Z)")
_FOUND = frozenset({b"x-infection-found", b"x-violations-found", b"x-virus-id"})
_THREAT = re.compile(rb"\bThreat=([ -:<-~]{1,300})")
_CLEAN, _CHANGED, _TOO_LARGE = 204, 200, 413
_NOBODY = b"GET http://mail.invalid/message HTTP/1.1\r\nHost: mail.invalid\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Icap:
    """One service of one server."""

    server: Server
    service: str

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        """What it says by the deadline; EngineError."""
        request = self._request(octets)
        said = read_answer(exchange(self.server, request, deadline))
        if said.verdict is Verdict.CLEAN and next(request, None) is not None:
            raise EngineError("answers before it has read all")
        return said

    def _request(self, octets: Octets) -> Iterator[bytes]:
        server = self.server
        ip = f"[{server.ip}]" if ":" in server.ip else server.ip
        host = f"{ip}:{server.port}" if server.ip else "localhost"
        response = (
            "HTTP/1.1 200 OK\r\nContent-Type: message/rfc822\r\n"
            f"Content-Length: {octets.size}\r\n\r\n"
        ).encode()
        body = len(_NOBODY) + len(response)
        head = (
            f"RESPMOD icap://{host}/{self.service} ICAP/1.0\r\nHost: {host}\r\nAllow: 204\r\n"
            f"Connection: close\r\n"
            f"Encapsulated: req-hdr=0, res-hdr={len(_NOBODY)}, res-body={body}\r\n\r\n"
        )
        yield head.encode("ascii") + _NOBODY + response
        for piece in octets.pieces():
            if piece:  # an empty chunk would be the last one
                yield b"%x\r\n%s\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"


def read_answer(answer: bytes) -> Scanned:
    """The verdict of an answer to RESPMOD; EngineError."""
    if not answer:
        raise EngineError("closes the connection without an answer")
    head, gap, _rest = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status = _STATUS.match(lines[0])
    if status is None:
        raise EngineError("does not speak ICAP")
    if not gap:
        raise EngineError("gives an answer that is not whole")
    code = int(status[1])
    if code == _CLEAN:
        return Scanned(Verdict.CLEAN)
    if code == _TOO_LARGE:
        return Scanned(Verdict.UNSCANNED, "larger than the server takes")
    fields = [line.partition(b":") for line in lines[1:]]
    found = [value.strip() for name, _colon, value in fields if name.strip().lower() in _FOUND]
    if code != _CHANGED or not found:
        raise EngineError("gives no verdict" if code == _CHANGED else f"answers with error {code}")
    threat = next(filter(None, map(_THREAT.search, found)), None)
    text = threat[1] if threat else found[0]
    return named(text.decode("ascii", "replace").strip() or "a virus without a name")
