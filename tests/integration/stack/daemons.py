"""Our own daemons under their own users, with settings, keys and state of a private site.

Every daemon reads `etc/iems.toml` of the site's folder, and `etc/conf.d/places.toml` beside it,
which says where sockets, state and servers of this run are.
"""

from __future__ import annotations

import base64
import signal
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.stack.ground import (
    AGENT_USER,
    BAYES_USER,
    GROUP,
    MILTER_USER,
    TRAIN_GROUP,
    Ground,
    accepts_unix,
    owned,
)
from tests.integration.stack.process import Server, parent
from tests.waiting import eventually

KEY_ID = "testkey"
SECRET = b"the key of the findings, in tests"


class Site:
    """Settings, keys and state of one site; `sockets` is a folder that Postfix can reach.

    Sockets of a site with a `name` begin with it; `servers` is one more file of `conf.d`.
    """

    def __init__(
        self, ground: Ground, sockets: Path, settings: str, servers: str = "", name: str = ""
    ) -> None:
        self.ground = ground
        self.folder = ground.place("site")
        self.etc = self.folder / "etc"
        self.settings = self.etc / "iems.toml"
        self.milter_socket = sockets / f"{name}milter.sock"
        self.agent_socket = sockets / f"{name}lmtp.sock"
        self.plugins = self.folder / "plugins"
        """Where checks of others are found; it need not be there."""
        self.milter_state = self._state("milter", MILTER_USER)
        self.agent_state = self._state("lmtp", AGENT_USER)
        self.bayes_state = owned(self._state("bayes", BAYES_USER), BAYES_USER, BAYES_USER, 0o2770)
        train = owned(ground.place("train"), BAYES_USER, TRAIN_GROUP, 0o755)
        self.bayes_socket = train / "iems-bayes"
        for folder in (self.etc, self.etc / "conf.d", self.etc / "keys"):
            folder.mkdir()
            owned(folder, "root", GROUP, 0o750)
        secret = base64.b64encode(SECRET).decode()
        key = f'[[key]]\nid = "{KEY_ID}"\nsecret = "{secret}"\nstate = "active"\n'
        self.write("keys/findings.toml", key)
        self.write("iems.toml", settings)
        self.write(
            "conf.d/places.toml",
            f"""
[milter]
socket = "{self.milter_socket}"
state = "{self.milter_state}"
status = "{self.milter_state}/status.json"
[agent]
socket = "{self.agent_socket}"
state = "{self.agent_state}"
status = "{self.agent_state}/status.json"
[bayes]
socket = "{self.bayes_socket}"
store = "{self.bayes_state}"
status = "{self.bayes_state}/status.json"
[keys]
findings = "{self.etc}/keys/findings.toml"
[signing]
keys = "{self.etc}/keys/dkim"
""",
        )
        self.write("conf.d/servers.toml", servers)

    @property
    def path(self) -> str:
        """Where Python finds what runs."""
        return f"{ROOT}:{self.plugins}"

    def write(self, name: str, text: str) -> Path:
        """Write a file of `etc`, readable by our daemons and by nobody else."""
        path = self.etc / name
        path.touch()
        owned(path, "root", GROUP, 0o640)
        path.write_text(text)
        return path

    def _state(self, name: str, user: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return owned(folder, user, user, 0o750)


class Daemon:
    """One of our daemons: a supervisor with its workers."""

    def __init__(self, site: Site, name: str, module: str, user: str, socket: Path) -> None:
        self.name = name
        self.site = site
        self.user = user
        self.socket = socket
        self._ground = site.ground
        arguments = [sys.executable, "-m", module, "--settings", str(site.settings)]
        self.server = Server(
            name,
            [*arguments, "--foreground-log"],
            site.folder / f"{name}.log",
            user=user,
            environment={"PYTHONPATH": site.path, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def start(self) -> None:
        """Start it and wait until its socket accepts."""
        self._ground.started(self.server)
        try:
            eventually(self._accepts, 20, lambda: f"{self.name} is silent\n{self.server.tail()}")
        except AssertionError:
            self.server.kill()
            raise

    def stop(self) -> None:
        """Let it drain and end; nothing of it may be left."""
        self.server.stop(within=30)
        self.server.gone()
        assert not self.socket.exists(), f"{self.name} left its socket"

    def reload(self) -> None:
        """HUP: a new generation with the settings as they are now."""
        self.server.signal(signal.SIGHUP)

    def workers(self) -> tuple[int, ...]:
        """The supervisor's children: its workers, and the process for jobs where there is one."""
        above = self.server.pid
        return tuple(pid for pid in self.server.members() if parent(pid) == above)

    def log(self, text: str = "") -> str:
        """What it logged, or only the lines that hold `text`."""
        return "\n".join(line for line in self.server.tail(100_000).splitlines() if text in line)

    def _accepts(self) -> bool:
        self.server.wants_running()
        return accepts_unix(self.socket)


def milter(site: Site) -> Daemon:
    """The milter of a site."""
    return Daemon(site, "iems-milter", "milters.main", MILTER_USER, site.milter_socket)


def agent(site: Site) -> Daemon:
    """The agent of a site."""
    return Daemon(site, "iems-lmtp", "lmtp.main", AGENT_USER, site.agent_socket)


def trainer(site: Site) -> Daemon:
    """The training daemon of a site."""
    return Daemon(site, "iems-bayes", "lmtp.learning.main", BAYES_USER, site.bayes_socket)
