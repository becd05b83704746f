"""Records: what was decided about every recipient, so that `iems why` can answer later.

Each daemon writes its own SQLite file. A worker process opens it once (after the fork) and has one
writer thread; `add` queues and never blocks, what does not fit is counted as dropped; `commit`
returns when the record is on disk, and one transaction serves all who wait. A file that cannot be
written fails `commit` with `RecordsError`; the caller answers with a temporary failure.
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iems.model.finding import Finding
from iems.model.policy import Decision, Kind, Reason
from iems.serve.deadline import Deadline
from iems.store.wal import write_ahead

_QUEUE = 10_000
"""Records waiting; at 1,000 messages a second ten seconds of a disk that hangs."""

_BATCH = 500
_GATHER = 0.2
"""Seconds that a record nobody waits for may wait for others: one sync instead of many."""

_BUSY = 5.0
"""Seconds that one worker's transaction waits for another's."""

_EXPIRED, _PAUSE = 500, 0.1
"""So many old records are deleted at once, and then so many seconds none: writers come between."""

RELEASE = "release"
"""The stage at which a person let a message out of quarantine."""

END_OF_TIME = float(1 << 37)
"""Seconds of the epoch, in the year 6325: what is later is no time that a calendar can show."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    reference TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    channel TEXT NOT NULL,
    client TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    action TEXT NOT NULL,
    reply TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS record_time ON record (time);
CREATE INDEX IF NOT EXISTS record_reference ON record (reference);
CREATE INDEX IF NOT EXISTS record_queue_id ON record (queue_id) WHERE queue_id != '';
CREATE INDEX IF NOT EXISTS record_message_id ON record (message_id) WHERE message_id != '';
PRAGMA user_version = 1;
"""
_COLUMNS = (
    "time", "reference", "queue_id", "message_id", "stage", "channel", "client", "sender",
    "recipient", "subject", "action", "reply", "details",
)  # fmt: skip
_INSERT = f"INSERT INTO record ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - constants
_NAMED = "reference = :word" + "".join(
    f" OR ({name} = :word AND {name} != '')" for name in ("queue_id", "message_id")
)
"""Said twice, or SQLite takes no index that leaves the empty ones out, and reads a million rows."""


def new_reference() -> str:
    """12 letters and digits that no other transaction has: 60 random bits (RFC 4648 base32)."""
    return base64.b32encode(secrets.token_bytes(8)).decode()[:12]


class RecordsError(Exception):
    """Records could not be written in time, or not be read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One verdict, or (with an empty `recipient`) one message as it passed a daemon.

    `stage` is where it was decided: `rcpt`, `end-of-message`, `delivery`, `release`, `training`.
    `time` is in seconds of the epoch. `details` holds reasons, findings and notes as `iems why`
    prints them.
    """

    reference: str
    stage: str
    action: str
    reply: str = ""
    recipient: str = ""
    subject: str = ""
    queue_id: str = ""
    message_id: str = ""
    channel: str = ""
    client: str = ""
    sender: str = ""
    details: dict[str, object] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


def details(decision: Decision, findings: Iterable[Finding] = ()) -> dict[str, object]:
    """A decision as the JSON of a record, `shadows` where there are any, and every finding."""
    return {
        "reasons": list(map(_reason, decision.reasons)),
        **({"shadows": list(map(_reason, decision.shadows))} if decision.shadows else {}),
        **({"lists": list(decision.lists)} if decision.lists else {}),
        "notes": list(decision.notes),
        "findings": list(map(_finding, dict.fromkeys([*findings, *decision.own]))),
    }


def _reason(reason: Reason) -> dict[str, object]:
    one = reason.ruling
    return {
        **_finding(reason.finding),
        "action": reason.action.word,
        "layer": str(reason.layer),
        "enforced": reason.enforced,
        **({"evidence": dict(reason.finding.evidence)} if reason.finding.evidence else {}),
        **({"entry": str(one.entry), "owner": str(one.owner)} if one else {}),
    }


def _finding(one: Finding) -> dict[str, object]:
    return {"check": one.check, "outcome": one.outcome, "band": one.band, "reason": one.reason}


class Recorder:
    """The writer of one process; `close` writes what is queued."""

    def __init__(self, path: Path) -> None:
        self.dropped = 0
        self._path = path
        self._queue: queue.Queue[_Job | None] = queue.Queue(_QUEUE)
        self._hurry = threading.Event()
        # A reader who may not write can open the file only while a writer has it open.
        opened = _open(path)
        opened.executescript(_SCHEMA)
        self._thread = threading.Thread(None, self._run, "records", (opened,), daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Queue the record; when the queue is full it is dropped and counted."""
        try:
            self._queue.put_nowait(_Job((record,)))
        except queue.Full:
            self.dropped += 1
        if self._queue.qsize() >= _BATCH:
            self._hurry.set()

    def commit(self, records: Iterable[Record], deadline: Deadline) -> None:
        """Return when the records are on disk, together with all others that wait now."""
        job = _Job(tuple(records), waited_for=True)
        try:
            self._queue.put(job, timeout=deadline.remaining())
        except queue.Full:
            raise RecordsError("the queue of records is full") from None
        self._hurry.set()
        if not job.done.wait(deadline.remaining()):
            raise RecordsError("the record was not written in time")
        if job.error:
            raise RecordsError(job.error)

    def close(self, deadline: Deadline) -> None:
        """Write what is queued and end the thread; a disk that hangs is left at the deadline."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=deadline.remaining())
        self._hurry.set()
        self._thread.join(deadline.remaining())

    def _run(self, connection: sqlite3.Connection | None) -> None:
        ended = False
        while not ended:
            jobs = self._batch()
            ended = jobs[-1] is None
            batch = [job for job in jobs if job is not None]
            error = ""
            try:
                connection = connection or _open(self._path)
                _write(connection, batch)
            except (sqlite3.Error, OSError) as failure:
                error = f"{type(failure).__name__}: {failure}"
                self.dropped += sum(len(job.records) for job in batch if not job.waited_for)
                connection = None
            for job in batch:
                job.error = error
                job.done.set()
        if connection is not None:
            connection.close()

    def _batch(self) -> list[_Job | None]:
        """What is written together: all that comes within `_GATHER`, or until somebody waits."""
        jobs = [self._queue.get()]
        if jobs[0] is not None and not jobs[0].waited_for:
            self._hurry.wait(_GATHER)
        self._hurry.clear()
        while jobs[-1] is not None and len(jobs) < _BATCH:
            try:
                jobs.append(self._queue.get_nowait())
            except queue.Empty:
                return jobs
        self._hurry.set()  # somebody in the rest of the queue may wait
        return jobs


class _Job:
    __slots__ = ("done", "error", "records", "waited_for")

    def __init__(self, records: tuple[Record, ...], *, waited_for: bool = False) -> None:
        self.records = records
        self.waited_for = waited_for
        self.done = threading.Event()
        self.error = ""


def search(
    paths: Iterable[Path], word: str, *, recipient: str = "", since: float = 0.0
) -> list[Record]:
    """The records whose reference, queue id or Message-ID is `word`, joined by their references.

    A file that does not exist holds no records. The oldest comes first.
    """
    files = [path for path in paths if path.exists()]
    references = {row.reference for row in _select(files, _NAMED, {"word": str(_utf8(word))})}
    found = [
        row
        for reference in references
        for row in _select(files, "reference = :reference", {"reference": reference})
        if row.time >= since and _concerns(row, recipient)
    ]
    return sorted(found, key=lambda row: row.time)


def every(
    paths: Iterable[Path], *, since: float = 0.0, before: float = END_OF_TIME
) -> Iterator[Record]:
    """All records between these times of the epoch, one file after the other, as they are read."""
    times = {"since": since, "before": before}
    yield from _select(filter(Path.exists, paths), "time >= :since AND time < :before", times)


def channels(path: Path, queue_ids: Sequence[str]) -> dict[str, str]:
    """By which channel messages came, as far as there are records; some hundred ids at once."""
    if not path.exists():
        return {}
    marks = ", ".join("?" * len(queue_ids))
    asked = f"SELECT queue_id, channel FROM record WHERE queue_id != '' AND queue_id IN ({marks})"  # noqa: S608 - marks
    try:
        with contextlib.closing(_open(path, read_only=True)) as connection:
            return dict(connection.execute(asked, queue_ids).fetchall())
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise RecordsError(f"{path}: {error}") from None


def snapshot(path: Path, target: Path) -> None:
    """Copy the records as they are at one moment, while others write; RecordsError if not."""
    try:
        with (
            contextlib.closing(_open(path, read_only=True)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        raise RecordsError(f"{path}: {error}") from None


def count(path: Path) -> int:
    """How many records a file holds that another machine wrote; RecordsError if it holds none."""
    try:
        with contextlib.closing(_open(path, read_only=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            [kind] = connection.execute("SELECT type FROM sqlite_master WHERE name = 'record'")
            [version] = connection.execute("PRAGMA user_version")
            [sound] = connection.execute("PRAGMA quick_check(1)")
            [found] = connection.execute("SELECT count(*) FROM record")
    except (sqlite3.Error, ValueError) as error:
        raise RecordsError(f"{path}: no records: {error}") from None
    if (kind, version, sound) != (("table",), (1,), ("ok",)):
        raise RecordsError(f"{path}: no records: {kind[0]}, version {version[0]}, {sound[0]}")
    return int(found[0])


def merge(path: Path, source: Path) -> None:
    """Add the records of `source` that are not there, in one transaction; RecordsError if not."""
    columns = ", ".join(_COLUMNS)
    try:
        with contextlib.closing(_open(path)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("ATTACH ? AS other", (f"{source.absolute().as_uri()}?mode=ro",))
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                f"INSERT INTO main.record ({columns}) SELECT {columns} FROM other.record "  # noqa: S608 - constants
                f"EXCEPT SELECT {columns} FROM main.record"
            )
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise RecordsError(f"{path}: {error}") from None


def expire(path: Path, before: float, deadline: Deadline) -> int:
    """Delete records of before this time of the epoch, until the deadline; how many.

    The oldest go first, and each batch for itself, so that no writer waits for more than one. The
    file keeps its size: what is free in it is written again. RecordsError where that fails.
    """
    deleted, pause = 0, threading.Event()
    try:
        with contextlib.closing(_open(path)) as connection:
            connection.executescript(_SCHEMA)
            while not deadline.expired:
                batch = connection.execute(
                    "DELETE FROM record WHERE id IN"
                    " (SELECT id FROM record WHERE time < ? ORDER BY time LIMIT ?)",
                    (before, _EXPIRED),
                ).rowcount
                deleted += batch
                if batch < _EXPIRED:
                    break
                pause.wait(min(_PAUSE, deadline.remaining()))
    except sqlite3.Error as error:
        raise RecordsError(f"{path}: {error}") from None
    return deleted


def _concerns(record: Record, recipient: str) -> bool:
    """Whether the recipient is this one, as the client wrote him or as an alias led to him."""
    wanted = recipient.casefold()
    subject = record.subject.casefold().removeprefix(f"{Kind.USER.value} ")
    return not wanted or wanted in {record.recipient.casefold(), subject}


def _select(paths: Iterable[Path], where: str, values: Mapping[str, object]) -> Iterator[Record]:
    for path in paths:
        try:
            with contextlib.closing(_open(path, read_only=True)) as connection:
                rows = connection.execute(
                    f"SELECT {', '.join(_COLUMNS)} FROM record WHERE {where}",  # noqa: S608 - constants
                    values,
                )
                for row in rows:
                    yield _read(row)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecordsError(f"{path}: {error}") from None
        except (ValueError, TypeError, RecursionError):
            raise RecordsError(f"{path}: a record is damaged") from None


def _read(row: tuple[object, ...]) -> Record:
    """The record of a row; ValueError or TypeError where it is none that we wrote."""
    named = dict(zip(_COLUMNS, row, strict=True))
    time, texts = named.pop("time"), {name: str(value) for name, value in named.items()}
    told = json.loads(texts.pop("details"))
    if not isinstance(time, float) or not 0 <= time < END_OF_TIME or not isinstance(told, dict):
        raise ValueError
    return Record(**texts, time=time, details=told)


def _write(connection: sqlite3.Connection, batch: list[_Job]) -> None:
    rows = [_row(record) for job in batch for record in job.records]
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise


def _row(record: Record) -> tuple[object, ...]:
    return tuple(
        json.dumps(value) if isinstance(value := getattr(record, name), dict) else _utf8(value)
        for name in _COLUMNS
    )


def _utf8(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _open(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    target = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    opened = sqlite3.connect(target, _BUSY, isolation_level=None, check_same_thread=False, uri=True)
    if not read_only:
        write_ahead(opened, Deadline.after(_BUSY))
        opened.execute("PRAGMA synchronous = FULL")
    return opened
