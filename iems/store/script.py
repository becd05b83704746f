"""A script that a Redis or Valkey server runs whole or not at all, sent to it once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from iems.serve.deadline import Deadline
from iems.store.resp import Answer, AnsweredError, Resp


class Script:
    """The script of this text on that server."""

    def __init__(self, server: Resp, text: bytes) -> None:
        self._server = server
        self._text = text
        self._digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()

    def run(self, keys: Sequence[bytes], words: Sequence[bytes], deadline: Deadline) -> Answer:
        """What it answers; its text follows where the server does not know it yet. RespError."""
        rest = (b"%d" % len(keys), *keys, *words)
        try:
            return self._server.ask((b"EVALSHA", self._digest, *rest), deadline)
        except AnsweredError as error:
            if error.code != "NOSCRIPT":
                raise
        return self._server.ask((b"EVAL", self._text, *rest), deadline)
