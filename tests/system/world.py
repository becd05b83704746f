"""The outer world of a machine, played by this host on the bridge: name server, blacklists, a MX.

unbound answers on port 53 of the host's address: names and reverse names of the clients, the
blacklists' zones from rbldnsd, everything else from the host's own name servers, so that package
registries resolve. `Sink` takes mail for `world.test` and keeps it. Nothing here is asked by
anybody but the machines.
"""

from __future__ import annotations

import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.network import Bridge
from tests.waiting import eventually

RBLDNSD_PORT = 5300
ENFORCED = "enforced.dnsbl.test"
DELEGATED = "delegated.dnsbl.test"
WORLD = "world.test"
REFUSED = f"refused@{WORLD}"
"""Whom the world does not know."""

DIE_WITH_US = ("--pdeathsig=TERM", "--")

CLEAN, ON_DELEGATED, ON_ENFORCED, ON_BOTH = 100, 101, 102, 103
"""Numbers of client addresses on the bridge."""

CLIENTS = {
    CLEAN: ("clean", ()),
    ON_DELEGATED: ("delegated", (DELEGATED,)),
    ON_ENFORCED: ("enforced", (ENFORCED,)),
    ON_BOTH: ("both", (DELEGATED, ENFORCED)),
}
"""Number -> name below `world.test`, and the lists that it is on."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message that reached the world."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass(slots=True)
class World:
    """The bridge with its clients, and what arrived in the world."""

    bridge: Bridge
    sink: Sink

    def client(self, number: int) -> str:
        """The address of this client, for the source of a connection."""
        return self.bridge.address(number)


@contextmanager
def world(bridge: Bridge, folder: Path, names: dict[str, str]) -> Iterator[World]:
    """Start everything; `names` are further names with their addresses (the machines')."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in CLIENTS:
        bridge.add_client(number)
    with ExitStack() as stack:
        stack.enter_context(_rbldnsd(bridge, folder))
        stack.enter_context(_unbound(bridge, folder, names))
        sink = Sink((bridge.host, 25))
        stack.callback(sink.stop)
        yield World(bridge, sink)


@contextmanager
def _rbldnsd(bridge: Bridge, folder: Path) -> Iterator[None]:
    zones = []
    for zone in (DELEGATED, ENFORCED):
        listed = [bridge.address(number) for number, (_, on) in CLIENTS.items() if zone in on]
        # RFC 5782 section 5: 127.0.0.2 is always listed, 127.0.0.1 never.
        entries = [":127.0.0.2:listed by the test, $", "127.0.0.2", *listed]
        path = folder / zone
        path.write_text("\n".join(entries) + "\n")
        zones.append(f"{zone}:ip4set:{path.name}")
    where = f"{bridge.host}/{RBLDNSD_PORT}"
    # Not by its own -u: who changes his user loses the signal that ends him with the run.
    user = ["setpriv", "--reuid=rbldns", "--regid=rbldns", "--clear-groups"]
    command = [*user, *DIE_WITH_US, "rbldnsd", "-n", "-b", where, "-w", str(folder), *zones]
    with _daemon(command, folder / "rbldnsd.log"):
        yield


@contextmanager
def _unbound(bridge: Bridge, folder: Path, names: dict[str, str]) -> Iterator[None]:
    known = dict(names)
    known |= {f"{name}.{WORLD}": bridge.address(n) for n, (name, _) in CLIENTS.items()}
    known[f"mx.{WORLD}"] = bridge.host
    data = [f'local-data: "{name}. A {address}"' for name, address in known.items()]
    data += [f'local-data-ptr: "{address} {name}"' for name, address in known.items()]
    data.append(f'local-data: "{WORLD}. MX 10 mx.{WORLD}."')
    octets = str(bridge.network.network_address).split(".")[:3]
    reverse = ".".join(reversed(octets)) + ".in-addr.arpa."
    stubs = [
        f'stub-zone:\n name: "{zone}"\n stub-addr: {bridge.host}@{RBLDNSD_PORT}'
        for zone in (DELEGATED, ENFORCED)
    ]
    forwards = [f" forward-addr: {server}" for server in _name_servers()]
    lines = [
        "server:",
        f" interface: {bridge.host}",
        f" access-control: {bridge.network} allow",
        ' chroot: ""',
        ' username: ""',
        ' pidfile: ""',
        f' directory: "{folder}"',
        " do-daemonize: no",
        " use-syslog: no",
        ' module-config: "iterator"',
        " do-not-query-localhost: no",
        " do-ip6: no",
        # Names of tests never leave this host (RFC 6761); the zones of the lists go to rbldnsd.
        ' local-zone: "test." static',
        ' local-zone: "dnsbl.test." transparent',
        f' local-zone: "{reverse}" static',
        *(f" {line}" for line in data),
        "remote-control:",
        " control-enable: no",
        *stubs,
        "forward-zone:",
        ' name: "."',
        *forwards,
    ]
    settings = folder / "unbound.conf"
    settings.write_text("\n".join(lines) + "\n")
    with _daemon(["setpriv", *DIE_WITH_US, "unbound", "-c", str(settings)], folder / "unbound.log"):
        eventually(lambda: _answers(bridge.host), 10.0, "unbound answers")
        yield


def _name_servers() -> list[str]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("nameserver")]


def _answers(host: str) -> bool:
    """Whether a question for `mx.world.test` gets an answer of any kind (RFC 1035 section 4)."""
    name = b"".join(bytes([len(part)]) + part.encode() for part in f"mx.{WORLD}".split("."))
    question = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + name + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.sendto(question, (host, 53))
        try:
            return client.recv(512)[:2] == b"\x12\x34"
        except (TimeoutError, ConnectionRefusedError):
            return False


@contextmanager
def _daemon(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: log.stat().st_size or process.poll() is not None, 10.0, command[0])
        yield
        if process.poll() is not None:
            raise OSError(f"{command[0]} ended early: {log.read_text()}")
    finally:
        process.terminate()
        process.wait(timeout=20)


class Sink:
    """An SMTP server that takes all but mail for `REFUSED` (the least of RFC 5321) and keeps it."""

    def __init__(self, address: tuple[str, int]) -> None:
        """Listen on `address` and serve in a thread."""
        self.received: list[Received] = []
        self._server = _SinkServer(address, _Session)
        self._server.sink = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def wait_for(self, marker: str, deadline: float = 30.0) -> Received:
        """The first message whose data holds `marker`."""

        def find() -> list[Received]:
            return [one for one in list(self.received) if marker.encode() in one.data]

        return eventually(find, deadline, f"a message with {marker} in the world")[0]

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


class _SinkServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    sink: Sink


@dataclass(slots=True)
class _Open:
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self) -> None:
        self._say("220 mx.world.test ESMTP")
        mail = _Open()
        while line := self.rfile.readline():
            verb, argument = line[:4].upper(), line.decode("utf-8", "replace").strip()
            if verb == b"DATA":
                self._say("354 go on")
                self._keep(mail)
                mail = _Open()
            elif verb == b"MAIL":
                mail.sender = _bracketed(argument)
            elif verb == b"RCPT":
                if _bracketed(argument) == REFUSED:
                    self._say("550 5.1.1 nobody of that name")
                    continue
                mail.recipients.append(_bracketed(argument))
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            if verb != b"DATA":
                self._say("250 ok")

    def _keep(self, mail: _Open) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        server = self.server
        assert isinstance(server, _SinkServer)
        server.sink.received.append(Received(mail.sender, tuple(mail.recipients), b"".join(lines)))
        self._say("250 kept")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


def _bracketed(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]
