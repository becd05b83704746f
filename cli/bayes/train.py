"""`iems bayes train USER --spam MAIL... --ham MAIL...`: teach a filter by mail that a user has.

MAIL is a file with one message, an mbox, a Maildir (the folder itself, not those below it), or `-`
for one message on standard input. Give both kinds in one call: ham and spam are shown in turns, by
which the filter learns more than by one kind after the other. A message that is in the user's
journal, which has the last 1,000, is not learned twice; a call that was stopped says with which
`--skip` it goes on. Exit 1 if a message could not be read or was refused, or there is no such user,
or his filter is off.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from cli import entries
from cli.bayes import desk
from cli.bayes.mailbox import Mail, count, messages
from lmtp.bayes.score import Label
from lmtp.learning.protocol import Answer, Asked, PeerError

_AT_ONCE = 8
"""Messages on their way: the daemon writes each to the disk before it learns it."""

_EVERY = 0.2
"""Seconds between two words to a terminal."""

_NOBODY = "not trained"
"""How an answer begins that concerns the user and no message of his."""


@dataclass
class Course:
    """How far it is: what became of the messages, and what was wrong with some."""

    messages: int
    skipped: int = 0
    began: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _told: float = 0.0

    @property
    def shown(self) -> int:
        """How many of them are behind it."""
        return self.skipped + self.done.total()

    @property
    def again(self) -> str:
        """How a call that ends here goes on."""
        return f"the same again with --skip {self.shown} goes on"

    def add(self, mail: Mail, answer: Answer) -> None:
        """Another one."""
        self.done[answer.text if answer.done else "refused"] += 1
        if not answer.done:
            self.faults.append(f"{mail.name}: {answer.text}")
        if sys.stderr.isatty() and time.monotonic() >= self._told + _EVERY:
            self._told = time.monotonic()
            print(f"\r{self}\x1b[K", end="", file=sys.stderr, flush=True)

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self.began, 1e-3)
        became = ", ".join(f"{count} {what}" for what, count in self.done.items())
        rate = self.done.total() / seconds
        return f"{self.shown} of {self.messages} messages ({rate:.0f}/s): {became or '-'}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, and what is what."""
    desk.whose(parser)
    for label in Label:
        parser.add_argument(
            f"--{label.value}",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE|MAILDIR|MBOX",
            help=f"mail that is {label.value}; `-`: a message on standard input",
        )
    parser.add_argument(
        "--skip", type=_count, default=0, metavar="COUNT", help="not the first so many messages"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show all of it to the daemon."""
    if not arguments.ham and not arguments.spam:
        return entries.failed("expected mail after --spam or --ham, or both", entries.USAGE)
    return desk.answered(arguments, desk.SET, act)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    given: Mapping[Label, Sequence[Path]] = {
        Label.HAM: arguments.ham,
        Label.SPAM: arguments.spam,
    }
    sizes = {label: sum(map(count, paths)) for label, paths in given.items()}
    course = Course(sum(sizes.values()), arguments.skip)
    mail = {
        label: chain.from_iterable(messages(path, course.faults.append) for path in paths)
        for label, paths in given.items()
    }
    try:
        for one, answer in _answers(at, islice(in_turns(mail, sizes), course.skipped, None)):
            course.add(one, answer)
            if answer.text.startswith(_NOBODY):
                return entries.failed(f"{at.user}: {entries.shown(answer.text)}")
    except PeerError as error:
        return entries.failed(entries.shown(f"{error}; {course.again}"), entries.TEMPORARY)
    except KeyboardInterrupt:
        entries.failed(f"stopped; {course.again}")
        raise
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        for fault in course.faults:
            entries.warn(entries.shown(fault))
        at.tell(desk.SET, f"train {course}")
        entries.changed("trained", f"bayes of {at.user}: {course}")
    return entries.NEGATIVE if course.faults else entries.OK


def _answers(at: desk.Desk, lessons: Iterator[tuple[Label, Mail]]) -> Iterator[tuple[Mail, Answer]]:
    """What the daemon says of each, in their order; some are always on their way. PeerError."""
    # No threads: while mail is read as its owner, all of a process have his rights alone.
    waiting: deque[tuple[Mail, Asked]] = deque()
    try:
        for label, mail in lessons:
            if len(waiting) == _AT_ONCE:
                yield _first(waiting)
            options = {"label": label.value, "source": "command", "wait": "yes"}
            waiting.append((mail, at.asked("train", mail.data, **options)))
        while waiting:
            yield _first(waiting)
    finally:
        for _mail, asked in waiting:
            asked.close()


def _first(waiting: deque[tuple[Mail, Asked]]) -> tuple[Mail, Answer]:
    # It stays in the row until it is closed: the user may interrupt at any moment.
    mail, asked = waiting[0]
    answer = asked.answer()
    asked.close()
    waiting.popleft()
    return mail, answer


def in_turns(
    mail: Mapping[Label, Iterator[Mail]], sizes: Mapping[Label, int]
) -> Iterator[tuple[Label, Mail]]:
    """All of both, evenly mixed whatever their numbers are, each kind in its order."""
    left = dict(mail)
    shown = dict.fromkeys(left, 0)
    while left:
        label = min(left, key=lambda one: (shown[one] + 1) / (sizes[one] + 1))
        found = next(left[label], None)
        if found is None:
            del left[label]
        else:
            shown[label] += 1
            yield label, found


def _count(word: str) -> int:
    value = int(word)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a count of messages, not {word}")
    return value
