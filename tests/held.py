"""What a test holds in its own process: threads begun since, files open below a folder.

Counts of all threads or descriptors would be wrong: what earlier tests began may end at any time.
"""

from __future__ import annotations

import threading
from pathlib import Path


def threads_since(before: set[threading.Thread]) -> int:
    """How many threads run that did not run `before` (a set of `threading.enumerate()`)."""
    return len(set(threading.enumerate()) - before)


def open_below(folder: Path) -> int:
    """How many descriptors are open on files (named or not) in `folder`, itself among them."""
    number = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            number += str(one.readlink()).startswith(str(folder))
        except FileNotFoundError:
            continue
    return number
