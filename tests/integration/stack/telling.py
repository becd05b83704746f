"""A Postfix before a milter whose chain tells what it saw, and senders that keep it busy.

The milter runs under its own user: as root libmilter would behave otherwise (it would not unlink
a socket).
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.stack.ground import MILTER_USER, Ground, accepts_unix, running
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.process import Server
from tests.integration.stack.sink import Caught, Sink
from tests.integration.stack.smtp import Client, Sent
from tests.waiting import eventually

_TIMES = {"beat": 0.5, "missed": 20, "settle": 0.3, "backoff": 0.2, "tick": 0.05}
MESSAGE = b"From: <a@sender.example>\r\nSubject:  two blanks\r\n\r\ntext\r\n"


@dataclass
class Setting:
    """A Postfix with the milter in front of it and a sink behind it."""

    postfix: Postfix
    milter: Server
    socket: Path
    sink: Sink

    def client(self, helo: str = "client.example") -> Client:
        """A connection to Postfix."""
        return Client(self.postfix.port(), helo=helo)

    def send(self, *recipients: str, message: bytes = MESSAGE, sender: str = "") -> Sent:
        """One message on a connection of its own."""
        addresses = [f"{one}@example.test" for one in recipients or ("alice",)]
        with self.client() as client:
            return client.send(sender or "a@sender.example", addresses, message)

    def delivered(self, sent: Sent) -> Caught:
        """What the sink got of it."""
        assert sent.data is not None, sent
        assert sent.data.code == 250, sent
        return self.sink.wait(sent.data.text.split()[-1])

    def workers(self) -> set[int]:
        """The processes beneath the supervisor."""
        return set(self.milter.members()) - {self.milter.pid}


@contextmanager
def started(ground: Ground) -> Iterator[Setting]:
    """All of it, running; nothing may be left at the end."""
    with Sink() as sink:
        postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
                "lmtp_send_xforward_command": "yes",
                "smtpd_milters": "unix:iems/telling.sock",
                "default_process_limit": "50",
            },
            listeners=[Listener("internet", ground.port(), {})],
        )
        path = postfix.sockets / "telling.sock"
        program = [sys.executable, "-m", "tests.integration.serve.milter"]
        milter = Server(
            "telling",
            [*program, path, json.dumps(_TIMES)],
            ground.place("telling") / "log",
            user=MILTER_USER,
            environment={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        ground.started(milter)
        try:
            eventually(lambda: accepts_unix(path), 15, milter.tail)
            with running(postfix):
                yield Setting(postfix, milter, path, sink)
        finally:
            milter.stop()
            milter.gone()
        assert not path.exists()


class Senders:
    """Clients in parallel, each with one message after another on connections of a few each."""

    def __init__(self, setting: Setting, clients: int) -> None:
        self._setting = setting
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self.ids: list[str] = []
        self.failures: list[str] = []

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, messages: int) -> None:
        """Wait until so many more messages were accepted."""
        goal = len(self.ids) + messages
        eventually(lambda: len(self.ids) >= goal or self.failures, 40)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._session()
            except OSError as error:
                self.failures.append(repr(error))

    def _session(self) -> None:
        with self._setting.client() as client:
            for _number in range(3):
                sent = client.send("a@sender.example", ["alice@example.test"], MESSAGE)
                if sent.data is None or sent.data.code != 250:
                    self.failures.append(repr(sent))
                else:
                    self.ids.append(sent.data.text.split()[-1])
