"""All that is kept of a user as one JSON object, to be taken elsewhere and put back: pure.

With it goes the salt that his words are hashed with: elsewhere his filter goes on with that one.
`digest` is the SHA-256 of all other keys, for what is damaged on its way. What is read is looked at
as what comes from a stranger; a ValueError says what is wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from lmtp.bayes.classifier import CLASSIFIERS
from lmtp.bayes.score import Label
from lmtp.bayes.state import StateError
from lmtp.bayes.store import Entry, Kept, checked
from lmtp.bayes.training import state_of

LARGEST = 32 << 20
"""Bytes: a full journal has some 12 MiB; of a larger one the oldest entries are left out."""

_FORMAT = "iems-bayes"
_VERSION = 1
_KEY = 16
_END = 253_402_300_800.0
"""The year 10,000, which no calendar has."""


def exported(user: str, kept: Kept, journal: Sequence[Entry]) -> bytes:
    """The object as text, with the latest entries of the journal, as many as have room."""
    head: dict[str, object] = {
        "format": _FORMAT,
        "version": _VERSION,
        "user": user,
        "classifier": kept.classifier,
        "ham": kept.ham,
        "spam": kept.spam,
        "time": kept.time,
        "salt": _text(kept.salt),
        "state": _text(kept.state),
    }
    rows = list(_latest([json.dumps(_row(one)) for one in journal], len(json.dumps(head))))
    rows.reverse()
    digest = _digest({**head, "journal": [json.loads(row) for row in rows]})
    body = ",\n".join(rows)
    return f'{json.dumps(head)[:-1]}, "journal": [\n{body}\n], "digest": "{digest}"}}\n'.encode()


def read(text: bytes) -> tuple[Kept, list[Entry]]:
    """What was exported; ValueError."""
    try:
        found = json.loads(text)
        if found["format"] != _FORMAT:
            raise ValueError("nothing that was exported")
        if found["version"] != _VERSION:
            raise ValueError(f"version {found['version']!r:.20} is not known")
        if found.pop("digest") != _digest(found):
            raise ValueError("damaged: its digest is another one")
        kept = Kept(
            _bytes(found["salt"]),
            classifier=str(found["classifier"]),
            state=_bytes(found["state"]),
            ham=int(found["ham"]),
            spam=int(found["spam"]),
            time=_time(found["time"]),
        )
        entries = [_entry(row) for row in found["journal"]]
        state = state_of(kept)
        if (state.ham, state.spam) != (kept.ham, kept.spam):
            raise ValueError("it counts other messages than its state")
        checked(kept)
        for entry in entries:
            checked(kept, entry)
            CLASSIFIERS[state.classifier].classify(state, entry.features)
            CLASSIFIERS[state.classifier].undo(state_of(kept), entry.change)
    except (TypeError, LookupError, RecursionError, binascii.Error, OverflowError) as error:
        raise ValueError(f"nothing that was exported: {type(error).__name__}") from None
    except StateError as error:
        raise ValueError(f"its state or a change of it is {error}") from None
    return kept, entries


def _latest(rows: Sequence[str], size: int) -> Iterator[str]:
    """The last ones first, as many as there is room for."""
    for row in reversed(rows):
        size += len(row) + 2
        if size > LARGEST - 200:
            return
        yield row


def _row(entry: Entry) -> dict[str, object]:
    return {
        "key": entry.key.hex(),
        "label": entry.label.value,
        "time": entry.time,
        "source": entry.source,
        "score": entry.score,
        "features": _text(entry.features),
        "change": _text(entry.change),
    }


def _entry(row: Any) -> Entry:  # noqa: ANN401 - what JSON holds
    score = row["score"]
    return Entry(
        _key(row["key"]),
        Label(row["label"]),
        _time(row["time"]),
        str(row["source"])[:32],
        None if score is None else _number(score),
        _bytes(row["features"]),
        _bytes(row["change"]),
    )


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != _KEY:
        raise ValueError(f"a key of {len(key)} bytes")
    return key


def _time(value: Any) -> float:  # noqa: ANN401 - what JSON holds
    seconds = _number(value)
    if not 0 <= seconds < _END:
        raise ValueError(f"{seconds} is no time")
    return seconds


def _number(value: Any) -> float:  # noqa: ANN401 - what JSON holds
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number to go on with")
    return number


def _digest(table: dict[str, object]) -> str:
    text = json.dumps(table, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
