"""What happened, as text that can be compared: between runs, and between the ways of a script.

A line of the script stands as it is; `< ` is the reply to it, `! ` an edit that the filter asked
for, `= ` the message as it goes on. What differs from run to run is named: references become REF1,
REF2 in the order in which they appear, a time to wait becomes TIME; the findings header shows what
is in it, not its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from iems.codec import findings
from iems.codec.findings import FindingsError
from tests.fakemta.message import (
    Add,
    AddRecipient,
    Change,
    ChangeSender,
    DeleteRecipient,
    Edit,
    HeaderField,
    Insert,
    Message,
    Quarantine,
    ReplaceBody,
)
from tests.fakemta.session import Step

Secrets = Callable[[str], bytes | None]
_REFERENCE = re.compile(r"\breference ([A-Za-z0-9_-]+)$")
_WAIT = re.compile(r"\btry again in \d+ \w+")
OWN_RECEIVED = "= (the MTA's own Received)"


class Printer:
    """Prints the steps of one script; `secret_of` gives the keys of the findings header."""

    def __init__(self, secret_of: Secrets) -> None:
        self._secret_of = secret_of
        self._references: dict[str, str] = {}

    def steps(self, steps: Iterable[Step]) -> str:
        """The whole transcript."""
        return "".join(f"{line}\n" for step in steps for line in self._step(step))

    def _step(self, step: Step) -> Iterable[str]:
        yield step.line.text
        if step.answer:
            yield f"< {self.reply(step.answer)}"
        for edit in step.edits:
            yield from self._edit(edit)
        if step.message is not None:
            yield from self.message(step.message)

    def reply(self, text: str) -> str:
        """A reply with its reference named."""
        named = _REFERENCE.sub(lambda found: f"reference {self._named(found.group(1))}", text)
        return _unhurried(named)

    def message(self, message: Message) -> Iterable[str]:
        """Envelope, header and body; Postfix keeps no order of recipients."""
        yield f"= from <{message.sender}>"
        yield from (f"= to <{recipient}>" for recipient in sorted(message.recipients))
        if message.held:
            yield f"= held: {message.held}"
        for one in message.header:
            yield from [OWN_RECEIVED] if one.own else self._field("= ", one)
        yield "="
        for line in b"".join(message.body).split(b"\r\n")[:-1]:
            yield f"= {_text(line)}"

    def _edit(self, edit: Edit) -> Iterable[str]:
        match edit:
            case Insert(index, name, value):
                yield from self._field(f"! insert {index} ", HeaderField(name, value))
            case Add(name, value):
                yield from self._field("! add ", HeaderField(name, value))
            case Change(name, occurrence, None):
                yield f"! delete {occurrence} {_text(name)}"
            case Change(name, occurrence, value):
                yield from self._field(f"! change {occurrence} ", HeaderField(name, value or b""))
            case AddRecipient(address):
                yield f"! add recipient {address}"
            case DeleteRecipient(address):
                yield f"! delete recipient {address}"
            case ChangeSender(address):
                yield f"! sender {address}"
            case ReplaceBody(body):
                yield f"! body of {len(body)} bytes"
            case Quarantine(reason):
                yield f"! hold: {reason}"

    def _field(self, prefix: str, one: HeaderField) -> Iterable[str]:
        if one.name.lower() == findings.NAME.lower():
            try:
                passed = findings.decode(one.value, self._secret_of)
            except FindingsError as error:
                yield f"{prefix}{_text(one.name)}: (invalid: {error})"
                return
            yield (
                f"{prefix}{_text(one.name)}: (reference {self._named(passed.reference)}, "
                f"queue id {'told' if passed.queue_id else 'none'}, channel {passed.channel}, "
                f"sender <{passed.sender}>)"
            )
            for seen in passed.findings:
                evidence = "".join(f" {name}={value}" for name, value in seen.evidence)
                yield (
                    f"{prefix[0]}   {seen.check} {seen.outcome} band={seen.band or '-'}"
                    f" {_unhurried(seen.reason)!r}{evidence}"
                )
            return
        first, *rest = _text(one.raw).split("\n")
        yield prefix + first
        yield from (f"{prefix[0]} {line}" for line in rest)

    def _named(self, reference: str) -> str:
        return self._references.setdefault(reference, f"REF{len(self._references) + 1}")


def _text(octets: bytes) -> str:
    """Bytes as text that shows every one of them."""
    text = octets.decode("utf-8", "backslashreplace")
    return text.replace("\r", "\\r").replace("\t", "\\t").replace("\0", "\\0")


def _unhurried(text: str) -> str:
    return _WAIT.sub("try again in TIME", text)


def without_edits(transcript: str) -> str:
    """What a client and a recipient can see: no edits."""
    lines = transcript.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("!"))
