"""`iems bayes eval INDEX`: show labelled mail to a filter that knows nothing; count its mistakes.

The index has a line `spam PATH` or `ham PATH` for each message, in the order in which they came;
paths are relative to its folder. Each message is judged and then trained. It needs no settings and
no server. Exit 0 if the mail was shown, 2 if the index or a message cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.evaluation import EvaluationError, Result, evaluate, read_index

_EVERY = 100
"""Messages after which a terminal is told."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is shown to whom."""
    parser.add_argument("index", type=Path, metavar="INDEX", help="lines of `spam|ham PATH`")
    parser.add_argument(
        "--classifier", choices=sorted(CLASSIFIERS), default=DEFAULT, help="default: %(default)s"
    )
    parser.add_argument(
        "--noise",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="train that share of the messages with the wrong label, 0.02 for 2 in 100",
    )
    parser.add_argument(
        "--delay",
        type=_count,
        default=0,
        metavar="MESSAGES",
        help="train each message after so many others have come; 0, at once",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Show it, and print what came of it."""
    try:
        entries = read_index(arguments.index)
        result = evaluate(
            entries,
            CLASSIFIERS[arguments.classifier],
            noise=arguments.noise,
            delay=arguments.delay,
            progress=_progress(len(entries)),
        )
    except EvaluationError as error:
        print(f"iems: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(_described(result), indent=2))
    else:
        print("\n".join(f"{name:<20} {value}" for name, value in _lines(result)))
    return 0


def _described(result: Result) -> dict[str, object]:
    return {
        "messages": result.messages,
        "one_minus_auc_percent": result.one_minus_auc_percent,
        "false_positives": result.false_positives,
        "misses": result.misses,
        "unsure": result.unsure,
        "accuracy_percent": result.accuracy_percent,
        "accuracy_by_range": result.accuracy_by_range,
        "messages_per_second": result.messages_per_second,
        "state_bytes": result.state_bytes,
    }


def _lines(result: Result) -> list[tuple[str, str]]:
    ranges = [
        (f"accuracy {name}", _number(value, 2, " %"))
        for name, value in result.accuracy_by_range.items()
    ]
    slow = result.slowest_hundredth
    return [
        ("messages", str(result.messages)),
        ("1-AUC", _number(result.one_minus_auc_percent, 4, " %")),
        ("false positives", str(result.false_positives)),
        ("misses", f"{result.misses} (unsure or untrained counts as missed)"),
        ("unsure", str(result.unsure)),
        ("accuracy", _number(result.accuracy_percent, 2, " %")),
        *ranges,
        (
            "messages/s",
            f"{_number(result.messages_per_second, 0)} (tokenise and classify, on one core,"
            f" without training; one in 100 takes over {_number(slow and 1000 * slow, 1)} ms)",
        ),
        ("state", f"{result.state_bytes} bytes"),
    ]


def _number(value: float | None, places: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{places}f}{unit}"


def _progress(messages: int) -> Callable[[int], None]:
    """Tells a terminal how far it is."""
    terminal = sys.stderr.isatty()

    def tell(done: int) -> None:
        if terminal and (done % _EVERY == 0 or done == messages):
            end = "\r\x1b[K" if done == messages else ""
            print(f"\r{done} of {messages} messages {end}", end="", file=sys.stderr, flush=True)

    return tell


def _share(word: str) -> float:
    value = float(word)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, not {word}")
    return value


def _count(word: str) -> int:
    value = int(word)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a count of messages, not {word}")
    return value
