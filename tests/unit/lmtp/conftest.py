"""An agent with records, quarantine and a next hop that are real, for the tests of its rules."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.codec.findings import Passed, encode
from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.serve.meter import Meter
from iems.settings.load import from_table
from iems.settings.policy import missing_findings
from iems.settings.schema import Settings
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, search
from iems.store.spool import MemoryBody, Spool, Spooled
from lmtp.agent import Agent
from lmtp.commands import Mail, parse_rcpt
from lmtp.dsn import Reports, Row
from lmtp.editing import Editor
from lmtp.provenance import Origin
from lmtp.transaction import Transaction
from lmtp.upstream import Upstream
from tests.unit.lmtp.parts import Heard, Hop, Taken

SECRET = b"k" * 32
NOW = int(time.time())
ACTIONS = ("deliver", "tag", "junk", "quarantine", "defer", "discard", "reject")
BODY = b"\r\nbody\r\n"
LISTED = Finding("dnsbl/one", "fail", "listed", "on it")
DIRECTORY = """
[domains."b.test"]
[domains."loop.test"]
""" + "".join(
    f"""
[users."{action}@b.test"]
policy = {{ "dnsbl/one" = {{ listed = "{action}", temperror = "{action}" }} }}
[users."{action}2@b.test"]
policy = {{ "dnsbl/one" = {{ listed = "{action}" }} }}
"""
    for action in ACTIONS
)


def settings(**over: object) -> Settings:
    """Settings with one delegated blacklist and one enforced."""
    table: dict[str, object] = {
        "version": 1,
        "hostname": "mail.example.test",
        "postmaster": "postmaster@b.test",
        "contact": "https://help.example.test",
        "checks": {
            "dnsbl": {
                "one": {"mode": "delegate", "default": {"listed": "deliver"}},
                "two": {"mode": "enforce", "default": {"listed": "junk", "temperror": "junk"}},
            }
        },
    }
    return from_table({**table, **over})


@dataclass(frozen=True)
class Sent(Reports):
    """Reports that are kept instead of sent."""

    kept: list[tuple[str, list[Row], bytes]] = field(default_factory=list)

    def send(self, mail: Mail, rows: Sequence[Row], header: bytes) -> None:
        """Keep it."""
        self.kept.append((mail.sender, list(rows), header))


@dataclass(frozen=True)
class Office:
    """An agent and everything around it."""

    agent: Agent
    hop: Hop
    folder: Path
    recorder: Recorder
    log: Heard

    def with_settings(self, **over: object) -> Office:
        """The same under other settings."""
        return replace(self, agent=replace(self.agent, settings=settings(**over)))

    def deliver(
        self,
        *recipients: str,
        findings: Sequence[Finding] = (LISTED,),
        header: bytes = b"",
        sender: str = "s@x.test",
        channel: str = "internet",
        at: float = NOW,
        ident: str = "4XyZ",
        client: str = "192.0.2.1",
        body: bytes = BODY,
    ) -> list[str]:
        """The replies for RCPT arguments such as `<a@b.test> ORCPT=...`."""
        passed = Passed("ref012345678", "4XyZ", channel, sender, int(at), tuple(findings))
        field = b"X-IEMS-Findings:" + encode(passed, "k1", SECRET) + b"\r\n"
        return self.send(
            *recipients,
            header=field + header,
            sender=sender,
            ident=ident,
            client=client,
            body=body,
        )

    def send(
        self,
        *recipients: str,
        header: bytes,
        sender: str = "s@x.test",
        ident: str = "4XyZ",
        client: str = "192.0.2.1",
        body: bytes = BODY,
    ) -> list[str]:
        """The same without findings."""
        written = [one if one.startswith("<") else f"<{one}@b.test>" for one in recipients]
        parsed = tuple(parse_rcpt(f"TO:{one}", utf8=True) for one in written)
        block = header + b"Message-ID: <m@x.test>\r\nSubject: x\r\n"
        message = Spooled(block, MemoryBody(body))
        forward = {"IDENT": ident, "ADDR": client}
        one = Transaction(Mail(sender, utf8=True), parsed, forward, message)
        return [str(answer) for answer in self.agent.deliver(one)]

    @property
    def taken(self) -> list[Taken]:
        """What the next hop has."""
        return self.hop.taken

    def records(self, word: str = "m@x.test") -> list[Record]:
        """The records on disk."""
        self.recorder.commit([], Deadline.after(5))
        return search([self.folder / "records.sqlite"], f"<{word}>")

    @property
    def quarantined(self) -> list[str]:
        """The ids in quarantine."""
        return Quarantine(self.folder / "quarantine").ids()

    @property
    def reports(self) -> list[tuple[str, list[Row], bytes]]:
        """The reports that went out."""
        assert isinstance(self.agent.reports, Sent)
        return self.agent.reports.kept


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An agent whose users chose what their names say."""
    made, log = settings(), Heard()
    recorder = Recorder(tmp_path / "records.sqlite")
    missing = missing_findings(made.checks)
    with Hop(tmp_path / "hop") as hop:
        upstream = Upstream(hop.target, made.hostname)
        agent = Agent(
            settings=made,
            directory=TomlDirectory.parse(DIRECTORY),
            origin=Origin(made.hostname, {"k1": SECRET}.get, missing, lambda: "new012345678"),
            upstreams={"local": upstream},
            recorder=recorder,
            quarantine=Quarantine(tmp_path / "quarantine"),
            reports=Sent("127.0.0.1:1", made.hostname, log),
            spool=Spool(tmp_path),
            editor=Editor.of(made),
            log=log,
            meter=Meter(),
        )
        yield Office(agent, hop, tmp_path, recorder, log)
        upstream.close()
    recorder.close(Deadline.after(5))
