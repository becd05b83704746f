"""Whether the author of a message stands in the address book of a recipient whose script asks.

That is who stands in From, if it names one author; nothing proves that he wrote it.

Failure: a directory that does not answer costs the fact, and the mail some seconds; then it is left
alone for as long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from iems.codec.printable import printable
from iems.directory.contacts import Contacts, knows
from iems.directory.reader import DirectoryUnavailable
from iems.model.address import Address
from iems.model.senders import Facts
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from lmtp.judging import Rest

SECONDS = 5.0
"""Of asking, for all recipients of a message; one question takes a thousandth of that."""


@dataclass(frozen=True)
class Books:
    """The address books of a site, for many messages at once; without `contacts` there are none."""

    contacts: Contacts | None = None
    log: Log | None = None
    unread: Rest = field(default_factory=Rest)

    def lookup(self, sender: Facts) -> Lookup:
        """For one message."""
        author = next((Address(*one) for one in sender.authors if sender.sole and one[0]), None)
        return Lookup(self, author)


class Lookup:
    """For one message; without an author nobody knows him."""

    def __init__(self, books: Books, author: Address | None) -> None:
        self._books = books
        self._author = author
        self._left = SECONDS

    def knows(self, user: str) -> bool:
        """Whether the author stands in the book of the user with this address."""
        books, rest = self._books, self._books.unread
        if books.contacts is None or self._author is None or not user:
            return False
        if rest.lasts or self._left <= 0:
            return False
        begun = time.monotonic()
        try:
            return knows(books.contacts, user, self._author, Deadline.after(self._left))
        except DirectoryUnavailable as error:
            rest.begin()
            if books.log:
                books.log.warning("address books are not available", error=printable(str(error)))
            return False
        finally:
            self._left -= time.monotonic() - begun
