"""Messages as two independent readers see them: Python's `email`, and GMime, which is written in C.

GMime runs under Debian's Python, which has its bindings, as a process that is asked one message
after another (`tests/gmime_leaves.py`).
"""

from __future__ import annotations

import base64
import copy
import email
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

_HELPER = Path(__file__).parent / "gmime_leaves.py"


@dataclass(frozen=True)
class Leaf:
    """A part that holds no others."""

    kind: str
    attached: bool
    charset: str
    fields: tuple[tuple[str, str], ...]
    """Those whose names begin with Content-."""

    octets: bytes
    """As they stand in the message."""

    content: bytes
    """Without the transfer encoding."""

    within: tuple[tuple[int, int], ...]
    """In which of the multipart/alternative, and in which of its children."""


MESSAGES = ("message/rfc822", "message/global", "message/news")
"""In which they look; all other messages are none of the leaves."""

Reader = Callable[[bytes], list[Leaf]]


def by_email(data: bytes) -> list[Leaf]:
    """What Python's own parser sees."""
    return list(_leaves(email.message_from_bytes(data), (), iter(range(len(data) + 1))))


def _leaves(
    part: Message, within: tuple[tuple[int, int], ...], numbers: Iterator[int]
) -> Iterator[Leaf]:
    payload, kind = part.get_payload(), part.get_content_type()
    if kind.startswith("message/") and kind not in MESSAGES:
        return
    if isinstance(payload, list):
        number = next(numbers) if kind == "multipart/alternative" else None
        for at, one in enumerate(payload):
            inside = within if number is None else (*within, (number, at))
            assert isinstance(one, Message)
            yield from _leaves(one, inside, numbers)
        return
    bare = copy.copy(part)
    del bare["Content-Transfer-Encoding"]
    octets, content = bare.get_payload(decode=True), part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    assert isinstance(content, bytes)
    yield Leaf(
        kind,
        part.get_content_disposition() == "attachment",
        part.get_content_charset() or "",
        tuple(
            (name.lower(), str(value))
            for name, value in part.items()
            if name.lower().startswith("content-")
        ),
        octets,
        content,
        within,
    )


class GMime:
    """The process; it is asked for the leaves of a message as a function is."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/usr/bin/python3", _HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(self, data: bytes) -> list[Leaf]:
        """What GMime sees."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(len(data).to_bytes(4, "big") + data)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "GMime's process has ended"
        return [_leaf(one) for one in json.loads(line)]

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)


def _leaf(told: dict[str, Any]) -> Leaf:
    return Leaf(
        told["kind"],
        told["attached"],
        told["charset"],
        tuple((name, value) for name, value in told["fields"]),
        base64.b64decode(told["octets"]),
        base64.b64decode(told["content"]),
        tuple((number, at) for number, at in told["within"]),
    )
