"""Text insertion beside altermime: into all messages of the corpus, and how fast.

It needs no server, and the package altermime. Each result is looked at by an independent reader,
Python's `email`: a text must be seen in each alternative and nothing else may have changed. What
comes out as it came in is counted apart, ours by its reason. Times are of the process, the best of
several runs of each message; of altermime as many runs with an empty message, which are its start,
are taken off.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import corpus, figures
from bench.mime import with_attachment
from bench.names import SEED
from iems.edits.edit import Edit
from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert
from tests.inserted import faults

SIZES = (4 << 10, 100 << 10, 10 << 20)
_SECONDS = 2.0
"""A run goes on for so long at least."""

_SEALED = (Sealed.WRAP, Sealed.WRAP)
_WORDS = "Grüße – 10 €"
_ASCII = "Example Ltd."
BLOCKS = {
    "at the bottom": Block(_WORDS, f"<p>{_WORDS}</p>", Place.BOTTOM, *_SEALED),
    "at the bottom, ASCII": Block(_ASCII, f"<p>{_ASCII}</p>", Place.BOTTOM, *_SEALED),
    "at the top": Block(_ASCII, "", Place.TOP, *_SEALED),
    "above the quote": Block(_ASCII, "<b>Example</b> Ltd.", Place.QUOTE, *_SEALED),
}


class Altermime:
    """The program with a block, for messages in a file."""

    def __init__(self, block: Block, folder: Path) -> None:
        self._file = folder / "message"
        self._words = ["altermime", f"--input={self._file}", "--force-into-b64"]
        for name, text in (("disclaimer", block.lines), ("disclaimer-html", block.fragment)):
            file = folder / name
            file.write_text(text + "\n")
            self._words.append(f"--{name}={file}")
        self._words.append("--force-for-bad-html")

    def of(self, data: bytes) -> bytes:
        """The message with the block."""
        self._file.write_bytes(data)
        subprocess.run(self._words, stdout=subprocess.DEVNULL, check=False)
        return self._file.read_bytes()

    def seconds(self, data: bytes) -> float:
        """Processor time of one run."""
        self._file.write_bytes(data)
        null = os.open(os.devnull, os.O_WRONLY)
        quiet = [(os.POSIX_SPAWN_DUP2, null, 1)]
        child = os.posix_spawnp(self._words[0], self._words, os.environ, file_actions=quiet)
        _pid, _status, usage = os.wait4(child, 0)
        os.close(null)
        return usage.ru_utime + usage.ru_stime


def measure(rounds: int, _messages: int) -> str:
    """The tables, and the first failures of ours by their file."""
    with tempfile.TemporaryDirectory() as name:
        return "\n".join([*_right(Path(name)), "", *_fast(rounds, Path(name))])


def _right(folder: Path) -> Iterator[str]:
    pool = list(corpus.files())
    yield from ("## Text insertion into the corpus", "")
    yield "| run | messages | failures | left as they are |"
    yield "| --- | --- | --- | --- |"
    failures: list[str] = []
    for name, block in BLOCKS.items():
        found = [(file, *_ours(data, block)) for file, data in pool]
        reasons = Counter(reason for _file, reason, _faults in found if reason)
        wrong = [f"- {name}, {file}: {', '.join(told)}" for file, _reason, told in found if told]
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        yield f"| {name} | {len(pool)} | {len(wrong)} | {reasons.total()}: {why or 'none'} |"
        failures += wrong
    for name in ("at the bottom", "at the bottom, ASCII"):
        other = Altermime(BLOCKS[name], folder)
        pairs = [(data, other.of(data)) for _file, data in pool]
        changed = [(data, after) for data, after in pairs if after != data]
        wrong_ones = sum(bool(faults(*pair, BLOCKS[name].lines)) for pair in changed)
        yield f"| altermime {name} | {len(pool)} | {wrong_ones} | {len(pairs) - len(changed)} |"
    yield from ("", *failures[:20])


def _ours(data: bytes, block: Block) -> tuple[str, list[str]]:
    """Why it was left as it is, and what is wrong with it."""
    edit: Edit = insert(data, block)
    after = edit.of(data)
    again = ["a second time changes it"] if insert(after, block).splices else []
    told = [] if edit.reason else faults(data, after, block.lines)
    return edit.reason.partition(" at ")[0], told + again


def _fast(rounds: int, folder: Path) -> Iterator[str]:
    block = BLOCKS["at the bottom, ASCII"]
    other = Altermime(block, folder)
    pools = {
        **corpus.messages(SIZES[:2]),
        SIZES[2]: [with_attachment(random.Random(SEED), SIZES[2])],
    }
    yield from ("## Text insertion, MB of messages a second of CPU", "")
    yield from ("| run | MB/s | ratio | target |", "| --- | --- | --- | --- |")
    for size, pool in pools.items():
        ours, theirs, megabytes = [], [], sum(map(len, pool)) / 1e6
        for _round in range(rounds):
            times = _best(other.seconds, [one for data in pool for one in (data, b"\n")])
            theirs.append(megabytes / max(sum(times[::2]) - sum(times[1::2]), 1e-9))
            ours.append(megabytes / sum(_best(lambda data: _taken(data, block), pool)))
        yield figures.row(f"altermime, {size >> 10} KiB", theirs)
        target = 1.0 if size > SIZES[0] else None
        yield figures.row(f"ours, {size >> 10} KiB", ours, theirs, target)


def _taken(data: bytes, block: Block) -> float:
    start = time.process_time()
    insert(data, block).of(data)
    return time.process_time() - start


def _best(seconds: Callable[[bytes], float], pool: Sequence[bytes]) -> list[float]:
    """All messages one after the other, again and again, and the best time of each."""
    best, start = [math.inf] * len(pool), time.monotonic()
    while time.monotonic() - start < _SECONDS:
        best = [min(before, seconds(data)) for before, data in zip(best, pool, strict=True)]
    return best
