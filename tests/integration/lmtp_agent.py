"""iems-lmtp as a real daemon under its own user, for the tests beside this file.

Its directory is a TOML file that knows a hundred users for each action, by their names: `junk7`
files in Junk what a blacklist found, and what it could not find out.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from iems.codec.findings import Passed, encode
from iems.model.finding import Finding
from iems.store import keys
from tests.conftest import ROOT
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import AGENT_USER, GROUP, Ground, accepts_unix, owned
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.process import Server
from tests.waiting import eventually

HOSTNAME = "mail.example.test"
USERS = 100
LISTED = Finding("dnsbl/one", "fail", "listed", "on it")
ACTIONS = ("deliver", "tag", "junk", "quarantine", "defer", "discard", "reject")


class AgentDaemon:
    """One instance; `socket` is where it listens, `upstream` the LMTP server behind it.

    `internet` is another one for domains that are not ours. Daemons before the same Dovecot need
    domains of their own: their users have the same names.
    """

    def __init__(
        self,
        ground: Ground,
        socket: Path,
        upstream: str,
        domain: str,
        *,
        smtp: str = "127.0.0.1:1",
        internet: str = "",
    ) -> None:
        self._ground = ground
        self._numbers = itertools.count()
        self.socket = socket
        self.domain = domain
        self.folder = ground.place("agent")
        self.state = self.folder / "state"
        self.state.mkdir()
        owned(self.state, AGENT_USER, AGENT_USER, 0o750)
        keys.create(self.folder / "findings.toml", "test1")
        owned(self.folder / "findings.toml", "root", GROUP, 0o640)
        self._keyring = keys.Keyring.load(self.folder / "findings.toml")
        self._write("directory.toml", _directory(domain))
        self._write("iems.toml", self._settings(upstream, smtp, internet or upstream))
        self._starts = 0
        self.server = self._program()

    def start(self) -> None:
        """Start it and wait until it accepts."""
        self._ground.started(self.server)
        eventually(self._listens, 20, lambda: self.server.tail())

    def stop(self) -> None:
        """Stop it; nothing may be left."""
        self.server.stop()
        self.server.gone()

    def kill(self) -> None:
        """kill -9, supervisor and workers."""
        for pid in self.server.members():
            os.kill(pid, signal.SIGKILL)

    def again(self) -> None:
        """Start it after `kill`."""
        self.server.kill()
        self.server = self._program()
        self.start()

    def renew(self, how: signal.Signals) -> None:
        """Reload (HUP) or restart (USR2), and wait until the new workers have taken over."""
        before = len(self.log("new settings"))
        self.server.signal(how)
        eventually(lambda: len(self.log("new settings")) > before, 20, self.server.tail)

    def user(self, action: str = "deliver") -> str:
        """The address of a user whom no other test has, who chose this action."""
        return f"{action}{next(self._numbers)}@{self.domain}"

    def box(self, dovecot: Dovecot, action: str = "deliver") -> Mailbox:
        """The same with a mailbox."""
        return dovecot.add_user(self.user(action))

    def field(
        self, queue_id: str, findings: Sequence[Finding] = (LISTED,), *, channel: str = "internet"
    ) -> bytes:
        """A header field with genuine findings for this message."""
        passed = Passed(
            "ref" + queue_id[-9:], queue_id, channel, "", 2_000_000_000, tuple(findings)
        )
        active = self._keyring.active
        return b"X-IEMS-Findings:" + encode(passed, active.id, active.secret) + b"\r\n"

    def log(self, text: str = "") -> list[str]:
        """Its lines with this text."""
        return [line for line in self.server.tail(100_000).splitlines() if text in line]

    def memory(self) -> list[int]:
        """VmHWM of each worker in KiB."""
        peaks = []
        for pid in self.server.members():
            status = Path(f"/proc/{pid}/status").read_text()
            peaks += [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
        return peaks

    def _program(self) -> Server:
        self._starts += 1
        settings = self.folder / "iems.toml"
        return Server(
            "iems-lmtp",
            [sys.executable, "-m", "lmtp.main", "--settings", settings, "--foreground-log"],
            self.folder / f"log{self._starts}",
            user=AGENT_USER,
            environment={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def _settings(self, upstream: str, smtp: str, internet: str) -> str:
        return f"""\
version = 1
hostname = "{HOSTNAME}"
postmaster = "postmaster@{self.domain}"

[directory]
kind = "toml"
file = "{self.folder}/directory.toml"

[agent]
socket = "{self.socket}"
socket_group = "postfix"
state = "{self.state}"

[agent.upstreams]
local = "{upstream}"
internet = "{internet}"

[keys]
findings = "{self.folder}/findings.toml"

[notices]
smtp = "{smtp}"

[checks.dnsbl.one]
zone = "one.bl.test"
mode = "delegate"
default = {{ listed = "deliver", temperror = "deliver" }}
"""

    def _listens(self) -> bool:
        self.server.wants_running()
        return accepts_unix(self.socket)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        owned(self.folder / name, "root", GROUP, 0o640)


@contextmanager
def agent_on(
    ground: Ground,
    socket: Path,
    upstream: str,
    domain: str,
    *,
    smtp: str = "127.0.0.1:1",
    internet: str = "",
) -> Iterator[AgentDaemon]:
    """A daemon, started, and stopped at the end."""
    daemon = AgentDaemon(ground, socket, upstream, domain, smtp=smtp, internet=internet)
    daemon.start()
    try:
        yield daemon
        assert not daemon.log("traceback="), daemon.server.tail()
    finally:
        daemon.stop()


def _directory(domain: str) -> str:
    rows = [f'[domains."{domain}"]']
    for action in ACTIONS:
        policy = f'{{ "dnsbl/one" = {{ listed = "{action}", temperror = "{action}" }} }}'
        rows += [
            f'[users."{action}{number}@{domain}"]\npolicy = {policy}' for number in range(USERS)
        ]
    return "\n".join(rows) + "\n"
