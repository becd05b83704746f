"""What waits in the queues of all Postfix instances of this machine, and what is done about it.

Postfix itself is asked and told (postconf(1), postqueue(1), postsuper(1)); like every command of
Postfix this follows MAIL_CONFIG. A queue is read as a stream, so that 100,000 messages are no
matter, and it moves on meanwhile: a message that has left is none that anything is done about.
Queue ids must never come again (`enable_long_queue_ids`), or another message could be meant by one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from cli.postfix import PostfixError, program, run
from iems.model.address import AddressError, domain_name

LIMIT = 600.0
"""Seconds in which one command must have gone through a whole queue."""

_NOBODY = "MAILER-DAEMON"
"""What postqueue(1) writes for the empty sender, that of bounces."""

QUEUES = frozenset({"maildrop", "incoming", "active", "deferred", "hold"})
"""Those that postqueue(1) shows."""

VERBS = {"hold": "-h", "release": "-H", "requeue": "-r", "delete": "-d"}
"""What postsuper(1) does, by our words."""

_QUEUE_ID = re.compile(r"[0-9A-Za-z]+")
_DONE = re.compile(r": (\d+) messages?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Instance:
    """A Postfix: its name, where its main.cf is, and where its queues are."""

    name: str
    folder: Path
    queues: Path


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who waits for a message, and why he still does."""

    address: str
    reason: str = ""

    @property
    def domain(self) -> str:
        """The part behind the last @, as domains are compared."""
        return _domain(self.address.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `arrived` in seconds of the epoch, `size` in bytes, `sender` "" for `<>`.

    `channel` is the one by which it came, where that is known.
    """

    instance: str
    queue: str
    queue_id: str
    arrived: float
    size: int
    sender: str
    recipients: tuple[Recipient, ...]
    channel: str = ""


Test: TypeAlias = Callable[[str], bool]


def _any(_text: str) -> bool:
    return True


@dataclass(frozen=True)
class Filter:
    """Which messages are meant: all that is said must be so, and of one and the same recipient.

    `before` is a time of the epoch.
    """

    sender: Test = _any
    recipient: Test = _any
    domain: str = ""
    reason: str = ""
    before: float = float("inf")
    queues: frozenset[str] = QUEUES

    def chosen(self, message: Message) -> Message | None:
        """The message with the recipients who are meant; None where nobody is."""
        if message.queue not in self.queues or message.arrived > self.before:
            return None
        if not self.sender(message.sender):
            return None
        meant = tuple(one for one in message.recipients if self._means(one))
        return replace(message, recipients=meant) if meant else None

    def _means(self, one: Recipient) -> bool:
        return (
            self.recipient(one.address)
            and self.domain in {"", one.domain}
            and self.reason.lower() in one.reason.lower()
        )


def instances() -> list[Instance]:
    """The Postfix that MAIL_CONFIG or the default names, and those that it manages."""
    first, others, *rest = _configured(
        "config_directory", "multi_instance_directories", "multi_instance_name", "queue_directory"
    )
    found = [_instance(Path(first), *rest)]
    for folder in map(Path, others.replace(",", " ").split()):
        values = _configured("multi_instance_name", "queue_directory", folder=folder)
        found.append(_instance(folder, *values))
    return found


def _instance(folder: Path, name: str, queues: str) -> Instance:
    return Instance(name or folder.name, folder, Path(queues))


def messages(instance: Instance) -> Iterator[Message]:
    """All that waits there, as Postfix tells it; PostfixError where it cannot."""
    command = [program("postqueue"), "-c", str(instance.folder), "-j"]
    try:
        # What Postfix has to say of itself, that it is down for instance, goes to the operator.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise PostfixError(f"postqueue cannot be asked: {error}") from None
    with _bounded(process):
        for line in process.stdout or ():
            yield _message(instance, line)
        code = process.wait()
    if code:
        raise PostfixError(f"postqueue of {instance.name} ended with {code}")


def act(verb: str, instance: Instance, queue_ids: Iterable[str]) -> int:
    """Let postsuper(1) do it to these messages; how many were still there. PostfixError if not."""
    words = ("-c", str(instance.folder), VERBS[verb], "-")
    given = "".join(f"{one}\n" for one in queue_ids)
    done = run("postsuper", *words, given=given, timeout=LIMIT)
    if done.returncode:
        raise PostfixError(f"postsuper of {instance.name}: {done.stderr.strip()}")
    return sum(map(int, _DONE.findall(done.stderr)))


@functools.lru_cache(maxsize=1024)
def _domain(text: str) -> str:
    try:
        return domain_name(text)
    except AddressError:
        return text.lower()


def _configured(*names: str, folder: Path | None = None) -> list[str]:
    where = ("-c", str(folder)) if folder else ()
    done = run("postconf", *where, "-xh", *names)
    values = done.stdout.splitlines()
    if done.returncode or len(values) != len(names):
        raise PostfixError(f"postconf of {folder or 'Postfix'}: {done.stderr.strip()}")
    return values


@contextlib.contextmanager
def _bounded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process ends with the block, and at the limit."""
    timer = threading.Timer(LIMIT, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _message(instance: Instance, line: bytes) -> Message:
    try:
        row = json.loads(line.decode("utf-8", "replace"))
        return Message(
            instance.name,
            row["queue_name"],
            _queue_id(row["queue_id"]),
            float(row["arrival_time"]),
            row["message_size"],
            "" if row["sender"] == _NOBODY else row["sender"],
            tuple(
                Recipient(one["address"], one.get("delay_reason", "")) for one in row["recipients"]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PostfixError(f"postqueue of {instance.name} tells what cannot be read") from None


def _queue_id(text: str) -> str:
    """It becomes an argument, and none that is taken for an option."""
    if not _QUEUE_ID.fullmatch(text):
        raise ValueError(text)
    return text
