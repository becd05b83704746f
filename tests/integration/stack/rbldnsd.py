"""A private rbldnsd: blacklists as data, and every question that it was asked.

Zones are named at the start; their entries change while it runs. A zone holds IPv4 and IPv6
addresses, domain names and, unless told otherwise, the test entries of RFC 5782.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from tests.integration.stack.ground import Ground
from tests.integration.stack.packets import ask
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.waiting import eventually

_KINDS = ("ip4set", "ip6trie", "dnset")
_HEAD = "$SOA 60 ns.{zone} hostmaster.{zone} 1 600 300 86400 1\n$TTL 1\n"
LISTED = "127.0.0.2"
_TEST_ENTRIES = ("127.0.0.2", "::ffff:7f00:2", "test")


@dataclass(frozen=True)
class Asked:
    """One question that the server saw."""

    name: str
    rtype: str


class Rbldnsd:
    """One server for all `zones`; `port` is where it answers on 127.0.0.1."""

    def __init__(self, ground: Ground, zones: Sequence[str]) -> None:
        self._ground = ground
        self.folder = ground.place("rbldnsd")
        self.folder.chmod(0o777)
        self.port = ground.port()
        self.zones = tuple(zones)
        self._entries: dict[str, dict[str, str]] = {zone: {} for zone in zones}
        self._test_entries = dict.fromkeys(zones, True)
        # rbldnsd compares whole seconds: every change of a file is one second newer than the last.
        self._stamp = 1_000_000_000
        for zone in zones:
            self._write(zone)
        specs = [f"{zone}:{kind}:{zone}.{kind}" for zone in zones for kind in _KINDS]
        arguments = [
            *(program("rbldnsd"), "-n", "-f", "-u", "rbldns", "-w", str(self.folder)),
            *("-b", f"127.0.0.1/{self.port}", "-c", "0", "-l", "+asked"),
            *specs,
        ]
        self._server = Server("rbldnsd", arguments, self.folder / "output")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._ground.started(self._server)
        eventually(self._answers, 10, lambda: f"rbldnsd is silent\n{self._server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self._server.stop()
        self._server.gone()

    def list(self, zone: str, address: str, answer: str = LISTED, text: str = "") -> None:
        """Put an address or a name on a list; `answer` may be an error code, 127.255.255.254."""
        self._entries[zone][address] = f":{answer}:{text or 'listed for a test'}"
        self._write(zone)
        self._reload(zone, address, (answer,))

    def delist(self, zone: str, address: str) -> None:
        """Take an address or a name off a list."""
        del self._entries[zone][address]
        self._write(zone)
        self._reload(zone, address, ())

    def test_entries(self, zone: str, *, there: bool) -> None:
        """Give a zone the entries of RFC 5782 section 5, or take them away: it looks sick."""
        self._test_entries[zone] = there
        self._write(zone)
        self._reload(zone, "127.0.0.2", (LISTED,) if there else ())

    def asked(self, text: str = "") -> tuple[Asked, ...]:
        """The questions so far, in order, whose name holds `text`; its own probes included."""
        path = self.folder / "asked"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        rows = [line.split() for line in lines]
        asked = [Asked(row[2].lower(), row[3].rstrip(":").upper()) for row in rows if len(row) > 3]
        return tuple(one for one in asked if text in one.name)

    def pause(self) -> None:
        """Stop answering: questions are neither answered nor refused."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._server.signal(signal.SIGCONT)

    def _write(self, zone: str) -> None:
        self._stamp += 1
        entries = dict(self._entries[zone])
        if self._test_entries[zone]:
            entries |= dict.fromkeys(_TEST_ENTRIES, f":{LISTED}:test entry")
        for kind in _KINDS:
            rows = [
                f"{entry} {value}\n" for entry, value in entries.items() if _kind(entry) == kind
            ]
            path = self.folder / f"{zone}.{kind}"
            path.write_text(_HEAD.format(zone=zone) + "".join(rows))
            os.utime(path, (self._stamp, self._stamp))

    def _reload(self, zone: str, address: str, answers: Sequence[str]) -> None:
        self._server.signal(signal.SIGHUP)
        name = f"{reverse(address)}.{zone}"
        eventually(lambda: ask(self.port, name) == tuple(answers), 10, f"{name} is not {answers}")

    def _answers(self) -> bool:
        self._server.wants_running()
        return all(ask(self.port, f"2.0.0.127.{zone}") == (LISTED,) for zone in self.zones)


def reverse(entry: str) -> str:
    """The labels under which a list has this address or name (RFC 5782 section 2)."""
    if _kind(entry) == "dnset":
        return entry
    return ip_address(entry).reverse_pointer.rsplit(".", 2)[0]


def _kind(entry: str) -> str:
    """In which of rbldnsd's data sets it stands."""
    try:
        return "ip4set" if ip_address(entry).version == 4 else "ip6trie"
    except ValueError:
        return "dnset"
