"""What all stores of the filter do, whatever keeps them; inherited by the tests of each.

States and features are bytes that no classifier made, but where training is tested.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from iems.serve.deadline import Deadline
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.score import Label
from lmtp.bayes.state import State, decode
from lmtp.bayes.store import MAX_ASIDE, MAX_ENTRY, MAX_ROW, SALT, Entry, Kept, Limits, Store
from lmtp.bayes.tokens import key, tokens
from lmtp.bayes.training import Done, Trainer

NOW = 1_800_000_000.0
DAY = 86400.0
CLASSIFIER = CLASSIFIERS[DEFAULT]

Made = Callable[[Limits], AbstractContextManager[Store]]
"""A new store with nothing in it."""


def soon() -> Deadline:
    """For what takes milliseconds, on a machine that is busy."""
    return Deadline.after(60.0)


def entry(name: str, label: Label = Label.SPAM, time: float = NOW, size: int = 100) -> Entry:
    """An entry of a journal, of no message."""
    return Entry(name.encode(), label, time, "test", 1.5, name.encode() * size, b"change")


def message(number: int) -> bytes:
    """One of many messages, each of other words."""
    words = " ".join(f"word{number * 31 + step * step % 97}" for step in range(60))
    return f"Message-ID: <{number}@sender.example>\r\n\r\n{words}\r\n".encode()


def lesson(store: Store, user: str, number: int, label: Label) -> Entry:
    """A message to learn."""
    salt = store.load(user, soon()).salt
    text = message(number)
    features = CLASSIFIER.features(tokens(text), salt)
    return Entry(key(text), label, NOW + number, "test", 0.25, features)


def trained_by_hand(store: Store, user: str) -> State:
    """What the journal says that he has learned."""
    state = CLASSIFIER.empty()
    for one in store.journal(user, soon()):
        CLASSIFIER.train(state, one.features, one.label)
    return state


class StoreContract:
    """A subclass stands beside a fixture `made`, of the scope of the module, and `spoil`."""

    @pytest.fixture
    def store(self, made: Made) -> Iterator[Store]:
        with made(Limits()) as store:
            yield store

    def test_what_was_saved_is_loaded(self, store: Store) -> None:
        none = store.load("alice@example.test", soon())
        assert none == Kept(none.salt)
        assert len(none.salt) == SALT
        state = bytes(range(256)) * 512
        full = replace(none, classifier="c", state=state, ham=3, spam=4, time=NOW)
        assert store.save("Alice@Example.Test", full, soon())
        kept = store.load("alice@example.test", soon())
        assert kept.number > 0
        assert kept == Kept(none.salt, kept.number, "c", state, 3, 4, NOW)
        assert store.load("bob@example.test", soon()) == none
        assert store.users(soon()) == ["alice@example.test"]

    def test_nobody_writes_over_what_he_has_not_read(self, store: Store) -> None:
        first = store.load("alice", soon())
        assert store.save("alice", replace(first, state=b"1"), soon(), add=entry("one"))
        assert not store.save("alice", replace(first, state=b"2"), soon(), add=entry("two"))
        second = store.load("alice", soon())
        assert second.state == b"1"
        assert store.save("alice", replace(second, state=b"3"), soon(), add=entry("three"))
        assert not store.save("alice", replace(second, state=b"4"), soon(), drop=b"one")
        assert not store.replace("alice", replace(second, state=b"5"), [], soon())
        assert store.load("alice", soon()).state == b"3"
        assert [one.key for one in store.journal("alice", soon())] == [b"one", b"three"]

    def test_who_is_forgotten_while_another_trains_stays_so(self, store: Store) -> None:
        store.save("alice", store.load("alice", soon()), soon(), add=entry("one"))
        before = store.load("alice", soon())
        assert store.forget("alice", soon())
        assert not store.save("alice", before, soon(), add=entry("two"))
        store.save("alice", store.load("alice", soon()), soon())
        assert not store.save("alice", before, soon(), add=entry("two")), "a number comes again"
        assert store.journal("alice", soon()) == []

    def test_the_journal_has_one_entry_a_message(self, store: Store) -> None:
        one, two = entry("one"), replace(entry("two"), score=None, source="imap move")
        store.save("alice", store.load("alice", soon()), soon(), add=one)
        store.save("alice", store.load("alice", soon()), soon(), add=two)
        assert store.journal("alice", soon()) == [one, two]
        assert store.entry("alice", b"two", soon()) == two
        assert store.entry("alice", b"three", soon()) is None
        assert store.entry("bob", b"two", soon()) is None
        turned = replace(one, label=Label.HAM, time=NOW + 1)
        store.save("alice", store.load("alice", soon()), soon(), add=turned)
        assert store.journal("alice", soon()) == [two, turned]
        store.save("alice", store.load("alice", soon()), soon(), drop=b"two")
        assert store.journal("alice", soon()) == [turned]

    def test_the_journal_is_bounded(self, made: Made) -> None:
        with made(Limits(entries=3, days=10)) as store:
            for number in range(5):
                add = entry(str(number), time=NOW + number * DAY)
                store.save("alice", store.load("alice", soon()), soon(), add=add)
            assert [one.key for one in store.journal("alice", soon())] == [b"2", b"3", b"4"]
            store.save("bob", store.load("bob", soon()), soon(), add=entry("0", time=NOW))
            assert store.expire(NOW + 10.5 * DAY, soon()) == 1
            assert store.expire(NOW + 13.5 * DAY, soon()) == 2
            assert [one.key for one in store.journal("alice", soon())] == [b"4"]
            assert store.users(soon()) == ["alice", "bob"]
            assert store.entry("alice", b"3", soon()) is None

    def test_a_long_journal_is_read_whole(self, store: Store) -> None:
        for number in range(300):
            add = entry(f"{number:04}", size=7000 if number < 100 else 10)
            store.save("alice", store.load("alice", soon()), soon(), add=add)
        assert [int(one.key) for one in store.journal("alice", soon())] == list(range(300))

    def test_all_of_a_user_is_replaced(self, store: Store) -> None:
        store.save("alice", store.load("alice", soon()), soon(), add=entry("one"))
        kept = replace(store.load("alice", soon()), state=b"other", salt=b"x" * SALT, time=NOW)
        entries = [entry("two"), entry("three")]
        assert store.replace("alice", kept, entries, soon())
        now = store.load("alice", soon())
        assert now == replace(kept, number=now.number)
        assert store.journal("alice", soon()) == entries

    def test_what_is_too_large_is_refused(self, store: Store) -> None:
        kept = store.load("alice", soon())
        with pytest.raises(ValueError, match="a state of"):
            store.save("alice", replace(kept, state=bytes(MAX_ROW + 1)), soon())
        large = replace(entry("one"), features=bytes(MAX_ENTRY))
        with pytest.raises(ValueError, match="an entry of"):
            store.save("alice", kept, soon(), add=large)
        with pytest.raises(ValueError, match="an entry of"):
            store.replace("alice", kept, [large], soon())
        assert store.users(soon()) == []

    def test_a_user_is_forgotten_whole(self, store: Store) -> None:
        for user in ("alice", "bob"):
            store.save(user, store.load(user, soon()), soon(), add=entry("one"))
        assert store.set_aside("alice", store.load("alice", soon()).number, "test", soon())
        assert store.forget("ALICE", soon())
        assert not store.forget("alice", soon())
        assert store.users(soon()) == ["bob"]
        assert store.journal("alice", soon()) == []
        assert store.load("alice", soon()).number == 0
        assert len(store.journal("bob", soon())) == 1

    def test_only_the_version_that_was_read_is_set_aside(self, store: Store) -> None:
        store.save(
            "alice", replace(store.load("alice", soon()), state=b"1"), soon(), add=entry("1")
        )
        number = store.load("alice", soon()).number
        assert not store.set_aside("alice", number + 1, "test", soon())
        assert not store.set_aside("bob", number, "test", soon())
        assert store.set_aside("alice", number, "test", soon())
        assert not store.set_aside("alice", number, "test", soon())
        assert store.load("alice", soon()).number == 0
        assert len(store.journal("alice", soon())) == 1
        assert store.users(soon()) == ["alice"]


class TrainingContract:
    """Training over a store; a subclass stands beside a fixture `made`."""

    @pytest.fixture
    def store(self, made: Made) -> Iterator[Store]:
        with made(Limits(entries=30)) as store:
            yield store

    @pytest.fixture
    def notes(self) -> list[str]:
        return []

    @pytest.fixture
    def trainer(self, store: Store, notes: list[str]) -> Trainer:
        return Trainer(store, CLASSIFIER, notes.append)

    def test_a_message_is_learned_once(self, store: Store, trainer: Trainer) -> None:
        one = lesson(store, "alice", 1, Label.SPAM)
        assert trainer.learn("alice", one, soon()) is Done.LEARNED
        before = store.load("alice", soon())
        assert (before.ham, before.spam, before.classifier) == (0, 1, CLASSIFIER.name)
        assert trainer.learn("Alice", replace(one, time=NOW + 9), soon()) is Done.KNOWN
        assert store.load("alice", soon()) == before
        assert trainer.learn("bob", one, soon()) is Done.LEARNED

    def test_what_the_filter_would_have_said_is_kept(self, store: Store, trainer: Trainer) -> None:
        lessons = [lesson(store, "alice", at, (Label.HAM, Label.SPAM)[at % 2]) for at in range(25)]
        for one in lessons[:-1]:
            trainer.learn("alice", replace(one, score=None), soon())
        state = decode(store.load("alice", soon()).state)
        trainer.learn("alice", replace(lessons[-1], score=None), soon())
        scores = [one.score for one in store.journal("alice", soon())]
        assert scores[:6] == [None] * 6, "it said nothing yet"
        assert scores[-1] == CLASSIFIER.classify(state, lessons[-1].features).log_odds

    def test_a_label_is_turned_round_as_if_it_had_never_been(
        self, store: Store, trainer: Trainer
    ) -> None:
        for number in range(4):
            trainer.learn("alice", lesson(store, "alice", number, Label.HAM), soon())
        alike = store.load("alice", soon())
        wrong = lesson(store, "alice", 9, Label.HAM)
        trainer.learn("alice", wrong, soon())
        right = replace(wrong, label=Label.SPAM, score=7.5)
        assert trainer.learn("alice", right, soon()) is Done.TURNED
        state = decode(alike.state)
        CLASSIFIER.train(state, right.features, Label.SPAM)
        assert store.load("alice", soon()).state == state.encode()
        known = store.entry("alice", right.key, soon())
        assert known is not None
        assert (known.label, known.score) == (Label.SPAM, wrong.score)

    def test_what_was_learned_is_taken_back_exactly(self, store: Store, trainer: Trainer) -> None:
        lessons = [lesson(store, "alice", number, Label.SPAM) for number in range(3)]
        trainer.learn("alice", lessons[0], soon())
        before = store.load("alice", soon())
        trainer.learn("alice", lessons[1], soon())
        assert trainer.undo("alice", lessons[1].key, soon())
        after = store.load("alice", soon())
        assert (after.state, after.ham, after.spam) == (before.state, 0, 1)
        assert not trainer.undo("alice", lessons[1].key, soon())
        assert not trainer.undo("bob", lessons[1].key, soon())
        assert trainer.learn("alice", lessons[1], soon()) is Done.LEARNED

    def test_two_who_train_at_once_lose_nothing(self, store: Store, trainer: Trainer) -> None:
        lessons = [lesson(store, "alice", number, Label.HAM) for number in range(24)]
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda one: trainer.learn("alice", one, soon()), lessons * 2))
        assert sorted(done) == [Done.KNOWN] * 24 + [Done.LEARNED] * 24
        assert store.load("alice", soon()).ham == 24
        assert store.load("alice", soon()).state == trained_by_hand(store, "alice").encode()

    def test_whom_others_were_faster_than_many_times_learns_in_the_end(
        self, store: Store, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, save, tries = lesson(store, "alice", 1, Label.HAM), store.save, itertools.count(1)
        monkeypatch.setattr(store, "save", lambda *a, **b: next(tries) > 25 and save(*a, **b))
        assert trainer.learn("alice", one, soon()) is Done.LEARNED
        assert store.load("alice", soon()).ham == 1

    def test_a_damaged_state_is_set_aside_and_made_anew(
        self, store: Store, trainer: Trainer, notes: list[str], spoil: Callable[[Store, str], None]
    ) -> None:
        for number in range(5):
            trainer.learn("alice", lesson(store, "alice", number, Label.SPAM), soon())
        before, next_one = store.load("alice", soon()), lesson(store, "alice", 5, Label.HAM)
        spoil(store, "alice")
        assert trainer.learn("alice", next_one, soon()) is Done.LEARNED
        after = store.load("alice", soon())
        assert (after.ham, after.spam) == (1, 5)
        assert notes == [
            "what is kept of alice is damaged; it is set aside",
            "the filter of alice is made anew of 5 messages in its journal",
        ]
        assert trainer.undo("alice", next_one.key, soon())
        assert store.load("alice", soon()).state == before.state

    def test_a_state_that_no_classifier_knows_is_set_aside_and_made_anew(
        self, store: Store, trainer: Trainer, notes: list[str]
    ) -> None:
        trainer.learn("alice", lesson(store, "alice", 1, Label.SPAM), soon())
        newer = b"a state of a later version"
        store.save("alice", replace(store.load("alice", soon()), state=newer), soon())
        assert trainer.mend("alice", soon())
        assert store.load("alice", soon()).state == trained_by_hand(store, "alice").encode()
        assert notes[0].startswith("what is kept of alice is ")
        assert trainer.mend("alice", soon())
        assert len(notes) == 2
        assert not trainer.mend("bob", soon())

    def test_without_a_journal_a_damaged_state_begins_with_nothing(
        self, store: Store, trainer: Trainer, notes: list[str], spoil: Callable[[Store, str], None]
    ) -> None:
        store.save("alice", replace(store.load("alice", soon()), state=b"1"), soon())
        spoil(store, "alice")
        assert not trainer.mend("alice", soon())
        assert store.load("alice", soon()).number == 0
        assert notes == ["what is kept of alice is damaged; it is set aside"]

    def test_damaged_states_are_kept_up_to_a_number(
        self, store: Store, trainer: Trainer, aside: Callable[[Store], int]
    ) -> None:
        for number in range(MAX_ASIDE + 3):
            user = f"user{number}"
            store.save(user, replace(store.load(user, soon()), state=b"none"), soon())
            trainer.mend(user, soon())
        assert aside(store) == MAX_ASIDE
