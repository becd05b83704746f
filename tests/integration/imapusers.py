"""Users in front of their mail programs, and a training daemon that hears what they do.

For the tests beside this file; each takes a user of its own.
"""

from __future__ import annotations

import imaplib
import itertools
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from iems.serve.deadline import Deadline
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.memory import FILE as MEMORY
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.score import Score, Verdict
from lmtp.bayes.sqlitestore import FILE, SqliteStore
from lmtp.bayes.tokens import key, message_id, tokens
from tests.integration.stack import training
from tests.integration.stack.daemons import Daemon, Site, trainer
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import GROUP, Ground, owned, running
from tests.integration.stack.imap import PASSWORD, TIMEOUT
from tests.integration.stack.smtp import LmtpClient
from tests.waiting import eventually

DOMAIN = "train.box.test"
USERS = 60
SPAM, HAM = "spam", "ham"
_SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
kind = "toml"
file = "{file}"
[checks.bayes]
mode = "delegate"
"""


@dataclass
class World:
    """A Dovecot, the daemon that it asks, and users of whom each test takes one."""

    site: Site
    dovecot: Dovecot
    daemon: Daemon
    numbers: Iterator[int]

    @contextmanager
    def user(self, name: str = "") -> Iterator[User]:
        """A user nobody else has, logged in."""
        address = f"{name or f'u{next(self.numbers)}'}@{DOMAIN}"
        self.dovecot.add_user(address)
        imap = imaplib.IMAP4("127.0.0.1", self.dovecot.imap, timeout=TIMEOUT)
        try:
            imap.login(address, PASSWORD)
            yield User(self, address, imap)
        finally:
            imap.shutdown()


@dataclass
class User:
    """One user in front of his program."""

    world: World
    address: str
    imap: imaplib.IMAP4

    def learned(self) -> list[tuple[str, str]]:
        """What his journal says: by what he did, and as what."""
        with closing(SqliteStore(self.world.site.bayes_state / FILE)) as store:
            entries = store.journal(self.address, Deadline.after(60))
        return [(one.source, one.label.value) for one in entries]

    def learns(self, *wanted: tuple[str, str]) -> None:
        """Wait until that is all that he has trained, and nothing more is to be done."""
        queue = self.world.site.bayes_state / "queue"

        def told() -> str:
            return f"{self.learned()}\n{self.world.daemon.log()}\n{self.world.dovecot.log()}"

        eventually(lambda: self.learned() == list(wanted), 20, told)
        eventually(lambda: not list(queue.glob("*-*")), 20, told)
        assert self.learned() == list(wanted)

    def deliver(self, message: bytes) -> None:
        """A message that comes by LMTP."""
        with LmtpClient(self.world.dovecot.lmtp) as client:
            assert client.send("s@x.test", [self.address], message).accepted
        self.open("INBOX")

    def remembered(self, message: bytes, junk: bool = False) -> None:
        """The agent has classified this message for him."""
        with closing(SqliteStore(self.world.site.bayes_state / FILE)) as store:
            salt = store.load(self.address, Deadline.after(60)).salt
        features = CLASSIFIERS[DEFAULT].features(tokens(message), salt)
        score = Score(0.5, 0.6, Verdict.UNSURE)
        name, who = key(message), message_id(message)
        with closing(Memory(self.world.site.bayes_state / MEMORY)) as memory:
            seen = Seen(self.address, name, who, 1e9, score, junk, salt, features)
            memory.add([seen], Deadline.after(60))

    def open(self, folder: str) -> None:
        """Look into a folder."""
        self.done(*self.imap.select(folder))

    def append(self, folder: str, message: bytes, flags: str = "") -> None:
        """Put a message into a folder."""
        self.done(*self.imap.append(folder, flags, "", message))

    def move(self, folder: str) -> None:
        """Move the first message of the open folder, by the command for it."""
        self.done(*self.imap._simple_command("MOVE", "1", folder))

    def copy(self, folder: str) -> None:
        """Move it as programs do that do not know the command."""
        self.done(*self.imap.copy("1", folder))
        self.flag("+FLAGS", "\\Deleted")
        self.done(*self.imap.expunge())

    def flag(self, how: str, *flags: str) -> None:
        """Set or take away flags of it."""
        self.done(*self.imap.store("1", how, f"({' '.join(flags)})"))

    def flags(self, folder: str) -> str:
        """The flags of the last message of a folder."""
        self.open(folder)
        return str(self.imap.fetch("*", "(FLAGS)")[1][0])

    def kept(self, folder: str) -> set[str]:
        """The keywords of the last message of a folder by which a sweep finds it."""
        return set(re.findall(r"\$IEMS\w+", self.flags(folder)))

    @staticmethod
    def done(status: str, data: object) -> None:
        """The server has done it."""
        assert status == "OK", data


_count = itertools.count(1)


def message(text: str = "") -> bytes:
    """Another one each time."""
    number = next(_count)
    head = f"From: s@x.test\r\nSubject: {number}\r\nMessage-ID: <{number}@train.test>\r\n{text}"
    words = " ".join(f"word{number * 31 + step}" for step in range(20))
    return f"{head}\r\n{words}\r\n".encode()


@contextmanager
def world_on(ground: Ground, more: str = "", separator: str = ".") -> Iterator[World]:
    """All of it, with an own Dovecot; for the rest see `training.dovecot`."""
    sockets = owned(ground.place("sockets"), "root", GROUP, 0o755)
    site = Site(ground, sockets, "", name="train-")
    users = [f'[users."u{number}@{DOMAIN}"]' for number in range(1, USERS)]
    off = f'[users."off@{DOMAIN}"]\nbayes = "off"'
    site.write("directory.toml", "\n".join([f'[domains."{DOMAIN}"]', *users, off]))
    site.write("iems.toml", _SETTINGS.format(file=site.etc / "directory.toml"))
    with (
        running(trainer(site)) as daemon,
        running(training.dovecot(ground, site.bayes_socket, more, separator)) as box,
    ):
        yield World(site, box, daemon, itertools.count(1))
