"""Laws of what the training daemon is asked, and of the requests in its queue."""

from __future__ import annotations

import contextlib
import socket

from iems.serve.deadline import Deadline
from lmtp.learning.intent import of_append, of_label, of_move
from lmtp.learning.protocol import (
    Conversation,
    Input,
    PeerError,
    Request,
    RequestError,
    encode,
)
from lmtp.learning.queue import Kept, decode
from lmtp.learning.queue import encode as keep

_MOST = 65536
"""Bytes that a socket takes at once."""


def requests(data: bytes) -> None:
    """What is a request is one again as we write it, in the queue too; it says something or not."""
    with contextlib.suppress(RequestError):
        request = _conversed(data)
        head = encode(request)
        assert _conversed(head) == request
        kept = Kept(request, Input(data, len(data)), 1.5)
        assert decode(keep(kept.request, kept.input, kept.time)) == kept
        for read in (of_move, of_append, of_label):
            read(request)
        assert len(request.user) < 400
        assert request.user.isprintable()


def entries(data: bytes) -> None:
    """What a damaged file of the queue holds is a request, or an error of ours."""
    with contextlib.suppress(ValueError):
        kept = decode(data)
        assert decode(keep(kept.request, kept.input, kept.time)) == kept


def _conversed(data: bytes) -> Request:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(data[:_MOST])
        conversation, soon = Conversation(ours), Deadline.after(60)
        try:
            request = conversation.request(soon)
        except PeerError as error:
            raise RequestError(str(error)) from None
        assert conversation.input(100, soon).size <= len(data)
        return request
