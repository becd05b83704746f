"""What `exact` costs: how long a message with recipients of several policy classes is on its way.

The sender is a real one, outside of our networks, and the receiving side the whole system. Measured
is the time from the first transaction that is taken to the last one, by the milter's own records,
and how many there were. All retry times are divided by 60. Postfix sends once to one host and
once to two, as it does to a domain with two MX hosts. Exim 4 is Debian's, unpacked into a folder
(its package conflicts with Postfix's); it runs in a mount namespace of its own, since it wants its
user and its configuration below /etc. It sends with BDAT, which Postfix announces, and without.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from bench.deployed import deployed
from iems.serve.deadline import Deadline
from iems.store.records import search
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.programs import run
from tests.integration.stack.smtp import send
from tests.waiting import eventually

CLASSES = (1, 2, 3, 4)
SETTINGS = """
exact = true
exact_splits = 100
own_networks = ["127.0.0.1/32"]
[checks.header.a]
mode = "delegate"
field = "X-A"
test = "present"
default = { matched = "deliver" }
[checks.header.b]
mode = "delegate"
field = "X-B"
test = "present"
default = { matched = "deliver" }
"""
_RULES = ((), ("a",), ("b",), ("a", "b"))
"""What the users of each class refuse; the messages have none of it, so that all are taken."""

_SENDER = "s@sender.test"
_EACH = 2
"""Recipients of each class."""

_RETRIES = {
    "queue_run_delay": "5s",
    "minimal_backoff_time": "5s",
    "maximal_backoff_time": "67s",
}
_EXIM = """
primary_hostname = mx.sender.test
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
keep_environment =
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {port}
  allow_localhost
  hosts_try_chunking = {chunking}
  interface = 127.0.0.9
begin retry
* * F,2m,15s; G,16m,1m,1.5; F,96m,6m
"""
_EXIM_ID = 64_999
_QUEUE_RUN = 30.0
"""Seconds between two looks of Exim at its queue, of which Debian makes 30 minutes."""


def measure(_rounds: int, _messages: int) -> str:
    """One message for each row; the table."""
    with deployed() as (system, _lists, ground):
        system.milter.stop()
        system.agent.stop()
        system.site.write("conf.d/exact.toml", SETTINGS)
        system.milter.start()
        system.agent.start()
        host = f"[127.0.0.1]:{system.port()}"
        one, two = _postfix(ground, host), _postfix(ground, host, host)
        with running(one), running(two):
            rows = _rows(
                system,
                {
                    "Postfix, one host": Post(one),
                    "Postfix, two hosts": Post(two),
                    "Exim, with BDAT": Exim(ground, system.port(), "*"),
                    "Exim, without": Exim(ground, system.port(), ""),
                },
            )
    return "\n".join(
        [
            "## What `exact` costs",
            "",
            "| sender | classes | transactions | from the first to the last, s |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _rows(system: MailSystem, senders: dict[str, Sender]) -> list[str]:
    rows: list[str] = []
    for (name, sender), classes in itertools.product(senders.items(), CLASSES):
        transactions, seconds = _sent(system, sender, classes, f"e{len(rows)}.test")
        rows.append(f"| {name} | {classes} | {transactions} | {seconds:.1f} |")
        print(rows[-1], flush=True)
    return rows


def _sent(system: MailSystem, sender: Sender, classes: int, domain: str) -> tuple[int, float]:
    """Transactions that were taken, and seconds from the first to the last of them."""
    recipients, entries = [], [tree.domain(domain)]
    for number, refused in itertools.product(range(_EACH), _RULES[:classes]):
        address = f"u{number}{''.join(refused)}@{domain}"
        policy = (f"iemsPolicy: header/{check} matched choice reject" for check in refused)
        entries.append(tree.user(address, *policy))
        recipients.append(address)
    system.slapd.add("".join(entries))
    word = f"<m@{domain}>"
    sender.send(recipients, f"Message-ID: {word}\r\nSubject: s\r\n\r\ntext\r\n".encode())
    files = [
        state / "records.sqlite" for state in (system.site.milter_state, system.site.agent_state)
    ]
    taken: dict[str, float] = {}

    def complete() -> bool:
        sender.again()
        rows = search(files, word)
        copies = [one.reference for one in rows if one.stage == "delivery"]
        taken.update({one.reference: one.time for one in rows if one.stage == "end-of-message"})
        return len(copies) == len(recipients) and taken.keys() == set(copies)

    eventually(complete, 300, domain)
    mail = system.dovecot.folder / "mail" / domain
    assert len(list(mail.glob("*/Maildir/new/*"))) == len(recipients)
    return len(taken), max(taken.values()) - min(taken.values())


def _postfix(ground: Ground, *hosts: str) -> Postfix:
    """A Postfix of somebody else."""
    return Postfix(
        ground,
        main={
            "myhostname": "mx.sender.test",
            "default_transport": f"smtp:{', '.join(hosts)}",
            "smtpd_relay_restrictions": "permit_mynetworks reject",
            "smtp_bind_address": "127.0.0.9",
            **_RETRIES,
        },
        listeners=[Listener("internet", ground.port(), {})],
    )


class Sender(Protocol):
    """Another site's server."""

    def send(self, recipients: list[str], message: bytes) -> None:
        """Hand it a message."""
        ...

    def again(self) -> None:
        """Have it look at its queue, if it is time."""
        ...


class Post:
    """A Postfix, which looks by itself."""

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix

    def send(self, recipients: list[str], message: bytes) -> None:
        sent = send(self._postfix.port(), _SENDER, recipients, message)
        assert len(sent.accepted) == len(recipients), sent

    def again(self) -> None:
        pass


class Exim:
    """Debian's Exim, unpacked; it sends in the call that hands a message in."""

    def __init__(self, ground: Ground, port: int, chunking: str) -> None:
        folder = ground.place("exim")
        self._program = _unpacked(folder)
        over, work = folder / "etc", folder / "work"
        (over / "exim4").mkdir(parents=True)
        work.mkdir()
        text = _EXIM.format(program=self._program, folder=folder, port=port, chunking=chunking)
        (over / "exim4/exim4.conf").write_text(text)
        _with_line(over, "passwd", f"Debian-exim:x:{_EXIM_ID}:{_EXIM_ID}::/nonexistent:/bin/false")
        _with_line(over, "group", f"Debian-exim:x:{_EXIM_ID}:")
        for name in ("spool", "log"):
            (folder / name).mkdir()
            shutil.chown(folder / name, _EXIM_ID, _EXIM_ID)
        layers = f"lowerdir=/etc,upperdir={over},workdir={work}"
        self._mount = f"mount -t overlay overlay -o {layers} /etc"

    def send(self, recipients: list[str], message: bytes) -> None:
        self._run("-odf", "-i", "-f", _SENDER, *recipients, message=message)
        self._due = Deadline.after(_QUEUE_RUN)

    def again(self) -> None:
        if self._due.expired:
            self._run("-q")
            self._due = Deadline.after(_QUEUE_RUN)

    def _run(self, *words: str, message: bytes = b"") -> None:
        script = f'{self._mount} && exec "$@"'
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", str(self._program), *words],
            input=message.replace(b"\r\n", b"\n"),
            check=True,
            timeout=60,
        )


def _unpacked(folder: Path) -> Path:
    """The program of Debian's package, which is not installed."""
    packages = folder / "packages"
    packages.mkdir()
    subprocess.run(
        ["apt-get", "download", "-o", "APT::Sandbox::User=root", "exim4-daemon-light"],
        cwd=packages,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [package] = packages.iterdir()
    run("dpkg-deb", "-x", package, folder / "root")
    print(package.name, flush=True)
    return folder / "root/usr/sbin/exim4"


def _with_line(folder: Path, name: str, line: str) -> None:
    (folder / name).write_text(f"{(Path('/etc') / name).read_text()}{line}\n")
