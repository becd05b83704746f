"""A private unbound: names as data, some zones at other servers, nothing asked outside.

Every name that is not given does not exist, unless `forward` names a server for the rest.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping

from tests.integration.stack.ground import Ground
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program, run
from tests.waiting import eventually

_CONFIG = """\
server:
    interface: 127.0.0.1
    port: {port}
    do-ip6: no
    use-syslog: no
    logfile: "{folder}/log"
    log-queries: yes
    pidfile: ""
    directory: "{folder}"
    chroot: ""
    username: unbound
    num-threads: 1
    do-daemonize: no
    do-not-query-localhost: no
    module-config: "iterator"
    cache-max-negative-ttl: {ttl}
    cache-max-ttl: {ttl}
    unblock-lan-zones: yes
    local-zone: "." {rest}
{transparent}
remote-control:
    control-enable: yes
    control-interface: "{folder}/control"
    control-use-cert: no
{zones}
"""


class Unbound:
    """One resolver; `stubs` says which zones are at which port of 127.0.0.1."""

    def __init__(
        self,
        ground: Ground,
        *,
        stubs: Mapping[str, int] | None = None,
        forward: str = "",
        cache_seconds: int = 1,
    ) -> None:
        self._ground = ground
        self.folder = ground.place("unbound")
        self.folder.chmod(0o777)
        self.port = ground.port()
        self._config = self.folder / "unbound.conf"
        known = dict(stubs or {})
        zones = [
            f'stub-zone:\n    name: "{zone}"\n    stub-addr: 127.0.0.1@{port}\n'
            for zone, port in known.items()
        ]
        if forward:
            zones.append(f'forward-zone:\n    name: "."\n    forward-addr: {forward}\n')
        self._config.write_text(
            _CONFIG.format(
                port=self.port,
                folder=self.folder,
                ttl=cache_seconds,
                rest="transparent" if forward else "static",
                transparent="".join(f'    local-zone: "{zone}." transparent\n' for zone in known),
                zones="".join(zones),
            )
        )
        arguments = [program("unbound"), "-d", "-c", str(self._config)]
        self._server = Server("unbound", arguments, self.folder / "output")

    def start(self) -> None:
        """Start it and wait until it can be told things."""
        self._ground.started(self._server)
        eventually(self._ready, 10, lambda: f"unbound is not ready\n{self._server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self._server.stop()
        self._server.gone()

    def kill(self) -> None:
        """End it with no warning."""
        self._server.kill()

    def pause(self) -> None:
        """Stop answering: questions are neither answered nor refused."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._server.signal(signal.SIGCONT)

    def add(self, record: str) -> None:
        """Know a record, such as `mail.sender.example. A 192.0.2.1`."""
        self._control("local_data", record)

    def remove(self, name: str) -> None:
        """Forget all records of a name."""
        self._control("local_data_remove", name)

    def reverse(self, address_labels: str, name: str) -> None:
        """Know a PTR record; the labels are without in-addr.arpa."""
        suffix = "ip6.arpa" if address_labels.count(".") > 3 else "in-addr.arpa"
        self.add(f"{address_labels}.{suffix}. PTR {name}.")

    def questions(self) -> int:
        """How many questions it was asked since its start."""
        for line in self._control("stats_noreset").decode().splitlines():
            name, _equals, value = line.partition("=")
            if name == "total.num.queries":
                return int(value)
        raise AssertionError("unbound counts no questions")

    def asked(self, name: str) -> int:
        """How many questions it was asked about this name since its start."""
        log = (self.folder / "log").read_text(errors="replace")
        return log.count(f" {name}. ")

    def _control(self, *arguments: str) -> bytes:
        return run("unbound-control", "-c", self._config, *arguments)

    def _ready(self) -> bool:
        self._server.wants_running()
        try:
            self._control("status")
        except RuntimeError:
            return False
        return True
