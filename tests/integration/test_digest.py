"""The daily digest on the whole system: from the records of both daemons into the user's mailbox.

The clock of the job is the test's own but in the test of the daemon itself.
"""

from __future__ import annotations

import email
import email.policy
import os
import pwd
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from cli.owner import as_owner
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.notices.digest import LAG, DigestNotices, Sender
from iems.notices.postmaster import Postmaster
from iems.serve.deadline import Deadline
from iems.store.digest import FILE, Digests
from iems.store.keys import Keyring
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, every
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack.ground import AGENT_USER
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import CLOSED, DELEGATED, HOSTNAME, MailSystem
from tests.integration.stack.smtp import send
from tests.waiting import eventually

DAY = 86400
ASK = b"Subject: release\r\n\r\n\r\n"


@dataclass(frozen=True)
class Killed:
    """Sends, and does not live to see that it did."""

    sender: Sender

    def send(self, to: Address, message: EmailMessage) -> None:
        """The mail server has it."""
        self.sender.send(to, message)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Office:
    """The job beside the system; what happened before it was made is not told."""

    system: MailSystem
    fresh: Fresh
    file: Path
    begin: float = field(default_factory=time.time)
    warned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run(LAG)

    @property
    def states(self) -> tuple[Path, Path]:
        """The folders of agent and milter."""
        return self.system.site.agent_state, self.system.site.milter_state

    def warning(self, text: str, **fields: object) -> None:
        """One line of its log."""
        self.warned.append(f"{text} {fields}")

    def run(self, later: float) -> None:
        """One run so many seconds after the beginning; digests go an hour or two after that."""
        self.job(later, self.system.port()).run(Deadline.after(60))
        assert not self.warned

    def ends(self, later: float, port: int, *, killed: bool = False, seconds: float = 60) -> int:
        """How a run in a process of the agent's user ends: 0, or 1 where it warned.

        `killed` is as soon as the mail server has taken a digest, before that is written down.
        """
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            user = pwd.getpwnam(AGENT_USER)
            os.initgroups(AGENT_USER, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            job = self.job(later, port)
            job = replace(job, sender=Killed(job.sender)) if killed else job
            job.run(Deadline.after(seconds))
        finally:
            os._exit(1 if self.warned or sys.exc_info()[0] else 0)

    def job(self, later: float, port: int) -> DigestNotices:
        """The job at that time, which sends to this port."""
        site = self.system.site
        return DigestNotices(
            hour=time.localtime(self.begin + 7200).tm_hour,
            language="en",
            host=HOSTNAME,
            file=self.file,
            records={state.name: state / "records.sqlite" for state in self.states},
            quarantine=Quarantine(site.agent_state / "quarantine"),
            directory=TreeDirectory(tree.store(self.system.slapd, "agent"), 5, self.warned.append),
            keyring=Keyring.load(site.etc / "keys/findings.toml"),
            sender=Postmaster(Address("postmaster", HOSTNAME), HOSTNAME, f"127.0.0.1:{port}"),
            log=self,
            clock=lambda: self.begin + later,
        )

    def user(self, name: str, action: str, *lines: str) -> Mailbox:
        """A user who wants this for mail of the client of this test."""
        address = self.fresh.address(name)
        policy = f"iemsPolicy: dnsbl/delegated listed choice {action}"
        self.system.slapd.add(tree.user(address, policy, *lines))
        return Mailbox(self.system.dovecot.imap, address, self.system.password(address))

    def send(self, to: str, subject: str) -> None:
        """A message from the listed client, through to its end."""
        client = (self.fresh.ip, "mx.sender.example")
        text = f"Subject: {subject}\r\n\r\ntext\r\n".encode()
        send(self.system.port(), f"{subject}@sender.example", [to], text, client=client)
        eventually(lambda: self.about([self.system.dovecot.mailbox(to)]), 30)
        self.system.postfix.wait_empty()

    def about(self, boxes: Iterable[Mailbox]) -> list[Record]:
        """What the daemons have recorded of these users' mail, which may be a moment later."""
        users = {f"user {box.user}" for box in boxes}
        files = [state / "records.sqlite" for state in self.states]
        return [row for row in every(files) if row.subject in users]


@pytest.fixture
def office(mailsystem: MailSystem, fresh: Fresh, tmp_path: Path) -> Office:
    """The job with a domain of this test's own, and its client on the delegated list."""
    mailsystem.add_domain(fresh.domain)
    mailsystem.lists.list(DELEGATED, fresh.ip)
    return Office(mailsystem, fresh, tmp_path / FILE)


def read(message: bytes) -> tuple[EmailMessage, str, str]:
    """A digest, its plain text and its page."""
    seen = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(seen, EmailMessage)
    plain, page = (seen.get_body((kind,)) for kind in ("plain", "html"))
    assert plain
    assert page
    return seen, plain.get_content(), page.get_content()


def test_what_is_told_is_released_by_a_mail_and_told_once(
    office: Office, mailsystem: MailSystem
) -> None:
    kept = office.user("kept", "quarantine", "preferredLanguage: de-DE")
    refusing, junking = office.user("refusing", "reject"), office.user("junking", "junk")
    for box in (kept, refusing, junking):
        office.send(box.user, box.user.partition("@")[0])
    office.run(DAY + LAG)
    office.run(DAY + 2 * LAG)
    mailsystem.postfix.wait_empty()
    [in_german], [refused], [junked] = (box.wait() for box in (kept, refusing, junking))
    for text, word in ((refused, "Refused"), (junked, "In your folder Junk")):
        seen, plain, page = read(text)
        assert seen["Subject"] == "Mail that did not reach your inbox: 1"
        assert (seen["Auto-Submitted"], seen["Return-Path"]) == ("auto-generated", "<>")
        assert word in plain
        assert word in page
    assert "refusing@sender.example" in read(refused)[1]
    seen, plain, page = read(in_german)
    assert "In Quarantäne" in page
    [address] = [line.split()[-1] for line in plain.splitlines() if "Freigeben:" in line]
    assert f"mailto:{address.replace('+', '%2B')}?" in page
    forged = address[: -5 - len(office.fresh.domain)] + "aaaa" + f"@{office.fresh.domain}"
    for to in (forged, address, address):
        assert send(mailsystem.port(), "me@sender.example", [to], ASK).accepted == (to,)
        mailsystem.postfix.wait_empty()
        assert len(kept.messages()) == (1 if to == forged else 2)
    assert b"Subject: kept" in kept.messages()[1]


def test_who_wants_none_says_so_by_mail(office: Office, mailsystem: MailSystem) -> None:
    """The agent writes it down, and `iems digest` shows and changes it."""
    box = office.user("first", "junk")
    office.send(box.user, "one")
    office.run(DAY + LAG)
    seen, plain, _page = read(box.wait()[0])
    off = unquote(seen["List-Unsubscribe"].removeprefix("<mailto:").partition("?")[0])
    assert plain.rstrip().endswith(off)
    vacation = b"Auto-Submitted: auto-replied\r\n" + ASK
    for text in (vacation, ASK):
        assert box.user not in mailsystem.iems("digest", "list").decode()
        assert send(mailsystem.port(), "me@sender.example", [off], text).accepted == (off,)
        mailsystem.postfix.wait_empty()
    assert box.user in mailsystem.iems("digest", "list").decode().splitlines()
    done = mailsystem.iems("digest", "on", box.user).decode()
    assert done == f"set digest of {box.user}: on\n"
    assert box.user not in mailsystem.iems("digest", "list").decode()


def test_late_cut_short_met_by_no_server_and_killed_it_tells_each_once(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    """Under the agent's user, days late; what went by is seen in the records of the daemons."""
    mailsystem.add_domain(fresh.domain)
    mailsystem.lists.list(DELEGATED, fresh.ip)
    state, port = mailsystem.site.agent_state, mailsystem.port()
    file = state / f"once.{fresh.domain}.sqlite"
    office = Office(mailsystem, fresh, file)
    for one in state.glob(f"{file.name}*"):
        one.unlink()
    assert office.ends(LAG, port) == 0
    boxes = [office.user(name, "junk") for name in ("one", "two")]
    for box in boxes:
        office.send(box.user, box.user.partition("@")[0])
    late = 3 * DAY
    assert office.ends(late, port, seconds=0) == 0
    assert office.ends(late, CLOSED) == 1
    assert office.ends(late, port, killed=True) == -signal.SIGKILL
    mailsystem.postfix.wait_empty()
    eventually(lambda: any("iems-digest" in row.message_id for row in office.about(boxes)), 30)
    [first, second] = sorted(boxes, key=lambda box: -len(box.messages()))
    assert (len(first.wait()), len(second.messages())) == (1, 0)
    for more in (1, 2):
        assert office.ends(late + more * LAG, port) == 0
        mailsystem.postfix.wait_empty()
        assert [len(box.wait()) for box in boxes] == [1, 1]
    for one in state.glob(f"{file.name}*"):
        one.unlink()


@pytest.fixture
def yesterday(mailsystem: MailSystem, fresh: Fresh) -> Iterator[Mailbox]:
    """A user to whom things happened long before the clock last struck the hour of the digests."""
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("first"))
    site, at = mailsystem.site, time.time() - 30 * 3600
    row: dict[str, Any] = {"subject": f"user {box.user}", "recipient": box.user, "time": at}
    for state, record in (
        (site.milter_state, Record("R1", "rcpt", "reject", "550 no", sender="r@x.test", **row)),
        (site.agent_state, Record("R2", "delivery", "junk", "250 ok", sender="j@x.test", **row)),
    ):
        with as_owner(state):
            recorder = Recorder(state / "records.sqlite")
            recorder.commit([record], Deadline.after(10))
            recorder.close(Deadline.after(10))
    with as_owner(site.agent_state), closing(Digests(site.agent_state / FILE)) as digests:
        for name in ("iems-lmtp", "iems-milter", "sent"):
            digests.reach(name, at - 60)
    yield box
    for file in site.agent_state.glob(f"{FILE}*"):
        file.unlink(missing_ok=True)  # whoever closes the database last takes two of them away


def test_the_daemon_tells_what_both_daemons_recorded(
    mailsystem: MailSystem, yesterday: Mailbox
) -> None:
    """The agent under its own user, who may read the milter's records and write none."""
    records = mailsystem.site.milter_state / "records.sqlite"
    assert records.stat().st_mode & 0o777 == 0o640
    # A milter that has had nothing to write yet: its records are readable nevertheless.
    mailsystem.milter.stop()
    mailsystem.milter.start()
    hour = (time.localtime().tm_hour + 2) % 24
    with mailsystem.settings("digest", f"[digest]\nsend = true\nhour = {hour}\n"):
        [text] = yesterday.wait()
        _seen, plain, _page = read(text)
        assert "r@x.test" in plain
        assert "j@x.test" in plain
    mailsystem.reload()
    mailsystem.postfix.wait_empty()
    assert len(yesterday.messages()) == 1
