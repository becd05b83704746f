"""A name server that answers from a zone file's text, which a test may change at any time.

The text is the one of `iems.dns.zonefile`. What it does not hold is kept as unexpected and refused;
TIMEOUT is answered with silence. Answers are not to be cached.
"""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import cast, get_args

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from iems.dns.resolver import Rtype, Status
from iems.dns.zonefile import UnexpectedQuestionError, ZoneResolver
from iems.serve.deadline import Deadline

_RCODES = {
    Status.NXDOMAIN: dns.rcode.NXDOMAIN,
    Status.SERVFAIL: dns.rcode.SERVFAIL,
    Status.REFUSED: dns.rcode.REFUSED,
}


class NameServer:
    """The server; `port` is where it answers on 127.0.0.1."""

    def __init__(self, text: str = "") -> None:
        self._server = _Server(("127.0.0.1", 0), _Question)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self.port: int = self._server.server_address[1]
        self.serve(text)

    def __enter__(self) -> NameServer:
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

    def serve(self, text: str) -> None:
        """Answer from this text from now on, and forget what was unexpected before."""
        self._server.zone = ZoneResolver(text)
        self._server.unexpected = []

    @property
    def unexpected(self) -> list[str]:
        """The questions that the text does not hold."""
        return list(self._server.unexpected)


class _Server(socketserver.ThreadingUDPServer):
    daemon_threads = True
    zone: ZoneResolver
    unexpected: list[str]


class _Question(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        packet, channel = self.request
        question = dns.message.from_wire(packet)
        asked = question.question[0]
        name, rtype = asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        try:
            assert rtype in get_args(Rtype), rtype
            known = self.server.zone.ask(name, cast("Rtype", rtype)).result(Deadline.after(0))
        except UnexpectedQuestionError:
            self.server.unexpected.append(f"{name} {rtype}")
            answer.set_rcode(dns.rcode.REFUSED)
        else:
            if known.status is Status.TIMEOUT:
                return
            answer.set_rcode(_RCODES.get(known.status, dns.rcode.NOERROR))
            texts = [_strings(one) if rtype == "TXT" else one for one in known.records]
            texts = [f"{one}." if rtype in {"MX", "PTR"} else one for one in texts]
            if texts:
                answer.answer.append(dns.rrset.from_text(asked.name, 0, "IN", rtype, *texts))
        channel.sendto(answer.to_wire(), self.client_address)


def _strings(text: str) -> str:
    """The text as character strings, of which each has 255 bytes at most."""
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, max(len(text), 1), 255))
