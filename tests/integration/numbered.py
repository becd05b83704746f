"""Numbered messages from many clients at once, and where each of them ended.

Every attempt to send a number is a message of its own, with a token in its subject: what was
answered 250 must be found once, and what was answered otherwise nowhere.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from types import TracebackType

from tests.integration.stack.smtp import Client, Sent
from tests.waiting import eventually

SENDER = "a@sender.example"
_TOKEN = re.compile(rb"^Subject: token (\d+\.\d+)\r?$", re.MULTILINE)
_RECEIVED = re.compile(rb"\(Postfix\) with E?SMTP id (\w+)")
_QUEUE_ID = re.compile(r": ([A-Za-z0-9]{12,}): to=<.* status=deferred")
_BROKEN = (
    "message may be sent more than once",
    "451 4.4.2 Connection to the next hop was lost",
    # Dovecot says these, when it is stopped or its disk fails, of messages that it has stored, too.
    "Shutting down (in reply to end of DATA command)",
    "Internal error occurred. Refer to server log",
)
_SESSION = 5
"""Messages on one connection."""

_PAUSE = 0.1
"""Seconds until a client that was told to come back later does so."""


@dataclass(frozen=True)
class Way:
    """To whom a message goes, and from which client (address, name)."""

    recipient: str
    client: tuple[str, str]


@dataclass
class Accepted:
    """What was answered 250: the queue id and the recipient of each token."""

    queue_ids: dict[str, str] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)


def plain(token: str) -> bytes:
    """A message that holds its token and little else."""
    return f"Subject: token {token}\r\n\r\ntext\r\n".encode()


class Load:
    """`clients` senders at work in the `with` block; at its end `count` numbers are accepted.

    `way` tells the way of a number. A number that is not accepted is sent again on a connection of
    its own, as a client would do after a temporary failure. Without `count` they send until `stop`.
    `message` makes the message of a token, with the subject that `plain` gives it.
    """

    def __init__(
        self,
        port: int,
        way: Callable[[int], Way],
        clients: int,
        count: int = 0,
        message: Callable[[str], bytes] = plain,
    ) -> None:
        self.accepted = Accepted()
        self.delayed: list[str] = []
        """Attempts that were answered 4xx, and what was said."""
        self.refused: list[str] = []
        """Attempts that were answered otherwise."""
        self.unanswered: list[str] = []
        """Tokens under way on a connection that ended: whether they were taken is not known."""
        self.errors: list[str] = []
        """How these connections ended."""
        self._port = port
        self._way = way
        self._message = message
        self._numbers = iter(range(count)) if count else itertools.count()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _one in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.stop()
        self._wait()

    def stop(self) -> None:
        """No message more."""
        self._over.set()

    def finish(self) -> None:
        """No message more, and wait until those under way are answered."""
        self.stop()
        self._wait()

    def _wait(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def count(self) -> int:
        """How many messages were accepted so far."""
        return len(self.accepted.queue_ids)

    def more(self, count: int, within: float = 60) -> None:
        """Wait until so many more messages were accepted."""
        goal = self.count + count
        eventually(
            lambda: self.count >= goal or self.refused,
            within,
            lambda: str(self.errors) + str(self.delayed[-8:]),
        )

    def _run(self) -> None:
        while numbers := self._take():
            failed = self._session([(number, 0) for number in numbers])
            while failed and not self._over.wait(_PAUSE):
                failed = self._session([(number, attempt + 1) for number, attempt in failed])

    def _take(self) -> list[int]:
        with self._lock:
            return [] if self._over.is_set() else list(itertools.islice(self._numbers, _SESSION))

    def _session(self, messages: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Send these on one connection until one fails; those that were not accepted."""
        left = list(messages)
        try:
            with Client(self._port) as client:
                while left and self._send(client, *left[0]):
                    del left[0]
        except (OSError, AssertionError) as error:
            self.unanswered += [f"{number}.{attempt}" for number, attempt in left[:1]]
            self.errors.append(repr(error))
        return left

    def _send(self, client: Client, number: int, attempt: int) -> bool:
        token, way = f"{number}.{attempt}", self._way(number)
        client.xclient(*way.client)
        sent = client.send(SENDER, [way.recipient], self._message(token))
        if sent.accepted and sent.data:
            self.accepted.recipients[token] = way.recipient
            self.accepted.queue_ids[token] = sent.data.text.rpartition(" ")[2]
            return True
        told = _last(sent)
        (self.delayed if told.startswith("4") else self.refused).append(f"{token}: {told}")
        return False


def tokens(messages: Iterable[bytes]) -> Counter[str]:
    """How often each token is there."""
    found = (_TOKEN.search(message) for message in messages)
    return Counter(one.group(1).decode() for one in found if one)


def repeated(messages: Collection[bytes]) -> set[str]:
    """The queue ids of messages whose token is there more than once.

    They are taken from the messages: of one that was not answered the sender knows none.
    """
    often = tokens(messages)
    again = [
        one for one in messages if (found := _TOKEN.search(one)) and often[found[1].decode()] > 1
    ]
    received = [_RECEIVED.search(one) for one in again]
    assert all(received), again
    return {one[1].decode() for one in received if one}


def broken_deliveries(log: str) -> list[str]:
    """The queue ids of the deliveries that broke after the whole text was sent, in their order.

    Postfix says so of the agent, and the agent of Dovecot; only these may come twice.
    """
    broken = (line for line in log.splitlines() if any(words in line for words in _BROKEN))
    return [found.group(1) for line in broken if (found := _QUEUE_ID.search(line))]


def _last(sent: Sent) -> str:
    replies = [sent.mail, *sent.recipients.values(), *([sent.data] if sent.data else [])]
    return str(replies[-1])
