"""States and journals on a Redis or Valkey server, which agents on several machines share.

Whatever is written or compared is one script (`store.lua`) that the server runs whole. Keys begin
with the prefix of the settings and name the users. None of them expires but what was set aside, so
that a server whose `maxmemory-policy` is volatile gives none up; what it must write to its own disk
is the server's affair.

Failure: whatever keeps the server from answering as the script does, by the deadline, is a
`StoreError`. Of a save whose answer is lost nobody knows; to train the same again is right in any
case.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources

from iems.serve.deadline import Deadline
from iems.store.resp import Answer, Resp, RespError
from iems.store.script import Script
from lmtp.bayes.score import Label
from lmtp.bayes.store import (
    MAX_ASIDE,
    SALT,
    DamagedError,
    Entry,
    Kept,
    Limits,
    StoreError,
    checked,
    name_of,
    next_number,
    pack,
    unpack,
)

_PAGE = 48
"""Entries in one answer, of which the client takes 4 MiB."""

_NUMBER = re.compile(rb"[1-9][0-9]{0,17}")
_NAMES = 1000
_EXPIRED = 200
"""So many old entries are removed at once, and others come between."""


class RedisStore:
    """The server, called `name` in errors; `note` is told the text of each StoreError."""

    def __init__(
        self,
        server: Resp,
        name: str,
        prefix: str,
        limits: Limits | None = None,
        note: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._server = server
        self._name = name
        self._prefix = f"{prefix}bayes:".encode()
        self._limits = limits or Limits()
        self._note = note
        text = resources.files(__package__).joinpath("store.lua").read_bytes()
        self._script = Script(server, text)

    def load(self, user: str, deadline: Deadline) -> Kept:
        """What is kept of him; DamagedError."""
        answer = self._run("load", user, (secrets.token_bytes(SALT),), deadline)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise self._strange()
        salt, row = answer
        if not isinstance(salt, bytes) or not isinstance(row, tuple):
            raise self._strange()
        return _kept(user, row) if any(value is not None for value in row) else Kept(salt)

    def entry(self, user: str, key: bytes, deadline: Deadline) -> Entry | None:
        """What he trained of the message with this key; nothing where its entry is damaged."""
        answer = self._asked((b"HGET", self._key("journal", user), key), deadline)
        return _entry(key, answer) if isinstance(answer, bytes) else None

    def journal(self, user: str, deadline: Deadline) -> list[Entry]:
        """His entries, the oldest training first, without those that are damaged."""
        found, after = list[Entry](), b"0"
        while True:
            page = self._run("page", user, (after, b"%d" % _PAGE), deadline)
            if not isinstance(page, tuple) or len(page) % 3:
                raise self._strange()
            for place, key, raw in zip(page[::3], page[1::3], page[2::3], strict=True):
                if not (isinstance(place, bytes) and isinstance(key, bytes)):
                    raise self._strange()
                after = place
                if isinstance(raw, bytes) and (entry := _entry(key, raw)):
                    found.append(entry)
            if len(page) < 3 * _PAGE:
                return found

    def save(
        self,
        user: str,
        kept: Kept,
        deadline: Deadline,
        *,
        add: Entry | None = None,
        drop: bytes | None = None,
    ) -> bool:
        """Write this over the version `kept.number`; False where that is not the one that is there.

        With it the entry with the key `drop` goes out of the journal and `add` comes into it, in
        the place of any of the same key, and what is beyond the limits goes.
        """
        checked(kept, add)
        most = b"%d" % self._limits.entries
        come = (add.key, _packed(add)) if add is not None else ()
        words = (_name(user), b"%d" % kept.number, most, drop or b"", *_row(kept), *come)
        return self._whether("save", user, words, deadline)

    def replace(self, user: str, kept: Kept, entries: Sequence[Entry], deadline: Deadline) -> bool:
        """Put this in the place of all that is kept of him; as `save`."""
        for entry in entries:
            checked(kept, entry)
        last = entries[-self._limits.entries :]
        come = [word for entry in last for word in (entry.key, _packed(entry))]
        words = (_name(user), b"%d" % kept.number, *_row(kept), *come)
        return self._whether("replace", user, words, deadline)

    def set_aside(self, user: str, number: int, why: str, deadline: Deadline) -> bool:
        """Take his state of this version away, and keep it where nobody reads it; whether it was
        there. The journal stays."""
        words = (
            _name(user),
            b"%d" % number,
            b"%d" % time.time(),
            why.encode("utf-8", "replace"),
            b"%d" % (self._limits.days * 86400),
            b"%d" % MAX_ASIDE,
            self._prefix + b"aside:",
        )
        return self._whether("aside", user, words, deadline)

    def forget(self, user: str, deadline: Deadline) -> bool:
        """Remove all that is kept of him, damaged or not; whether there was anything."""
        return self._number("forget", user, (_name(user),), deadline) > 0

    def users(self, deadline: Deadline) -> list[str]:
        """All of whom a state or a journal is kept, in their order."""
        found, after = list[str](), b"-"
        while True:
            words = (b"ZRANGEBYLEX", self._prefix + b"users", after, b"+")
            page = self._asked((*words, b"LIMIT", b"0", b"%d" % _NAMES), deadline)
            if not isinstance(page, tuple):
                raise self._strange()
            names = [name for name in page if isinstance(name, bytes)]
            found += [name.decode(errors="replace") for name in names]
            if len(names) < _NAMES:
                return found
            after = b"(" + names[-1]

    def expire(self, now: float, deadline: Deadline) -> int:
        """Remove entries of journals that are too old, until the deadline; how many."""
        removed, since = 0, self._limits.since(now)
        if not self._limits.days:
            return 0
        for user in self.users(deadline):
            words = (_name(user), repr(since).encode(), b"%d" % _EXPIRED)
            batch = _EXPIRED
            while batch == _EXPIRED and not deadline.expired:
                batch = self._number("expire", user, words, deadline)
                removed += batch
        return removed

    def close(self) -> None:
        """Close the connections; a use after that opens one again."""
        self._server.close()

    def _key(self, kind: str, user: str) -> bytes:
        return self._prefix + kind.encode() + b":" + _name(user)

    def _run(self, verb: str, user: str, words: Sequence[bytes], deadline: Deadline) -> Answer:
        kinds = ("user", "journal", "order", "aside")
        own = [self._key(kind, user) for kind in kinds]
        shared = [self._prefix + kind for kind in (b"salt", b"users", b"asides")]
        keys = (*shared[:2], *own, shared[2])
        try:
            return self._script.run(keys, (verb.encode(), *words), deadline)
        except RespError as error:
            raise self._failed(str(error)) from None

    def _asked(self, command: Sequence[bytes], deadline: Deadline) -> Answer:
        try:
            return self._server.ask(command, deadline)
        except RespError as error:
            raise self._failed(str(error)) from None

    def _number(self, verb: str, user: str, words: Sequence[bytes], deadline: Deadline) -> int:
        answer = self._run(verb, user, words, deadline)
        if not isinstance(answer, int):
            raise self._strange()
        return answer

    def _whether(self, verb: str, user: str, words: Sequence[bytes], deadline: Deadline) -> bool:
        return self._number(verb, user, words, deadline) == 1

    def _failed(self, why: str) -> StoreError:
        text = f"{self._name}: {why}"
        self._note(text)
        return StoreError(text)

    def _strange(self) -> StoreError:
        return self._failed("answers what no script of ours does")


def _name(user: str) -> bytes:
    return name_of(user).encode()


def _row(kept: Kept) -> Sequence[bytes]:
    now = replace(kept, number=next_number(kept.number))
    told = (now.number, now.classifier, now.ham, now.spam, repr(now.time), now.sum)
    return (*(str(value).encode() for value in told), now.salt, now.state)


def _kept(user: str, row: Sequence[Answer]) -> Kept:
    words = [value if isinstance(value, bytes) else b"" for value in row]
    number = int(words[0]) if _NUMBER.fullmatch(words[0]) else -1
    with contextlib.suppress(ValueError):
        classifier, ham, spam, when, total, salt, state = words[1:]
        kept = Kept(salt, number, classifier.decode(), state, int(ham), int(spam), float(when))
        if kept.sum == int(total):
            return kept
    raise DamagedError(user, number)


def _packed(entry: Entry) -> bytes:
    told = (entry.time, entry.score, len(entry.features), entry.sum)
    head = f"{' '.join(map(repr, told))} {entry.label.value} {entry.source}\n"
    return head.encode() + pack(entry)


def _entry(key: bytes, raw: bytes) -> Entry | None:
    head, _line, packed = raw.partition(b"\n")
    with contextlib.suppress(ValueError):
        when, score, size, total, label, source = head.decode().split(" ", 5)
        features, change = unpack(int(size), packed)
        known = None if score == "None" else float(score)
        entry = Entry(key, Label(label), float(when), source, known, features, change)
        if entry.sum == int(total):
            return entry
    return None
