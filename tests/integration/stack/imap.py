"""A user's mailboxes, read over IMAP without TLS on the loopback."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.waiting import eventually

PASSWORD = "correct horse"
TIMEOUT = 150.0
"""Seconds for one answer: for two minutes Dovecot waits for the lock on a list of UIDs that a
process left behind, as one does that may write no more."""


class Mailbox:
    """One user's account on one Dovecot; every call is a connection of its own."""

    def __init__(self, port: int, user: str, password: str = PASSWORD) -> None:
        self.port = port
        self.user = user
        self._password = password

    def folders(self) -> list[str]:
        """The names of the mailboxes."""
        with self._login() as imap:
            _status, rows = imap.list()
        names = [re.search(rb'"?([^" ]*)"?$', row) for row in rows if isinstance(row, bytes)]
        return sorted(name.group(1).decode() for name in names if name)

    def messages(self, folder: str = "INBOX") -> list[bytes]:
        """The messages of a mailbox, oldest first; one that does not exist holds none."""
        with self._login() as imap:
            status, _data = imap.select(folder, readonly=True)
            if status != "OK":
                return []
            _status, found = imap.uid("SEARCH", "ALL")
            uids = found[0].split() if found and found[0] else []
            return [_text(imap, uid) for uid in uids]

    def headers(self, folder: str = "INBOX") -> list[bytes]:
        """The header of every message, asked for all at once."""
        with self._login() as imap:
            status, count = imap.select(folder, readonly=True)
            if status != "OK" or count[0] in {None, b"0"}:
                return []
            _status, data = imap.fetch("1:*", "(BODY.PEEK[HEADER])")
        return [row[1] for row in data if isinstance(row, tuple)]

    def wait(self, count: int = 1, folder: str = "INBOX", deadline: float = 20) -> list[bytes]:
        """The messages, once there are `count` of them; more than that is an error."""
        last: list[bytes] = []

        def there() -> bool:
            last[:] = self.messages(folder)
            return len(last) >= count

        eventually(there, deadline, lambda: f"{len(last)} messages of {count} in {folder}")
        assert len(last) == count, f"{len(last)} messages in {folder} of {self.user}"
        return last

    def append(self, folder: str, message: bytes) -> None:
        """Put a message into a mailbox, as a client does that copies it between accounts."""
        with self._login() as imap:
            status, told = imap.append(folder, "", "", message)
        assert status == "OK", told

    @contextmanager
    def _login(self) -> Iterator[imaplib.IMAP4]:
        imap = imaplib.IMAP4("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            imap.login(self.user, self._password)
            yield imap
        except BaseException:
            imap.shutdown()
            raise
        imap.logout()


def _text(imap: imaplib.IMAP4, uid: bytes) -> bytes:
    _status, data = imap.uid("FETCH", uid.decode(), "(BODY.PEEK[])")
    first = data[0]
    assert isinstance(first, tuple), data
    text = first[1]
    assert isinstance(text, bytes)
    return text
