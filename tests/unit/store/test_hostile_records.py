"""Records of any text are found by their names; rows that nobody wrote are an error, no crash."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.why import explain
from iems.serve.deadline import Deadline
from iems.store.records import _COLUMNS, _INSERT, Record, Recorder, RecordsError, search

anything = st.text(st.characters(), max_size=40)
numbers = iter(range(1 << 30))
json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
values = anything | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.binary(max_size=20)


@functools.cache
def _file() -> bytes:
    """A file of records with one in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.sqlite"
        one = Recorder(path)
        one.commit([Record("R1", "rcpt", "junk")], Deadline.after(5))
        one.close(Deadline.after(5))
        return path.read_bytes()


@pytest.fixture(scope="module")
def recorder() -> Iterator[tuple[Path, Recorder]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.sqlite"
        one = Recorder(path)
        yield path, one
        one.close(Deadline.after(5))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.fixed_dictionaries(
        dict.fromkeys(
            ("queue_id", "message_id", "sender", "recipient", "reply", "client"), anything
        )
    ),
    st.dictionaries(anything, json, max_size=3),
)
def test_any_text_is_kept_and_found_and_explained(
    recorder: tuple[Path, Recorder], texts: dict[str, str], details: dict[str, object]
) -> None:
    path, one = recorder
    reference = f"R{next(numbers)}"
    one.commit([Record(reference, "rcpt", "junk", details=details, **texts)], Deadline.after(10))  # type: ignore[arg-type]
    for word in (reference, texts["queue_id"], texts["message_id"]):
        found = [row for row in search([path], word or reference) if row.reference == reference]
        assert len(found) == 1
        assert all(line.isprintable() for line in explain(found[0]))
    search([path], reference, recipient=texts["recipient"])


@settings(max_examples=100, deadline=None)
@given(st.lists(values, min_size=len(_COLUMNS), max_size=len(_COLUMNS)))
@example([1e300, "R1", *[""] * 10, "{}"])
@example(["soon", "R1", *[""] * 10, "{}"])
@example([1.0, "R1", *[b"\xff"] * 10, "[]"])
@example([1.0, "R1", *[""] * 10, "[" * 9000])
def test_a_row_that_nobody_wrote_is_a_record_or_an_error(row: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.sqlite"
        path.write_bytes(_file())
        row = [
            one.encode("utf-8", "replace").decode() if isinstance(one, str) else one for one in row
        ]
        row[_COLUMNS.index("reference")] = "R1"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("DELETE FROM record")
            try:
                connection.execute(_INSERT, row)
            except sqlite3.IntegrityError:
                return  # NaN is NULL, which the table does not take
        try:
            (found,) = search([path], "R1")
        except RecordsError:
            return
        assert all(line.isprintable() for line in explain(found))


@given(st.binary(max_size=2000), st.integers(0, 4000))
@settings(max_examples=100, deadline=None)
@example(b"\x80", 3699)
def test_a_damaged_file_is_read_or_an_error(damage: bytes, at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.sqlite"
        whole = _file()
        path.write_bytes(whole[:at] + damage + whole[at + len(damage) :])
        try:
            found = search([path], "R1")
        except RecordsError:
            return
        assert len(found) <= 1
