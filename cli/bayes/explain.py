"""`iems bayes explain USER MESSAGE`: what the filter of a user says of a message, and why.

Told are the verdict, the probability, and the words that pull most, each with what it adds to the
log-odds: above 0 towards spam, below it towards ham. The message is a file, or `-` for standard
input; nothing is learned or remembered of it. Exit 0 whatever the verdict is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cli import entries
from cli.bayes import desk
from cli.bayes.status import moment
from lmtp.bayes.classifier import CLASSIFIERS
from lmtp.bayes.score import Evidence, Score, Verdict
from lmtp.bayes.state import State, StateError
from lmtp.bayes.store import Entry
from lmtp.bayes.tokens import key, tokens
from lmtp.bayes.training import state_of
from lmtp.trained import classifier

_WORDS = 20


@dataclass(frozen=True, slots=True)
class Explained:
    """What is said of a message; `trained` is the entry of the journal, if it has one."""

    key: bytes
    score: Score
    state: State
    evidence: tuple[Evidence, ...]
    trained: Entry | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, which message, and how to answer."""
    desk.whose(parser)
    parser.add_argument("message", type=Path, metavar="FILE", help="the message, or `-`")
    parser.add_argument(
        "--words", type=int, default=_WORDS, metavar="COUNT", help="how many; %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    return desk.answered(arguments, desk.SHOW, act)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    data = desk.message(arguments.message)
    try:
        found = explained(at, data, arguments.words)
    except StateError as error:
        text = f"what is kept of {at.user} is {error}; the next training makes it anew"
        return entries.failed(text, entries.TEMPORARY)
    if arguments.json:
        print(json.dumps(_document(found), indent=2))
    else:
        print("\n".join(map(entries.shown, _lines(found))))
    return entries.OK


def explained(at: desk.Desk, data: bytes, count: int) -> Explained:
    """What the user's filter says of a message, as the agent asks it; StateError, StoreError."""
    own = at.settings.bayes
    name, words = key(data), tokens(data, own.max_message)
    with at.store() as store:
        kept = store.load(at.user, desk.soon())
        entry = store.entry(at.user, name, desk.soon())
    judge = classifier(own)
    state = state_of(kept) if kept.number else judge.empty()
    judge = CLASSIFIERS[state.classifier]
    score = judge.classify(state, judge.features(words, kept.salt))
    if min(kept.ham, kept.spam) < own.least:
        score = replace(score, verdict=Verdict.UNTRAINED)
    evidence = judge.explain(state, words, kept.salt, max(0, count))
    return Explained(name, score, state, evidence, entry)


def _lines(found: Explained) -> Iterator[str]:
    score, state = found.score, found.state
    yield (
        f"{score.verdict}: probability {score.probability:.4f}, log-odds {score.log_odds:+.2f}, "
        f"by {state.ham} ham and {state.spam} spam"
    )
    if found.trained is not None:
        one = found.trained
        yield f"trained as {one.label.value} on {moment(one.time)} ({one.source})"
    yield from (f"{one.pull:+8.2f}  {one.word}" for one in found.evidence)


def _document(found: Explained) -> dict[str, object]:
    one = found.trained
    trained = one and {"label": one.label.value, "time": one.time, "source": one.source}
    return {
        "key": found.key.hex(),
        "verdict": found.score.verdict.value,
        "probability": found.score.probability,
        "log_odds": found.score.log_odds,
        "ham": found.state.ham,
        "spam": found.state.spam,
        "trained": trained,
        "words": [{"word": word.word, "pull": word.pull} for word in found.evidence],
    }
