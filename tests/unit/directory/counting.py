"""A directory that counts what it is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from iems.directory.reader import CatchAll, Directory, DirectoryUnavailable, Entry
from iems.model.address import Address
from iems.model.policy import Layer
from iems.serve.deadline import Deadline


class Counting:
    """Passes on to another directory, keeps each question, and is down on demand."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.asked: list[list[str]] = []
        self.down = False

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """See `Directory`."""
        self._note([address.key for address in addresses])
        return self._directory.find(addresses, deadline)

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """See `Directory`."""
        self._note([f"@{name}" for name in domains])
        return self._directory.find_catch_all(domains, deadline)

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """See `Directory`."""
        self._note(list(names))
        return self._directory.domains(names, deadline)

    def _note(self, asked: list[str]) -> None:
        self.asked.append(sorted(asked))
        if self.down:
            raise DirectoryUnavailable("down")
