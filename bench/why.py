"""`iems why` over a million records against `iems why` over none.

The whole command is timed, interpreter included, as whoever types it waits for it. The two stores
take turns; asked is by reference, queue id and Message-ID, of records drawn with a fixed seed. Each
answer is looked at: it holds the one message that was asked for.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.names import SEED, ZONES
from bench.suite import REPOSITORY
from iems.model.finding import Finding
from iems.model.policy import Decision
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder, details

RECORDS = 1_000_000
_BATCH = 10_000
_WAYS = ("reference", "queue id", "Message-ID")
_ASK = "import sys; from cli.main import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class _Names:
    """What one message is called, by its number."""

    number: int

    @property
    def words(self) -> tuple[str, str, str]:
        """Reference, queue id, Message-ID."""
        return f"REF{self.number:09}", f"4bench{self.number:09}", f"<{self.number}@world.test>"

    def record(self) -> Record:
        """As the milter writes it of a message that goes on."""
        reference, queue_id, message_id = self.words
        findings = [
            Finding("iprev", "permerror", reason="client 127.16.0.1 has no name in the DNS")
        ]
        findings += [Finding(f"dnsbl/{zone.partition('.')[0]}", "clear") for zone in ZONES]
        return Record(
            reference=reference,
            stage="end-of-message",
            action="accept",
            queue_id=queue_id,
            message_id=message_id,
            channel="internet",
            client="127.16.0.1",
            sender="sender@world.test",
            details=details(Decision(), findings),
        )


def measure(rounds: int, messages: int) -> str:
    """The table; a round asks ten times in each way."""
    del messages  # how many records there are is what is measured
    with tempfile.TemporaryDirectory(prefix="iems-bench-") as folder:
        empty, full = _store(Path(folder) / "empty", 0), _store(Path(folder) / "full", RECORDS)
        size = (full.parent / "milter" / "records.sqlite").stat().st_size >> 20
        draw = random.Random(SEED)
        none: list[float] = []
        many: dict[str, list[float]] = {way: [] for way in _WAYS}
        for _round in range(10 * rounds):
            words = _Names(draw.randrange(RECORDS)).words
            for way, word in zip(_WAYS, words, strict=True):
                none.append(_asked(empty, word, []))
                many[way].append(_asked(full, word, [words[0]]))
    rows = [_row("no record", none, none), *(_row(way, many[way], none) for way in _WAYS)]
    head = ["| asked by | median, ms | 99th percentile, ms | added, median, ms |"]
    head.append("| --- | --- | --- | --- |")
    told = f"- records: {RECORDS}, a file of {size} MiB; questions: {len(none)} of each store"
    return "\n".join(["## iems why", "", *head, *rows, "", told, ""])


def _store(folder: Path, records: int) -> Path:
    """The settings of a site whose milter has written so many records."""
    for name in ("milter", "lmtp"):
        (folder / name).mkdir(parents=True)
        recorder = Recorder(folder / name / "records.sqlite")
        for batch in _batches(records if name == "milter" else 0):
            recorder.commit(batch, Deadline.after(120.0))
        recorder.close(Deadline.after(120.0))
    settings = folder / "iems.toml"
    settings.write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[milter]\nstate = "{folder}/milter"\n[agent]\nstate = "{folder}/lmtp"\n'
    )
    return settings


def _batches(records: int) -> Iterator[list[Record]]:
    for first in range(0, records, _BATCH):
        yield [_Names(number).record() for number in range(first, min(first + _BATCH, records))]


def _asked(settings: Path, word: str, references: list[str]) -> float:
    """Seconds of one question, whose answer is of these messages."""
    command = [sys.executable, "-c", _ASK, "--settings", str(settings), "why", word, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    found = [record["reference"] for record in json.loads(done.stdout)]
    assert found == references, (word, found, done.stderr)
    return seconds


def _row(name: str, times: list[float], base: list[float]) -> str:
    middle = 1000 * statistics.median(times)
    worst = 1000 * statistics.quantiles(times, n=100)[98]
    added = middle - 1000 * statistics.median(base)
    return f"| {name} | {middle:.0f} | {worst:.0f} | {added:.1f} |"
