"""The message on standard input through an edit to standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable

from iems.edits.edit import Edit


def through(edit: Callable[[bytes], Edit]) -> int:
    """Print the message with the edit; the exit code."""
    data = sys.stdin.buffer.read()
    done = edit(data)
    if done.rejected:
        print(f"iems: rejected: {done.reason}", file=sys.stderr)
        return 1
    if done.reason:
        print(f"iems: left as it is: {done.reason}", file=sys.stderr)
    sys.stdout.buffer.write(done.of(data))
    sys.stdout.buffer.flush()
    return 0
