"""What Postfix and what our own questions say of clients' names: printed as JSON, client by client.

Run by `test_dns_postfix.py` in a network namespace of its own, since Postfix asks the name server
on port 53. Each client is a loopback address, and the DNS has another story about each.
"""

from __future__ import annotations

import json
import smtplib
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import dns.message

from iems.dns.servers import Server
from iems.dns.stub import StubResolver
from iems.model.envelope import INTERNET, Client
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings.load import from_table
from milters import adapter
from milters.checks import iprev
from milters.checks.protocol import Tools, View
from milters.reply import Continue, Edit, Reply
from tests.integration.dns_fake import answering, fake
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.programs import run

REVERSE = {
    "127.0.0.5": answering("@ 60 PTR good.probe.test."),
    "127.0.0.6": answering("@ 60 PTR forged.probe.test."),
    "127.0.0.7": answering(rcode="NXDOMAIN"),
    "127.0.0.8": answering(rcode="SERVFAIL"),
    "127.0.0.9": answering("@ 60 PTR nowhere.probe.test."),
    "127.0.0.10": answering("@ 60 PTR broken.probe.test."),
    "127.0.0.11": answering("@ 60 PTR two.probe.test."),
}
FORWARD = {
    "good.probe.test.": answering("@ 60 A 127.0.0.5"),
    "forged.probe.test.": answering("@ 60 A 127.0.0.99"),
    "nowhere.probe.test.": answering(rcode="NXDOMAIN"),
    "broken.probe.test.": answering(rcode="SERVFAIL"),
    "two.probe.test.": answering("@ 60 A 127.0.0.99", "@ 60 A 127.0.0.11"),
}


def name_server(query: bytes) -> list[bytes]:
    """The story about every client."""
    question = dns.message.from_wire(query).question[0]
    name = question.name.to_text()
    labels = name.removesuffix(".in-addr.arpa.").split(".")
    story = FORWARD.get(name) or REVERSE.get(".".join(reversed(labels)))
    return (story or answering(rcode="NXDOMAIN"))(query)


class Witness:
    """A chain that only remembers how clients were introduced."""

    reference = "-"
    reads_bodies = False

    def __init__(self, seen: dict[str, dict[str, str]]) -> None:
        self._seen = seen

    def connect(self, client: Client, macros: Mapping[str, str]) -> Reply:
        self._seen[client.ip or ""] = {
            "name": client.name,
            "resolved": macros.get("{client_resolve}", ""),
        }
        return Continue()

    def helo(self, name: str) -> Reply:  # noqa: ARG002 - the protocol's signature
        return Continue()

    def mail(self, sender: str, macros: Mapping[str, str]) -> Reply:  # noqa: ARG002
        return Continue()

    def rcpt(self, recipient: str, macros: Mapping[str, str]) -> Reply:  # noqa: ARG002
        return Continue()

    def header(self, name: bytes, value: bytes) -> None:
        """Nothing is asked of header fields."""

    def end_of_headers(self) -> Reply:
        return Continue()

    def body(self, piece: bytes) -> None:
        """Nothing is asked of bodies."""

    def end_of_message(self, macros: Mapping[str, str]) -> tuple[Reply, tuple[Edit, ...]]:  # noqa: ARG002
        return Continue(), ()

    def abort(self) -> None:
        """Nothing is kept of a message."""

    def close(self) -> None:
        """Nothing is kept of a connection."""


def told_by_postfix(ground: Ground) -> dict[str, dict[str, str]]:
    """How a real Postfix introduces each client to the milter."""
    postfix = Postfix(
        ground,
        main={
            "smtpd_peername_lookup": "yes",
            "smtpd_milters": "unix:iems/milter.sock",
            "virtual_mailbox_domains": "box.test",
        },
        listeners=[Listener("internet", ground.port(), {})],
    )
    (postfix.queue / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    seen: dict[str, dict[str, str]] = {}
    control = Control(limit=1.0)
    log = Log.open("probe", foreground=True)
    with socket.socket(socket.AF_UNIX) as listener, running(postfix):
        path = postfix.sockets / "milter.sock"
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        serving = threading.Thread(
            target=adapter.serve, args=(lambda: Witness(seen), listener, control, log)
        )
        serving.start()
        for client in REVERSE:
            with smtplib.SMTP(
                "127.0.0.1", postfix.port(), timeout=30, source_address=(client, 0)
            ) as smtp:
                smtp.noop()
        control.drain(1.0)
        serving.join(20)
    return seen


def asked_by_us() -> dict[str, str]:
    """The outcomes of our own questions to the same name server."""
    site = from_table(
        {
            "version": 1,
            "hostname": "mail.box.test",
            "postmaster": "postmaster@box.test",
            "own_networks": [],
        }
    )
    stub = StubResolver([Server("127.0.0.1")], 5)
    (check,) = iprev.make("", iprev.parse({}, "checks.iprev"), Tools.within(site, stub, Path()))
    outcomes = {}
    for client in REVERSE:
        view = View(Client(client), "", INTERNET, "", None, None)
        (finding,) = check.start(view, Deadline.after(20)).result()
        outcomes[client] = finding.outcome
    stub.close()
    return outcomes


def main() -> int:
    """Print both."""
    run("ip", "link", "set", "lo", "up")
    ground = Ground()
    try:
        with fake(name_server, port=53):
            told, asked = told_by_postfix(ground), asked_by_us()
    finally:
        ground.close()
    print(json.dumps({"told": told, "asked": asked}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
