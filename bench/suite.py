"""The suite's settings and daemons for a run: as on a server, under their own users.

The directory is the TOML file, unless a run names another: what LDAP costs is the directory's time
to live, not a message's. Records and spool lie on the disk, as they would.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.names import ZONES
from iems.store import keys
from tests.integration.stack.ground import (
    AGENT_USER,
    GROUP,
    MILTER_USER,
    Ground,
    accepts_unix,
    owned,
)
from tests.integration.stack.process import Server
from tests.waiting import eventually

REPOSITORY = Path(__file__).parents[1]
DOMAIN = "example.test"
USERS = tuple(f"user{number}@{DOMAIN}" for number in range(1000))
WORKERS = 2


class Suite:
    """Settings in a folder of their own; daemons are started from this tree."""

    def __init__(
        self, ground: Ground, sockets: Path, dns_port: int, upstream: str, more: str = ""
    ) -> None:
        """`sockets` is where Postfix reaches them, `upstream` the LMTP server behind the agent.

        `more` are further tables of settings; they go before those of here.
        """
        self._ground = ground
        self.folder = ground.place("iems")
        self.milter_socket = sockets / "milter.sock"
        self.agent_socket = sockets / "lmtp.sock"
        self.milter_state = self._state("milter", MILTER_USER)
        self.agent_state = self._state("lmtp", AGENT_USER)
        keys.create(self.folder / "findings.toml", "bench1")
        owned(self.folder / "findings.toml", "root", GROUP, 0o640)
        self.keyring = keys.Keyring.load(self.folder / "findings.toml")
        self._write("directory.toml", _directory())
        self.settings = self._write("iems.toml", self._text(dns_port, upstream))
        (self.folder / "conf.d").mkdir()
        self._write("conf.d/more.toml", more)

    def milter(self) -> Server:
        """iems-milter, started."""
        return self._start("milters.main", MILTER_USER, self.milter_socket)

    def agent(self) -> Server:
        """iems-lmtp, started."""
        return self._start("lmtp.main", AGENT_USER, self.agent_socket)

    def _start(self, module: str, user: str, socket: Path) -> Server:
        arguments = ["--settings", str(self.settings), "--foreground-log"]
        server = Server(
            module,
            [sys.executable, "-c", f"from {module} import main; main()", *arguments],
            self.folder / f"{module}.log",
            user=user,
            environment={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
        )
        self._ground.started(server)
        eventually(lambda: _listens(server, socket), 20, lambda: f"{module}\n{server.tail()}")
        return server

    def _state(self, name: str, user: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return owned(folder, user, user, 0o750)

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return owned(path, "root", GROUP, 0o640)

    def _text(self, dns_port: int, upstream: str) -> str:
        lists = "".join(_blacklist(zone) for zone in ZONES)
        return f"""\
version = 1
hostname = "mail.{DOMAIN}"
postmaster = "postmaster@{DOMAIN}"
own_networks = ["127.0.0.1/32"]

[directory]
kind = "toml"
file = "{self.folder}/directory.toml"

[dns]
servers = ["127.0.0.1:{dns_port}"]

[milter]
tag_spam_bounces = true
socket = "{self.milter_socket}"
state = "{self.milter_state}"
status = "{self.milter_state}/status.json"
workers = {WORKERS}

[agent]
socket = "{self.agent_socket}"
state = "{self.agent_state}"
status = "{self.agent_state}/status.json"
workers = {WORKERS}

[agent.upstreams]
local = "{upstream}"

[keys]
findings = "{self.folder}/findings.toml"

[checks.iprev]
mode = "delegate"
{lists}"""


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor that these processes have taken, and children of theirs that ended."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one) for fields in stats for one in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _blacklist(zone: str) -> str:
    label = zone.partition(".")[0]
    return f"""
[checks.dnsbl.{label}]
zone = "{zone}"
mode = "delegate"
"""


def _directory() -> str:
    rows: Sequence[str] = [f'[users."{user}"]' for user in USERS]
    return "\n".join([f'[domains."{DOMAIN}"]', *rows, ""])


def _listens(server: Server, socket: Path) -> bool:
    server.wants_running()
    return accepts_unix(socket)
