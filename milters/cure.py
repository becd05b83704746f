"""`remove`: what carries a virus is taken out of a message, and the rest of it goes on.

Whoever has named a virus is given each file of the message on its own, and what he names again goes
(`iems.edits.strip`); a notice takes its place. The result is scanned by all, in every reading, as
the message was. Only where nothing is found there any more, but for archives that are encrypted, it
goes on in place of the message, with the finding `removed`.

Failure: whatever keeps the virus from being removed, or from being known to be removed, makes
`remove` a `reject` of the message as it came: readers that disagree about it, a virus that is in no
file alone, more than is edited, a scanner that says nothing, and no time. Of large messages each
worker takes one apart at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iems.directory.resolve import Destination
from iems.edits.edit import EditError
from iems.edits.rules import Rule
from iems.edits.strip import Place, Removal, place_of, strip
from iems.mime.block import blocks
from iems.mime.inside import may_hold_files
from iems.mime.part import Part
from iems.mime.transfer import decodings
from iems.mime.tree import parse
from iems.model.envelope import LOCAL
from iems.model.finding import VIRUS, Finding
from iems.model.policy import Action, Decision
from iems.serve.deadline import Deadline
from iems.settings.matrix import INFECTED
from iems.settings.schema import Settings
from iems.store.spool import Spooled
from milters.checks.protocol import Stage
from milters.checks.virus import Scan, removed, unremoved
from milters.deciding import stopping
from milters.draft import Draft, turn
from milters.engines.engine import EngineError
from milters.engines.scanner import Octets, Scanner, Verdict
from milters.state import Message

NOTICE = "The attachment $name ($type, $size bytes) was removed. It carried a virus: $rule."
_MOST = 200
"""Files of a message that are scanned on their own: as many as it may have readings."""

_UNPACKED, _LEAST = 2, 512 << 10
"""Times the bytes of the message, or octets, of a file in a text (`milters.engines.readings`)."""

_turn = threading.Lock()
"""Of its own: mail without a virus does not wait for scanners."""

_AFTERWARDS = frozenset({"", Verdict.ENCRYPTED.value})
"""What may be found in a message without its virus."""


@dataclass(frozen=True, slots=True)
class Cured:
    """A message as it goes on, what is known of it, and what keeps it from going on."""

    draft: Draft
    seen: tuple[Finding, ...]
    stopped: Sequence[tuple[Destination, Decision]]


def cured(settings: Settings, message: Message, seen: tuple[Finding, ...], draft: Draft) -> Cured:
    """The message without what the matrix wants to be removed, unless it is refused anyway."""
    stopped = stopping(settings, message, seen)
    found = _to_remove(settings, message, seen)
    if found is None or (stopped and message.channel != LOCAL):
        return Cured(draft, seen, stopped)
    try:
        scan = _scan(message)
        with turn(draft, scan.deadline.remaining(), _turn):
            draft, more = _removed(scan, found, draft)
        after = (removed(found), *more)
    except (EditError, EngineError, TimeoutError) as error:
        after = (unremoved(found, str(error)),)
    except OSError as error:
        after = (unremoved(found, f"it cannot be read: {error.strerror}"),)
    known = tuple(two for one in seen for two in (after if one is found else (one,)))
    return Cured(draft, known, stopping(settings.unremoved, message, known))


def _to_remove(settings: Settings, message: Message, seen: tuple[Finding, ...]) -> Finding | None:
    """The finding of a virus, where its action is to remove it."""
    weighed = settings.weighed(seen)
    found = next((one for one in weighed if (one.check, one.band) == (VIRUS, INFECTED)), None)
    site = settings.layers(message.channel, message.direction)[0]
    rule = site.rule(VIRUS, INFECTED)
    return found if rule and rule.choice is Action.REMOVE else None


def _scan(message: Message) -> Scan:
    """The scan that has found it; EditError where it is a finding of something else."""
    for check, pending in message.started.get(Stage.BODY, ()):
        if check.name == VIRUS and isinstance(pending, Scan):
            return pending
    raise EditError("nobody can scan its files")


def _removed(scan: Scan, found: Finding, draft: Draft) -> tuple[Draft, tuple[Finding, ...]]:
    """Without the virus, and what is found in the rest; EditError, EngineError, OSError."""
    data = draft.data
    known = scan.check.scanners
    scanners = [known[name] for name, _what in found.evidence if name in known]

    def look() -> tuple[tuple[Place, Rule], ...]:
        looking = _Looking(scanners, scan.deadline)
        return tuple(one for part in _leaves(parse(data)) for one in looking.infected(data, part))

    places = scan.more(look)
    if not places:
        raise EditError("it is in none of its files alone")
    # No archive is looked into: a file is known by its place.
    edit = strip(data, Removal((), NOTICE, places=places), until=0.0)
    if edit.rejected:
        raise EditError(edit.reason)
    draft = draft.edited(edit)
    if draft.body is None:
        raise EditError(draft.fault)
    rest = scan.check.scan(Spooled(draft.header.raw, draft.body), scan.deadline).result()
    left = next((one for one in rest if one.band not in _AFTERWARDS), None)
    if left is not None:
        raise EditError(f"of the rest {left.reason}")
    return draft, tuple(one for one in rest if one.band)


def _leaves(root: Part) -> Iterator[Part]:
    """The parts without parts, as most readers have them."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.parts:
            waiting += reversed(part.parts)
        else:
            yield part


class _Looking:
    """For the files of one message that carry a virus."""

    def __init__(self, scanners: Sequence[Scanner], deadline: Deadline) -> None:
        self._scanners = scanners
        self._deadline = deadline
        self._left = _MOST

    def infected(self, data: bytes, part: Part) -> Iterator[tuple[Place, Rule]]:
        """Where they are in this part, and the virus: the files in its text, else the part."""
        first, *others = decodings(part.encoding, data[part.body : part.end])
        within = False
        if may_hold_files(part):
            for block in blocks(first, max(_UNPACKED * len(data), _LEAST)):
                if virus := self._virus(block.octets):
                    within = True
                    yield place_of(part, block), Rule(virus)
        if not within and (virus := next(filter(None, map(self._virus, (first, *others))), "")):
            yield place_of(part, None), Rule(virus)

    def _virus(self, octets: bytes) -> str:
        """Its name, by those who have named one in the message; EngineError."""
        self._left -= 1
        if self._left < 0:
            raise EditError(f"it has more than {_MOST} files")
        said = (one.scan(Octets.of(octets), self._deadline) for one in self._scanners)
        return next((one.name for one in said if one.verdict is Verdict.INFECTED), "")
