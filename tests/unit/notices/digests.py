"""What digests are made of: records of both daemons, quarantine, a mail server, a clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from iems.directory.reader import DirectoryUnavailable, Entry
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.model.finding import Finding
from iems.model.policy import SITE, Action, Decision, Kind, Reason, Subject
from iems.notices.digest import DigestNotices
from iems.serve.deadline import Deadline
from iems.store.keys import Key, Keyring
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, details

SECRET = b"k" * 32
KEYRING = Keyring(Key("k1", SECRET), {"k1": Key("k1", SECRET), "k2": Key("k2", b"o" * 32)})
LISTED = Finding("dnsbl/one", "fail", "listed", "192.0.2.1 is listed by one")
DAY = 86400.0
NOON = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))
USERS = """
[domains."b.test"]
[users."alice@b.test"]
language = "de-AT, en;q=0.5"
[users."bob@b.test"]
[users."carol@b.test"]
disabled = "has left"
"""


@dataclass
class Directory:
    """A directory that counts questions, and may be away."""

    real: TomlDirectory
    asked: list[int] = field(default_factory=list)
    away: bool = False

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        self.asked.append(len(addresses))
        if self.away:
            raise DirectoryUnavailable("away")
        return self.real.find(addresses, deadline)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the rest of a directory
        return getattr(self.real, name)


@dataclass
class Post:
    """Both daemons' records, quarantine, a mail server and a clock; digests at 6."""

    folder: Path
    directory: Directory
    now: float = NOON
    error: Exception | None = None
    killed: bool = False
    sent: list[tuple[str, EmailMessage]] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    recorders: dict[str, Recorder] = field(default_factory=dict)

    @property
    def records(self) -> dict[str, Path]:
        """The files of both daemons."""
        return {name: self.folder / f"{name}.sqlite" for name in ("lmtp", "milter")}

    def send(self, to: Address, message: EmailMessage) -> None:
        """What the mail server does."""
        if self.error:
            raise self.error
        self.sent.append((str(to), message))
        if self.killed:
            raise KeyboardInterrupt

    def warning(self, text: str, **fields: object) -> None:
        """One line."""
        self.warned.append(f"{text} {fields}")

    def run(self, hour: float = 0.0, seconds: float = 60) -> list[str]:
        """Let so many hours pass, and a new process run the job: who got a digest."""
        self.now += hour * 3600
        before = len(self.sent)
        job = DigestNotices(
            *(6, "en", "mail.b.test", self.folder / "digest.sqlite", self.records),
            *(Quarantine(self.folder / "quarantine"), self.directory, KEYRING, self, self),
            lambda: self.now,
        )
        with contextlib.suppress(KeyboardInterrupt):
            job.run(Deadline.after(seconds))
        return [to for to, _message in self.sent[before:]]

    def texts(self) -> list[str]:
        """The last digest, plain and as HTML."""
        bodies = map(self.sent[-1][1].get_body, (("plain",), ("html",)))
        return [body.get_content() for body in bodies if body]

    def happens(
        self,
        action: str,
        user: str = "alice",
        reply: str = "",
        stage: str = "",
        of: str = "",
        **more: Any,  # noqa: ANN401 - fields of a record
    ) -> None:
        """A verdict for a user, a moment ago."""
        told = details(Decision(Action.REJECT, (Reason(LISTED, Action.REJECT, SITE, False),)))
        refused = action == "reject"
        row = {
            "reference": "R",
            "stage": stage or ("rcpt" if refused else "delivery"),
            "action": action,
            "reply": reply or ("550 5.7.1 no" if refused else "250 2.0.0 Saved"),
            "recipient": f"{user}@b.test",
            "subject": f"user {user}@b.test",
            "sender": "s@x.test",
            "time": self.now - 1,
            "details": told,
            **more,
        }
        self.add(of or ("milter" if refused else "lmtp"), Record(**row))

    def add(self, of: str, *rows: Record) -> None:
        """Records of a daemon."""
        if of not in self.recorders:
            self.recorders[of] = Recorder(self.records[of])
        self.recorders[of].commit(rows, Deadline.after(10))

    def close(self) -> None:
        """End the writers."""
        for one in self.recorders.values():
            one.close(Deadline.after(10))

    def keeps(
        self,
        user: str = "alice",
        subject: bytes = b"=?utf-8?q?gr=C3=BC=C3=9Fe?=",
        *,
        enforced: bool = False,
    ) -> str:
        """A message in quarantine, and its record: its id."""
        reason = Reason(LISTED, Action.QUARANTINE, Subject(Kind.USER, f"{user}@b.test"), enforced)
        told = details(Decision(Action.QUARANTINE, (reason,)), [LISTED])
        row = {"address": f"{user}@b.test", "subject": f"user {user}@b.test", **told}
        envelope = {"sender": "s@x.test", "smtputf8": False, "eight_bit": False}
        way = {"reference": "R", "queue_id": "Q", "channel": "internet", "time": self.now}
        description = {**way, **envelope, "recipients": [row]}
        store = Quarantine(self.folder / "quarantine")
        name = store.put([b"Subject: ", subject, b"\r\n\r\nx\r\n"], description)
        self.happens("quarantine", user, details={**told, "quarantine": name})
        return name
