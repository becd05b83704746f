"""Where somebody deals with the filter of a user: his rights, what is kept, and the daemon.

What is kept is read with the rights of those who own it (`cli.owner`), and written by the daemon
alone, which is asked over its socket.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cli import entries
from cli.owner import as_owner
from iems.directory.authority import Actor, Audit, NotAuthorisedError, Thing, authorise
from iems.directory.connect import audit
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings
from lmtp.bayes.memory import Memory
from lmtp.bayes.store import Store, StoreError
from lmtp.bayes.tokens import MAX_MESSAGE
from lmtp.learning.protocol import LATER, Answer, Asked, PeerError, Request
from lmtp.trained import connect_memory, connect_store

SECONDS = 60.0
"""For one answer: the daemon says within 20 s what became of a request, or that it will be done."""

SHOW, SET, DELETE = "show", "set", "delete"
"""What is done to a filter, as authority and audit call it."""


class NoMessageError(Exception):
    """A file that should be a message cannot be read, or is empty; the text says why."""


@dataclass(frozen=True)
class Desk:
    """For one request; `user` is whose filter it is about."""

    settings: Settings
    actor: Actor
    audit: Audit
    user: str

    def tell(self, verb: str, result: str) -> None:
        """Tell the audit."""
        self.audit(self.actor, verb, Thing("bayes", self.user), result)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """What users have trained."""
        # A password is root's to read; the file is the daemon's.
        with closing(connect_store(self.settings.bayes)) as store, self._as_owner():
            yield store

    @contextmanager
    def memory(self) -> Iterator[Memory]:
        """What is remembered of their messages."""
        with closing(connect_memory(self.settings.bayes)) as memory, self._as_owner():
            yield memory

    def ask(self, verb: str, data: bytes = b"", **options: str) -> Answer:
        """What the daemon answers; PeerError, also where it will be done later."""
        with closing(self.asked(verb, data, **options)) as asked:
            answer = asked.answer()
        if answer.text.startswith(LATER):
            self.tell(DELETE if verb == "reset" else SET, f"{verb} {answer.text}")
            raise PeerError(answer.text)
        return answer

    def asked(self, verb: str, data: bytes = b"", **options: str) -> Asked:
        """The same, to be answered later; PeerError."""
        request = Request(verb, self.user, options)
        return Asked(self.settings.bayes.socket, request, data, Deadline.after(SECONDS))

    @contextmanager
    def _as_owner(self) -> Iterator[None]:
        folder = self.settings.bayes.store
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder; nobody trains on this machine")
        with as_owner(folder):
            yield


Act: TypeAlias = Callable[[Desk, argparse.Namespace], int]


def whose(parser: argparse.ArgumentParser, *, maybe: bool = False) -> None:
    """The arguments of all verbs about a user."""
    entries.as_option(parser)
    parser.add_argument(
        "user",
        nargs="?" if maybe else None,
        type=entries.address,
        metavar="USER",
        help="his address" + ("; all users without it" if maybe else ""),
    )


def answered(arguments: argparse.Namespace, verb: str, act: Act) -> int:
    """Act where the arguments' rights are enough for this verb, and tell what went wrong."""
    if os.geteuid() != 0:
        return entries.failed("only root deals with the filters of users", entries.NOT_ALLOWED)
    settings = load(arguments.settings)
    return entries.audited(lambda log: _acted(arguments, settings, log, verb, act))


def _acted(arguments: argparse.Namespace, settings: Settings, log: Log, verb: str, act: Act) -> int:
    actor = Actor(login=entries.operator())
    if arguments.as_user:
        actor = entries.opened(arguments, settings, log).actor
    user: Address | None = arguments.user
    desk = Desk(settings, actor, audit(log), user.key if user else "")
    try:
        authorise(actor, verb, Thing("bayes", desk.user))
        return act(desk, arguments)
    except NotAuthorisedError as error:
        desk.tell(verb, type(error).__name__)
        raise
    except (StoreError, PeerError) as error:
        return entries.failed(entries.shown(str(error)), entries.TEMPORARY)
    except NoMessageError as error:
        return entries.failed(entries.shown(str(error)), entries.USAGE)


def message(path: Path) -> bytes:
    """The message, or its head if it is long; of standard input for `-`. NoMessageError."""
    try:
        if path == Path("-"):
            data = sys.stdin.buffer.read(MAX_MESSAGE)
        else:
            with path.open("rb") as file:
                data = file.read(MAX_MESSAGE)
    except OSError as error:
        raise NoMessageError(f"{path}: {error.strerror}") from None
    if not data.strip():
        raise NoMessageError(f"{path}: no message; it is empty")
    return data


def soon() -> Deadline:
    """For what is read."""
    return Deadline.after(SECONDS)
