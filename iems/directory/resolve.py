"""Where mail for an address ends: aliases resolved exactly as Postfix resolves them.

The order is that of virtual_alias_maps: the exact address, the address without its +extension
(which then goes to every target), the catch-all `@domain`, which keeps the local part where it
leads to `@other`; again and again until nothing changes.
Postfix's own limits hold (virtual_alias_recursion_limit, virtual_alias_expansion_limit): where it
would not accept the message, `UnreasonableAlias` is raised, a temporary failure like Postfix's own.

One round of searches serves all addresses of one depth, so their number does not grow with the
number of targets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from iems.directory.reader import (
    Alias,
    CatchAll,
    Directory,
    DirectoryUnavailable,
    Entry,
    User,
    user_of,
)
from iems.model.address import TRAINING, Address
from iems.model.envelope import INTERNET, LOCAL
from iems.model.policy import Layer, MailingList
from iems.serve.deadline import Deadline

MAX_DEPTH = 10
"""Look-ups in a chain; main.cf sets virtual_alias_recursion_limit to the same."""

MAX_RESULTS = 1000
"""Addresses that one address may become: Postfix's virtual_alias_expansion_limit."""

MAX_ROUNDS = 100
"""Rounds of searches for one address. Postfix has no such bound, for it counts only the first
target of each alias as depth; a directory needs two or three, and one that grows with each look-up
(`a` for `b` and `a+x`) ends here instead of at a thousand."""

DELIMITER = "+"
"""Postfix's recipient_delimiter."""


class UnreasonableAlias(DirectoryUnavailable):
    """An alias that leads round in a circle, too deep or to too many: Postfix defers such mail."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One final recipient as Postfix will name it, its +extension kept.

    `channel` is `local` (a mailbox of ours, that of `user`) or `internet`. A local one without a
    `user` is nobody, and an alias leads there. `lists` are those through which every copy comes.
    """

    address: Address
    channel: str
    user: User | None = field(default=None, compare=False)
    lists: tuple[MailingList, ...] = field(default=(), compare=False)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The policies of the domain and the owner of the mailbox; none where there is none."""
        return (self.user.domain_layer, self.user.layer) if self.user else ()

    @property
    def speakers(self) -> tuple[Layer, ...]:
        """Its domain, its owner and the lists on the way."""
        return (*self.layers, *(one.layer for one in self.lists))

    @property
    def listed(self) -> bool:
        """Whether one of them has a list of senders."""
        return any(layer.senders for layer in self.speakers)

    @property
    def nobody(self) -> bool:
        """Whether it is in a domain of ours and no mailbox."""
        return self.channel == LOCAL and self.user is None

    @property
    def training(self) -> bool:
        """Whether who writes to it trains his filter: an alias with this name and no mailbox."""
        return self.nobody and self.address.local.casefold() in TRAINING


def resolve(directory: Directory, address: Address, deadline: Deadline) -> frozenset[Destination]:
    """The destinations of mail for `address`; none for an address of ours that is not known."""
    known = _Known(directory, deadline)
    known.learn(address)
    unknown = known.lookup(address) is None
    expanded = _expand(address, known)
    finals = {final.key: final for final, _lists in expanded}.values()
    lists: dict[str, tuple[MailingList, ...]] = {}
    for final, through in expanded:
        lists[final.key] = tuple(one for one in lists.get(final.key, through) if one in through)
    users = {final.key: known.user(final) for final in finals}
    homeless = {final.domain for final in finals if users[final.key] is None}
    ours = directory.domains(homeless, deadline) if homeless else {}
    return frozenset(
        Destination(
            final,
            LOCAL if users[final.key] or final.domain in ours else INTERNET,
            users[final.key],
            lists[final.key],
        )
        for final in finals
        if not (unknown and final.domain in ours)
    )


class _Known:
    """What the directory has said during one resolution."""

    def __init__(self, directory: Directory, deadline: Deadline) -> None:
        self._directory = directory
        self._deadline = deadline
        self._entries: dict[str, Entry] = {}
        self._catch_alls: dict[str, CatchAll] = {}
        self._asked: set[str] = set()
        self._asked_domains: set[str] = set()

    def learn(self, start: Address) -> None:
        """Ask for all that `start` can lead to, one depth after the other."""
        frontier = {start.key: start}
        seen: set[str] = set()
        for _round in range(MAX_ROUNDS):
            self._ask(frontier.values())
            seen |= frontier.keys()
            found = (to for one in frontier.values() for to in self.lookup(one) or ())
            frontier = {to.key: to for to in found if to.key not in seen}
            if not frontier:
                return
            if len(frontier) > MAX_RESULTS:
                raise UnreasonableAlias(f"{start} leads to more than {MAX_RESULTS} addresses")
        raise UnreasonableAlias(f"{start} leads through more than {MAX_ROUNDS} aliases")

    def lookup(self, address: Address) -> tuple[Address, ...] | None:
        """One look-up in virtual_alias_maps; a mailbox stands for itself there."""
        entry = self._entries.get(address.key)
        if entry is not None:
            return _targets(entry)
        base = address.without_extension(DELIMITER)
        entry = self._entries.get(base.key) if base else None
        if base and entry is not None:
            extension = address.local[len(base.local) :]
            return tuple(
                Address(target.local + extension, target.domain) for target in _targets(entry)
            )
        catch_all = self._catch_alls.get(address.domain)
        if catch_all and catch_all.other:
            return (Address(address.local, catch_all.other),)
        return catch_all.targets if catch_all else None

    def mailing_list(self, address: Address) -> MailingList | None:
        """The list that a look-up goes through."""
        base = address.without_extension(DELIMITER)
        entry = self._entries.get(address.key) or (self._entries.get(base.key) if base else None)
        return entry.mailing_list if isinstance(entry, Alias) else None

    def user(self, address: Address) -> User | None:
        """The mailbox that a final recipient is delivered to."""
        base = address.without_extension(DELIMITER)
        found = user_of(self._entries.get(address.key))
        return found or (user_of(self._entries.get(base.key)) if base else None)

    def _ask(self, addresses: Collection[Address]) -> None:
        wanted = [one for one in with_bases(addresses) if one.key not in self._asked]
        if wanted:
            self._entries.update(self._directory.find(wanted, self._deadline))
            self._asked.update(one.key for one in wanted)
        domains = {
            one.domain
            for one in addresses
            if one.domain not in self._asked_domains and self.lookup(one) is None
        }
        if domains:
            self._catch_alls.update(self._directory.find_catch_all(domains, self._deadline))
            self._asked_domains |= domains


def _expand(start: Address, known: _Known) -> list[tuple[Address, tuple[MailingList, ...]]]:
    """Postfix's own walk (cleanup_map1n.c): the first result takes the place of its address.

    With each result the lists on its way, in their order.
    """
    result = [start]
    lists: list[tuple[MailingList, ...]] = [()]
    into_itself: set[str] = set()
    place = 0
    while place < len(result):
        if len(result) > MAX_RESULTS:
            raise UnreasonableAlias(f"{start} leads to more than {MAX_RESULTS} addresses")
        for depth in range(MAX_DEPTH + 1):
            current = result[place]
            if current.key in into_itself:
                break
            if depth == MAX_DEPTH:
                raise UnreasonableAlias(f"{start} leads through {MAX_DEPTH} aliases or round")
            targets = known.lookup(current)
            if targets is None:
                break
            if current.key in {target.key for target in targets}:
                into_itself.add(current.key)
            result[place : place + 1] = targets[:1]
            result += targets[1:]
            passed = known.mailing_list(current)
            if passed is not None and passed not in lists[place]:
                lists[place] = (*lists[place], passed)
            lists += [lists[place]] * len(targets[1:])
        place += 1
    return list(zip(result, lists, strict=True))


def _targets(entry: Entry) -> tuple[Address, ...]:
    return entry.targets if isinstance(entry, Alias) else (entry.address,)


def with_bases(addresses: Iterable[Address]) -> list[Address]:
    """The addresses, each followed by itself without extension, none twice."""
    wanted: dict[str, Address] = {}
    for address in addresses:
        base = address.without_extension(DELIMITER)
        for one in (address, base) if base else (address,):
            wanted.setdefault(one.key, one)
    return list(wanted.values())
