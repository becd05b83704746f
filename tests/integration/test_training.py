"""What a user does with his mail in an IMAP program trains his filter: Dovecot's imapsieve, our
script as it is deployed, and iems-bayes under its own user.

Each test has a user of its own. What must train nothing is followed by something that trains: the
requests of a user are carried out in their order.
"""

from __future__ import annotations

import contextlib
import re
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest

from cli.check import live
from cli.overview import overview
from cli.status import faults
from iems.serve.status import Status
from iems.settings.load import read_files
from lmtp.learning.queue import Queue
from tests.integration.imapusers import HAM, SPAM, User, World, message, world_on
from tests.integration.stack.ground import BAYES_USER, TRAIN_GROUP, Ground, owned
from tests.integration.stack.process import kill
from tests.waiting import eventually


@pytest.fixture(scope="module")
def world(ground: Ground) -> Iterator[World]:
    """All of it."""
    with world_on(ground) as made:
        yield made


@pytest.fixture
def user(world: World) -> Iterator[User]:
    """One user."""
    with world.user() as one:
        yield one


@pytest.mark.parametrize(
    ("junk", "by"), [("Junk", User.copy), ("Unwanted", User.move)], ids=["copy", "move"]
)
def test_into_junk_is_spam_and_out_of_it_ham(
    user: User, junk: str, by: Callable[[User, str], None]
) -> None:
    """Both folders have the special use, the second one another name."""
    user.deliver(message())
    by(user, junk)
    user.learns(("move", SPAM))
    user.open(junk)
    by(user, "INBOX")
    user.learns(("move", HAM))


def test_a_folder_is_junk_by_its_special_use_and_not_by_its_name(user: User) -> None:
    user.deliver(message())
    user.move("Spam")
    user.deliver(message())
    user.move("Train.Ham")
    user.learns(("move", HAM))


def test_out_of_junk_into_trash_says_nothing(user: User) -> None:
    user.append("Junk", message())
    user.open("Junk")
    user.move("Bin")
    user.deliver(message())
    user.move("Junk")
    user.learns(("move", SPAM))


def test_a_folder_below_junk_or_trash_is_for_the_same(user: User) -> None:
    for name in ("Unwanted.2026", "Bin.2026"):
        user.done(*user.imap.create(name))
    for name in ("Unwanted.2026", "Bin.2026"):
        user.append("Unwanted", message())
        user.open("Unwanted")
        user.move(name)
    user.deliver(message())
    user.move("Unwanted.2026")
    user.learns(("move", SPAM))
    user.open("Unwanted.2026")
    user.move("INBOX")
    user.learns(("move", SPAM), ("move", HAM))


def test_out_of_trash_is_ham_what_was_spam(user: User) -> None:
    user.deliver(message())
    user.move("Junk")
    user.open("Junk")
    user.move("Bin")
    user.open("Bin")
    user.move("INBOX")
    user.learns(("move", HAM))


def test_out_of_trash_says_nothing_of_other_mail(user: User) -> None:
    for _ in range(2):
        user.deliver(message())
        user.move("Bin")
    user.open("Bin")
    user.move("INBOX")
    user.move("Junk")
    user.learns(("move", SPAM))


def test_what_comes_into_a_folder_below_train_is_what_it_says(user: User) -> None:
    wanted = []
    for folder, label in (("Train.Spam", SPAM), ("Train.Ham", HAM)):
        user.append(folder, message())
        user.deliver(message())
        user.move(folder)
        user.deliver(message())
        user.copy(folder)
        wanted += [("append", label), ("move", label), ("move", label)]
    user.learns(*wanted)


def test_what_is_appended_to_junk_is_spam_where_it_was_delivered_here(user: User) -> None:
    here, elsewhere = message(), message()
    user.remembered(here)
    for one in (elsewhere, here):
        user.append("Unwanted", one)
    user.learns(("append", SPAM))


def test_an_imported_mailbox_trains_nothing(user: User) -> None:
    for folder in ("INBOX", "Junk", "Spam", "Bin"):
        for _ in range(3):
            user.append(folder, message(), flags="($Junk)")
    user.deliver(message())
    user.move("Train.Ham")
    user.learns(("move", HAM))


def test_a_flag_says_what_a_message_is(user: User) -> None:
    labels = {"$Junk": SPAM, "Junk": SPAM, "$NotJunk": HAM, "NonJunk": HAM}
    for flag in labels:
        user.deliver(message())
        user.flag("+FLAGS", "\\Flagged", flag)
        user.move("Bin")
    user.learns(*(("flag", label) for label in labels.values()))


def test_a_flag_in_the_place_of_the_other_turns_it_round(user: User) -> None:
    user.deliver(message())
    user.flag("+FLAGS", "Junk")
    user.flag("FLAGS", "NonJunk")
    user.learns(("flag", HAM))
    user.flag("+FLAGS", "Junk")
    user.learns(("flag", SPAM))


def test_flags_that_say_nothing_train_nothing(user: User) -> None:
    user.deliver(message())
    user.flag("+FLAGS", "\\Seen", "$Label1")
    user.flag("+FLAGS", "$Junk", "$NotJunk")
    user.flag("-FLAGS", "$Junk")
    user.flag("+FLAGS", "JunkRecorded")
    user.move("Train.Spam")
    user.learns(("move", SPAM))


def test_a_flag_that_stays_says_nothing_anew(user: User) -> None:
    user.deliver(message())
    user.flag("+FLAGS", "NonJunk")
    user.move("Junk")
    user.open("Junk")
    user.flag("+FLAGS", "JunkRecorded")
    user.flag("+FLAGS", "\\Seen")
    user.deliver(message())
    user.move("Train.Ham")
    user.learns(("move", SPAM), ("move", HAM))


def test_what_is_filed_as_junk_trains_nothing_and_its_correction_does(user: User) -> None:
    """By the agent's verdict, or by a rule of the user's own."""
    user.world.dovecot.script(
        user.address, 'require "fileinto"; if header "X-Rule" "yes" { fileinto "Unwanted"; }'
    )
    user.deliver(message("X-IEMS-Verdict: junk; ref=x\r\n"))
    user.deliver(message("X-Rule: yes\r\n"))
    for junk, count in (("Junk", 1), ("Unwanted", 2)):
        user.open(junk)
        user.move("INBOX")
        user.learns(*[("move", HAM)] * count)


@pytest.mark.parametrize("name", ["off", "stranger"])
def test_whose_filter_is_off_and_who_is_no_user_trains_nothing(world: World, name: str) -> None:
    with world.user(name) as one:
        one.deliver(message())
        one.move("Junk")
        eventually(lambda: "not trained: off" in world.daemon.log(f'user="{one.address}"'))
        one.learns()


def test_other_folders_with_names_of_any_kind_say_nothing(user: User) -> None:
    for name in ("M&APY-bel", 'a \\"b\\" *%', "x" * 150):
        user.done(*user.imap.create(f'"{name}"'))
        user.deliver(message())
        user.done(*user.imap._simple_command("MOVE", "1", f'"{name}"'))
        user.open(f'"{name}"')
        user.move("Junk")
    user.learns(*[("move", SPAM)] * 3)


def test_a_worker_that_is_killed_loses_nothing(user: User) -> None:
    """What comes while nobody works waits at the socket, which the supervisor holds."""
    for pid in user.world.daemon.workers():
        kill(pid)
    for _ in range(3):
        user.deliver(message())
        user.move("Junk")
    user.learns(*[("move", SPAM)] * 3)


@dataclass
class Pretended:
    """Somebody who listens in the daemon's place, and answers always the same, or never (None)."""

    user: User
    answer: bytes | None = b""
    asked: list[bytes] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = listener.accept()
                with connection, connection.makefile("rb") as file:
                    self.asked.append(file.read())
                    if self.answer is None:
                        gone = select.poll()
                        gone.register(connection, select.POLLHUP)
                        gone.poll()
                    else:
                        connection.sendall(self.answer)


@pytest.fixture(scope="class")
def pretended(world: World) -> Iterator[Pretended]:
    """Him, for a user of his own."""
    world.daemon.stop()
    path = world.site.bayes_socket
    with world.user() as user, closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        owned(path, BAYES_USER, TRAIN_GROUP, 0o660)
        listener.listen()
        made = Pretended(user)
        thread = threading.Thread(target=made.serve, args=(listener,))
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    path.unlink()
    world.daemon.start()


@pytest.fixture
def alone(user: User) -> Iterator[User]:
    """A user while the whole service is gone."""
    daemon = user.world.daemon
    daemon.server.kill()
    user.world.site.bayes_socket.unlink()
    yield user
    if not daemon.server.running:
        daemon.start()


def test_a_service_that_is_gone_leaves_a_keyword_that_says_what_a_message_is(alone: User) -> None:
    alone.deliver(message())
    alone.move("Junk")
    assert alone.kept("Junk") == {"$IEMSSpam"}
    alone.move("INBOX")
    assert alone.kept("INBOX") == {"$IEMSHam"}
    alone.flag("+FLAGS", "$Junk")
    assert alone.kept("INBOX") == {"$IEMSSpam"}
    alone.world.daemon.start()
    alone.move("Train.Ham")
    assert alone.kept("Train.Ham") == set()
    alone.learns(("move", HAM))


def test_an_answer_takes_nothing_from_what_was_left_to_be_trained(alone: User) -> None:
    alone.append("INBOX", message())
    alone.open("INBOX")
    alone.flag("+FLAGS", "$NotJunk")
    alone.world.daemon.start()
    alone.flag("+FLAGS", "\\Answered")
    done = f'user="{alone.address}" source="reply"'
    eventually(lambda: done in alone.world.daemon.log(done), 20)
    assert alone.kept("INBOX") == {"$IEMSHam"}


class TestContract:
    """Pigeonhole's program client, version 4.0, of the Dovecot that is here."""

    @pytest.mark.parametrize(
        ("answer", "keywords"),
        [
            (b"+\n", set()),
            (b"learned\n+\n", set()),
            (b"-\n", {"$IEMSSpam"}),
            (b"full\n-\n", {"$IEMSSpam"}),
            (b"", {"$IEMSSpam"}),
            (b"+", {"$IEMSSpam"}),
            (b"yes\n", {"$IEMSSpam"}),
        ],
        ids=["done", "told", "not-done", "told-not-done", "nothing", "half", "neither"],
    )
    def test_dovecot_takes_an_answer_as_we_mean_it_and_asks_twice(
        self, pretended: Pretended, answer: bytes, keywords: set[str]
    ) -> None:
        user, text = pretended.user, message()
        pretended.answer = answer
        user.append("Train.Spam", text)
        assert user.kept("Train.Spam") == keywords
        arguments = f"append\n{user.address}\nfrom=other\nto=spam\nlabel=spam\n\n"
        head = rb"VERSION\tscript\t4\t0\n(env_[A-Z]+=[^\n]*\n)*-\n" + re.escape(arguments.encode())
        assert len(pretended.asked) == (2 if keywords else 1)
        for one in pretended.asked:
            assert re.fullmatch(head + re.escape(text), one), one
        pretended.asked.clear()

    def test_who_is_silent_is_asked_twice_and_for_two_seconds(self, pretended: Pretended) -> None:
        """So long a message waits; what it is can be seen of it then."""
        pretended.answer = None
        pretended.user.append("Train.Spam", message())
        assert pretended.user.kept("Train.Spam") == {"$IEMSSpam"}
        eventually(lambda: len(pretended.asked) == 2)
        pretended.asked.clear()
        told = (pretended.user.world.dovecot.folder / "dovecot.conf").read_text()
        assert re.findall(r"^  sieve_execute_exec_timeout = (.*)$", told, re.MULTILINE) == ["2s"]


def test_a_service_that_is_killed_after_it_has_answered_trains_when_it_is_back(user: User) -> None:
    """Held, so that nothing is trained before the end."""
    daemon = user.world.daemon
    queue = Queue(user.world.site.bayes_state / "queue")
    with queue.working() as held:
        while not held:  # the worker lets go of it only with its end
            for pid in daemon.workers():
                kill(pid)
            with queue.working() as held:
                pass
    with queue.working():
        for number in range(3):
            user.deliver(message())
            user.move("Junk" if number else "Train.Ham")
        eventually(lambda: len(queue.entries()) == 3)
        daemon.server.kill()
    daemon.start()
    user.learns(("move", HAM), ("move", SPAM), ("move", SPAM))


def test_the_queue_is_for_the_daemon_alone(world: World) -> None:
    found = world.site.bayes_state / "queue"
    assert (found.owner(), found.stat().st_mode & 0o777) == (BAYES_USER, 0o700)


def test_status_and_check_tell_whether_it_runs_what_is_written(world: World) -> None:
    written = read_files(world.site.settings)
    world.daemon.stop()
    try:
        assert [one.ok for one in live.trainer(written)] == [False, False]
        assert any(one.startswith("iems-bayes: ") for one in faults(overview(written.settings)))
    finally:
        world.daemon.start()
    eventually(lambda: all(one.ok for one in live.trainer(written)), 20)
    assert isinstance(overview(written.settings).daemons["iems-bayes"], Status)
    other = replace(written, digest="of other settings")
    assert [one.ok for one in live.trainer(other)] == [False, True]


def test_a_reload_goes_on_with_what_waits(user: User) -> None:
    daemon = user.world.daemon
    before = len(daemon.log("new settings").splitlines())
    daemon.server.signal(signal.SIGHUP)
    for _ in range(5):
        user.deliver(message())
        user.move("Junk")
    eventually(lambda: len(daemon.log("new settings").splitlines()) > before, 20)
    user.learns(*[("move", SPAM)] * 5)
