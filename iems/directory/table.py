"""Users, aliases, domains and policies as tables: a row has values by column, from CSV or LDIF.

Both ways are streams. A row that cannot be read is a `Fault` with its line; the rows after it are
read all the same. In CSV (RFC 4180, UTF-8, with a header row) several values of a cell stand on
lines of their own; in LDIF the columns are attributes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from iems.directory import ldif
from iems.directory.ldif import Fault
from iems.directory.tree import (
    ADDRESS,
    CLASS,
    DISABLED,
    DOMAIN_NAME,
    FILTER,
    FORWARD,
    HEADER,
    KIND,
    NAME,
    PASSWORD,
    POLICY,
    READS,
    SENDER,
    TARGET,
)

Values = Mapping[str, Sequence[str]]

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "user": {
        "address": ADDRESS,
        "name": NAME,
        "disabled": DISABLED,
        "kind": KIND,
        "forward": FORWARD,
        "reads": READS,
        "bayes": FILTER,
        "policy": POLICY,
        "senders": SENDER,
        "password": "",
        "password_hash": PASSWORD,
    },
    "alias": {"address": ADDRESS, "targets": TARGET},
    "domain": {
        "domain": DOMAIN_NAME,
        "policy": POLICY,
        "senders": SENDER,
        "headers": HEADER,
        "alias_of": "",
        "postmaster": "",
    },
    "policy": {"subject": "", "policy": POLICY},
}
"""By kind: column -> attribute in LDIF, empty where there is none. The first one is needed."""

_CLASSES: Mapping[str, frozenset[bytes]] = {
    "user": frozenset({b"iemsuser"}),
    "alias": frozenset({b"iemsalias"}),
    "domain": frozenset({b"iemsdomain"}),
    "policy": frozenset({b"iemsuser", b"iemsdomain"}),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: the number of its first line, its values by column, and in LDIF its name."""

    number: int
    values: Values
    dn: bytes = b""


def read_csv(kind: str, lines: Iterable[bytes]) -> Iterator[Line | Fault]:
    """The rows of a CSV file; a header row that is none of this kind is the only `Fault`."""
    # A byte that is no UTF-8 spoils its own row, and not the reading of the others.
    texts = (line.decode("utf-8", "surrogateescape") for line in lines)
    reader = csv.reader(texts, strict=True)
    header: list[str] = []
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Fault(start, str(error))
            continue
        if not header:
            header = [cell.strip().lower().removeprefix("\ufeff") for cell in cells]
            fault = _header_fault(kind, header)
            if fault:
                yield Fault(start, fault)
                return
        elif cells:
            yield _line(start, header, cells)


def read_ldif(kind: str, lines: Iterable[bytes]) -> Iterator[Line | Fault]:
    """The entries of an LDIF file."""
    columns = {attribute.lower(): column for column, attribute in COLUMNS[kind].items()}
    for record in ldif.read(lines):
        if isinstance(record, Fault):
            yield record
            continue
        attributes = {name.lower(): values for name, values in record.attributes.items()}
        classes = {value.lower() for value in attributes.get(CLASS.lower(), ())}
        if not classes & _CLASSES[kind]:
            yield Fault(record.line, f"the entry has none of the classes of a {kind}")
            continue
        values: dict[str, Sequence[str]] = {}
        try:
            for attribute, found in attributes.items():
                column = columns.get(attribute)
                if column:
                    values[column] = [value.decode("utf-8") for value in found]
        except UnicodeDecodeError:
            yield Fault(record.line, f"{attribute} is not UTF-8")
            continue
        yield Line(record.line, values, record.name)


def csv_row(cells: Iterable[Sequence[str]]) -> bytes:
    """One row of a CSV file."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow("\n".join(values) for values in cells)
    return stream.getvalue().encode()


def _header_fault(kind: str, header: Sequence[str]) -> str:
    known = list(COLUMNS[kind])
    wrong = [name for name in header if name not in known]
    if wrong or known[0] not in header or len(set(header)) < len(header):
        return f"the header row is {', '.join(header)!r}; expected {known[0]} and any of {known}"
    return ""


def _line(number: int, header: Sequence[str], cells: Sequence[str]) -> Line | Fault:
    if len(cells) != len(header):
        return Fault(number, f"{len(cells)} cells; expected {len(header)}, one for each column")
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:
        return Fault(number, "it is not UTF-8")
    return Line(
        number, {name: _split(name, cell) for name, cell in zip(header, cells, strict=True)}
    )


def _split(column: str, cell: str) -> Sequence[str]:
    if column == "password":
        return [cell] if cell else []  # as it is typed
    return [one.strip() for one in cell.splitlines() if one.strip()]
