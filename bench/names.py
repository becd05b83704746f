"""The DNS of a run: 20,000 clients, four blacklists at rbldnsd, and unbound before it.

Client addresses lie in 127.16.0.0/12, where a socket can be bound to each of them, or, for those
who never look up such addresses, in 198.18.0.0/15. One in twenty is listed, by one or more of the
lists. unbound stands between the suite and rbldnsd, as a resolver does on a real server; its
restart makes a cold cache.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from types import MappingProxyType

from tests.integration.stack.ground import Ground
from tests.integration.stack.packets import ask
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.waiting import eventually

SEED = 20250601
CLIENTS = 20_000
SHARE = 20
"""One client in so many is listed."""

ZONES = ("one.bl.test", "two.bl.test", "three.bl.test", "four.bl.test")
TTL = 3600
"""Seconds, longer than a run: what expires in between would be neither warm nor cold."""

LOOPBACK, OUTSIDE = "127.16.0.1", "198.18.0.1"
"""The first client."""

_UNBOUND = """\
server:
    interface: 127.0.0.1
    port: {port}
    do-ip6: no
    use-syslog: no
    logfile: "{folder}/log"
    pidfile: ""
    directory: "{folder}"
    chroot: ""
    username: unbound
    num-threads: 1
    do-daemonize: no
    do-not-query-localhost: no
    module-config: "iterator"
    unblock-lan-zones: yes
    local-zone: "." static
    local-data: ". {ttl} IN SOA ns.test. host.test. 1 600 300 86400 {ttl}"
    local-zone: "bl.test." transparent
{records}
remote-control:
    control-enable: no
{stubs}
"""


class Names:
    """The two servers; `port` is unbound's."""

    def __init__(
        self,
        ground: Ground,
        records: Sequence[str] = (),
        first: str = LOOPBACK,
        elsewhere: Mapping[str, int] = MappingProxyType({}),
        ttl: int = TTL,
    ) -> None:
        """Write the data; nothing is started yet. `records` are those of unbound's own names.

        unbound finds a list that is `elsewhere` at this port; `lists_port` is rbldnsd's, which has
        all of them. What lists answer is kept for `ttl` seconds.
        """
        draw = random.Random(SEED)
        self.clients = [str(IPv4Address(first) + n) for n in range(CLIENTS)]
        self._network = f".{first.partition('.')[0]}."
        self.listed = {
            client: draw.sample(ZONES, draw.choice((1, 2, 3, 4)))
            for client in draw.sample(self.clients, CLIENTS // SHARE)
        }
        self._ground = ground
        self.lists_port, self.port = ground.port(), ground.port()
        self._rbldnsd = self._blacklists(ttl)
        self._unbound = self._resolver(records, elsewhere, ttl)

    def start(self) -> None:
        """Start both and wait until they answer."""
        self._ground.started(self._rbldnsd)
        eventually(lambda: ask(self.lists_port, f"2.0.0.127.{ZONES[3]}"), 10, "rbldnsd")
        self.chill()

    def chill(self) -> None:
        """Forget everything that was cached."""
        if self._unbound.running:
            self._unbound.stop()
        self._ground.started(self._unbound)
        eventually(lambda: ask(self.port, f"2.0.0.127.{ZONES[0]}"), 20, "unbound")

    def stop(self) -> None:
        """Stop both."""
        for server in (self._unbound, self._rbldnsd):
            if server.running:
                server.stop()

    def questions(self) -> int:
        """How many questions about clients rbldnsd has seen; its own log says so."""
        lines = self._asked.read_text(errors="replace").splitlines()
        return sum(1 for line in lines if self._network in line and " 2.0.0.127." not in line)

    def _blacklists(self, ttl: int) -> Server:
        folder = self._ground.place("rbldnsd")
        folder.chmod(0o777)
        self._asked = folder / "asked"
        for zone in ZONES:
            rows = [client for client, zones in self.listed.items() if zone in zones]
            head = f"$SOA {ttl} ns.{zone} host.{zone} 1 600 300 86400 {ttl}\n$TTL {ttl}\n"
            entries = "\n".join([":127.0.0.2:listed, $", "127.0.0.2", *rows])
            (folder / zone).write_text(f"{head}{entries}\n")
        specs = [f"{zone}:ip4set:{zone}" for zone in ZONES]
        where = f"127.0.0.1/{self.lists_port}"
        arguments = ["-n", "-u", "rbldns", "-w", str(folder), "-b", where, "-l", "+asked"]
        command = [program("rbldnsd"), *arguments, *specs]
        return Server("rbldnsd", command, folder / "output")

    def _resolver(self, records: Sequence[str], elsewhere: Mapping[str, int], ttl: int) -> Server:
        folder = self._ground.place("unbound")
        folder.chmod(0o777)
        stubs = "\n".join(
            f'stub-zone:\n    name: "{zone}"\n    stub-addr: 127.0.0.1@'
            f"{elsewhere.get(zone, self.lists_port)}"
            for zone in ZONES
        )
        settings = folder / "unbound.conf"
        known = "\n".join(f"    local-data: '{record}'" for record in records)
        values = {"port": self.port, "folder": folder, "records": known, "stubs": stubs, "ttl": ttl}
        settings.write_text(_UNBOUND.format(**values))
        return Server("unbound", [program("unbound"), "-d", "-c", settings], folder / "output")
