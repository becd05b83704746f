"""Postfix with the milter against Postfix alone: four blacklists, iprev, the findings header.

Both sides are one Postfix with two listeners; only the listener differs. 20 sessions at a time, a
connection a message, 4 KiB, delivered by virtual(8) into Maildirs in memory. The time runs until
the last message is delivered. In each round Postfix runs alone, then with the milter and all
caches cold, then with the milter and the same clients again: warm. Postfix itself looks up no
client names, which is the harder comparison: it does on a real server.
"""

from __future__ import annotations

import itertools
import math
import pwd
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import figures, load, names, rivals, suite
from iems.codec.findings import NAME
from iems.serve.status import resident
from tests.integration.stack.ground import Ground, users
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.process import Server
from tests.waiting import eventually

PARALLEL = 20
BOXES = suite.USERS[:20]
TARGET_WARM, TARGET_COLD, TARGET_RIVAL = 0.60, 0.50, 1.5
_LINE = b"All work and no play makes a message of the usual length, line after line.\r\n"
MESSAGE = (
    b"From: <sender@world.test>\r\nTo: <user@example.test>\r\nSubject: a message\r\n\r\n"
    + _LINE * 53
)
"""4 KiB."""

HEADER = b"\n" + NAME + b":"
HEADERS = {"alone": HEADER, "cold": HEADER, "warm": HEADER, **rivals.HEADERS}
"""Each way of a run, and the field by which delivered mail shows that it was taken."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: messages a second until delivered, what the DNS saw, headers that arrived."""

    rate: float
    accepted_rate: float
    questions: int
    headers: int
    listed: int
    times: tuple[float, ...]
    """Seconds of each message, from the connection to the reply to QUIT."""
    generator: float
    """Share of one processor that the load generator took."""


def compare(rounds: int, messages: int) -> str:
    """Postfix with the milter and without; the table."""
    kept = _rounds(("alone", "cold", "warm"), rounds, messages)
    rates = {name: [one.rate for one in each] for name, each in kept.items()}
    base = rates["alone"]
    rows = [
        figures.row("Postfix alone", base),
        figures.row("with the milter, warm", rates["warm"], base, TARGET_WARM),
        figures.row("with the milter, cold", rates["cold"], base, TARGET_COLD),
    ]
    return figures.table("Postfix with the milter", rows, _facts(kept, messages))


def against(rounds: int, messages: int) -> str:
    """The milter beside others; the table."""
    kept = _rounds(("alone", "warm", "rspamd", "opendkim"), rounds, messages)
    rates = {name: [one.rate for one in each] for name, each in kept.items()}
    base = rates["rspamd"]
    rows = [
        figures.row("Postfix alone", rates["alone"]),
        figures.row("with rspamd", base),
        figures.row("with opendkim", rates["opendkim"]),
        figures.row("with our milter, against rspamd", rates["warm"], base, TARGET_RIVAL),
    ]
    facts = _facts(kept, messages)
    facts["of these, listed by rspamd in a run"] = sorted({one.listed for one in kept["rspamd"]})
    return figures.table("The milter beside others, warm", rows, facts)


def _rounds(ways: Sequence[str], rounds: int, messages: int) -> dict[str, list[Measured]]:
    """Some ways of `HEADERS` in turns; the first goes first and last in turn, so that a drift falls
    on all."""
    kept: dict[str, list[Measured]] = {name: [] for name in ways}
    first, *others = ways
    beside = tuple(name for name in ways if name in rivals.HEADERS)
    with running_bench(Work(rivals=beside)) as bench:
        draw = random.Random(names.SEED)
        bench.run(first, draw.choices(bench.names.clients, k=messages // 3))  # not counted
        for number in range(rounds):
            clients = draw.choices(bench.names.clients, k=messages)
            if "cold" not in ways:
                bench.run("warm", clients)  # not counted: these clients are known from now on
            for name in (first, *others) if number % 2 == 0 else (*others, first):
                kept[name].append(bench.run(name, clients))
                _tell(number, name, kept[name][-1])
    return kept


def _facts(kept: dict[str, list[Measured]], messages: int) -> dict[str, object]:
    facts: dict[str, object] = {"messages a run": messages}
    for name, each in kept.items():
        asked = statistics.median(one.questions for one in each)
        facts[f"questions that rbldnsd saw in a run, {name} (median)"] = asked
        headers = sorted({one.headers for one in each})
        facts[f"delivered with the header of {name} in a run"] = headers
    busiest = max(one.generator for one in kept["alone"])
    facts["load generator, share of one processor at most"] = f"{busiest:.2f}"
    return facts


@dataclass(frozen=True, slots=True)
class Work:
    """What is checked beside blacklists and iprev, and what the DNS says about it.

    `settings` are tables of ours, `rspamd` is the file of its own, `amavisd` are further lines of
    its own; `rivals` run beside. `main` are values of main.cf in the place of those below.
    `first` is the first client, `elsewhere` has the port of lists that rbldnsd is not asked for;
    what lists answer is kept for `ttl` seconds.
    """

    settings: str = ""
    records: tuple[str, ...] = ()
    rspamd: str = "rspamd.conf"
    amavisd: str = ""
    rivals: tuple[str, ...] = ()
    first: str = names.LOOPBACK
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    ttl: int = names.TTL
    main: Mapping[str, str] = field(default_factory=dict)


class Bench:
    def __init__(self, ground: Ground, mailboxes: Path, stack: ExitStack, work: Work) -> None:
        self._mailboxes = mailboxes
        self.names = names.Names(ground, work.records, work.first, work.elsewhere, work.ttl)
        self.names.start()
        stack.callback(self.names.stop)
        self._rivals: dict[str, Sequence[Server]] = {}
        proxy = rivals.Proxy(ground.port(), ground.port())
        self._postfix = _postfix(ground, mailboxes, work, proxy)
        self._suite = suite.Suite(
            ground, self._postfix.sockets, self.names.port, "unix:/nonexistent", work.settings
        )
        self._milter = self._suite.milter()
        stack.callback(lambda: self._milter.stop())
        sockets = self._postfix.sockets
        place = rivals.Place(ground, sockets, self.names.port, work.rspamd, proxy, work.amavisd)
        for name in work.rivals:
            self._rivals[name] = rivals.started(name, place)
            for server in self._rivals[name]:
                stack.callback(server.stop)
        self._postfix.start()
        stack.callback(self._postfix.stop)

    def run(self, name: str, clients: list[str], parallel: int = PARALLEL) -> Measured:
        """One run of `HEADERS`, with so many connections at once."""
        users = itertools.cycle(BOXES)
        return self.hold(name, [conversation(one, next(users)) for one in clients], parallel)

    def hold(
        self,
        name: str,
        talks: Sequence[load.Conversation],
        parallel: int = PARALLEL,
        rate: float = math.inf,
    ) -> Measured:
        """The same with conversations of one message each, no more than `rate` a second."""
        if name == "cold":
            self.restart()
        self._empty()
        asked = self.names.questions()
        began = time.perf_counter()
        done = load.run(self._where(name), talks, parallel, rate)
        assert not done.refused, done.refused[:3]
        eventually(lambda: len(self._delivered()) >= len(talks), 120, "all mail is delivered")
        seconds = time.perf_counter() - began
        messages = self.delivered()
        headers = sum(1 for text in messages if HEADERS[name] in text)
        listed = sum(1 for text in messages if rivals.LISTED in text)
        return Measured(
            len(talks) / seconds,
            len(talks) / done.seconds,
            self.names.questions() - asked,
            headers,
            listed,
            tuple(done.times),
            done.cpu / done.seconds,
        )

    def refused(self, name: str, talks: Sequence[load.Conversation]) -> list[bytes]:
        """The replies by which these are refused, if they are."""
        return load.run(self._where(name), talks, PARALLEL).refused

    def restart(self) -> None:
        """unbound and the milter anew: nobody remembers anything."""
        self.names.chill()
        self._milter.stop()
        self._milter = self._suite.milter()

    @property
    def settings(self) -> Path:
        """The file of our settings."""
        return self._suite.settings

    def secret(self, key_id: str) -> bytes | None:
        """With which our findings can be read."""
        return self._suite.keyring.secret(key_id)

    def memory(self) -> list[int]:
        """Bytes that each process of the milter holds: the supervisor first."""
        return [resident(pid) for pid in self._milter.members()]

    def cpu(self, name: str) -> float:
        """Seconds of processor that the filter of this way has taken until now."""
        servers = self._rivals.get(name, [] if name == "alone" else [self._milter])
        return suite.cpu(pid for server in servers for pid in server.members())

    def delivered(self) -> list[bytes]:
        """The messages of the last run."""
        return [path.read_bytes() for path in self._delivered()]

    def _where(self, name: str) -> load.Where:
        listener = name if name in {"alone", *self._rivals} else "internet"
        return "127.0.0.1", self._postfix.port(listener)

    def _delivered(self) -> list[Path]:
        return list(self._mailboxes.glob("*/new/*"))

    def _empty(self) -> None:
        for path in self._delivered():
            path.unlink()


@contextmanager
def running_bench(work: Work) -> Iterator[Bench]:
    """A bench with everything running."""
    users()
    with ExitStack() as stack:
        ground = Ground()
        stack.callback(ground.close)
        yield started(ground, stack, work)


def started(ground: Ground, stack: ExitStack, work: Work) -> Bench:
    """A bench with everything running, which `stack` stops."""
    memory = Path(tempfile.mkdtemp(prefix="iems-bench-", dir="/dev/shm"))
    stack.callback(shutil.rmtree, memory)
    owner = pwd.getpwnam("mail")
    memory.chmod(0o755)
    for user in BOXES:
        box = memory / user.partition("@")[0]
        for folder in (box, *(box / name for name in ("new", "cur", "tmp"))):
            folder.mkdir()
            shutil.chown(folder, owner.pw_uid, owner.pw_gid)
    return Bench(ground, memory, stack, work)


def _postfix(ground: Ground, mailboxes: Path, work: Work, proxy: rivals.Proxy) -> Postfix:
    owner = pwd.getpwnam("mail")
    milter = {
        "smtpd_milters": "unix:iems/milter.sock",
        "milter_connect_macros": "j {daemon_name} v {client_connections} _",
    }
    boxes = ", ".join(f"{user}={user.partition('@')[0]}/" for user in BOXES)
    main = {
        "mynetworks": "127.0.0.1/32",
        "default_process_limit": "600",
        "virtual_mailbox_domains": suite.DOMAIN,
        "virtual_mailbox_maps": f"inline:{{{boxes}}}",
        "virtual_mailbox_base": str(mailboxes),
        "virtual_uid_maps": f"static:{owner.pw_uid}",
        "virtual_gid_maps": f"static:{owner.pw_gid}",
        "virtual_minimum_uid": "1",
        "virtual_transport": "virtual",
        **work.main,
    }
    listeners = [
        Listener("alone", ground.port(), {}),
        Listener("internet", ground.port(), milter),
        *(Listener(name, ground.port(), rivals.listens(name, proxy)) for name in work.rivals),
        Listener("back", proxy.back, {}),
    ]
    return Postfix(ground, main=main, listeners=listeners)


def conversation(client: str, user: str) -> load.Conversation:
    """One message of 4 KiB from this client to this user, over a connection of its own."""
    return talk(client, "client.example", "sender@world.test", user, MESSAGE)


def talk(client: str, helo: str, sender: str, user: str, message: bytes) -> load.Conversation:
    """One message, with dots doubled, over a connection of its own from this client."""
    return load.Conversation(_steps(helo, sender, user, message), client)


def talk_for(
    client: str, helo: str, sender: str, user: str, message: bytes, login: str = ""
) -> load.Conversation:
    """The same for a client that has no address here: Postfix is told of it by XCLIENT."""
    steps = _steps(helo, sender, user, message)
    who = f" LOGIN={login}" if login else ""
    told = f"XCLIENT ADDR={client} NAME=[UNAVAILABLE]{who}\r\n".encode()
    return load.Conversation([*steps[:2], load.Step(told, b"220"), *steps[1:]])


def _steps(helo: str, sender: str, user: str, message: bytes) -> list[load.Step]:
    return [
        load.Step(b"", b"220"),
        load.Step(f"EHLO {helo}\r\n".encode()),
        load.Step(f"MAIL FROM:<{sender}>\r\n".encode()),
        load.Step(f"RCPT TO:<{user}>\r\n".encode()),
        load.Step(b"DATA\r\n", b"354"),
        load.Step(message + b".\r\n", message=True),
        load.Step(b"QUIT\r\n", b"221"),
    ]


def _tell(number: int, name: str, one: Measured) -> None:
    print(
        f"round {number + 1} {name}: {one.rate:.0f}/s delivered, {one.accepted_rate:.0f}/s "
        f"accepted, {one.questions} questions, {one.headers} headers, "
        f"generator {one.generator:.2f}",
        flush=True,
    )
