"""Our filter beside those of others, on one stream of mail: which one errs least, and how fast.

The stream is the public corpus of the SpamAssassin project, in the order of its index. Each filter
begins with nothing; it judges a message and is told what it was before the next one comes. Ours is
measured by the code of `iems bayes eval`, that of others by `bench/learners.py`; what they have
learned lies in memory. It needs no server, and the packages bogofilter, crm114 and spamassassin.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import corpus
from bench.learners import Bogofilter, BogofilterOnError, Crm114, Learner, SpamAssassin
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.evaluation import Entry, Judged, Result, evaluate, read_index
from lmtp.bayes.score import Label

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of a name that nobody guesses is made in it

LEARNERS: Mapping[str, Callable[[Path], Learner]] = {
    "bogofilter, trains with all": Bogofilter,
    "bogofilter, trains on error or unsure": BogofilterOnError,
    "CRM114, OSB, thick training on error": Crm114,
    "SpamAssassin's Bayes alone": SpamAssassin,
}

_HEAD = (
    "| filter | 1-AUC % | false positives | misses | unsure | accuracy % | at the best threshold "
    "| 1-200 | 201-1000 | after | state, KiB | judged/s | judged and trained/s |"
)


def measure(_rounds: int, _messages: int) -> str:
    """The table."""
    with corpus.unpacked() as folder:
        entries = read_index(folder / "spamassassin" / "index")
        rows = [_row(name, partial(run, make), entries) for name, make in LEARNERS.items()]
        rows += [_row(name, make, entries) for name, make in _ours().items()]
    rule = "| --- " * (_HEAD.count("|") - 1) + "|"
    title = f"## Filters that learn, {len(entries)} messages"
    return "\n".join([title, "", _HEAD, rule, *rows, ""])


def run(make: Callable[[Path], Learner], entries: Sequence[Entry]) -> Result:
    """Show all messages to a filter of others."""
    with tempfile.TemporaryDirectory(prefix="iems-bench-", dir=_MEMORY) as name:
        learner = make(Path(name))
        judged = []
        for entry in entries:
            began = time.perf_counter()
            said = learner.judge(entry.path)
            seconds = time.perf_counter() - began
            learner.learn(entry.path, entry.label, said)
            judged.append(Judged(entry.label, said.score, said.verdict, seconds))
        learner.close()
        return Result(judged, learner.size())


def best_percent(judged: Sequence[Judged]) -> float:
    """The accuracy that the best of all thresholds would have had, known only afterwards."""
    right = best = sum(one.label is Label.SPAM for one in judged)
    ordered = sorted(judged, key=lambda one: one.log_odds)
    for one, after in zip(ordered, [*ordered[1:], None], strict=True):
        right += 1 if one.label is Label.HAM else -1
        if after is None or after.log_odds > one.log_odds:
            best = max(best, right)
    return 100 * best / len(judged)


def _ours() -> Mapping[str, Callable[[Sequence[Entry]], Result]]:
    """Each classifier, and the one that is used unless another is set with worse training."""
    default = CLASSIFIERS[DEFAULT]
    others = {
        f"ours, {name}": partial(evaluate, classifier=one)
        for name, one in CLASSIFIERS.items()
        if one is not default
    }
    return {
        f"ours, {DEFAULT} (the default)": partial(evaluate, classifier=default),
        "the same, 2 % wrong labels": partial(evaluate, classifier=default, noise=0.02),
        "the same, told 100 messages late": partial(evaluate, classifier=default, delay=100),
        **others,
    }


def _row(name: str, show: Callable[[Sequence[Entry]], Result], entries: Sequence[Entry]) -> str:
    began = time.monotonic()
    result = show(entries)
    taken = time.monotonic() - began
    ranges = " | ".join(_percent(one) for one in result.accuracy_by_range.values())
    return (
        f"| {name} | {result.one_minus_auc_percent:.3f} | {result.false_positives} "
        f"| {result.misses} | {result.unsure} | {_percent(result.accuracy_percent)} "
        f"| {best_percent(result.judged):.2f} | {ranges} | {result.state_bytes // 1024} "
        f"| {result.messages_per_second:.0f} | {len(entries) / taken:.0f} |"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
