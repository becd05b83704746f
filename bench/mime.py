"""The tree of a message's parts beside Python's `email` and GMime, and whether its time is linear.

It needs no server, and the package libgmime-3.0-0. Times are of the process, so that what else the
machine does counts little.
"""

from __future__ import annotations

import base64
import email
import random
import time
from collections.abc import Callable

from bench import corpus, figures
from bench.gmime import Gmime
from bench.names import SEED
from iems.mime.tree import parse

SIZES = (4 << 10, 100 << 10, 10 << 20)
_SMALL, _LARGE = 1 << 20, 4 << 20
_MIXED = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
_SECONDS = 0.2
"""A run goes on for so long at least."""

HOSTILE: dict[str, Callable[[int], bytes]] = {
    "a million parts": lambda size: _MIXED + b"--b\r\n" * (size // 5),
    "parts with headers": lambda size: _MIXED + b"--b\r\nA: b\r\n\r\nc\r\n" * (size // 17),
    "lines like delimiters": lambda size: _MIXED + b"--bx\r\n" * (size // 6),
    "multiparts in multiparts": lambda size: _deep(size),
    "the same in two readings": lambda size: _deep(size).replace(b'="', b'=c; boundary="'),
    "messages in messages": lambda size: b"Content-Type: message/rfc822\r\n\r\n" * (size // 32),
    "lines of one CR": lambda size: b"A: \rb\r\n\r\n" + b"\r--b" * (size // 4),
    "a header without end": lambda size: b"A: b\r\n" * (size // 6),
    "many types": lambda size: b"Content-Type: a/%s; x=y\r\n" * (size // 26),
    "one long type": lambda size: b"Content-Type: a/b" + b"; x=y" * (size // 5) + b"\r\n\r\n",
}


def measure(rounds: int, _messages: int) -> str:
    """Run everything; the tables."""
    draw = random.Random(SEED)
    pools = {**corpus.messages(SIZES[:2]), SIZES[2]: [with_attachment(draw, SIZES[2])]}
    rows, gmime = [], Gmime()
    for size, pool in pools.items():
        ours, other, fast = [], [], []
        for _round in range(rounds):
            ours.append(_speed(parse, pool))
            other.append(_speed(email.message_from_bytes, pool))
            fast.append(_speed(gmime.parse, pool))
        name = f"{size >> 10} KiB"
        rows += [figures.row(f"email, {name}", other), figures.row(f"GMime, {name}", fast, other)]
        rows += [figures.row(f"tree, {name}", ours, other, 20.0 if size > SIZES[0] else None)]
    hostile = []
    for name, make in HOSTILE.items():
        small, large = (_speed(parse, [make(size)]) for size in (_SMALL, _LARGE))
        hostile.append(f"| {name} | {small:.1f} | {large:.1f} | {small / large:.2f} |")
    return "\n".join(
        [
            *("## Parsing MIME, MB of messages a second of CPU", ""),
            *("| run | MB/s | ratio | target |", "| --- | --- | --- | --- |", *rows, ""),
            *("| hostile message | 1 MiB, MB/s | 4 MiB, MB/s | time per byte, ratio |",),
            *("| --- | --- | --- | --- |", *hostile, ""),
        ]
    )


def _speed(read: Callable[[bytes], object], pool: list[bytes]) -> float:
    """MB a second."""
    done, start = 0, time.process_time()
    while (taken := time.process_time() - start) < _SECONDS:
        for message in pool:
            read(message)
        done += sum(map(len, pool))
    return done / taken / 1e6


def with_attachment(draw: random.Random, size: int) -> bytes:
    """A message of this size, most of which is one file in base64."""
    lines = base64.encodebytes(draw.randbytes(size * 57 // 78)).replace(b"\n", b"\r\n")
    part = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    whole = _MIXED + b"--b\r\n\r\ntext\r\n--b\r\n" + part + lines + b"--b--\r\n"
    usual = b"------------%024x" % draw.getrandbits(96)
    return whole.replace(b'"b"', b'"%s"' % usual).replace(b"--b", b"--" + usual)


def _deep(size: int) -> bytes:
    """Multiparts that begin inside of each other."""
    one = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n'
    return b"".join(one % (number, number) for number in range(size // 60))
