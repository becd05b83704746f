"""`iems bayes`: the filter that learns from each user's corrections (docs/bayes.md).

What users train is written by the training daemon alone: `train`, `undo`, `reset` and `import` ask
it, and need it to run. `status`, `explain`, `curve` and `export` read what is kept, and `eval`
needs no server at all. All but `eval` are for root; with `--as` only the filter of that user, or of
a user in a domain that he administers.
Exit 0 done, 1 refused or nothing there, 75 daemon, store or directory cannot answer now, 77 not
allowed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from cli import verbs

VERBS: Mapping[str, str] = {
    "status": "show what users have trained, and how right their filters were",
    "train": "teach a user's filter by mail that he has",
    "undo": "take back what was learned of a message",
    "explain": "judge a message as the filter of a user does, and say by which words",
    "curve": "draw how the filter of a user learns",
    "export": "print all that a user has trained",
    "import": "put what was exported in the place of what a user has trained",
    "reset": "forget all that a user has trained",
    "eval": "show mail to a filter that knows nothing, and count its mistakes",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb for each module."""
    verbs.add(parser, "bayes", VERBS)


run = verbs.run
