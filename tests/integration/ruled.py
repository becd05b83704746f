"""A user with rules: whom mail is sent to, and what became of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sieve.installing.managesieve import Connection
from sieve.mailsort.rule import HeaderTest, Mailsort, Operator, Rule, Vacation
from sieve.mailsort.write import to_json
from tests.integration.conftest import Fresh
from tests.integration.stack import rules
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import send

SENDER = "a@sender.example"


@dataclass
class Person:
    """A user with rules."""

    system: MailSystem
    fresh: Fresh
    box: Mailbox

    def rules(self, folder: Path, *those: Rule, vacation: Vacation | None = None) -> str:
        """Have these from now on; what `iems` says."""
        file = folder / "rules.json"
        file.write_text(to_json(Mailsort(those, vacation)))
        return self.system.iems("mailsort", "set", "--json", self.box.user, str(file)).decode()

    def his_own(self) -> AbstractContextManager[Connection]:
        """His scripts, as he edits them himself."""
        password = self.system.password(self.box.user)
        return rules.his_own(self.system.dovecot, self.box, password)

    def gets(self, subject: str, *fields: str, sender: str = SENDER, code: int = 250) -> str:
        """A message to him; what is said at RCPT, which has this code."""
        head = [f"From: {sender}", f"To: {self.box.user}", f"Subject: {subject}"]
        head += [
            f"Message-ID: <{subject.replace(' ', '_')}.{self.fresh.domain}@sender.example>",
            *fields,
        ]
        text = "".join(f"{line}\r\n" for line in [*head, "", "text"]).encode()
        client = (self.fresh.ip, "mx.sender.example")
        sent = send(self.system.port(), sender, [self.box.user], text, client=client)
        reply = sent.recipients[self.box.user]
        assert reply.code == code, reply
        return reply.text

    def went(self) -> list[tuple[str, tuple[str, ...]]]:
        """Who sent to whom in the internet what came of his mail, once the queue is empty."""
        self.system.postfix.wait_empty()
        domain = self.fresh.domain.encode()
        caught = self.system.sent_out()
        return [(one.sender, one.recipients) for one in caught if domain in one.message]


def person(system: MailSystem, fresh: Fresh, name: str, **more: str) -> Person:
    """One whose scripts hand in what they send as on a server: as mail of this host."""
    box = system.add_user(fresh.address(name))
    local = f"127.0.0.1:{system.port('local')}"
    more |= {"submission_host": local}
    system.dovecot.add_user(box.user, password=system.password(box.user), **more)
    return Person(system, fresh, box)


def about(text: str) -> HeaderTest:
    return HeaderTest("Subject", Operator.CONTAINS, (text,))


def ends(one: Person, *words: str) -> tuple[int, str, str]:
    """How `iems mailsort` ends, and what it says."""
    done = one.system.iems_ends("mailsort", *words)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
