"""What is counted when mail is shown to a classifier, and what an index may be."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT, PARTS, Label, Score, State, Verdict
from lmtp.bayes.combination import Combination
from lmtp.bayes.evaluation import (
    Entry,
    EvaluationError,
    Judged,
    Result,
    evaluate,
    one_minus_auc_percent,
    read_index,
)
from lmtp.bayes.tokens import MAX_MESSAGE, Tokens

HAM, SPAM = Label.HAM, Label.SPAM


@dataclass(frozen=True)
class Told(Combination):
    """Says what the message's one word says, and keeps what it was asked in which order."""

    calls: list[str] = field(default_factory=list)

    def features(self, tokens: Tokens, salt: bytes) -> bytes:
        """The word."""
        del salt
        return tokens.words[-1].encode()

    def classify(self, state: State, features: bytes) -> Score:
        """`spam5`: spam, with these log-odds."""
        del state
        word = features.decode()
        self.calls.append(f"judge {word}")
        verdict = word.rstrip("0123456789")
        return Score(float(word[len(verdict) :]), 0.5, Verdict(verdict))

    def train(self, state: State, features: bytes, label: Label) -> bytes:
        """Nothing is learned."""
        del state
        self.calls.append(f"train {features.decode()} {label.value}")
        return b""


@pytest.fixture
def told() -> Told:
    """A classifier of the tests."""
    return Told(DEFAULT, PARTS)


def entries(folder: Path, *mail: tuple[Label, str]) -> list[Entry]:
    """These messages, each of one word, by way of an index."""
    lines = []
    for number, (label, word) in enumerate(mail):
        (folder / f"{number}").write_bytes(b"\n" + word.encode())
        lines.append(f"{label.value} {number}\n")
    (folder / "index").write_text("".join(lines))
    return read_index(folder / "index")


def test_each_kind_of_mistake_is_counted(told: Told, tmp_path: Path) -> None:
    """Spam of which nothing is said is missed; ham of which nothing is said is where it belongs."""
    result = evaluate(
        entries(
            tmp_path,
            (HAM, "ham1"),
            (HAM, "spam8"),
            (HAM, "unsure3"),
            (HAM, "untrained2"),
            (SPAM, "spam9"),
            (SPAM, "ham2"),
            (SPAM, "unsure5"),
            (SPAM, "untrained4"),
        ),
        told,
    )
    assert (result.messages, result.false_positives, result.misses) == (8, 1, 3)
    assert result.unsure == 4
    assert result.accuracy_percent == 50
    # Of the 16 pairs ham is above in 3, and one is a tie.
    assert result.one_minus_auc_percent == 100 * (1 + 1 + 1 + 0.5 + 1) / 16
    assert result.state_bytes == len(told.empty().encode())


def test_messages_are_judged_before_they_are_trained(told: Told, tmp_path: Path) -> None:
    """At once, with the true label."""
    evaluate(entries(tmp_path, (HAM, "ham1"), (SPAM, "spam2")), told)
    assert told.calls == ["judge ham1", "train ham1 ham", "judge spam2", "train spam2 spam"]


def test_training_may_come_late(told: Told, tmp_path: Path) -> None:
    """After so many others, in the order in which they came."""
    evaluate(entries(tmp_path, *((HAM, f"ham{number}") for number in range(4))), told, delay=2)
    judged = [f"judge ham{number}" for number in range(4)]
    assert told.calls == [*judged[:3], "train ham0 ham", judged[3], "train ham1 ham"]


def test_wrong_labels_are_trained_and_not_counted(told: Told, tmp_path: Path) -> None:
    """All of them with noise 1, and the same share in each run."""
    mail = entries(tmp_path, *((HAM, f"ham{number % 10}") for number in range(40)))
    assert evaluate(mail[:2], told, noise=1).accuracy_percent == 100
    assert told.calls[1::2] == ["train ham0 spam", "train ham1 spam"]
    runs = []
    for _ in range(2):
        told.calls.clear()
        evaluate(mail, told, noise=0.3)
        runs.append(told.calls[1::2])
    assert runs[0] == runs[1]
    assert 3 < sum(call.endswith("spam") for call in runs[0]) < 25


def test_ranges_are_counted_from_one() -> None:
    """The 200th message is in the first, and the 1,000th in the second."""
    wrong = {1, 200, 201, 1000, 1001}
    judged = [
        Judged(HAM, 0.0, Verdict.SPAM if number in wrong else Verdict.HAM, 0.001)
        for number in range(1, 1101)
    ]
    result = Result(judged, 0)
    assert result.accuracy_by_range == {"1-200": 99.0, "201-1000": 99.75, "after": 99.0}
    assert Result(judged[:200], 0).accuracy_by_range["201-1000"] is None
    assert result.messages_per_second == pytest.approx(1000)


def test_nothing_is_said_of_nothing() -> None:
    """An index without lines, and one that has ham alone."""
    empty = Result([], 0)
    assert (empty.accuracy_percent, empty.one_minus_auc_percent) == (None, None)
    assert (empty.messages_per_second, empty.slowest_hundredth) == (None, None)
    assert one_minus_auc_percent([(1.0, HAM)]) is None


@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 1e-15, 2.0, 800.0]), st.sampled_from(Label))))
def test_ranking_is_that_of_all_pairs(scored: list[tuple[float, Label]]) -> None:
    """Whatever the scores, and however near."""
    ham = [score for score, label in scored if label is HAM]
    spam = [score for score, label in scored if label is SPAM]
    pairs = list(itertools.product(ham, spam))
    lost = sum(1.0 if one > other else 0.5 if one == other else 0.0 for one, other in pairs)
    expected = 100 * lost / len(pairs) if pairs else None
    assert one_minus_auc_percent(scored) == pytest.approx(expected)


def test_an_index_may_have_other_line_ends_and_any_name(tmp_path: Path) -> None:
    """CR LF, a mark of UTF-8, empty lines, tabs; blanks and octets that are no UTF-8 in names."""
    names = ["a b.eml", os.fsdecode(b"\xff\xfe"), "-dash", " spam x"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes(b"")
    lines = b"\r\n".join(b"spam\t in/" + os.fsencode(name) for name in names)
    (tmp_path / "index").write_bytes(b"\xef\xbb\xbf" + lines + b"\r\n\r\n\nham ./in/../in/-dash")
    found = read_index(tmp_path / "index")
    assert [entry.path.name for entry in found] == [*names, "-dash"]
    assert [entry.label for entry in found] == [SPAM] * 4 + [HAM]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"virus a", "index:2: expected `spam path` or `ham path`"),
        (b"spam", "index:2: expected `spam path` or `ham path`"),
        (b"spam \0", "index:2: expected `spam path` or `ham path`"),
        (b"\xff a", "index:2: expected `spam path` or `ham path`"),
        (b"spam missing", "index:2: {folder}/missing: No such file or directory"),
        (b"spam .", "index:2: {folder}: no file"),
        (b"spam pipe", "index:2: {folder}/pipe: no file"),
    ],
    ids=["label", "no path", "zero", "octet", "missing", "folder", "pipe"],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: bytes, told: str) -> None:
    """With the file and its number, before anything is shown."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "index").write_bytes(b"ham a\n" + line + b"\n")
    with pytest.raises(EvaluationError) as error:
        read_index(tmp_path / "index")
    assert str(error.value) == f"{tmp_path}/{told.format(folder=tmp_path)}"


def test_an_index_that_is_missing_is_named(tmp_path: Path) -> None:
    """As is a message that is gone when it is to be shown."""
    with pytest.raises(EvaluationError, match=r"/index: No such file or directory$"):
        read_index(tmp_path / "index")
    mail = entries(tmp_path, (HAM, "ham1"))
    (tmp_path / "0").unlink()
    with pytest.raises(EvaluationError, match=r"/0: No such file or directory$"):
        evaluate(mail, CLASSIFIERS[DEFAULT])


def test_of_a_huge_message_the_head_is_read(tmp_path: Path) -> None:
    """And an empty one is a message, too."""

    @dataclass(frozen=True)
    class Sized(Combination):
        sizes: list[int] = field(default_factory=list)

        def features(self, tokens: Tokens, salt: bytes) -> bytes:
            self.sizes.append(len(tokens.text))
            return super().features(tokens, salt)

    with (tmp_path / "huge").open("wb") as file:
        file.write(b"Subject: a\n\nb\n")
        file.truncate(1 << 40)
    (tmp_path / "empty").touch()
    (tmp_path / "index").write_text("ham huge\nspam empty\n")
    sized = Sized(DEFAULT, PARTS)
    result = evaluate(read_index(tmp_path / "index"), sized)
    assert result.messages == 2
    assert max(sized.sizes) < MAX_MESSAGE
