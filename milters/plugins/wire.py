"""What milter and plug-in say to each other: frames of JSON, and octets behind them.

A frame is four bytes of length, so many bytes of JSON that is a table, and the octets whose lengths
the table has under `octets`; what a plug-in says has none. The milter does not take its word: what
is no frame, larger than allowed, or anything but findings or an edit that it may make, is a
WireError.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from iems.edits.edit import Edit
from iems.mime.splice import Splice, SpliceError
from iems.model.finding import Finding

_LENGTH = struct.Struct("!I")
MAX_REPLY = 64 << 10
"""Bytes of JSON that a plug-in may answer: 20 findings of the longest."""

MAX_MESSAGE = 16 << 20
"""Bytes of a message that an edit makes."""

MAX_EDIT = 24 << 20
"""Bytes of JSON that the edit may be: all of a message in base64, with room for the offsets."""

MAX_QUESTION = 1 << 20
_MAX_SPLICES = 10_000
_MAX_FINDINGS = 20
_MAX_EVIDENCE = 20
_MAX_TEXT = 400
_OUTCOME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
Wait = Callable[[], None]


class WireError(Exception):
    """What came is not what was to come; the text says why."""


def frame(told: Mapping[str, Any], octets: Sequence[bytes] = ()) -> list[bytes]:
    """What goes onto the wire."""
    sizes = {"octets": [len(one) for one in octets]} if octets else {}
    text = json.dumps({**told, **sizes}, allow_nan=False).encode("ascii")
    return [_LENGTH.pack(len(text)) + text, *octets]


def receive(connection: socket.socket, limit: int, wait: Wait) -> dict[str, Any]:
    """The next frame's table, of at most `limit` bytes; `wait` is called before each wait.

    EOFError where the other is gone.
    """
    (length,) = _LENGTH.unpack(exactly(connection, _LENGTH.size, wait))
    if length > limit:
        raise WireError(f"{length} bytes, and {limit} may be")
    try:
        told = json.loads(exactly(connection, length, wait))
    except (ValueError, RecursionError):
        raise WireError("no JSON") from None
    if not isinstance(told, dict):
        raise WireError("no table")
    return told


def exactly(connection: socket.socket, size: int, wait: Wait) -> bytes:
    """The next so many bytes; EOFError."""
    whole = bytearray(size)
    left = memoryview(whole)
    while left:
        wait()
        count = connection.recv_into(left)
        if not count:
            raise EOFError
        left = left[count:]
    return bytes(whole)


def findings(rows: object, name: str, bands: Container[str]) -> tuple[Finding, ...]:
    """What the check of this name says that it found; WireError where it may not say so."""
    if not isinstance(rows, list) or len(rows) > _MAX_FINDINGS:
        raise WireError(f"no list of at most {_MAX_FINDINGS} findings")
    return tuple(_finding(row, name, bands) for row in rows)


def edit_row(made: Edit) -> dict[str, object]:
    """What a plug-in says that is to be done with the message."""
    splices = [
        [one.start, one.end, base64.b64encode(one.new).decode("ascii")] for one in made.splices
    ]
    return {"splices": splices, "reason": made.reason, "rejected": made.rejected}


def edit(said: object, data: bytes) -> Edit:
    """The edit of this message that a plug-in says; WireError where it cannot be meant."""
    if not isinstance(said, dict):
        raise WireError("an edit that is none")
    rows, reason, rejected = said.get("splices"), _text(said.get("reason")), said.get("rejected")
    if not isinstance(rows, list) or len(rows) > _MAX_SPLICES:
        raise WireError(f"no list of at most {_MAX_SPLICES} splices")
    if not isinstance(rejected, bool) or (rejected and (rows or not reason)):
        raise WireError("a rejection that is none, has no reason, or edits")
    made = Edit(tuple(map(_splice, rows)), reason, rejected)
    size = len(data) + sum(len(one.new) - one.end + one.start for one in made.splices)
    if size > MAX_MESSAGE:
        raise WireError(f"a message of {size} bytes, and {MAX_MESSAGE} may be")
    try:
        made.of(data)
    except SpliceError as error:
        raise WireError(str(error)) from None
    return made


def _splice(row: object) -> Splice:
    if not isinstance(row, list) or len(row) != 3:
        raise WireError("a splice that is none")
    start, end, new = row
    if type(start) is not int or type(end) is not int or not isinstance(new, str):
        raise WireError("a splice that is none")
    try:
        return Splice(start, end, base64.b64decode(new, validate=True))
    except ValueError:
        raise WireError("new bytes that are not base64") from None


def _finding(row: object, name: str, bands: Container[str]) -> Finding:
    if not isinstance(row, list) or len(row) != 6:  # as iems.codec.findings.rows_of has it
        raise WireError("a finding that is none")
    check, outcome, band, reason, score, evidence = row
    if check != name:
        raise WireError("a finding of another check")
    if not isinstance(outcome, str) or not _OUTCOME.fullmatch(outcome):
        raise WireError("an outcome that is no word")
    if not isinstance(band, str) or (band and band not in bands):
        raise WireError("a band that it does not have")
    number = isinstance(score, (int, float)) and not isinstance(score, bool)
    if score is not None and not (number and abs(score) <= sys.float_info.max):
        raise WireError("a score that is no number")
    return Finding(name, outcome, band, _text(reason), score, _pairs(evidence))


def _pairs(evidence: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(evidence, list) or len(evidence) > _MAX_EVIDENCE:
        raise WireError("evidence that is no list")
    return tuple((_text(name), _text(value)) for name, value in map(_pair, evidence))


def _pair(value: object) -> Sequence[object]:
    if not isinstance(value, list) or len(value) != 2:
        raise WireError("evidence that is no pair")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise WireError(f"a text that is none, or longer than {_MAX_TEXT}")
    if not (value.isascii() and value.isprintable()):
        raise WireError("a text that is not printable ASCII")
    return value
