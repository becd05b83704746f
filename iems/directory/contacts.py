"""Address books of users (`docs/address-book.md`): where they stand, and who stands in one.

They stand beside the tree of who is served, where nobody who asks for accounts or aliases looks, so
that whatever a user writes in his is none. Their entries are inetOrgPersons, as mail programs write
them; what is asked of them is `mail`, which is ASCII.
"""

from __future__ import annotations

from typing import Protocol

from iems.directory.store import Attributes, Name
from iems.directory.tree import CLASS, canonical
from iems.model.address import Address
from iems.serve.deadline import Deadline

CONTACTS: Name = (("ou", "contacts"),)
MAIL = "mail"
_BOOK = "ou"


class Contacts(Protocol):
    """A tree that is asked for one value (`iems.directory.ldap.LdapStore`)."""

    def exists(self, base: Name, pair: tuple[str, str], deadline: Deadline) -> bool:
        """Whether at or below `base` an entry has this value; `DirectoryUnavailable`."""
        ...


def book_entry(user: str) -> Name:
    """The name of the address book of the user with this address, in canonical form."""
    return ((_BOOK, user), *CONTACTS)


def book_values(user: str) -> Attributes:
    """The attributes of its entry."""
    return {CLASS: [b"organizationalUnit"], _BOOK: [user.encode()]}


def knows(contacts: Contacts, user: str, author: Address, deadline: Deadline) -> bool:
    """Whether the address stands in the user's book, in upper or lower case."""
    return contacts.exists(book_entry(user), (MAIL, canonical(author)), deadline)
