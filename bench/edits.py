"""Text insertion into all messages of the corpus, and an independent reader's view of each.

It needs no server. What is left alone is counted by its reason; a message that Python's `email`
sees otherwise than it should is a failure, and none may be.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench import corpus
from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert
from tests.inserted import faults

WORDS = "Grüße – 10 €"
_SEALED = (Sealed.WRAP, Sealed.WRAP)
BLOCKS = {
    "at the bottom": Block(WORDS, f"<p>{WORDS}</p>", Place.BOTTOM, *_SEALED),
    "at the top": Block("[outside] From a stranger", "", Place.TOP, *_SEALED),
    "above the quote": Block("Example Ltd.", "<b>Example</b> Ltd.", Place.QUOTE, *_SEALED),
}


def measure(_rounds: int, _messages: int) -> str:
    """The table, and the first failures by their file."""
    pool = list(_corpus())
    rows: list[str] = []
    failures: list[str] = []
    for name, block in BLOCKS.items():
        reasons: Counter[str] = Counter()
        size, start, failed = 0, time.process_time(), len(failures)
        edits = [insert(data, block) for _file, data in pool]
        taken = time.process_time() - start
        for (file, data), edit in zip(pool, edits, strict=True):
            size += len(data)
            reasons[edit.reason.partition(" at ")[0]] += 1
            after = edit.of(data)
            again = insert(after, block)
            found = faults(data, after, block.lines) if not edit.reason else []
            found += ["a second time changes it"] if again.splices else []
            failures += [f"- {name}, {file}: {', '.join(found)}"] if found else []
        left = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common() if reason)
        numbers = f"{len(pool)} | {len(failures) - failed} | {size / taken / 1e6:.1f}"
        rows.append(f"| {name} | {numbers} | {left or 'none'} |")
    return "\n".join(
        [
            *("## Text insertion into the corpus", ""),
            "| place | messages | failures | MB/s of CPU | left as they are |",
            *("| --- | --- | --- | --- | --- |", *rows, "", *failures[:20], ""),
        ]
    )


def _corpus() -> Iterator[tuple[str, bytes]]:
    if not corpus.FILE.exists():
        raise SystemExit(f"{corpus.FILE}: expected the corpus there")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "--zstd", "-xf", corpus.FILE, "-C", folder], check=True)
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file() and not file.name.startswith("index"):
                yield str(file.relative_to(folder)), file.read_bytes()
