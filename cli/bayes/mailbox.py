"""Mail that lies somewhere: files with a message each, mboxes, Maildirs, standard input.

As much of each message is read as the filter looks at. A file that begins with `From ` is an mbox;
of a quoted line in it (`>From `) one `>` goes. Of a Maildir the folders below it are left out, for
they hold other kinds of mail. What is not there at all is a NoMessageError before anything is read.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cli import maildir
from cli.bayes.desk import NoMessageError, message
from lmtp.bayes.tokens import MAX_MESSAGE

_STDIN = Path("-")
_LINE = 1 << 16
"""Bytes of a line that are looked at at once: some files are one line."""

_QUOTED = re.compile(rb">+From ")


@dataclass(frozen=True, slots=True)
class Mail:
    """A message; `name` says where it was found."""

    name: str
    data: bytes


def count(path: Path) -> int:
    """How many messages there are, about; NoMessageError."""
    try:
        if path == _STDIN:
            return 1
        if path.is_dir():
            parts = [path / part for part in ("cur", "new")]
            return sum(1 for part in parts for _ in part.iterdir())
        with path.open("rb") as file:
            return sum(1 for _ in _split(file)) if _is_mbox(file) else 1
    except OSError as error:
        why = "no Maildir" if path.is_dir() else error.strerror
        raise NoMessageError(f"{path}: {why}") from None


def messages(path: Path, unread: Callable[[str], None]) -> Iterator[Mail]:
    """Each of them; `unread` is told what cannot be read, and why."""
    try:
        if path != _STDIN and path.is_dir():
            yield from _in_maildir(path, unread)
        elif path != _STDIN and _holds_many(path):
            with path.open("rb") as file:
                for number, data in enumerate(_split(file), 1):
                    yield Mail(f"{path}, message {number}", data)
        else:
            yield Mail(str(path), message(path)[:MAX_MESSAGE])
    except NoMessageError as error:
        unread(str(error))
    except OSError as error:
        unread(f"{path}: {error.strerror}")


def _in_maildir(path: Path, unread: Callable[[str], None]) -> Iterator[Mail]:
    def told(name: str, why: str) -> None:
        unread(f"{name}: {why}")

    try:
        found = maildir.messages(path, told)
        for kept in itertools.takewhile(lambda one: not one.folder, found):
            yield Mail(kept.file, os.pread(kept.descriptor, MAX_MESSAGE, 0))
    except maildir.NoMaildirError as error:
        unread(str(error))


def _holds_many(path: Path) -> bool:
    with path.open("rb") as file:
        return _is_mbox(file)


def _is_mbox(file: BinaryIO) -> bool:
    """Whether it begins like one; it is at its beginning again."""
    found = file.read(5) == b"From "
    file.seek(0)
    return found


def _split(file: BinaryIO) -> Iterator[bytes]:
    """The messages of an mbox: each begins after a line `From ` at its start or after an empty one.

    What is beyond `MAX_MESSAGE` is passed over.
    """
    found: bytearray | None = None
    begins = empty = True
    while line := file.readline(_LINE):
        if empty and line.startswith(b"From "):
            if found is not None:
                yield bytes(found)
            found = bytearray()
        elif found is not None:
            piece = line[1:] if begins and _QUOTED.match(line) else line
            found += piece[: MAX_MESSAGE - len(found)]
        empty = begins and line in {b"\n", b"\r\n"}
        begins = line.endswith(b"\n")
    if found is not None:
        yield bytes(found)
