"""The listening side of the training daemon: a thread per connection, one request each.

A request that a client may forget (`Verb.waits` is false) is answered once it is on disk; for one
who waits for what became of it the answer comes when it was carried out, or after `WAIT` seconds
that it is kept. What cannot be kept is answered with a failure, so that the client keeps it: the
script of Dovecot leaves a keyword on the message.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable

from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from lmtp.learning.protocol import Answer, Conversation, PeerError, Request, RequestError
from lmtp.learning.queue import FullError, Queue
from lmtp.learning.verbs import VERBS
from lmtp.learning.worker import Worker

CONNECTIONS = 32
"""At once: each holds its input, of 1 MiB at most but for an import; others wait a little."""

WAIT = 20.0
"""Seconds for who waits for what becomes of his request; a training takes some ms."""

_TALK = 10.0
"""Seconds for a whole request; Dovecot waits for less (ADR 0037)."""

_TICK = 0.1


class Server:
    """Takes requests from one listener into the queue; `worker` carries them out."""

    def __init__(
        self,
        queue: Queue,
        worker: Worker,
        log: Log,
        control: Control,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._log = log
        self._control = control
        self._clock = clock

    def serve(self, listener: socket.socket) -> None:
        """Accept until the process drains, then see the open connections to their end."""
        slots = threading.BoundedSemaphore(CONNECTIONS)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        threads: set[threading.Thread] = set()
        while not self._control.draining.is_set():
            if not slots.acquire(timeout=_TICK):
                continue
            threads = {one for one in threads if one.is_alive()}
            connection = self._accept(listener) if poll.poll(_TICK * 1000) else None
            if connection is None:
                slots.release()
                continue
            thread = threading.Thread(target=self._run, args=(connection, slots), daemon=True)
            thread.start()
            threads.add(thread)
        end = Deadline.after(min(self._control.limit, _TALK))
        for thread in threads:
            thread.join(end.remaining())

    def _accept(self, listener: socket.socket) -> socket.socket | None:
        try:
            connection, _peer = listener.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            self._log.error("cannot accept", error=error)
            time.sleep(_TICK)
            return None
        return connection

    def _run(self, connection: socket.socket, slots: threading.BoundedSemaphore) -> None:
        try:
            with connection:
                self._converse(Conversation(connection))
        finally:
            slots.release()

    def _converse(self, conversation: Conversation) -> None:
        deadline = Deadline.after(_TALK)
        verb = ""
        try:
            request = conversation.request(deadline)
            verb = request.verb
            conversation.answer(
                self._answer(conversation, request, deadline), Deadline.after(_TALK)
            )
        except RequestError as error:
            self._log.warning("no request", why=error)
            self._refuse(conversation, str(error))
        except PeerError as error:
            self._log.warning("a client is gone", verb=verb, why=error)

    def _answer(self, conversation: Conversation, request: Request, deadline: Deadline) -> Answer:
        verb = VERBS.get(request.verb)
        if verb is None:
            raise RequestError("a verb that is not known")
        data = conversation.input(verb.limit, deadline)
        if not (data.whole or verb.head_is_enough):
            return Answer(False, f"more than {verb.limit} bytes")
        self._control.meter.count("training_requests_total", verb=request.verb)
        waits = verb.waits or request.options.get("wait") == "yes"
        entry = self._queue.place(request.user, now := self._clock())
        with self._worker.outcome(entry) as outcome:
            try:
                self._queue.put(entry, request, data, now)
            except FullError as error:
                self._log.error("a request is not taken", verb=request.verb, why=error)
                return Answer(False, str(error))
            self._worker.wake()
            return outcome.answer(WAIT) if waits else Answer(True)

    def _refuse(self, conversation: Conversation, why: str) -> None:
        try:
            conversation.answer(Answer(False, why), Deadline.after(_TALK))
        except PeerError:
            return
