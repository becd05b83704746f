"""The laws of every classifier: what was learned can be taken back, is bounded, and is learned."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtp.bayes import features
from lmtp.bayes.classifier import (
    CLASSIFIERS,
    DEFAULT,
    MAX_STATE,
    Classifier,
    FeaturesError,
    Label,
    State,
    StateError,
    Verdict,
    decode,
)
from lmtp.bayes.fisher import Fisher
from lmtp.bayes.tokens import Tokens

SALT = b"salt of the tests"
_WORDS = [f"{tag}{number}" for tag in ("subject:", "html:", "") for number in range(12)]

every = pytest.mark.parametrize("classifier", CLASSIFIERS.values(), ids=list(CLASSIFIERS))
messages = st.lists(
    st.tuples(
        st.lists(st.sampled_from(_WORDS), unique=True, max_size=20),
        st.binary(max_size=30),
        st.sampled_from(Label),
    ),
    max_size=12,
)


def stream(count: int) -> Iterator[tuple[Tokens, Label]]:
    """Mail in which four words of two hundred tell what it is, in header, body and text."""
    dice = random.Random(7)
    for _ in range(count):
        label = dice.choice(list(Label))
        common = [f"word{dice.randrange(200)}" for _ in range(30)]
        telling = [f"{label.value}{dice.randrange(4)}", f"subject:{label.value}{dice.randrange(4)}"]
        words = tuple(dict.fromkeys([*common, *telling]))
        yield Tokens(words, b"Subject: a\n\n" + " ".join(words).encode()), label


@every
@given(messages, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_training_is_taken_back_in_any_order(
    classifier: Classifier, shown: list[tuple[list[str], bytes, Label]], order: random.Random
) -> None:
    """To the byte, whatever else was trained between."""
    state = classifier.empty()
    for words, text, label in shown[:3]:
        classifier.train(state, classifier.features(Tokens(tuple(words), text), SALT), label)
    before = state.encode()
    changes = [
        classifier.train(state, classifier.features(Tokens(tuple(words), text), SALT), label)
        for words, text, label in shown
    ]
    order.shuffle(changes)
    for change in changes:
        classifier.undo(state, change)
    assert state.encode() == before


@every
def test_what_is_at_its_limits_is_taken_back(classifier: Classifier) -> None:
    """Weights that can grow no more, and counts that were halved."""
    state = classifier.empty()
    told = [classifier.features(Tokens((f"{word}",), b""), SALT) for word in ("spam", "ham", "two")]
    labels = [Label.SPAM, Label.HAM]
    changes = [
        classifier.train(state, told[number % 3], labels[number * number % 5 % 2])
        for number in range(400)
    ]
    for change in reversed(changes):
        classifier.undo(state, change)
    assert state == classifier.empty()


@pytest.mark.parametrize(("first", "other"), [(Label.SPAM, Label.HAM), (Label.HAM, Label.SPAM)])
def test_what_was_halved_meanwhile_is_not_taken_for_the_other(first: Label, other: Label) -> None:
    """A count that is 0 by then stays 0: it is not that of a word which was often in such mail."""
    fisher = Fisher(margin=-1.0)
    word, rest = array("H", [1]), array("H", [2])
    table = memoryview(bytearray(fisher.size))
    for label in Label:
        fisher.learn(table, rest, spam=label is Label.SPAM)
    wrong = fisher.learn(table, word, spam=first is Label.SPAM)
    changes = [fisher.learn(table, word, spam=other is Label.SPAM) for _ in range(20)]
    before = fisher.log_odds(table, word)
    fisher.undo(table, word, wrong)
    after = fisher.log_odds(table, word)
    assert (after > 0) is (before > 0) is (other is Label.SPAM)
    assert abs(after) >= abs(before)
    for change in changes:
        fisher.undo(table, word, change)
    assert not any(table[8 + 1 : 8 + 2])


def test_a_state_does_not_grow() -> None:
    """Whatever the volume."""
    classifier = CLASSIFIERS[DEFAULT]
    state = classifier.empty()
    size = len(state.encode())
    dice = random.Random(3)
    for number in range(10_000):
        words = tuple(f"word{dice.randrange(10**9)}" for _ in range(8))
        label = Label.SPAM if number % 2 else Label.HAM
        classifier.train(state, classifier.features(Tokens(words, b""), SALT), label)
    assert len(state.encode()) == size <= MAX_STATE
    assert (state.ham, state.spam) == (5000, 5000)


@every
def test_counts_that_are_full_stay_so(classifier: Classifier) -> None:
    """Those of a state that came from elsewhere may be anything: it is trained, and kept."""
    state = classifier.empty()
    state.table[:] = b"\xff" * len(state.table)
    state.ham = state.spam = 2**32 - 1
    for tokens, label in stream(20):
        told = classifier.features(tokens, SALT)
        classifier.undo(state, classifier.train(state, told, label))
        classifier.train(state, told, label)
    assert decode(state.encode()) == state


@pytest.mark.parametrize("part", [b"\0\0\0\0\0\0\1\0\xff\xff\1", b"\1\1\0\xff\xff\1"])
def test_a_change_of_numbers_that_there_are_not_is_refused(part: bytes) -> None:
    """Of weights, and of counts: nothing of it is taken back."""
    classifier = CLASSIFIERS["regression" if len(part) > 6 else "fisher"]
    state = classifier.empty()
    told = classifier.features(Tokens(("a",), b""), SALT)
    parts = (len(part).to_bytes(2, "little") + part) * (3 if len(part) > 6 else 1)
    change = classifier.train(state, told, Label.SPAM)[:3] + parts + told
    before = state.encode()
    with pytest.raises(StateError):
        classifier.undo(state, change)
    assert state.encode() == before


def test_the_state_of_the_default_is_small() -> None:
    """128 KiB, with all that is told about it."""
    assert len(CLASSIFIERS[DEFAULT].empty().encode()) <= 128 * 1024


@every
def test_it_learns(classifier: Classifier) -> None:
    """A stream that can be learned is; one who learned nothing would be right by chance."""
    state, right = classifier.empty(), 0
    for number, (tokens, label) in enumerate(stream(400)):
        told = classifier.features(tokens, SALT)
        if number >= 200:
            right += (classifier.classify(state, told).verdict is Verdict.SPAM) is (
                label is Label.SPAM
            )
        classifier.train(state, told, label)
    assert right >= 190


@every
def test_scores_do_not_saturate(classifier: Classifier) -> None:
    """What is more likely spam has the higher score, also where both are certain."""
    state = classifier.empty()
    names = [f"word{number}" for number in range(800)]
    for _ in range(30):
        for first in range(0, 800, 100):
            spam = Tokens(tuple(names[first : first + 100]), b"")
            ham = Tokens(tuple(f"ham{name}" for name in spam.words), b"")
            classifier.train(state, classifier.features(spam, SALT), Label.SPAM)
            classifier.train(state, classifier.features(ham, SALT), Label.HAM)
    scores = [
        classifier.classify(state, classifier.features(Tokens(tuple(names[:many]), b""), SALT))
        for many in (100, 400, 800)
    ]
    odds = [score.log_odds for score in scores]
    assert odds[0] < odds[1] < odds[2], odds


@every
def test_too_little_training_is_said(classifier: Classifier) -> None:
    """Nothing is called spam or ham after two of each."""
    state = classifier.empty()
    told = classifier.features(Tokens(("subject:one", "two"), b"text"), SALT)
    for _ in range(2):
        classifier.train(state, told, Label.SPAM)
        classifier.train(state, classifier.features(Tokens(("other",), b""), SALT), Label.HAM)
        assert classifier.classify(state, told).verdict is Verdict.UNTRAINED
    classifier.train(state, told, Label.SPAM)
    classifier.train(state, classifier.features(Tokens(("other",), b""), SALT), Label.HAM)
    score = classifier.classify(state, told)
    assert score.verdict is Verdict.SPAM
    assert score.probability > 0.5


@every
def test_evidence_names_words(classifier: Classifier) -> None:
    """The strongest first, those for spam above 0 and those for ham below."""
    state = classifier.empty()
    for tokens, label in stream(200):
        classifier.train(state, classifier.features(tokens, SALT), label)
    words = ("spam1", "subject:spam2", "ham1", "unheard")
    found = classifier.explain(state, Tokens(words, b""), SALT, 3)
    pulls = {one.word: one.pull for one in found}
    assert set(pulls) == {"spam1", "subject:spam2", "ham1"}
    assert pulls["spam1"] > 0 < pulls["subject:spam2"]
    assert pulls["ham1"] < 0
    assert [abs(one.pull) for one in found] == sorted(map(abs, pulls.values()), reverse=True)


@every
@given(st.binary(max_size=60))
@settings(max_examples=50)
def test_bytes_that_are_none_are_refused(classifier: Classifier, raw: bytes) -> None:
    """Features and changes, by an error of their own."""
    state = classifier.empty()
    with pytest.raises(FeaturesError):
        classifier.classify(state, b"\0" + raw)
    change = classifier.train(state, classifier.features(Tokens(("a",), b"b"), SALT), Label.SPAM)
    before = state.encode()
    for damaged in (b"\0" + raw, change[:-1] + b"\xff", change[: len(change) // 2]):
        with pytest.raises(StateError):
            classifier.undo(state, damaged)
        assert state.encode() == before


def test_a_change_that_is_none_in_one_part_changes_nothing() -> None:
    """The parts before it are as they were."""
    default = CLASSIFIERS[DEFAULT]
    state = default.empty()
    told = default.features(Tokens(("subject:a", "b"), b"c"), SALT)
    change = default.train(state, told, Label.SPAM)
    parts = change[3 : -len(told)]
    # Fisher's change is three bytes, behind two of their length.
    damaged = change[:3] + parts[:-5] + b"\1\0" + parts[-1:] + told
    before = state.encode()
    with pytest.raises(StateError):
        default.undo(state, damaged)
    assert state.encode() == before


def test_a_state_of_another_table_is_refused() -> None:
    """As one of an older release would be, had its layout changed."""
    default = CLASSIFIERS[DEFAULT]
    told = default.features(Tokens(("a",), b""), SALT)
    with pytest.raises(StateError):
        default.classify(State(DEFAULT, bytearray(5)), told)


@pytest.mark.parametrize("view", ["header", "body", "runs"])
def test_numbers_beyond_a_table_are_no_features(view: str) -> None:
    """The largest of each view is one."""
    most = {"header": features.WORDS, "body": features.WORDS, "runs": features.RUNS}[view]
    views = {name: array("H", [0]) for name in ("header", "body", "runs")}
    for number, good in ((most - 1, True), (most, False), (0xFFFF, False)):
        told = features.encode(features.Features(**{**views, view: array("H", [0, number, 1])}))
        if good:
            assert getattr(features.decode(told), view)[1] == number
        else:
            with pytest.raises(FeaturesError):
                features.decode(told)


def test_features_come_back_as_they_were() -> None:
    """And depend on the salt."""
    made = [features.of(tokens, SALT) for tokens, _label in stream(20)]
    assert [features.decode(features.encode(one)) for one in made] == made
    words = tuple(f"word{number}" for number in range(200))
    ours, theirs = (features.of(Tokens(words, b""), salt).body for salt in (SALT, b"another"))
    assert len(set(ours) & set(theirs)) < 10


@every
def test_a_state_comes_back_as_it_was(classifier: Classifier) -> None:
    """Encoded and decoded."""
    state = classifier.empty()
    for tokens, label in stream(20):
        classifier.train(state, classifier.features(tokens, SALT), label)
    assert decode(state.encode()) == state


def test_what_was_kept_by_version_1_is_read() -> None:
    """For ever: a state, and the features of a message, whose numbers mean the same words."""
    raw = "4942010073616d706c6500000000000003000000040000008ccd07217461626c65"
    assert decode(bytes.fromhex(raw)) == State("sample", bytearray(b"table"), 3, 4)
    raw = "0100010002000e005f636161be7cc06bc149423f4644482cc8404853ae29910d73509407da613b7d3f0b"
    words = ("subject:one", "html:b", "two")
    made = features.of(Tokens(words, b"Subject: one\n\ntwo"), SALT)
    kept = features.decode(bytes.fromhex(raw))
    for ours, theirs in (
        (made.header, kept.header),
        (made.body, kept.body),
        (made.runs, kept.runs),
    ):
        assert set(ours) == set(theirs)


def test_a_version_that_is_not_known_is_told() -> None:
    """Of a later release, say."""
    raw = bytearray(CLASSIFIERS[DEFAULT].empty().encode())
    raw[2] = 9
    with pytest.raises(StateError, match="version 9"):
        decode(bytes(raw))


@every
@given(st.data())
@settings(max_examples=30)
def test_a_damaged_state_is_refused(classifier: Classifier, data: st.DataObject) -> None:
    """Whichever byte is another one, and wherever it ends."""
    raw = bytearray(classifier.empty().encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    # The byte behind the version says nothing yet.
    if at != 3:
        with pytest.raises(StateError):
            decode(bytes(raw))
    with pytest.raises(StateError):
        decode(classifier.empty().encode()[:at])
