"""`python -m bench.bayes_constants INDEX`: what each constant of the filter does, on named splits.

Each row changes one constant of the default and shows it the same mail as the others; with words
behind INDEX, those rows alone in whose name one of them is. As much spam is left out as makes it
16 % of all, which is what a user gets. For each split 1-AUC in %, false positives + misses, and
accuracy in %.

- user: in the order of the index
- mixed: shuffled
- start: ten mailboxes of 200 messages of the shuffled ones, the accuracy alone
- noise: as `user`, with 2 % wrong labels
"""

from __future__ import annotations

import argparse
import operator
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lmtp.bayes.classifier import CLASSIFIERS, PARTS, Classifier, Label
from lmtp.bayes.combination import Combination, Part
from lmtp.bayes.evaluation import Judged, Result, read_index
from lmtp.bayes.features import RUNS, WORDS, encode, of
from lmtp.bayes.fisher import Fisher
from lmtp.bayes.tokens import MAX_MESSAGE, tokens
from lmtp.bayes.weights import Weights

Message = tuple[bytes, Label]

_SHARE = 0.16
_SALT = b"constants"
_START, _MAILBOXES = 200, 10


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m bench.bayes_constants", description=__doc__)
    parser.add_argument("index", type=Path, metavar="INDEX")
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--splits", default="user,mixed,start,noise", help="default: %(default)s")
    arguments = parser.parse_args()
    made = _splits(list(_mail(arguments.index)))
    splits = {name: made[name] for name in arguments.splits.split(",")}
    print(f"| constant | {' | '.join(splits)} |")
    print(f"| --- |{' --- |' * len(splits)}")
    for name, classifier in _variants().items():
        if not arguments.words or any(word in name for word in arguments.words):
            cells = (_cell(classifier, name, streams) for name, streams in splits.items())
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


def _mail(index: Path) -> Iterator[Message]:
    for entry in read_index(index):
        with entry.path.open("rb") as file:
            yield encode(of(tokens(file.read(MAX_MESSAGE)), _SALT)), entry.label


def _splits(mail: Sequence[Message]) -> Mapping[str, Sequence[Sequence[Message]]]:
    dice = random.Random(1)
    spam = [number for number, (_features, label) in enumerate(mail) if label is Label.SPAM]
    ham = len(mail) - len(spam)
    kept = set(dice.sample(spam, min(len(spam), round(ham * _SHARE / (1 - _SHARE)))))
    user = [one for number, one in enumerate(mail) if one[1] is Label.HAM or number in kept]
    mixed = dice.sample(user, len(user))
    starts = [mixed[_START * number :][:_START] for number in range(_MAILBOXES)]
    return {
        "user": [user],
        "mixed": [mixed],
        "start": starts,
        "noise": [user],
    }


def _cell(classifier: Classifier, split: str, streams: Sequence[Sequence[Message]]) -> str:
    """What is told of a split; of several mailboxes the accuracy alone."""
    noise = 0.02 if split == "noise" else 0.0
    results = [_shown(classifier, stream, noise) for stream in streams]
    right = sum(one.right for result in results for one in result.judged)
    accuracy = 100 * right / sum(result.messages for result in results)
    if len(results) > 1:
        return f"{accuracy:.2f}"
    [result] = results
    auc = result.one_minus_auc_percent or 0.0
    return f"{auc:.3f}, {result.false_positives} + {result.misses}, {accuracy:.2f}"


def _shown(classifier: Classifier, stream: Sequence[Message], noise: float) -> Result:
    dice, state, judged = random.Random(5), classifier.empty(), []
    for features, label in stream:
        score = classifier.classify(state, features)
        judged.append(Judged(label, score.log_odds, score.verdict, 0.0))
        other = Label.SPAM if label is Label.HAM else Label.HAM
        classifier.train(state, features, other if dice.random() < noise else label)
    return Result(judged, 0)


def _variants() -> Mapping[str, Classifier]:
    default = Combination("combination", PARTS)
    made: dict[str, Classifier] = {"default": default, **CLASSIFIERS}
    del made["combination"]
    for index, view in enumerate(("header", "body", "runs", "Fisher")):
        made[f"without {view}"] = replace(default, parts=PARTS[:index] + PARTS[index + 1 :])
    for field, values in {
        "rate": (5.0, 20.0),
        "slowing": (100, 400),
        "least_rate": (0.5, 2.0),
        "margin": (0.1, 0.3),
    }.items():
        for value in values:
            made[f"weights {field} {value}"] = _with_weights(**{field: value})
    for field, numbers in {"strength": (0.5,), "least": (0.1, 0.4), "margin": (0.02, 0.3)}.items():
        for number in numbers:
            made[f"Fisher {field} {number}"] = _with_fisher(replace(Fisher(), **{field: number}))
    for most in (1.0, 3.0):
        made[f"Fisher most {most}"] = replace(
            default, parts=(*PARTS[:3], replace(PARTS[3], most=most))
        )
    for spam in (0.0, 0.25, 1.0):
        made[f"spam {spam}"] = replace(default, spam=spam)
    for least in (0, 1, 5, 10):
        made[f"untrained {least}"] = replace(default, least=least)
    return made


def _with_weights(**changed: float) -> Classifier:
    views = {"header": WORDS, "body": WORDS, "runs": RUNS}
    regressions = (
        Part(operator.attrgetter(view), replace(Weights(numbers), **changed))  # type: ignore[arg-type]
        for view, numbers in views.items()
    )
    return Combination("combination", (*regressions, PARTS[3]))


def _with_fisher(fisher: Fisher) -> Classifier:
    return Combination("combination", (*PARTS[:3], replace(PARTS[3], learner=fisher)))


if __name__ == "__main__":
    raise SystemExit(main())
