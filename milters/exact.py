"""`exact`: one policy class a transaction, so that its one reply at the end of DATA fits everybody.

The first recipient fixes the class; one of another class is put off with `452 4.5.3`, which has
the sender come again for him (RFC 5321 section 4.5.3.1.10). Of checks that have looked by RCPT only
what they found parts recipients. An address that leads to subjects of several classes shares a
transaction with those that lead to the same ones, and its findings travel.

A recipient is put off a few times at most. What is counted is each member of the set of recipients,
for a sender who does as he should comes with a smaller set each time, which would begin anew. Who
was deferred at the end of DATA while others were put off gives way to them once: the sender comes
in the same order again, and would never get past him.

Failure: where nothing can be counted nobody is put off, and the findings travel.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from iems.directory.account import closed
from iems.directory.resolve import Destination
from iems.model.address import Address
from iems.model.classes import policy_class
from iems.model.envelope import INTERNET, LOCAL, parse_ip
from iems.model.finding import Finding
from iems.model.policy import Layer
from iems.serve.deadline import Deadline
from iems.settings.schema import Settings
from iems.store.counters import PATIENCE, Claim, Counters, CountersError
from milters.account import Account
from milters.checks.protocol import Check, Stage, View
from milters.reply import Reply, TempFail
from milters.state import Company, Message

WINDOW = 6 * 3600.0
"""Seconds. Senders try again within minutes at first and within an hour later on, so that one that
always sends to all, and is always told 452, has come four times by then."""

_ANY = 1 << 30
"""A limit where nothing is limited."""

_PREFIX = {4: 24, 6: 64}
"""Bits of a client's network: a sender's machines take turns."""


@dataclass(frozen=True)
class Exact:
    """Of one connection."""

    settings: Settings
    checks: tuple[Check, ...]
    counters: Counters
    account: Account

    def apart(
        self,
        message: Message,
        address: Address,
        destinations: frozenset[Destination],
        seen: Sequence[Finding],
        known: View,
    ) -> TempFail | None:
        """The reply that puts a recipient off; None where he may stay, and then he counts."""
        if not self.settings.exact or message.channel != INTERNET or self._ours(message):
            return None
        company = self._company(address, destinations, seen, self._to_come(seen, known))
        if message.companies:
            stays = all(map(company.suits, message.companies))
        else:
            stays = not self._gives_way(message, address)
        if stays or not self._may_part(message, address):
            message.companies.add(company)
            return None
        message.parted = True
        text = (
            f"<{address}>: its policy needs a transaction of its own, send to it again; "
            f"reference {message.reference}"
        )
        return TempFail(452, "4.5.3", text)

    def ended(self, message: Message, answer: Reply) -> None:
        """The reply to a whole message that is not taken."""
        if not message.parted or not isinstance(answer, TempFail):
            return
        keys = {_key("deferred", message, address) for address, _destinations in message.accepted}
        claims = [Claim(key, WINDOW, _ANY) for key in sorted(keys)]
        with contextlib.suppress(CountersError):
            self.counters.take(claims, Deadline.after(PATIENCE))

    def _gives_way(self, message: Message, address: Address) -> bool:
        """Whether he was deferred oftener than he gave way for it."""
        deadline = Deadline.after(PATIENCE)
        try:
            due = self.counters.peek(_key("deferred", message, address), WINDOW, deadline)
            claim = Claim(_key("gave way", message, address), WINDOW, due)
            return due > 0 and self.counters.take([claim], deadline) == (0.0,)
        except CountersError:
            return False

    def _ours(self, message: Message) -> bool:
        """Whether the client is in one of our own networks."""
        client = parse_ip(message.client)
        return client is not None and any(client in one for one in self.settings.own_networks)

    def _company(
        self,
        address: Address,
        destinations: frozenset[Destination],
        seen: Sequence[Finding],
        to_come: Sequence[tuple[str, str]],
    ) -> Company:
        wanted = self.settings.exact
        domains = {address.domain, *(one.address.domain for one in destinations)}
        found = [one for one in seen if one.band]
        classes = {
            policy_class(
                found,
                to_come,
                (*self._above(one.channel), *self.settings.beneath(one.channel), *one.layers),
                role=address.role or one.address.role,
                leaves=one.channel != LOCAL,
                lists=one.lists,
            )
            for one in destinations
            if one.channel != LOCAL or closed(one.user) is None
        }
        if not destinations:
            # What is enforced holds for whom only Postfix knows, as for a role, and nothing else.
            classes.add(policy_class(found, to_come, self._above(LOCAL), role=True))
        exact = isinstance(wanted, bool) or not wanted.isdisjoint(domains)
        return Company(frozenset(classes), exact)

    def _above(self, destination: str) -> tuple[Layer, ...]:
        return self.settings.layers(INTERNET, destination)

    def _to_come(self, seen: Sequence[Finding], known: View) -> list[tuple[str, str]]:
        """The bands of checks that have yet to look at this message."""
        late = {one.name for one in self.checks if one.stage > Stage.RCPT and one.applies(known)}
        late -= {one.check for one in seen}
        rules = self.settings.site_layer.rules
        return [(check, band) for check, band in rules if check in late]

    def _may_part(self, message: Message, address: Address) -> bool:
        claim = Claim(_key("split", message, address), WINDOW, self.settings.exact_splits)
        try:
            [wait] = self.counters.take([claim], Deadline.after(PATIENCE))
        except CountersError:
            self.account.split("uncounted")
            return False
        self.account.split("travels" if wait else "apart")
        return not wait


def _key(what: str, message: Message, address: Address) -> str:
    """Client network, sender and recipient, of a length that nobody from outside can choose."""
    client = parse_ip(message.client)
    network = (
        str(ipaddress.ip_network((client, _PREFIX[client.version]), strict=False)) if client else ""
    )
    parts = (network, message.sender.lower(), address.key)
    whole = "\0".join(parts).encode("utf-8", "surrogateescape")
    return f"exact {what} {hashlib.sha256(whole).hexdigest()}"
