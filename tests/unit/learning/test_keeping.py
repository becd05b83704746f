"""What is asked of the daemon about all that a user has trained, beside what `iems bayes` asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lmtp.learning import verbs
from lmtp.learning.protocol import Answer
from lmtp.learning.verbs import VERBS
from tests.unit.learning.test_worker import ALICE, Bench, bench, message, soon

__all__ = ["bench"]


@pytest.mark.parametrize("name", ["", "0" * 31, "0" * 33, "G" * 32, "00" * 15 + "\n0"])
def test_undo_takes_a_key(bench: Bench, name: str) -> None:
    assert bench.ask("undo", b"", key=name) == Answer(False, "undo takes the key of a message")


def test_reset_forgets_what_is_remembered_of_his_mail(bench: Bench) -> None:
    bench.seen(message(1), junk=False)
    assert bench.memory.tally(ALICE, soon()).total() == 1
    assert bench.ask("reset", b"") == Answer(True, "forgotten")
    assert bench.memory.tally(ALICE, soon()).total() == 0


def test_what_was_asked_before_a_reset_is_forgotten_with_it(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    with made.serving():
        for number in range(5):
            made.ask("flag", message(number), label="spam")
        made.ask("reset", b"")
        made.ask("flag", message(9), label="ham", wait="yes")
    kept = made.store.load(ALICE, soon())
    assert (kept.ham, kept.spam) == (1, 0)


def test_of_an_import_that_is_too_large_nothing_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(VERBS["import"], limit=100)
    monkeypatch.setitem(verbs.VERBS, "import", small)
    assert bench.ask("import", b"x" * 101) == Answer(False, "more than 100 bytes")
    assert bench.queue.entries() == []
