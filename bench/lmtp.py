"""LMTP through the agent into Dovecot against Dovecot alone.

Ten sessions that stay open and pipeline, as Postfix does, one recipient and 4 KiB a message, into
Maildirs on the disk, with the junk script loaded. Every message carries genuine findings of four
blacklists and iprev, bound to its own queue id, which the agent's side hears by XFORWARD. Both
sides get the same bytes; the rounds take turns. All mail is counted in the mailboxes afterwards,
and through the agent all of it without the findings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import figures, load, names, suite
from bench.smtp import HEADER, MESSAGE
from iems.codec.findings import NAME, Passed, encode
from iems.model.finding import Finding
from iems.store.keys import Key
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, users

PARALLEL = 10
TARGET = 0.60
EXTRA = "mail_fsync = optimized\n"
"""Dovecot's default, which LMTP delivery syncs with."""

FINDINGS = (
    *(Finding(f"dnsbl/{zone.partition('.')[0]}", "pass") for zone in names.ZONES),
    Finding("iprev", "pass", reason="name0.clients.test leads back to the address"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: messages a second, copies that still had the findings, share of the generator."""

    rate: float
    headers: int
    generator: float


def compare(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    kept: dict[str, list[Measured]] = {"alone": [], "agent": []}
    with _bench() as bench:
        for name in kept:
            bench.run(
                name, messages // 3
            )  # the first mail of a mailbox is cheaper, and not counted
        for number in range(rounds):
            for name in ("alone", "agent") if number % 2 == 0 else ("agent", "alone"):
                one = bench.run(name, messages)
                kept[name].append(one)
                print(f"round {number + 1} {name}: {one.rate:.0f}/s", flush=True)
    rates = {name: [one.rate for one in each] for name, each in kept.items()}
    rows = [
        figures.row("Dovecot alone", rates["alone"]),
        figures.row("through the agent", rates["agent"], rates["alone"], TARGET),
    ]
    busiest = max(one.generator for one in kept["alone"])
    facts: dict[str, object] = {
        "messages a run": messages,
        "delivered with the findings still there, alone": {one.headers for one in kept["alone"]},
        "delivered with the findings still there, agent": {one.headers for one in kept["agent"]},
        "load generator, share of one processor at most": f"{busiest:.2f}",
    }
    return figures.table("LMTP through the agent", rows, facts)


class _Bench:
    def __init__(self, ground: Ground, stack: ExitStack) -> None:
        self._dovecot = Dovecot(ground, extra=EXTRA)
        for user in suite.USERS:
            self._dovecot.add_user(user)
        self._dovecot.start()
        stack.callback(self._dovecot.stop)
        upstream = f"unix:{self._dovecot.lmtp}"
        sockets = ground.place("sockets")
        sockets.chmod(0o2777)
        self._suite = suite.Suite(ground, sockets, ground.port(), upstream)
        agent = self._suite.agent()
        stack.callback(agent.stop)
        self._runs = 0

    def run(self, name: str, messages: int) -> Measured:
        """One run, `alone` or `agent`."""
        self._runs += 1
        before = set(self._delivered())
        forward = name == "agent"
        where = self._suite.agent_socket if forward else self._dovecot.lmtp
        each = messages // PARALLEL
        talks = [self._talk(session, each, forward=forward) for session in range(PARALLEL)]
        began = time.perf_counter()
        done = load.run(where, talks, PARALLEL)
        seconds = time.perf_counter() - began
        delivered = [path for path in self._delivered() if path not in before]
        assert not done.refused, done.refused[:3]
        assert len(delivered) == each * PARALLEL, f"{len(delivered)} of {messages} delivered"
        headers = sum(1 for path in delivered if HEADER in path.read_bytes())
        return Measured(len(delivered) / seconds, headers, done.cpu / done.seconds)

    def _talk(self, session: int, messages: int, *, forward: bool) -> load.Conversation:
        # Mailboxes of its own for each run: Dovecot is slower where mail came and went before.
        user = suite.USERS[self._runs * PARALLEL + session]
        key = self._suite.keyring.active
        steps = [load.Step(b"", b"220"), load.Step(b"LHLO mail.example.test\r\n")]
        for number in range(messages):
            queue_id = f"4cBench{self._runs:02d}{session:02d}{number:05d}"
            commands = [
                *([f"XFORWARD IDENT={queue_id} SOURCE=REMOTE"] if forward else []),
                "MAIL FROM:<sender@world.test>",
                f"RCPT TO:<{user}>",
                "DATA",
            ]
            together = "".join(f"{command}\r\n" for command in commands)
            steps += [
                load.Step(together.encode(), b"354", before=len(commands) - 1),
                load.Step(findings(queue_id, key) + MESSAGE + b".\r\n", message=True),
            ]
        steps.append(load.Step(b"QUIT\r\n", b"221"))
        return load.Conversation(steps)

    def _delivered(self) -> list[Path]:
        return list((self._dovecot.folder / "mail").glob("*/*/Maildir/new/*"))


@contextmanager
def _bench() -> Iterator[_Bench]:
    users()
    with ExitStack() as stack:
        ground = Ground()
        stack.callback(ground.close)
        yield _Bench(ground, stack)


def findings(queue_id: str, key: Key) -> bytes:
    """The field that the milter would have put in."""
    passed = Passed(
        reference=queue_id[-12:],
        queue_id=queue_id,
        channel="internet",
        sender="sender@world.test",
        time=int(time.time()),
        findings=FINDINGS,
    )
    return NAME + b":" + encode(passed, key.id, key.secret) + b"\r\n"
