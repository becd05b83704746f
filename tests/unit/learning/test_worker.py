"""The training daemon over a socket, with a real store: taken, kept, carried out, told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.directory.reader import DirectoryUnavailable
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.score import Label, Score, Verdict
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Entry, StoreError
from lmtp.bayes.tokens import key, message_id, tokens
from lmtp.bayes.training import Trainer
from lmtp.learning.learner import Learner
from lmtp.learning.protocol import Answer, Input, Request, ask
from lmtp.learning.queue import TRIES, Kept, Queue
from lmtp.learning.queue import Entry as KeptEntry
from lmtp.learning.server import Server
from lmtp.learning.verbs import VERBS, Verb
from lmtp.learning.worker import Worker
from tests.unit.lmtp.parts import Heard
from tests.waiting import eventually

ALICE, BOB = "alice@x.test", "bob@x.test"
NOW = 1_800_000_000.0
CLASSIFIER = CLASSIFIERS[DEFAULT]


def soon() -> Deadline:
    """For what takes milliseconds, on a machine that is busy."""
    return Deadline.after(60.0)


def message(number: int) -> bytes:
    """One of many."""
    words = " ".join(f"word{number * 31 + step}" for step in range(60))
    return f"Message-ID: <{number}@s.example>\r\nSubject: {number}\r\n\r\n{words}\r\n".encode()


@dataclass
class Bench:
    """A daemon in threads; `path` is its socket."""

    folder: Path
    wanted: Callable[[str, Deadline], bool] = lambda _user, _deadline: True
    replies: bool = False
    log: Heard = field(default_factory=Heard)
    control: Control = field(default_factory=Control)

    def __post_init__(self) -> None:
        self.store = SqliteStore(self.folder / "bayes.sqlite")
        self.memory = Memory(self.folder / "memory.sqlite")
        self.queue = Queue(self.folder / "queue")
        self.path = self.folder / "s"
        trainer = Trainer(self.store, CLASSIFIER)
        self.learner = Learner(
            self.store,
            trainer,
            self.memory,
            self.wanted,
            self.log,
            self.control.meter,
            replies=self.replies,
            clock=lambda: NOW,
        )
        self.worker = Worker(self.queue, self.learner, self.log, self.control, first_pause=0.01)

    @contextmanager
    def serving(self, working: bool = True) -> Iterator[None]:
        """Its threads meanwhile; `working` is whether anything is carried out."""
        server = Server(self.queue, self.worker, self.log, self.control, lambda: NOW)
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(str(self.path))
            listener.listen()
            listener.setblocking(False)
            bodies = [lambda: server.serve(listener), *([self.worker.run] if working else [])]
            threads = [threading.Thread(target=body) for body in bodies]
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                self.control.drain(10)
                self.worker.wake()
                for thread in threads:
                    thread.join()

    def ask(self, verb: str, data: bytes, user: str = ALICE, **options: str) -> Answer:
        """Ask it over its socket."""
        names = {name.removesuffix("_"): value for name, value in options.items()}
        return ask(self.path, Request(verb, user, names), data, soon())

    def told(self, verb: str, data: bytes, user: str = ALICE, **options: str) -> str:
        """What becomes of a request."""
        answer = self.ask(verb, data, user, wait="yes", **options)
        return answer.text if answer.done else f"refused: {answer.text}"

    def journal(self, user: str = ALICE) -> list[tuple[bytes, Label, str]]:
        """What was trained."""
        return [(one.key, one.label, one.source) for one in self.store.journal(user, soon())]

    def seen(
        self,
        data: bytes,
        junk: bool,
        features: bytes | None = None,
        verdict: Verdict = Verdict.UNSURE,
    ) -> None:
        """The agent has classified a message for alice."""
        salt = self.store.load(ALICE, soon()).salt
        made = CLASSIFIER.features(tokens(data), salt) if features is None else features
        score = Score(1.25, 0.8, verdict)
        one = Seen(ALICE, key(data), message_id(data), NOW, score, junk, salt, made)
        self.memory.add([one], soon())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A daemon that runs."""
    made = Bench(tmp_path)
    with made.serving():
        yield made


def test_a_message_moved_to_junk_is_trained_as_spam(bench: Bench) -> None:
    assert bench.told("move", message(1), from_="other", to="junk") == "learned"
    assert bench.journal() == [(key(message(1)), Label.SPAM, "move")]
    [line] = [line for line in bench.log.lines if "training" in line]
    assert 'user="alice@x.test" source="move" label="spam" done="learned"' in line
    assert "word" not in "".join(bench.log.lines)


def test_the_same_again_is_known_and_the_opposite_turns_it_round(bench: Bench) -> None:
    moves = [("other", "junk"), ("other", "junk"), ("junk", "other")]
    told = [bench.told("move", message(1), from_=one, to=two) for one, two in moves]
    assert told == ["learned", "known already", "turned round"]
    assert bench.journal() == [(key(message(1)), Label.HAM, "move")]


def test_what_says_nothing_trains_nothing(bench: Bench) -> None:
    assert bench.told("move", message(1), from_="junk", to="trash").startswith("not trained")
    assert bench.told("append", message(1), to="other").startswith("not trained")
    assert bench.journal() == []


def test_appended_to_junk_is_spam_where_it_was_delivered_here(bench: Bench) -> None:
    bench.seen(message(1), junk=False)
    told = [bench.told("append", message(number), to="junk") for number in (1, 2)]
    assert told == ["learned", "not trained: not known here"]
    assert bench.told("append", b"Subject: no id\r\n\r\nx", to="junk").startswith("not trained")
    assert bench.journal() == [(key(message(1)), Label.SPAM, "append")]


def test_out_of_trash_is_ham_what_was_spam_before(bench: Bench) -> None:
    bench.seen(message(1), junk=True)
    bench.seen(message(2), junk=False)
    bench.told("flag", message(3), label="spam")
    bench.told("flag", message(4), label="ham")
    told = [bench.told("move", message(n), from_="trash", to="other") for n in range(1, 6)]
    no = "not trained: not known here"
    assert told == ["learned", no, "turned round", no, no]


def test_training_takes_what_the_agent_has_seen(bench: Bench) -> None:
    """The copy in the mailbox may be another one: parts were removed from it, texts put in."""
    as_seen, stored = message(1), message(1).replace(b"word31 ", b"removed ")
    assert key(as_seen) == key(stored)
    bench.seen(as_seen, junk=False)
    bench.told("move", stored, from_="other", to="junk")
    [entry] = bench.store.journal(ALICE, soon())
    salt = bench.store.load(ALICE, soon()).salt
    assert entry.features == CLASSIFIER.features(tokens(as_seen), salt)
    assert entry.score == 1.25


def test_what_the_agent_was_too_untrained_to_judge_has_no_score(bench: Bench) -> None:
    """Nobody was told anything by it, so it was neither right nor wrong."""
    bench.seen(message(1), junk=False, verdict=Verdict.UNTRAINED)
    bench.told("move", message(1), from_="other", to="junk")
    [entry] = bench.store.journal(ALICE, soon())
    assert entry.score is None


def test_of_a_message_that_is_not_remembered_the_message_is_taken(bench: Bench) -> None:
    bench.told("move", message(1), from_="other", to="junk")
    [entry] = bench.store.journal(ALICE, soon())
    salt = bench.store.load(ALICE, soon()).salt
    assert (entry.features, entry.score) == (CLASSIFIER.features(tokens(message(1)), salt), None)


def test_a_memory_that_cannot_be_read_keeps_nobody_from_training(bench: Bench) -> None:
    bench.memory.close()
    (bench.folder / "memory.sqlite").unlink(missing_ok=True)
    (bench.folder / "memory.sqlite").mkdir()
    assert bench.told("move", message(1), from_="other", to="junk") == "learned"


def test_a_user_whose_filter_is_off_trains_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, wanted=lambda user, _deadline: user == BOB)
    with bench.serving():
        told = [bench.told("flag", message(1), user, label="spam") for user in (ALICE, BOB)]
    assert told == ["not trained: off", "learned"]


def test_what_is_answered_is_ham_where_the_site_says_so_and_nobody_else(tmp_path: Path) -> None:
    for replies, told in ((False, "not trained: it says nothing"), (True, "learned")):
        folder = tmp_path / told[:3]
        folder.mkdir()
        bench = Bench(folder, replies=replies)
        with bench.serving():
            assert bench.told("reply", message(1)) == told
            bench.told("flag", message(2), label="spam")
            again = bench.told("reply", message(2))
            assert again == ("known already" if replies else told)
            spam = (key(message(2)), Label.SPAM, "flag")
            ham = [(key(message(1)), Label.HAM, "reply")] if replies else []
            assert bench.journal() == [*ham, spam]


def test_train_takes_a_source_that_is_known(bench: Bench) -> None:
    assert bench.told("train", message(1), label="ham", source="command") == "learned"
    assert bench.told("train", message(1), label="ham", source="rumour").startswith("refused")
    assert bench.told("train", message(1), source="command").startswith("refused")
    assert bench.journal() == [(key(message(1)), Label.HAM, "command")]


def test_another_verb_is_refused(bench: Bench) -> None:
    assert bench.ask("dance", b"") == Answer(False, "a verb that is not known")


def test_a_damaged_state_is_made_anew_and_the_message_learned(bench: Bench) -> None:
    bench.told("move", message(1), from_="other", to="junk")
    kept = bench.store.load(ALICE, soon())
    assert bench.store.save(ALICE, replace(kept, state=b"\0" * 9), soon())
    assert bench.told("move", message(2), from_="other", to="junk") == "learned"
    assert bench.store.load(ALICE, soon()).spam == 2


def test_who_does_not_wait_is_answered_before_anything_is_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.serving(working=False):
        assert bench.ask("move", message(1), from_="other", to="junk") == Answer(True)
        assert [bench.queue.read(one).input for one in bench.queue.entries()] == [
            Input(message(1), len(message(1)))
        ]
    assert bench.journal() == []


def test_what_was_kept_is_trained_after_a_restart(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    with before.serving(working=False):
        for number in range(5):
            before.ask("move", message(number), from_="other", to="junk")
    before.path.unlink()
    after = Bench(tmp_path)
    with after.serving():
        eventually(lambda: len(after.journal()) == 5 and not after.queue.entries())


def test_a_queue_that_is_full_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.queue = Queue(tmp_path / "queue", most=1)
    bench.worker = Worker(bench.queue, bench.learner, bench.log, bench.control)
    with bench.serving(working=False):
        told = [bench.ask("move", message(n), from_="other", to="junk").done for n in (1, 2)]
    assert told == [True, False]
    assert any("not taken" in line and "full" in line for line in bench.log.lines)


@pytest.mark.parametrize("error", [StoreError("down"), DirectoryUnavailable("down")], ids=repr)
def test_what_cannot_be_done_now_is_done_later_and_in_order(
    tmp_path: Path, error: Exception
) -> None:
    failures = iter([error] * (TRIES + 2))

    def wanted(_user: str, _deadline: Deadline) -> bool:
        if (failure := next(failures, None)) is not None:
            raise failure
        return True

    bench = Bench(tmp_path, wanted=wanted)
    with bench.serving():
        bench.ask("move", message(1), from_="other", to="junk")
        bench.ask("move", message(1), from_="junk", to="other")
        eventually(lambda: not bench.queue.entries())
    assert bench.journal() == [(key(message(1)), Label.HAM, "move")]
    assert next(failures, None) is None


def test_the_trouble_of_one_user_keeps_no_other_waiting(tmp_path: Path) -> None:
    def wanted(user: str, _deadline: Deadline) -> bool:
        if user == ALICE:
            raise StoreError("down")
        return True

    bench = Bench(tmp_path, wanted=wanted)
    with bench.serving():
        for user in (ALICE, BOB):
            bench.ask("flag", message(1), user, label="spam")
        eventually(lambda: bench.journal(BOB))
    assert len(bench.queue.entries()) == 1


def test_who_waits_for_a_store_that_is_down_is_told_that_it_is_kept(tmp_path: Path) -> None:
    def wanted(_user: str, _deadline: Deadline) -> bool:
        raise StoreError("the disk is full")

    bench = Bench(tmp_path, wanted=wanted)
    with bench.serving():
        told = bench.told("flag", message(1), label="spam")
    assert told == "kept, to be done later: the disk is full"


def test_what_fails_for_ever_is_set_aside_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_learner: Learner, _kept: Kept, _deadline: Deadline) -> Answer:
        raise RuntimeError("a defect")

    monkeypatch.setitem(VERBS, "broken", Verb(broken))
    bench = Bench(tmp_path)
    with bench.serving():
        bench.ask("broken", message(1))
        bench.ask("flag", message(2), BOB, label="spam")
        eventually(lambda: bench.journal(BOB) and not bench.queue.entries())
    assert len(list((tmp_path / "queue/aside").iterdir())) == 1
    failures = [line for line in bench.log.lines if "training failed" in line]
    assert len(failures) == TRIES
    assert any("set aside" in line and f"failed {TRIES} times" in line for line in bench.log.lines)


def test_what_is_no_request_any_more_is_set_aside_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.serving(working=False):
        bench.ask("flag", message(1), label="spam")
    [entry] = bench.queue.entries()
    (tmp_path / "queue" / entry.file).write_bytes(b"\0" * 100)
    bench.path.unlink()
    after = Bench(tmp_path)
    with after.serving():
        eventually(lambda: not after.queue.entries())
    assert [one.name for one in (tmp_path / "queue/aside").iterdir()] == [entry.order]


def test_a_request_with_which_the_process_died_is_not_begun_for_ever(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.serving(working=False):
        bench.ask("flag", message(1), label="spam")
    [entry] = bench.queue.entries()
    for _ in range(TRIES):
        entry = bench.queue.begin(entry)
    bench.path.unlink()
    after = Bench(tmp_path)
    with after.serving():
        eventually(lambda: not after.queue.entries())
    assert after.journal() == []


def test_a_disk_that_fails_once_stops_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([OSError("input/output error")] * 2)
    whole = Queue.begin

    def begin(queue: Queue, entry: KeptEntry) -> KeptEntry:
        if (failure := next(failures, None)) is not None:
            raise failure
        return whole(queue, entry)

    monkeypatch.setattr(Queue, "begin", begin)
    bench = Bench(tmp_path)
    with bench.serving():
        bench.ask("flag", message(1), label="spam")
        eventually(bench.journal)
    assert len([line for line in bench.log.lines if "the queue cannot be used" in line]) == 2


def test_of_a_long_message_the_head_is_trained(bench: Bench) -> None:
    told = bench.told("move", message(1) + b"x" * 1_000_000, from_="other", to="junk")
    assert told == "learned"
    assert bench.journal()[0][0] == key(message(1))


def test_an_entry_is_of_the_time_of_the_training(bench: Bench) -> None:
    bench.told("flag", message(1), label="spam")
    [entry] = bench.store.journal(ALICE, soon())
    assert isinstance(entry, Entry)
    assert entry.time == NOW
