"""What was exported is read as it was, and nothing that was not: the file may come from anybody."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from lmtp.bayes import exchange
from lmtp.bayes.exchange import exported, read
from lmtp.bayes.score import Label
from lmtp.bayes.store import Entry, Kept
from lmtp.bayes.tokens import key, tokens
from tests.bayeskept import CLASSIFIER, NOW, message

SALT = b"0123456789abcdef"


@pytest.fixture(scope="module")
def trained() -> tuple[Kept, list[Entry]]:
    """A user who has trained four messages."""
    state, entries = CLASSIFIER.empty(), list[Entry]()
    for number in range(4):
        label = Label.SPAM if number % 2 else Label.HAM
        features = CLASSIFIER.features(tokens(message(number)), SALT)
        change = CLASSIFIER.train(state, features, label)
        score = None if number == 3 else number / 3
        one = Entry(key(message(number)), label, NOW + number, "move", score, features, change)
        entries.append(one)
    return Kept(SALT, 0, state.classifier, state.encode(), 2, 2, NOW), entries


def test_it_comes_back_as_it_was(trained: tuple[Kept, list[Entry]]) -> None:
    kept, entries = trained
    text = exported("alice@example.test", kept, entries)
    assert read(text) == (kept, entries)
    assert json.loads(text)["user"] == "alice@example.test"
    assert read(exported("alice", kept, [])) == (kept, [])


def test_of_a_journal_that_is_too_long_the_latest_are_taken(
    trained: tuple[Kept, list[Entry]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, entries = trained
    whole = len(exported("alice", kept, entries))
    monkeypatch.setattr(exchange, "LARGEST", whole - 1)
    text = exported("alice", kept, entries)
    assert len(text) < whole
    assert read(text) == (kept, entries[1:])


def _sealed(table: dict[str, Any]) -> bytes:
    """The file of somebody who knows how."""
    table.pop("digest", None)
    return json.dumps({**table, "digest": exchange._digest(table)}).encode()


def _set(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(table: Any) -> None:  # noqa: ANN401 - what JSON holds
        for name in path[:-1]:
            table = table[name]
        table[path[-1]] = value

    return change


def _flipped(table: dict[str, Any]) -> None:
    raw = bytearray(base64.b64decode(table["state"]))
    raw[1000] ^= 1
    table["state"] = base64.b64encode(raw).decode()


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another format": (_set("format", value="x"), "nothing that was exported"),
    "a later version": (_set("version", value=2), "version 2 is not known"),
    "another classifier": (_set("classifier", value="best"), "its state or a change of it is"),
    "no state": (_set("state", value=""), "its state or a change of it is"),
    "no base64": (_set("state", value="%"), "nothing that was exported|Error|padding|character"),
    "a bit of the state": (_flipped, "its state or a change of it is"),
    "other counts": (_set("ham", value=9), "it counts other messages than its state"),
    "a short salt": (_set("salt", value="AA=="), "a salt of 1"),
    "a time that is none": (_set("time", value=float("nan")), "is no number"),
    "a time that no calendar has": (_set("time", value=1e300), "is no time"),
    "a time before all": (_set("journal", 0, "time", value=-1e300), "is no time"),
    "a key that is none": (_set("journal", 0, "key", value=""), "a key of 0 bytes"),
    "no journal": (_set("journal", value=None), "nothing that was exported"),
    "a row that is none": (_set("journal", 0, value=7), "nothing that was exported"),
    "another label": (_set("journal", 0, "label", value="eggs"), "eggs"),
    "features that are none": (_set("journal", 1, "features", value="AAAA"), "features"),
    "a change that is none": (_set("journal", 1, "change", value="AAAA"), "its state or a change"),
    "a change that is long": (_set("journal", 1, "change", value="A" * 100_000), "an entry of"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(trained: tuple[Kept, list[Entry]], name: str) -> None:
    damage, told = WRONG[name]
    table = json.loads(exported("alice", *trained))
    damage(table)
    with pytest.raises(ValueError, match=told):
        read(_sealed(table))


def test_what_was_damaged_on_its_way_is_told(trained: tuple[Kept, list[Entry]]) -> None:
    text = exported("alice", *trained)
    for raw in (
        text.replace(b'"label": "spam"', b'"label": "ham"', 1),
        text.replace(b'"source": "move"', b'"source": "sweep"', 1),
        text[: len(text) // 2],
        text + b"x",
        b"",
        b"[" * 100_000,
        b"\xff",
        b"7",
        b"{}",
        text.replace(b'"digest"', b'"digests"'),
    ):
        with pytest.raises(ValueError, match=r".") as caught:
            read(raw)
        assert len(str(caught.value)) < 200
