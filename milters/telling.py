"""Who is to be told of a virus in a message: postmaster, recipients here, a sender of ours.

Whom the matrix names for the way of the message is written down here, once it is refused or let in;
a job tells them (`iems.notices.viruses`). A sender is ours who has logged in, and then by his login
and not by what the message says; or whose mail sendmail(1) handed in, unless it had been delivered
before. Nobody is told of a message that is itself a notice.

Failure: what cannot be written down is a line in the log, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from iems.codec.encoded import decoded
from iems.directory.resolve import Destination
from iems.model.address import Address, AddressError
from iems.model.envelope import LOCAL
from iems.model.finding import VIRUS, Finding
from iems.model.policy import Action
from iems.notices.viruses import PASSED, RECEIVED, SENT
from iems.serve.log import Log
from iems.settings.matrix import INFECTED, REMOVED, Whom
from iems.settings.schema import Settings
from iems.store.owed import FILE, Event, Owed, OwedError
from milters.state import Message

REFUSED, HELD = "refused", "held"
_SHOWN = 10
"""Recipients whom sender and postmaster are told."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Of one worker."""

    settings: Settings
    log: Log
    clock: Callable[[], float]

    def tell(self, message: Message, seen: Iterable[Finding], done: str = "") -> None:
        """Write down who is to be told; what was `done`, or else what the matrix does."""
        weighed = self.settings.weighed(seen)
        found = next((one for one in weighed if one.check == VIRUS and _is_virus(one)), None)
        if found is None or _is_notice(message):
            return
        events = self._events(message, found, done)
        persons = {person: event for person, event in events if person}
        if not persons:
            return
        try:
            with closing(Owed(self.settings.milter.state / FILE)) as owed:
                owed.add(persons.items())
        except OwedError as error:
            why = str(error)
            self.log.warning("nobody is told of a virus", reference=message.reference, why=why)

    def _events(self, message: Message, found: Finding, done: str) -> Iterator[tuple[str, Event]]:
        """Persons with what they are told; of one who is there twice the last counts."""
        check = next(one for one in self.settings.checks if one.name == VIRUS)
        way = message.direction
        whom = check.matrix.notified(message.channel, way)
        subjects = message.block.named(b"subject")

        def event(role: str, recipients: Sequence[str], destination: str) -> Event:
            by_cell = check.between(message.channel, destination).rules[INFECTED].choice
            return Event(
                time=self.clock(),
                role=role,
                sender=message.sender,
                recipients=", ".join(recipients),
                subject=decoded(subjects[0].value) if subjects else "",
                virus=", ".join(dict.fromkeys(what for _name, what in found.evidence)),
                done=done or (REMOVED if found.outcome == REMOVED else _behind(by_cell)),
                reference=message.reference,
            )

        everybody = [str(address) for address, _destinations in message.accepted[:_SHOWN]]
        if Whom.RECIPIENT in whom:
            for key, addresses in _mailboxes(message.accepted).items():
                yield key, event(RECEIVED, addresses, LOCAL)
        if Whom.SENDER in whom:
            yield _sender(message), event(SENT, everybody, way)
        if Whom.POSTMASTER in whom:
            yield self.settings.postmaster.key, event(PASSED, everybody, way)


def _behind(chosen: Action | None) -> str:
    """What is done behind the queue, where what could not be done before it is kept."""
    kept = chosen in {None, Action.REJECT, Action.REMOVE}
    return (Action.QUARANTINE if chosen is None or kept else chosen).word


def _mailboxes(
    accepted: Iterable[tuple[Address, frozenset[Destination]]],
) -> dict[str, list[str]]:
    """Whose mailboxes it was for, with the addresses that led there."""
    found: dict[str, list[str]] = {}
    for address, destinations in accepted:
        for user in (one.user for one in destinations if one.user):
            found.setdefault(user.address.key, []).append(str(address))
    return found


def _sender(message: Message) -> str:
    """Who of ours has sent it; nobody where that cannot be known, or he wants no answer."""
    if not message.sender or _is_automatic(message):
        return ""
    if message.authenticated:
        try:
            return Address.parse(message.authenticated).key
        except AddressError:
            return ""
    if message.channel != LOCAL or message.sent_on:
        return ""
    return message.sender_address.key if message.sender_address else ""


def _is_virus(found: Finding) -> bool:
    """Whether it tells of one, which may be gone."""
    return found.band == INFECTED or found.outcome == REMOVED


def _is_notice(message: Message) -> bool:
    return not message.sender and _is_automatic(message)


def _is_automatic(message: Message) -> bool:
    """Whether it says of itself that no person has sent it (RFC 3834)."""
    fields = message.block.named(b"auto-submitted")
    return any(not one.value.strip().lower().startswith(b"no") for one in fields)
