"""`attachment/<label>`: does the message hold a file that a rule of the site matches?

All mail is looked at, whoever sends it, and taken apart once for all rules
(`iems.edits.inventory`).
`matched` is about the first file in the order of the message; `malformed` says that the message
cannot be looked at as a whole, and `temperror` that there was no time for it. A rule that has
matched has no need of the rest in time, but may have `malformed` beside it.

That is done when the result is collected. A process takes one message apart at a time, for that
costs memory; whose turn does not come in time is `temperror`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.edits.inventory import Found, Inventory, inventory
from iems.edits.rules import Rule
from iems.mime.inside import File
from iems.model.finding import ATTACHMENT, MATCHED, TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings.attachments import MOST, RuleSettings, parse
from iems.store.spool import Spooled
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = ATTACHMENT
MALFORMED = "malformed"
Settings = RuleSettings

__all__ = ["Settings", "make", "parse"]

_NAMES = 100
"""Characters of a name that are shown."""

turn = threading.Lock()
"""Who takes a message apart has it."""


def make(name: str, settings: RuleSettings, tools: Tools) -> tuple[Check, ...]:
    """The check of one rule."""
    return (Attachment(settings.rule(name), tools.site.attachments.timeout),)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One rule."""

    rule: Rule
    timeout: float

    @property
    def name(self) -> str:
        """`attachment/LABEL`."""
        return f"{NAME}/{self.rule.label}"

    @property
    def stage(self) -> Stage:
        """The whole message is taken apart."""
        return Stage.BODY

    def applies(self, view: View) -> bool:  # noqa: ARG002 - the protocol's
        """Always: a user's machine may send what it should not, too."""
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:  # noqa: ARG002 - see `Looking`
        """Keep the message for later."""
        if view.message is None:
            # In shadow a message goes on that could not be kept whole.
            return Known((self.failed("it could not be kept"),))
        return Looking(self, view.message)

    def failed(self, why: str) -> Finding:
        """The finding where nobody knows."""
        reason = f"attachments could not be looked at: {why}"
        return Finding(self.name, TEMPERROR, TEMPERROR, reason)

    def findings(self, there: Inventory) -> Iterator[Finding]:
        """What the rule says of all files."""
        hits = (
            (one, file)
            for one in there.found
            for file in one.files
            if self.rule.matches(file, one.declared)
        )
        hit = next(hits, None)
        if hit is not None:
            yield self._matched(*hit)
        if there.malformed:
            reason = f"the message cannot be looked at as a whole: {printable(there.malformed)}"
            yield Finding(self.name, MALFORMED, MALFORMED, reason)
        elif hit is None and there.late:
            yield self.failed("there was no time for it")
        elif hit is None:
            yield Finding(self.name, "clear")

    def _matched(self, found: Found, file: File) -> Finding:
        """About the attachment as people see it, and the file in it that the rule is about."""
        shown, inner = _name(found.shown), _name(file)
        size = "" if found.shown.size is None else str(found.shown.size)
        told = {"name": shown, "type": printable(found.declared, _NAMES), "size": size}
        within = ""
        if file is not found.shown:
            told["file"], within = inner, f"{inner} in "
        reason = f"the attachment is not taken here: {within}{shown} ({self.rule.label})"
        evidence = tuple((key, value) for key, value in told.items() if value)
        return Finding(self.name, MATCHED, MATCHED, reason, None, evidence)


class Looking:
    """One message and one rule; collected by one thread at a time."""

    def __init__(self, check: Attachment, message: Spooled) -> None:
        self._check = check
        self._message = message
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The findings; what they were at first they stay."""
        if self._findings is None:
            self._findings = tuple(self._found())
        return self._findings

    def _found(self) -> Iterator[Finding]:
        known = self._message.inventories
        try:
            # What bounds other checks may be over by now.
            there = known[0] if known else _looked(self._message, self._check.timeout)
        except OSError as error:
            yield self._check.failed(f"it cannot be read: {error.strerror}")
        else:
            known[:] = [there]
            yield from self._check.findings(there)


def _looked(message: Spooled, timeout: float) -> Inventory:
    """The files of the message; OSError where it cannot be read."""
    if message.size > MOST:
        return Inventory((), f"it has more than {MOST} bytes")
    deadline = Deadline.after(timeout)
    if not turn.acquire(timeout=timeout):
        return Inventory((), late=True)
    try:
        return inventory(b"".join((message.header, *message.body.pieces())), deadline.at)
    finally:
        turn.release()


def _name(file: File) -> str:
    return printable(file.names[0], _NAMES) if file.names else "a file without a name"
