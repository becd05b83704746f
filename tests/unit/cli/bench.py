"""A site with a user's Maildir, for `iems replay --maildir`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder

ALICE, BOB = "alice@example.test", "bob@example.test"
SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
milter = {{ state = "{0}" }}
agent = {{ state = "{0}/lmtp" }}
[checks.dnsbl.soft]
mode = "delegate"
zone = "soft.test"
default = {{ listed = "deliver" }}
[checks.dnsbl.tried]
mode = "shadow"
zone = "soft.test"
[checks.header.offer]
mode = "delegate"
field = "Subject"
test = "contains"
value = "offer"
default = {{ matched = "deliver" }}
[checks.flow]
mode = "enforce"
default = {{ exceeded = "reject" }}
limits = {{ few = {{ count = "recipients", per = "network", limit = 1, window = 3600 }} }}

"""
ZONE = """
66.2.0.192.soft.test A 127.0.0.2
66.2.0.192.soft.test TXT "seen spamming"
1.2.0.192.soft.test A NXDOMAIN
"""
BY = "by mail.example.test (Postfix) with {} id {};\n\tThu, 26 Nov 2026 21:59:25 +0000"


def message(
    *,
    to: str = ALICE,
    client: str = "192.0.2.66",
    subject: str = "hello",
    queue_id: str = "Q1",
    above: str = "",
    protocol: str = "ESMTP",
    sender: str = "a@sender.example",
) -> bytes:
    """As Dovecot has written it, from the agent and our Postfix."""
    return (
        f"Return-Path: <{sender}>\nDelivered-To: {to}\n"
        "Received: from mail.example.test\n\tby mail.example.test with LMTP\n\tid x; now\n"
        f"{above}Received: from mx.sender.example (unknown [{client}])\n\t"
        f"{BY.format(protocol, queue_id)}\nMessage-ID: <{queue_id}@sender.example>\n"
        f"From: {sender}\nSubject: {subject}\n\ntext\n"
    ).encode()


@dataclass
class Bench:
    """A site with a user's Maildir, and what was printed."""

    folder: Path
    capsys: pytest.CaptureFixture[str] | None = None

    def __post_init__(self) -> None:
        for folder in ("", ".Junk"):
            for part in ("cur", "new", "tmp"):
                (self.folder / "m" / folder / part).mkdir(parents=True)
        self.write("settings", SETTINGS.format(self.folder))
        self.write("dns", ZONE)
        self.directory({})

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def directory(self, policies: dict[str, str], domain: str = "") -> None:
        """alice and bob, with the text of their policies."""
        users = "".join(
            f'[users."{user}"]\npolicy = {{ {policies.get(user, "")} }}\n' for user in (ALICE, BOB)
        )
        self.write("directory", f'[domains."example.test"]\n{domain}\n{users}')

    def put(self, content: bytes, name: str = "1", folder: str = "") -> None:
        (self.folder / "m" / folder / "cur" / name).write_bytes(content)

    def record(self, *records: Record) -> None:
        recorder = Recorder(self.folder / "records.sqlite")
        recorder.commit(records, Deadline.after(5))
        recorder.close(Deadline.after(5))

    def run(self, *words: str) -> int:
        files = (self.folder / name for name in ("dns", "directory"))
        options = [f"--{file.name}={file}" for file in files]
        command = ["--settings", str(self.folder / "settings"), "replay", *options, *words]
        return main([*command, "--maildir", str(self.folder / "m")])

    def json(self, *words: str) -> dict[str, Any]:
        assert self.capsys is not None
        code = self.run("--json", *words)
        told: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert code == (1 if told["differences"] else 0)
        return told
