"""What the edits share: standard input through one to standard output, and files of options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

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


def read_text(file: Path) -> str:
    """What a file holds that an option names; OSError, or ValueError where it is not UTF-8."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8, but byte {error.start} is none") from error
