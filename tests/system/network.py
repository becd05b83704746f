"""A private network for the machines: one bridge on this host, and a way out through it.

Addresses come from 198.18.0.0/15, which is set aside for such tests (RFC 2544, RFC 6890), so they
meet no real network. The host is the first address. Everything set here (bridge, forwarding, one
MASQUERADE rule and the rules that let it pass) is taken back at the end; what a killed run left
behind is removed by the next.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NAME = "iems-system"
NETWORK = os.environ.get("IEMS_SYSTEM_NETWORK", "198.18.2.0/24")
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge as it stands: `host` is this machine's address on it."""

    name: str
    network: ipaddress.IPv4Network

    @property
    def host(self) -> str:
        """The address of this host on the bridge: gateway, name server and the outer world."""
        return str(self.network[1])

    def address(self, number: int) -> str:
        """The address with this number."""
        return str(self.network[number])

    def add_client(self, number: int) -> str:
        """Give this host one more address, from which SMTP clients connect."""
        address = self.address(number)
        _run("ip", "address", "add", f"{address}/32", "dev", self.name)
        return address


@contextmanager
def bridge(network: str = NETWORK, name: str = NAME) -> Iterator[Bridge]:
    """The bridge, while the context lasts."""
    made = Bridge(name, ipaddress.IPv4Network(network))
    rules = _rules(made)
    _remove(made, rules)
    with ExitStack() as stack:
        stack.callback(_remove, made, rules)
        stack.callback(FORWARD.write_text, FORWARD.read_text())
        _run("ip", "link", "add", name, "type", "bridge")
        _run("ip", "address", "add", f"{made.host}/{made.network.prefixlen}", "dev", name)
        _run("ip", "link", "set", name, "up")
        for rule in rules:
            _run("iptables", "-w", *_verb(rule, "-I"))
        FORWARD.write_text("1\n")
        yield made


def _rules(made: Bridge) -> tuple[tuple[str, ...], ...]:
    net = str(made.network)
    return (
        ("-t", "nat", "POSTROUTING", "-s", net, "!", "-d", net, "-j", "MASQUERADE"),
        # A host that forwards for other reasons may drop by default.
        ("-t", "filter", "FORWARD", "-i", made.name, "-j", "ACCEPT"),
        ("-t", "filter", "FORWARD", "-o", made.name, "-j", "ACCEPT"),
    )


def _verb(rule: tuple[str, ...], verb: str) -> tuple[str, ...]:
    return (*rule[:2], verb, *rule[2:])


def _remove(made: Bridge, rules: tuple[tuple[str, ...], ...]) -> None:
    for rule in rules:
        while _run("iptables", "-w", *_verb(rule, "-D"), check=False) == 0:
            continue
    _run("ip", "link", "delete", made.name, check=False)


def _run(*command: str, check: bool = True) -> int:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.returncode
