"""Mail of every outcome, for all whom one domain has: what an hour of a server may bring.

Each kind is one conversation with the code that each command must have. `listed` clients stand on
the list that users choose about, `barred` ones on the one that the site enforces.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.load import Conversation, Step
from iems.store.records import new_reference
from tests.integration.directory import tree
from tests.integration.stack.mailsystem import DELEGATED, ENFORCED, MailSystem

SENDER = "a@sender.example"
CHOICES = ("deliver", "tag", "junk", "quarantine", "defer", "discard", "reject")
_SEED = 20261126
_TEXT = b"Subject: mixed\r\n\r\ntext\r\n"


@dataclass
class Mixed:
    """The traffic of a domain that is its own; `fresh` clients are those of one test."""

    system: MailSystem
    domain: str
    listed: str
    barred: str
    clear: str
    deferred: bool = True
    """Whether there is mail that stays in the queue."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        rows = [tree.domain(self.domain)]
        for choice in CHOICES:
            rule = f"iemsPolicy: dnsbl/delegated listed choice {choice}"
            rows += [tree.user(self.at(f"{choice}{number}"), rule) for number in range(3)]
        rows.append(tree.user(self.at("closed"), "iemsDisabled: has left"))
        rows.append(tree.alias(self.at("strict"), self.at("reject0"), self.at("reject1")))
        rows.append(tree.alias(self.at("half"), self.at("reject0"), self.at("junk1")))
        rows.append(tree.alias(self.at("later"), self.at("defer0"), self.at("deliver1")))
        self.system.slapd.add("".join(rows))
        self.system.lists.list(DELEGATED, self.listed)
        self.system.lists.list(ENFORCED, self.barred)

    def at(self, local: str) -> str:
        """An address of the domain."""
        return f"{local}@{self.domain}"

    def talks(self, count: int) -> Iterator[Conversation]:
        """So many conversations, drawn from all kinds."""
        draw = random.Random(_SEED)
        makers = [self._alone, self._alone, self._together, self._refused, self._odd]
        for number in range(count):
            # Each kind comes, however few there are.
            kind = makers[number] if number < len(makers) else draw.choice(makers)
            yield kind(draw)

    def accepted(self, count: int) -> Iterator[Conversation]:
        """So many that nobody refuses or keeps."""
        for number in range(count):
            yield self._talk(self.listed, {f"{('deliver', 'tag', 'junk')[number % 3]}0": b"250"})

    def _alone(self, draw: random.Random) -> Conversation:
        """One recipient, who decides; what he refuses is refused at RCPT."""
        choice = draw.choice(CHOICES)
        client = draw.choice((self.listed, self.clear))
        codes = {"reject": b"550", "defer": b"450"} if client == self.listed else {}
        return self._talk(client, {f"{choice}{draw.randrange(3)}": codes.get(choice, b"250")})

    def _together(self, draw: random.Random) -> Conversation:
        """Several, each with his own verdict; an alias behind which one does not refuse."""
        chosen = draw.sample(CHOICES, 4)
        codes = {"reject": b"550", "defer": b"450"}
        to = {f"{one}{draw.randrange(3)}": codes.get(one, b"250") for one in chosen}
        alias = "half" if draw.randrange(6) or not self.deferred else "later"
        return self._talk(self.listed, {**to, alias: b"250"})

    def _refused(self, draw: random.Random) -> Conversation:
        """By what binds everybody, by two policies behind an alias, by a closed account."""
        client, to = draw.choice(
            (
                (self.barred, "deliver0"),
                (self.barred, "strict"),
                (self.listed, "strict"),
                (self.clear, "closed"),
            )
        )
        return self._talk(client, {to: b"550"})

    def _odd(self, draw: random.Random) -> Conversation:
        """At the end of DATA: a loop, and too many fields in our name."""
        if draw.randrange(2):
            head = f"Delivered-To: {self.at('deliver0')}\r\n".encode()
            return self._talk(self.clear, {"deliver0": b"250"}, head, b"550")
        head = b"X-IEMS-Verdict: junk\r\n" * 101
        return self._talk(self.clear, {"deliver1": b"250", "junk2": b"250"}, head, b"552")

    def _talk(
        self, client: str, to: Mapping[str, bytes], head: bytes = b"", end: bytes = b"250"
    ) -> Conversation:
        name = new_reference()
        steps = [
            Step(b"", b"220"),
            Step(b"EHLO client.example\r\n"),
            Step(f"XCLIENT ADDR={client} NAME=mx.sender.example\r\n".encode(), b"220"),
            Step(b"EHLO client.example\r\n"),
            Step(f"MAIL FROM:<{SENDER}>\r\n".encode()),
        ]
        steps += [Step(f"RCPT TO:<{self.at(one)}>\r\n".encode(), code) for one, code in to.items()]
        if b"250" in to.values():
            head += f"Message-ID: <{next(self.numbers)}.{name}@sender.example>\r\n".encode()
            steps += [
                Step(b"DATA\r\n", b"354"),
                Step(head + _TEXT + b".\r\n", end, message=True),
            ]
        return Conversation([*steps, Step(b"QUIT\r\n", b"221")])
