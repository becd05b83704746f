"""A private Postfix: configuration, queue, data and log of its own, chrooted as on Debian.

`main` are main.cf settings over the ones below, `services` lines of master.cf after the ones that
every Postfix has. Unix sockets that Postfix shall reach lie below `queue`, and are named in its
settings relative to it.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.stack.ground import Ground, accepts, owned
from tests.integration.stack.process import Server
from tests.integration.stack.programs import need, run
from tests.waiting import eventually

_MASTER = "/usr/lib/postfix/sbin/master"

_MAIN = {
    "compatibility_level": "3.6",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "shlib_directory": "/usr/lib/postfix",
    "meta_directory": "/etc/postfix",
    "maillog_file_prefixes": "/",
    "import_environment": "MAIL_CONFIG TZ LANG=C",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "all",
    "myhostname": "mail.example.test",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "alias_maps": "",
    "local_recipient_maps": "",
    # A name server of the outside world would make tests depend on it.
    "disable_dns_lookups": "yes",
    # Whoever was made another client by XCLIENT may be made a third one.
    "smtpd_authorized_xclient_hosts": "0.0.0.0/0 [::]/0",
    "smtpd_peername_lookup": "no",
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_relay_restrictions": "reject_unauth_destination",
    # Nothing is added to a message because its client looks like one of this machine.
    "local_header_rewrite_clients": "",
    "enable_long_queue_ids": "yes",
    "smtputf8_enable": "yes",
    "strict_smtputf8": "no",
    # A test that makes an error must not wait for the tarpit, nor for the second try.
    "smtpd_error_sleep_time": "0",
    "smtpd_soft_error_limit": "1000",
    "smtpd_hard_error_limit": "1000",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "queue_run_delay": "2s",
    "minimal_backoff_time": "2s",
    "maximal_backoff_time": "4s",
    "milter_default_action": "tempfail",
    "milter_protocol": "6",
}

_SERVICES = """\
pickup    unix  n       -       y       1       1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
defer     unix  -       -       y       -       0       bounce
trace     unix  -       -       y       -       0       bounce
verify    unix  -       -       y       -       1       verify
flush     unix  n       -       y       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
showq     unix  n       -       y       -       -       showq
error     unix  -       -       y       -       -       error
retry     unix  -       -       y       -       -       error
discard   unix  -       -       y       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       y       -       -       lmtp
anvil     unix  -       -       y       -       1       anvil
scache    unix  -       -       y       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

_CHROOT_FILES = ("localtime", "services", "hosts", "host.conf", "nsswitch.conf", "resolv.conf")


@dataclass(frozen=True)
class Listener:
    """One port of Postfix with the name of the source channel that the milter sees."""

    channel: str
    port: int
    options: Mapping[str, str]

    def line(self) -> str:
        """Its lines of master.cf."""
        options = {"milter_macro_daemon_name": self.channel, **self.options}
        rows = [f"127.0.0.1:{self.port} inet n - y - - smtpd"]
        rows += [f"  -o {{ {name} = {value} }}" for name, value in options.items()]
        return "\n".join(rows)


@dataclass(frozen=True)
class Queued:
    """One message of the queue, as postqueue shows it."""

    queue_id: str
    queue: str
    sender: str
    recipients: tuple[str, ...]
    reasons: tuple[str, ...]


class Postfix:
    """One instance; `queue` is its queue directory, which is also the root of its chroot."""

    def __init__(
        self,
        ground: Ground,
        *,
        main: Mapping[str, str],
        listeners: Sequence[Listener],
        services: Sequence[str] = (),
    ) -> None:
        need("postfix", _MASTER)
        self._ground = ground
        self.folder = ground.place("postfix")
        self.config, self.queue = self.folder / "etc", self.folder / "q"
        self._data, self._log = self.folder / "lib", self.folder / "maillog"
        self._log.touch()
        self._log.chmod(0o666)  # while no postlogd runs each program writes for itself
        for folder in (self.config, self.queue, self._data):
            folder.mkdir()
        owned(self._data, "postfix", "postfix", 0o755)
        self.listeners = {listener.channel: listener for listener in listeners}
        self.configure(main, services)
        _fill_chroot(self.queue)
        # Like the folder that the playbook makes: daemons in the group can create sockets here.
        self.sockets = self.queue / "iems"
        self.sockets.mkdir()
        owned(self.sockets, "root", "postfix", 0o2770)
        arguments = [_MASTER, "-c", str(self.config), "-d"]
        self._server = Server("postfix", arguments, self.folder / "output")

    def configure(self, main: Mapping[str, str], services: Sequence[str] = ()) -> None:
        """Write main.cf and master.cf; a running Postfix takes them over by `reload`."""
        own = {
            "queue_directory": str(self.queue),
            "data_directory": str(self._data),
            "maillog_file": str(self._log),
        }
        settings = {**_MAIN, **own, **main}
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self.config / "main.cf").write_text(text)
        lines = [listener.line() for listener in self.listeners.values()]
        (self.config / "master.cf").write_text("\n".join([_SERVICES, *lines, *services, ""]))

    def start(self) -> None:
        """Check the configuration, start, and wait until every listener accepts."""
        run("postfix", "-c", self.config, "check")
        self._fatal = self.log(": fatal: ")
        self._ground.started(self._server)
        try:
            eventually(self._accepts, 20, lambda: f"Postfix does not listen\n{self.log()[-3000:]}")
        except AssertionError:
            self._server.kill()
            raise

    def stop(self) -> None:
        """Stop every process of the instance."""
        self._server.stop()
        self._server.gone()

    def reload(self) -> None:
        """Take over a changed configuration."""
        run("postfix", "-c", self.config, "reload")

    def port(self, channel: str = "internet") -> int:
        """The port on which the listener of this source channel accepts."""
        return self.listeners[channel].port

    def sendmail(self, *arguments: str, message: bytes) -> None:
        """Hand in a message by sendmail(1)."""
        run("sendmail", "-C", self.config, *arguments, text=message)

    def entries(self) -> tuple[Queued, ...]:
        """What is in the queue."""
        listed = run("postqueue", "-c", self.config, "-j").splitlines()
        return tuple(_queued(json.loads(line)) for line in listed if line.strip())

    def flush(self) -> None:
        """Try every deferred message now, when those who delivered it last have let go of it.

        The queue manager leaves one for 300 s that somebody still holds, and to be told that a
        delivery was deferred is no proof that it is over.
        """
        eventually(lambda: not self.held(), message=lambda: f"held: {self.held()}")
        run("postqueue", "-c", self.config, "-f")

    def held(self) -> list[str]:
        """The deferred messages whose file is locked."""
        found = []
        for file in (self.queue / "deferred").glob("*/*"):
            with suppress(FileNotFoundError), file.open() as one:
                try:
                    fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(file.name)
        return found

    def wait_empty(self, deadline: float = 20) -> None:
        """Until the queue is empty; shows what stays in it."""
        eventually(lambda: not self.entries(), deadline, lambda: f"in the queue: {self.entries()}")

    def empty(self) -> None:
        """Drop everything in the queue, also what was on its way from one folder to another."""

        def dropped() -> bool:
            run("postsuper", "-c", self.config, "-d", "ALL")
            return not self.entries()

        eventually(dropped, 20, lambda: f"in the queue: {self.entries()}")

    def log(self, text: str = "") -> str:
        """The log, or only its lines that hold `text`."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(line for line in lines if text in line)

    def _accepts(self) -> bool:
        self._server.wants_running()
        fatal = self.log(": fatal: ").removeprefix(self._fatal)
        assert not fatal, fatal
        return all(accepts(listener.port) for listener in self.listeners.values())


def _queued(entry: dict[str, object]) -> Queued:
    recipients = entry["recipients"]
    assert isinstance(recipients, list)
    return Queued(
        str(entry["queue_id"]),
        str(entry["queue_name"]),
        str(entry["sender"]),
        tuple(recipient["address"] for recipient in recipients),
        tuple(recipient.get("delay_reason", "") for recipient in recipients),
    )


def _fill_chroot(queue: Path) -> None:
    """The files that Debian's start of Postfix copies into the chroot."""
    (queue / "etc").mkdir()
    for name in _CHROOT_FILES:
        if (Path("/etc") / name).is_file():
            shutil.copy(Path("/etc") / name, queue / "etc" / name)
    for pattern in ("libnss*.so*", "libresolv*.so*"):
        for library in Path("/lib").glob(f"*-linux-gnu/{pattern}"):
            target = queue / library.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
