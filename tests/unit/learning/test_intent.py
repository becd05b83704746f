"""What a user says by what he does: every pair of folders, and every flag."""

from __future__ import annotations

import itertools

import pytest

from lmtp.bayes.score import Label
from lmtp.learning.intent import (
    HAM,
    JUNK,
    OTHER,
    SPAM,
    TRASH,
    Intent,
    Provided,
    of_append,
    of_label,
    of_move,
)
from lmtp.learning.protocol import Request

FOLDERS = (JUNK, TRASH, SPAM, HAM, OTHER)
IS_SPAM, IS_HAM = Intent(Label.SPAM), Intent(Label.HAM)

MOVES = {
    **{(one, two): IS_SPAM for one in FOLDERS for two in (JUNK, SPAM) if one != two},
    **{(one, HAM): IS_HAM for one in FOLDERS if one != HAM},
    (JUNK, OTHER): IS_HAM,
    (SPAM, OTHER): IS_HAM,
    (TRASH, OTHER): Intent(Label.HAM, Provided.WAS_SPAM),
}


def asked(**options: str) -> Request:
    """A request of alice's."""
    return Request("verb", "alice@x.test", options)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(FOLDERS, FOLDERS)))
def test_a_move_says_what_both_folders_are_for(source: str, target: str) -> None:
    assert of_move(asked(**{"from": source, "to": target})) == MOVES.get((source, target))


def test_what_is_appended_to_junk_is_spam_if_it_was_delivered_here() -> None:
    assert of_append(asked(to=JUNK)) == Intent(Label.SPAM, Provided.DELIVERED)


@pytest.mark.parametrize(
    ("target", "intent"), [(SPAM, IS_SPAM), (HAM, IS_HAM), (OTHER, None), (TRASH, None)]
)
def test_what_is_appended_elsewhere_says_something_only_below_train(
    target: str, intent: Intent | None
) -> None:
    assert of_append(asked(to=target)) == intent


@pytest.mark.parametrize(
    ("label", "intent"), [("spam", IS_SPAM), ("ham", IS_HAM), ("", None), ("SPAM", None)]
)
def test_a_label_is_one_of_two_words(label: str, intent: Intent | None) -> None:
    assert of_label(asked(label=label)) == intent


def test_a_request_that_names_no_folders_says_nothing() -> None:
    assert (of_move(asked()), of_append(asked()), of_label(asked())) == (None, None, None)
