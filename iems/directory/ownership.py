"""Who may send with an address: as Postfix's smtpd_sender_login_maps has it (docs/directory.md).

Where an entry holds a user and an alias of his address, the user alone: the alias's targets cannot
be told from those whom he forwards to, who may not send with it.
"""

from __future__ import annotations

from iems.directory.reader import Alias, Directory, Entry
from iems.directory.resolve import DELIMITER
from iems.model.address import Address
from iems.serve.deadline import Deadline


def owns(directory: Directory, login: Address, address: Address, deadline: Deadline) -> bool:
    """Whether who has logged in so may send with this address; DirectoryUnavailable."""
    base = address.without_extension(DELIMITER)
    found = directory.find([address, base] if base else [address], deadline)
    entry = found.get(address.key) or (found.get(base.key) if base else None)
    if entry is not None:
        return login.key in _logins(entry)
    other = directory.find_catch_all({address.domain}, deadline).get(address.domain)
    if other is None or not other.other:
        return False
    return login.key == Address((base or address).local, other.other).key


def _logins(entry: Entry) -> frozenset[str]:
    if isinstance(entry, Alias) and entry.user is None:
        return frozenset(target.key for target in entry.targets)
    return frozenset({entry.address.key})
