"""The jobs of the training daemon under its own user, in real mailboxes: the sweep takes up what
was moved while it was away, and the canary shows whether a moved message trains; what is answered.
"""

from __future__ import annotations

import email
import email.policy
import functools
import imaplib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.owner import as_owner
from iems.model.address import Address
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.jobs import Job, alone, run_once
from iems.serve.meter import Meter
from iems.serve.status import StatusError, published
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.sqlitestore import FILE, SqliteStore
from lmtp.bayes.training import Trainer
from lmtp.learning import visits
from lmtp.learning.canary import NAME, Canary
from lmtp.learning.main import TrainingService
from tests.integration.conftest import Fresh
from tests.integration.stack import daemons, master, training
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import BAYES_USER, GROUP, Ground, owned, running
from tests.integration.stack.imap import PASSWORD, TIMEOUT
from tests.integration.stack.mailsystem import MailSystem
from tests.unit.lmtp.parts import Heard
from tests.waiting import eventually

DOMAIN = "canary.box.test"
CANARY, OTHER = Address("iems-canary", DOMAIN), Address("other-canary", DOMAIN)
USERS = ("away", "left", "busy", "used", CANARY.local, OTHER.local)
JUNK = "Unwanted"
JUNKS = (JUNK, "Junk")
"""This Dovecot has two for it."""

_SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
kind = "toml"
file = "{file}"
[checks.bayes]
mode = "delegate"
[bayes]
replies = true
sweep = 10
canary = "{canary}"
imap = "127.0.0.1:{port}"
master_password_file = "{password}"
"""


@dataclass
class World:
    """A Dovecot with script and master user, and the daemon."""

    site: Site
    dovecot: Dovecot
    daemon: Daemon
    script: Path

    @contextmanager
    def imap(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A user in front of his program."""
        imap = imaplib.IMAP4("127.0.0.1", self.dovecot.imap, timeout=TIMEOUT)
        try:
            imap.login(f"{user}@{DOMAIN}", PASSWORD)
            yield imap
        finally:
            imap.shutdown()

    @contextmanager
    def store(self) -> Iterator[SqliteStore]:
        """What the daemon keeps, as its user."""
        state = self.site.bayes_state
        with as_owner(state), closing(SqliteStore(state / FILE)) as store:
            yield store

    @contextmanager
    def untold(self) -> Iterator[None]:
        """Meanwhile the script of Dovecot tells nobody what users do."""
        compiled = self.script.with_suffix(".svbin")
        kept, text = compiled.read_bytes(), self.script.read_text()
        try:
            self.script.write_text("keep;\n")
            compiled.unlink()
            yield
        finally:
            self.script.write_text(text)
            compiled.write_bytes(kept)

    def flags(self, user: str, folder: str) -> bytes:
        """Those of all messages of a folder."""
        with self.imap(user) as imap:
            imap.select(folder)
            found = imap.fetch("1:*", "(FLAGS)")[1]
        return b" ".join(row for row in found if isinstance(row, bytes))

    def counts(self, user: str, *folders: str) -> list[int]:
        """How many messages are in each of these."""
        with self.imap(user) as imap:
            return [int(imap.select(one)[1][0] or b"-1") for one in folders]

    def learned(self, user: str) -> list[tuple[str, str]]:
        """What his journal says: how, and as what."""
        with self.store() as store:
            entries = store.journal(f"{user}@{DOMAIN}", Deadline.after(60))
        return [(one.source, one.label.value) for one in entries]

    def canary(self) -> float | None:
        """What the daemon publishes of it."""
        try:
            seen = published(self.site.bayes_state / "status.json").seen
        except StatusError:
            return None
        return seen.levels.get(("backend_up", (("backend", NAME),)))


@pytest.fixture(scope="module")
def world(ground: Ground) -> Iterator[World]:
    """All of it, but that the daemon does not run."""
    place = ground.place("visits")
    place.chmod(0o755)
    directory = place / "directory.toml"
    users = "\n".join(f'[users."{name}@{DOMAIN}"]' for name in USERS)
    directory.write_text(f'[domains."{DOMAIN}"]\n{users}\n')
    password = place / "dovecot-master"
    password.write_text(master.SECRET + "\n")
    owned(password, "root", BAYES_USER, 0o640)
    master.write(place / "master-users")
    site = Site(ground, place, "")
    server = training.dovecot(ground, site.bayes_socket, master.settings(place / "master-users"))
    text = _SETTINGS.format(file=directory, canary=CANARY, port=server.imap, password=password)
    site.write("iems.toml", text)
    owned(site.folder, "root", GROUP, 0o755)
    for name in USERS:
        server.add_user(f"{name}@{DOMAIN}")
    with running(server):
        yield World(site, server, daemons.trainer(site), training.script(server))


def test_what_was_moved_while_the_daemon_was_away_is_trained_once_it_runs(world: World) -> None:
    """The script left its keyword in Junk, and what is in Train/Spam moves on."""
    text = b"Subject: %s\r\nMessage-ID: <%s@canary.test>\r\n\r\nbuy\r\n"
    with world.imap("left") as imap:
        imap.append("INBOX", "", "", text % (b"left", b"left"))
        imap.select("INBOX")
        assert imap._simple_command("MOVE", "1", JUNK)[0] == "OK"
    assert b"$IEMSSpam" in world.flags("left", JUNK)
    with world.imap("away") as imap:
        imap.append("Train.Spam", "", "", text % (b"away", b"away"))
    with running(world.daemon):
        eventually(lambda: world.learned("left") == [("sweep", "spam")], 60, world.daemon.log)
        eventually(lambda: world.learned("away") == [("sweep", "spam")], 60, world.daemon.log)
        eventually(lambda: sum(world.counts("away", *JUNKS)) == 1, 30)
        eventually(lambda: world.counts("away", "Train.Spam") == [0], 30)
        eventually(lambda: b"$IEMS" not in world.flags("left", JUNK), 30)


def test_what_a_user_answers_is_ham_where_the_site_wants_it_and_once(world: World) -> None:
    """Not in Junk, and not where he has said what it is."""
    with running(world.daemon), world.imap("busy") as imap:
        below = f"{JUNK}.2026"
        imap.create(below)
        places = ((b"zero", below), (b"one", JUNK), (b"two", "INBOX"), (b"three", "INBOX"))
        for name, folder in places:
            text = b"Subject: %s\r\nMessage-ID: <%s@busy.test>\r\n\r\nhi\r\n" % (name, name)
            imap.append(folder, "", "", text)
        for folder in (below, JUNK):
            imap.select(folder)
            imap.store("1", "+FLAGS", "(\\Answered)")
        imap.select("INBOX")
        imap.store("2", "+FLAGS", "($Junk)")
        imap.store("1:2", "+FLAGS", "(\\Answered \\Seen)")
        imap.store("1:2", "-FLAGS", "(\\Answered)")
        imap.store("1:2", "+FLAGS", "(\\Answered)")
        wanted = [("flag", "spam"), ("reply", "ham")]
        eventually(lambda: world.learned("busy") == wanted, 60, world.daemon.log)
        done = 'user="busy@canary.box.test" source="reply" label="ham" done="known already"'
        eventually(lambda: world.daemon.log(done).count(done) >= 3, 60, world.daemon.log)
        assert world.learned("busy") == wanted


@dataclass
class Told:
    """What the job tells of itself."""

    heard: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, wrong: Mapping[str, str]) -> None:
        self.heard.append(dict(wrong))


def test_a_mailbox_that_somebody_uses_is_left_alone_and_that_is_told(world: World) -> None:
    told, who = Told(), master.master(world.dovecot)
    for folder in ("INBOX", JUNK):
        with world.imap("used") as imap:
            imap.append(folder, "", "", b"Subject: minutes\r\n\r\nx\r\n")
        with world.store() as store:
            trainer = Trainer(store, CLASSIFIERS[DEFAULT])
            job = Canary(
                who, Address("used", DOMAIN), store, trainer, Meter(), told, Heard(), wait=0.0
            )
            job.run(Deadline.after(60))
        assert world.counts("used", folder) == [1]
        with world.imap("used") as imap:
            imap.select(folder)
            imap.store("1", "+FLAGS", "(\\Deleted)")
            imap.expunge()
    assert told.heard == [{NAME: "other mail is in its mailbox, which nobody may use"}] * 2


def test_a_moved_message_trains_and_is_taken_back_or_it_is_told(world: World) -> None:
    """By the daemon; then with the script of Dovecot that is deployed, and with an empty one."""
    told, meter, who = Told(), Meter(), master.master(world.dovecot)

    def run_twice() -> int:
        """How much spam is trained after two runs of one job."""
        with world.store() as store:
            trainer = Trainer(store, CLASSIFIERS[DEFAULT])
            job = Canary(who, OTHER, store, trainer, meter, told, Heard(), wait=2.0)
            job.run(Deadline.after(60))
            job.run(Deadline.after(60))
            return store.load(OTHER.key, Deadline.after(60)).spam

    with running(world.daemon):
        eventually(lambda: world.canary() == 1.0, 60, world.daemon.log)
        learned = f'user="{CANARY}" source="move" label="spam" done="learned"'
        eventually(lambda: world.daemon.log(learned), 30, world.daemon.log)
        assert world.learned(CANARY.local) == []
        assert world.counts(CANARY.local, "INBOX", *JUNKS) == [0, 0, 0]
        assert run_twice() == 0
        assert told.heard == [{NAME: ""}]
        with world.untold():
            assert run_twice() == 0
    why = "not trained 2 s after it was moved into Junk"
    assert [one[NAME] for one in told.heard[1:]] == [why, why]
    assert meter.snapshot().levels[("backend_up", (("backend", NAME),))] == 0.0
    assert world.counts(OTHER.local, "INBOX", *JUNKS) == [0, 0, 0]


def test_a_job_is_done_by_hand_by_the_user_of_its_daemon_and_not_at_once_with_it(
    world: World,
) -> None:
    call = "import sys; from cli.main import main; sys.exit(main())"

    def iems(*words: str) -> tuple[int, str, str]:
        """How `iems jobs` ends, and what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", call, "--settings", world.site.settings, "jobs", *words],
            env={"PYTHONPATH": world.site.path},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def tried() -> int:
        return world.daemon.log(f'user="{CANARY}" source="move"').count("learned")

    with running(world.daemon):
        eventually(lambda: world.canary() == 1.0, 60, world.daemon.log)
        before = tried()
        eventually(lambda: iems("run", "iems-bayes", "canary") == (0, "", ""), 60)
        eventually(lambda: tried() > before, 20, world.daemon.log)
        code, out, _error = iems("list", "iems-bayes")
        assert (code, "canary: every 600 s" in out.splitlines()) == (0, True)
        for daemon in ("iems-milter", "iems-lmtp"):
            assert "records: every " in iems("list", daemon)[1]
        lock = world.site.bayes_state / "canary.lock"
        assert lock.owner() == BAYES_USER
        with alone(Job("canary", 1.0, lambda _deadline: None), lock.parent) as mine:
            assert mine
            told = "iems: iems-bayes is doing it now\n"
            assert iems("run", "iems-bayes", "canary") == (75, "", told)
        assert iems("run", "iems-bayes", "other")[0] == 1
    # It goes where the daemon cannot be asked, and says what is wrong.
    with world.imap("left") as imap:
        imap.append("Train.Ham", "", "", b"Subject: x\r\n\r\nx\r\n")
    code, _out, error = iems("run", "iems-bayes", "sweep")
    assert (code, "sweep waits" in error) == (0, True), error


def test_postmaster_has_one_mail_of_it_where_a_moved_message_trains_no_more(
    world: World, mailsystem: MailSystem, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the job as the daemon has it, with its settings, to a mailbox that is his."""
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("first"))
    text = (world.site.etc / "iems.toml").read_text()
    told = text.replace("postmaster@example.test", box.user).replace(
        "[directory]", f'notices = {{ smtp = "127.0.0.1:{mailsystem.port()}" }}\n[directory]'
    )
    settings = world.site.write("told.toml", told)
    monkeypatch.setattr(visits, "Canary", functools.partial(Canary, wait=1.0))
    heard, control = Heard(), Control()
    generation = TrainingService(settings).prepare()
    with running(world.daemon):
        # Its own is in the same mailbox, and is done for a day then.
        eventually(lambda: world.canary() == 1.0, 60, world.daemon.log)
        with world.untold(), as_owner(world.site.bayes_state):
            jobs = generation.jobs(control, heard)
            [job] = [one for one in jobs if one.name == "canary"]
            for _again in range(3):
                assert run_once(job, heard), heard.lines
    [mail] = box.wait()
    mailsystem.postfix.wait_empty()
    assert box.messages() == [mail]
    seen = email.message_from_bytes(mail, policy=email.policy.default)
    assert seen["To"] == box.user
    assert seen["Return-Path"] == "<>"
    assert seen["Subject"] == "Filters are not trained any more on mail.example.test"
    why = f"{NAME}: not trained 1 s after it was moved into Junk"
    assert why in seen.get_content()
    assert control.meter.snapshot().levels[("backend_up", (("backend", NAME),))] == 0.0
