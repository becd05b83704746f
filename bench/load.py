"""A load generator for SMTP and LMTP: many conversations at once from one thread.

smtp-source comes from one address only; this one gives each conversation a source address of its
own from the loopback range. A conversation is a list of steps, each the bytes to send and the
replies to wait for, of which there are several where it pipelines (RFC 2920). A reply with another
code is counted in `refused` and ends its conversation. `python -m bench generator` measures it
against a sink: it must be several times faster than what it measures.
"""

from __future__ import annotations

import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Where = tuple[str, int] | Path
"""Host and port, or the path of a unix socket."""


_SILENCE = 30.0
"""Seconds without a byte from any conversation until the run is given up."""


@dataclass(frozen=True, slots=True)
class Step:
    """Send `line` (nothing at the very first step) and wait for a reply with this code.

    `before` says how many commands stand in `line` before the last one; each wants its 250.
    """

    line: bytes
    code: bytes = b"250"
    message: bool = False
    """Whether a right reply means that one more message was accepted."""
    before: int = 0


@dataclass(frozen=True, slots=True)
class Conversation:
    """One connection: `source` is the address it comes from ("" lets the kernel choose)."""

    steps: Sequence[Step]
    source: str = ""


@dataclass(slots=True)
class Load:
    """What a run did: messages accepted, seconds, CPU seconds of the generator itself."""

    accepted: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    times: list[float] = field(default_factory=list)
    """Seconds of each conversation, from its connection to its end."""
    refused: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    socket: socket.socket
    steps: Sequence[Step]
    began: float
    at: int = 0
    buffer: bytes = b""


def run(
    where: Where, conversations: Iterable[Conversation], parallel: int, rate: float = math.inf
) -> Load:
    """Hold all conversations, `parallel` of them at any time; returns when the last has ended.

    No more than `rate` of them begin in a second.
    """
    waiting = deque(conversations)
    load = Load()
    began, cpu = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as selector:
        opened = started = 0
        while waiting or opened:
            due = (time.perf_counter() - began) * rate
            while waiting and opened < parallel and started <= due:
                _start(selector, where, waiting.popleft())
                opened += 1
                started += 1
            held = bool(waiting) and opened < parallel
            pause = max(0.0, began + started / rate - time.perf_counter()) if held else _SILENCE
            events = selector.select(pause)
            if not events and not held:
                raise TimeoutError(f"{opened} conversations silent for {_SILENCE} s")
            for key, _mask in events:
                if not _answered(key.data, load):
                    load.times.append(time.perf_counter() - key.data.began)
                    selector.unregister(key.data.socket)
                    key.data.socket.close()
                    opened -= 1
    load.seconds = time.perf_counter() - began
    load.cpu = time.process_time() - cpu
    return load


def _start(selector: selectors.BaseSelector, where: Where, told: Conversation) -> None:
    began = time.perf_counter()
    if isinstance(where, Path):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(where))
    else:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if told.source:
            client.bind((told.source, 0))
        client.connect(where)
    selector.register(client, selectors.EVENT_READ, _Open(client, told.steps, began))


def _answered(one: _Open, load: Load) -> bool:
    """Read what came, go on; False when the conversation is over."""
    octets = one.socket.recv(65536)
    one.buffer += octets
    step = one.steps[one.at]
    replies = _replies(one.buffer)
    if octets and len(replies) <= step.before:
        return True
    wanted = [b"250"] * step.before + [step.code]
    wrong = [told for told, code in zip(replies, wanted, strict=False) if not told.startswith(code)]
    if wrong or not octets:
        load.refused.append(wrong[0][:200] if wrong else b"closed at " + step.line[:20])
        return False
    load.accepted += step.message
    one.buffer = b""
    one.at += 1
    if one.at == len(one.steps):
        return False
    one.socket.sendall(one.steps[one.at].line)
    return True


def _replies(octets: bytes) -> list[bytes]:
    """The last line of each reply that is whole (RFC 5321 section 4.2.1)."""
    return [line for line in octets.split(b"\r\n")[:-1] if line[3:4] == b" "]
