"""LMTP with a filter of each recipient's own, against Dovecot alone and the agent without filters.

As `bench.lmtp`, but for a thousand recipients in turn, each of whom has trained a filter, and real
messages of about 4 KiB, each with a Message-ID of its own. All mail is counted in the mailboxes,
and what the filters have judged in what is remembered of it.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench import corpus, figures, load, suite
from bench.lmtp import EXTRA, PARALLEL, findings
from iems.serve.deadline import Deadline
from lmtp.bayes import memory, sqlitestore
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Entry
from lmtp.bayes.tokens import key, tokens
from lmtp.bayes.training import Trainer
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import BAYES_USER, Ground, owned, users
from tests.integration.stack.process import Server

TARGET = 0.45
SIZE = 4096
_TAUGHT = 40
"""Messages that each has trained."""

_ID = re.compile(rb"(?im)^Message-ID:[^\r]*(?:\r\n[ \t][^\r]*)*\r\n")
_MORE = """
[checks.bayes]
mode = "delegate"
[bayes]
store = "{folder}"
"""
WAYS = ("alone", "agent", "bayes")


def measure(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    kept: dict[str, list[float]] = {name: [] for name in WAYS}
    with _bench() as bench:
        for name in WAYS:
            bench.run(name, len(suite.USERS))  # each mailbox is made, and not counted
        for number in range(rounds):
            for name in WAYS if number % 2 == 0 else reversed(WAYS):
                rate = bench.run(name, messages)
                kept[name].append(rate)
                print(f"round {number + 1} {name}: {rate:.0f}/s", flush=True)
        judged, sent = bench.judged(), bench.sent["bayes"]
        spent, held = bench.spent(), bench.held()
    rows = [
        figures.row("Dovecot alone", kept["alone"]),
        figures.row("through the agent", kept["agent"], kept["alone"]),
        figures.row("with filters", kept["bayes"], kept["alone"], TARGET),
    ]
    facts: dict[str, object] = {
        "messages a run": messages,
        "users who have trained a filter": len(suite.USERS),
        "messages judged and remembered": f"{judged} of {sent}",
        **{f"processor time of a message, ms, {name}": one for name, one in spent.items()},
        **{f"peak memory of the processes, MiB, {name}": one for name, one in held.items()},
    }
    return figures.table("LMTP with a filter for each user", rows, facts)


class _Bench:
    def __init__(self, ground: Ground, stack: ExitStack) -> None:
        self._dovecot = Dovecot(ground, extra=EXTRA)
        for user in suite.USERS:
            self._dovecot.add_user(user)
        self._dovecot.start()
        stack.callback(self._dovecot.stop)
        self.folder = owned(ground.place("bayes"), BAYES_USER, BAYES_USER, 0o2770)
        self._texts = corpus.messages((SIZE,))[SIZE]
        _teach(self.folder, self._texts)
        self._suites: dict[str, suite.Suite] = {}
        self._agents: dict[str, Server] = {}
        for name, more in {"agent": "", "bayes": _MORE.format(folder=self.folder)}.items():
            sockets = ground.place("sockets")
            sockets.chmod(0o2777)
            upstream = f"unix:{self._dovecot.lmtp}"
            self._suites[name] = suite.Suite(ground, sockets, ground.port(), upstream, more)
            self._agents[name] = self._suites[name].agent()
            stack.callback(self._agents[name].stop)
        self.sent = dict.fromkeys(WAYS, 0)
        self._begun = {name: suite.cpu(server.members()) for name, server in self._agents.items()}
        self._number = 0

    def run(self, name: str, messages: int) -> float:
        """Messages a second."""
        before = self._delivered()
        suite_of = self._suites.get(name)
        where = suite_of.agent_socket if suite_of else self._dovecot.lmtp
        each = messages // PARALLEL
        talks = [self._talk(suite_of, each) for _session in range(PARALLEL)]
        began = time.perf_counter()
        done = load.run(where, talks, PARALLEL)
        seconds = time.perf_counter() - began
        assert not done.refused, done.refused[:3]
        delivered = self._delivered() - before
        assert delivered == each * PARALLEL, f"{delivered} of {messages} delivered"
        self.sent[name] += delivered
        return delivered / seconds

    def judged(self) -> int:
        """What the filters have judged, and remember."""
        with contextlib.closing(sqlite3.connect(self.folder / memory.FILE)) as connection:
            [count] = connection.execute("SELECT count(*) FROM seen").fetchone()
        return int(count)

    def spent(self) -> dict[str, str]:
        """Of each agent the processor time of a message."""
        spent = {name: suite.cpu(server.members()) for name, server in self._agents.items()}
        return {
            name: f"{(seconds - self._begun[name]) / self.sent[name] * 1000:.1f}"
            for name, seconds in spent.items()
        }

    def held(self) -> dict[str, str]:
        """Of each agent the peaks of its processes."""
        return {
            name: ", ".join(f"{_peak(pid) / 1024:.0f}" for pid in server.members())
            for name, server in self._agents.items()
        }

    def _talk(self, suite_of: suite.Suite | None, messages: int) -> load.Conversation:
        steps = [load.Step(b"", b"220"), load.Step(b"LHLO mail.example.test\r\n")]
        for _message in range(messages):
            self._number += 1
            number = self._number
            queue_id = f"4cBayes{number:09d}"
            field = findings(queue_id, suite_of.keyring.active) if suite_of else b""
            commands = [
                *([f"XFORWARD IDENT={queue_id} SOURCE=REMOTE"] if suite_of else []),
                "MAIL FROM:<sender@world.test>",
                f"RCPT TO:<{suite.USERS[number % len(suite.USERS)]}>",
                "DATA",
            ]
            together = "".join(f"{command}\r\n" for command in commands)
            text = _named(self._texts[number % len(self._texts)], number)
            doubled = text.replace(b"\r\n.", b"\r\n..")
            steps += [
                load.Step(together.encode(), b"354", before=len(commands) - 1),
                load.Step(field + doubled + b".\r\n", message=True),
            ]
        steps.append(load.Step(b"QUIT\r\n", b"221"))
        return load.Conversation(steps)

    def _delivered(self) -> int:
        mail = self._dovecot.folder / "mail"
        return sum(1 for folder in ("new", "cur") for _one in mail.rglob(f"{folder}/*"))


def _named(text: bytes, number: int) -> bytes:
    """The message with a name and an author of its own."""
    head = b"From: <sender@world.test>\r\nMessage-ID: <%d@world.test>\r\n" % number
    return head + _ID.sub(b"", text)


def _teach(folder: Path, texts: list[bytes]) -> None:
    """A state that each user has: every other message was spam."""
    store, soon = SqliteStore(folder / sqlitestore.FILE), Deadline.after(600)
    first, *others = suite.USERS
    salt, classifier = store.load(first, soon).salt, CLASSIFIERS[DEFAULT]
    for number, text in enumerate(texts[:_TAUGHT]):
        label = Label.SPAM if number % 2 else Label.HAM
        features = classifier.features(tokens(text), salt)
        entry = Entry(key(text), label, 1_800_000_000.0, "bench", None, features)
        Trainer(store, classifier).learn(first, entry, soon)
    learned = replace(store.load(first, soon), number=0)
    for user in others:
        store.save(user, learned, soon)
    store.close()


def _peak(pid: int) -> int:
    """KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


@contextmanager
def _bench() -> Iterator[_Bench]:
    users()
    with ExitStack() as stack:
        ground = Ground()
        stack.callback(ground.close)
        yield _Bench(ground, stack)
