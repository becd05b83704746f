"""Train/Spam and Train/Ham of real mailboxes, and what was left there: by Dovecot's master user."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.model.address import Address
from iems.serve.deadline import Deadline
from lmtp.bayes.tokens import MAX_MESSAGE
from lmtp.learning.protocol import Answer, PeerError, Request
from lmtp.learning.sweep import LEFT, Sweep
from tests.integration.conftest import Fresh
from tests.integration.stack import master
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.imap import PASSWORD, Mailbox
from tests.integration.stack.programs import run

LARGE = b"Subject: large\r\n\r\n" + b"x" * MAX_MESSAGE + b"\r\n"


@dataclass
class Place:
    """A Dovecot with a master user who stands in `file`."""

    dovecot: Dovecot
    file: Path


@dataclass
class Desk:
    """A sweep of some users, and what it has the daemon train."""

    place: Place
    folder: Path
    boxes: list[Mailbox] = field(default_factory=list)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    refuses: str = ""
    away: bool = False

    def __post_init__(self) -> None:
        told = master.master(self.place.dovecot)
        file = self.folder / "sweep.json"
        self.sweep = Sweep(told, self.users, self.ask, file, self, lambda: self.now)
        self.now = 1e9

    def users(self, _deadline: Deadline) -> list[Address]:
        """Those with a filter."""
        return [Address.parse(box.user) for box in self.boxes]

    def ask(self, wanted: Request, message: bytes, _deadline: Deadline) -> Answer:
        """The daemon."""
        if self.away:
            raise PeerError("away")
        if wanted.user == self.refuses:
            return Answer(done=False, text="has no filter")
        assert wanted.verb == "train"
        assert wanted.options["source"] == "sweep"
        self.asked.append((wanted.user, wanted.options["label"], message))
        return Answer(done=True)

    def info(self, text: str, **fields: object) -> None:
        """A line of the log."""

    def warning(self, text: str, **fields: object) -> None:
        """A line of the log that somebody has to look at."""
        self.warned.append(" ".join([text, *map(str, fields.values())]))

    def run(self, seconds: float = 60) -> None:
        """One run."""
        self.sweep.run(Deadline.after(seconds))

    def put(self, box: Mailbox, folder: str, *subjects: str, flags: str = "") -> None:
        """Messages into a folder, which is made."""
        imap = imaplib.IMAP4("127.0.0.1", box.port, timeout=60)
        imap.login(box.user, PASSWORD)
        imap.create(folder)
        for subject in subjects:
            text = f"Subject: {subject}\r\nMessage-ID: <{subject}@x.test>\r\n\r\nx\r\n".encode()
            assert imap.append(folder, flags, "", text)[0] == "OK"
        imap.logout()

    def keywords(self, box: Mailbox, folder: str) -> bytes:
        """The flags of all messages in a folder."""
        imap = imaplib.IMAP4("127.0.0.1", box.port, timeout=60)
        imap.login(box.user, PASSWORD)
        imap.select(folder)
        found = imap.uid("FETCH", "1:*", "(FLAGS)")[1]
        imap.logout()
        return b" ".join(row for row in found if isinstance(row, bytes))


@pytest.fixture(scope="module")
def place(ground: Ground) -> Iterator[Place]:
    """The Dovecot of these tests."""
    file = ground.place("master") / "master-users"
    master.write(file)
    server = Dovecot(ground, extra=master.settings(file))
    with running(server):
        yield Place(server, file)


@pytest.fixture
def desk(place: Place, fresh: Fresh, tmp_path: Path) -> Desk:
    """A sweep of three users."""
    made = Desk(place, tmp_path)
    made.boxes += [place.dovecot.add_user(fresh.address(name)) for name in ("one", "two", "zoe")]
    return made


def subjects(messages: list[bytes]) -> list[bytes]:
    """Their subjects."""
    return [one.partition(b"Subject: ")[2].partition(b"\r\n")[0] for one in messages]


def test_what_users_put_there_is_trained_and_moved(desk: Desk) -> None:
    one, two, zoe = desk.boxes
    desk.put(one, "Train.Spam", "offer", "pills")
    desk.put(two, "Train.Ham", "minutes")
    desk.run()
    assert not desk.warned
    told = [(user, label, subjects([text])[0]) for user, label, text in desk.asked]
    assert told == [
        (one.user, "spam", b"offer"),
        (one.user, "spam", b"pills"),
        (two.user, "ham", b"minutes"),
    ]
    assert subjects(one.messages("Junk")) == [b"offer", b"pills"]
    assert subjects(two.messages("INBOX")) == [b"minutes"]
    assert not one.messages("Train.Spam")
    assert not zoe.messages()
    desk.run()
    assert len(desk.asked) == 3


def test_the_folder_for_junk_is_found_by_its_special_use(desk: Desk) -> None:
    """And a message is read up to what a filter judges it by."""
    [box, *_others] = desk.boxes
    desk.put(box, "Train.Spam", "offer")
    with box._login() as imap:
        imap.append("Train.Spam", "", "", LARGE)
    desk.run()
    assert [len(text) for _user, _label, text in desk.asked][1] == MAX_MESSAGE
    assert box.messages("Junk")[1] == LARGE


def test_what_was_moved_while_the_daemon_was_away_is_trained_at_the_next_full_round(
    desk: Desk,
) -> None:
    [box, *_others] = desk.boxes
    (spam, _spam), (ham, _ham) = LEFT.items()
    desk.run()
    desk.put(box, "Junk", "offer", flags=f"(\\Seen {spam})")
    desk.put(box, "INBOX", "minutes", flags=f"({ham})")
    desk.put(box, "Archive", "other")
    desk.run()
    assert not desk.asked
    desk.now += 86401
    desk.run()
    told = [(label, subjects([text])[0]) for _user, label, text in desk.asked]
    assert sorted(told) == [("ham", b"minutes"), ("spam", b"offer")]
    assert b"\\Seen" in desk.keywords(box, "Junk")
    assert spam.encode() not in desk.keywords(box, "Junk")
    again = Desk(desk.place, desk.folder, desk.boxes)
    again.run()
    assert not again.asked


def test_a_broken_mailbox_keeps_nobody_else_from_his_turn(desk: Desk) -> None:
    one, two, zoe = desk.boxes
    desk.refuses = two.user
    for box in desk.boxes:
        desk.put(box, "Train.Spam", "offer")
    home = desk.place.dovecot.folder / "mail" / one.user.partition("@")[2] / "one"
    run("chmod", "0", home)
    desk.run()
    assert [user for user, _label, _text in desk.asked] == [zoe.user]
    assert [one.user in desk.warned[0], "has no filter" in desk.warned[1]] == [True, True]
    assert len(two.messages("Train.Spam")) == 1
    run("chmod", "0770", home)
    desk.refuses = ""
    desk.run()
    assert sorted(user for user, _label, _text in desk.asked) == sorted(
        box.user for box in desk.boxes
    )


def test_a_run_goes_on_where_the_last_one_ended_over_restarts_too(desk: Desk) -> None:
    one, two, zoe = desk.boxes
    for box in desk.boxes:
        desk.put(box, "Train.Spam", "offer")
    asked = desk.ask

    def last(wanted: Request, message: bytes, deadline: Deadline) -> Answer:
        desk.away = wanted.user == two.user
        return asked(wanted, message, deadline)

    desk.sweep.ask = last
    desk.run()
    assert [user for user, _label, _text in desk.asked] == [one.user]
    assert desk.warned == ["sweep waits away"]
    desk.put(one, "Train.Spam", "more")
    later = Desk(desk.place, desk.folder, desk.boxes)
    later.run()
    assert [user for user, _label, _text in later.asked] == [two.user, zoe.user]
    later.run()
    assert [user for user, _label, _text in later.asked[2:]] == [one.user]


def test_a_run_that_was_killed_goes_on_behind_the_user_with_whom_it_was(desk: Desk) -> None:
    one, two, zoe = desk.boxes
    for box in desk.boxes:
        desk.put(box, "Train.Spam", "offer")

    def killed(_wanted: Request, _message: bytes, _deadline: Deadline) -> Answer:
        raise SystemExit

    desk.sweep.ask = killed
    with pytest.raises(SystemExit):
        desk.run()
    later = Desk(desk.place, desk.folder, desk.boxes)
    later.run()
    assert [user for user, _label, _text in later.asked] == [two.user, zoe.user]
    later.run()
    assert [user for user, _label, _text in later.asked[2:]] == [one.user]


def test_new_mail_stays_new_where_nothing_was_left(desk: Desk) -> None:
    [box, *_others] = desk.boxes
    desk.put(box, "INBOX", "minutes")
    desk.run()
    with box._login() as imap:
        assert b"(RECENT 1)" in imap.status("INBOX", "(RECENT)")[1][0]


def test_a_broken_folder_keeps_no_other_from_its_turn(desk: Desk) -> None:
    [box, *_others] = desk.boxes
    (spam, _label), *_ham = LEFT.items()
    for folder in ("Alpha", "Broken", "Mike", "Zoo"):
        desk.put(box, folder, "offer", flags=f"({spam})")
    name, _at, domain = box.user.partition("@")
    run("chmod", "0", desk.place.dovecot.folder / "mail" / domain / name / "Maildir" / ".Broken")
    desk.run()
    assert len(desk.asked) == 3
    assert [one.startswith(f"mailbox not swept {box.user}") for one in desk.warned] == [True]


def test_without_an_imap_server_nobody_has_had_his_turn(desk: Desk) -> None:
    one, *_others = desk.boxes
    desk.put(one, "Train.Spam", "offer")
    there, desk.sweep.master = desk.sweep.master, replace(desk.sweep.master, port=9)
    desk.run()
    assert len(desk.warned) == 1
    desk.sweep.master = there
    desk.run()
    assert [user for user, _label, _text in desk.asked] == [one.user]


def test_the_master_user_comes_from_this_host_by_imap_and_for_nothing_else(desk: Desk) -> None:
    box = desk.boxes[0]
    login = ("-M", master.NAME, box.user, master.SECRET)

    def enters(service: str, address: str) -> bool:
        config = desk.place.dovecot.folder / "dovecot.conf"
        where = [f"{name}={address}" for name in ("rip", "lip")]
        words = ("doveadm", "-c", config, "auth", "test", "-x", f"service={service}")
        try:
            run(*words, "-x", where[0], "-x", where[1], *login)
        except RuntimeError:
            return False
        return True

    assert enters("imap", "127.0.0.1")
    assert not enters("imap", "192.0.2.1")
    assert not any(enters(name, "127.0.0.1") for name in ("smtp", "pop3", "sieve", "lmtp"))
    assert desk.place.file.stat().st_mode & 0o777 == 0o640


def test_of_a_folder_with_more_messages_than_a_line_can_name_each_run_takes_some(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where those before them are deleted, and not expunged."""
    [box, *_others] = desk.boxes
    monkeypatch.setattr(imaplib, "_MAXLINE", 800)
    desk.sweep.most = 5
    desk.put(box, "Train.Spam", "offer")
    with box._login() as imap:
        imap.select("Train.Spam")
        for _again in range(8):
            imap.copy("1:*", "Train.Spam")
        imap.store("1:30", "+FLAGS.SILENT", "(\\Deleted)")
    for taken in (5, 10):
        desk.run()
        assert not desk.warned
        assert len(desk.asked) == taken
