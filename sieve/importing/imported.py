"""What an importer hands back, and the laws that hold for all of them.

Nothing is dropped in silence: what has no counterpart is a remark with its line. A rule of which a
condition or a delivery cannot be translated is left out as a whole, since half of it would catch
other mail. Where such a rule would have been the end for some messages, those now go on to later
rules: of these only what files and flags stays enabled, so that nothing is thrown away, sent or
answered that the original had kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from iems.model.address import Address, AddressError
from sieve.diagnostic import Diagnostic, Severity
from sieve.mailsort.read import MailsortError, check
from sieve.mailsort.rule import (
    Condition,
    Copy,
    Discard,
    Flag,
    Group,
    Mailsort,
    MarkRead,
    Move,
    Quantity,
    Reject,
    Rule,
    Stop,
    tests,
)

MOST = 1_000_000
"""Bytes of a file of rules; the largest seen in public have some thousand lines."""

_RULES = 10_000
_TESTS = 100_000
"""Of all rules together: what stands around nested blocks is repeated in each rule of them."""

_EXPRESSIONS = 200_000
"""Characters of all expressions together: the worst seen take 5 s."""

_NAME = 80
"""Characters of a name that was made of a comment."""

_HARMLESS = (Move, Copy, Flag, MarkRead, Stop)
_ENDS = (Stop, Discard, Reject)


@dataclass(frozen=True, slots=True)
class Imported:
    """The rules, and what is to be said about them in the order of the lines."""

    mailsort: Mailsort
    remarks: tuple[Diagnostic, ...]


class UntranslatedError(ValueError):
    """It has no counterpart; the message says why."""


@dataclass(slots=True)
class Collector:
    """Rules and remarks while a file is read; from the line `doubt` on mail goes astray."""

    rules: list[Rule] = field(default_factory=list)
    remarks: list[Diagnostic] = field(default_factory=list)
    doubt: int = 0
    _tests: int = 0
    _expressions: int = 0

    def note(self, line: int, message: str, rule: str = "") -> None:
        """It is so."""
        self.remarks.append(Diagnostic(Severity.NOTE, message, rule, line))

    def warning(self, line: int, message: str, rule: str = "") -> None:
        """It means a little else."""
        self.remarks.append(Diagnostic(Severity.WARNING, message, rule, line))

    def error(self, line: int, message: str, rule: str = "", *, ends: bool = False) -> None:
        """It is not translated; with `ends` it would have been the end for some messages."""
        self.remarks.append(Diagnostic(Severity.ERROR, message, rule, line))
        if ends and not self.doubt:
            self.doubt = line

    def add(self, line: int, rule: Rule) -> bool:
        """One rule more, disabled where it could do harm to mail that the original had kept.

        It is left out where no text could hold it: the server would not take it, or die of it.
        The answer is whether it is enabled.
        """
        self._tests += 1 + sum(1 for _ in tests(rule.condition))
        if len(self.rules) >= _RULES or self._tests > _TESTS:
            if self._tests < _STATED:
                self.error(line, f"more than {_RULES} rules or {_TESTS} tests", rule.name)
                self._tests = _STATED
            return False
        try:
            check(Mailsort((rule,)))
        except MailsortError as error:
            ends = rule.enabled and any(isinstance(one, _ENDS) for one in rule.actions)
            for remark in error.remarks:
                self.error(line, remark.message, rule.name, ends=ends)
            return False
        harmful = not all(isinstance(one, _HARMLESS) for one in rule.actions)
        if self.doubt and rule.enabled and harmful:
            rule = replace(rule, enabled=False)
            self.error(
                line,
                f"it is disabled, for what is not translated in line {self.doubt} may have kept "
                "mail from it: look at it before you enable it",
                rule.name,
            )
        self.rules.append(rule)
        return rule.enabled

    def spend(self, expression: str) -> None:
        """One expression more is to be read; UntranslatedError where there are too many."""
        self._expressions += len(expression)
        if self._expressions > _EXPRESSIONS:
            raise UntranslatedError(f"all expressions have more than {_EXPRESSIONS} characters")

    def imported(self) -> Imported:
        """What has come together."""
        remarks = sorted(self.remarks, key=lambda one: one.line)
        return Imported(Mailsort(tuple(self.rules)), tuple(remarks))


_STATED = 1 << 62


def lines(data: bytes, remarks: Collector) -> list[str]:
    """The text in lines without their ends; none, and a remark, where there is too much of it."""
    if len(data) > MOST:
        remarks.error(0, f"it has {len(data)} bytes; at most {MOST} are read")
        return []
    return text(data).replace("\r\n", "\n").split("\n")


def text(data: bytes) -> str:
    """UTF-8, or Latin-1 where it is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def plain(value: str, what: str) -> str:
    """The text, in which there are no control characters; UntranslatedError where there are."""
    if any(ord(one) < 32 or ord(one) == 127 for one in value.replace("\t", " ")):
        raise UntranslatedError(f"{what} has control characters")
    return value


def folder(name: str) -> str:
    """A folder's name, its levels parted by `/`; UntranslatedError where it cannot be one."""
    levels = plain(name, "a folder's name").strip("/").split("/")
    if not all(levels) or {".", ".."} & set(levels) or "\t" in name or len(name) > 200:
        raise UntranslatedError(f"{name[:60]!r} is no name of a folder")
    return "/".join(levels)


def addresses(words: Iterable[str]) -> tuple[str, ...]:
    """Mail addresses with their domains; UntranslatedError where one is none."""
    found = []
    for one in words:
        try:
            address = Address.parse(one)
        except AddressError as error:
            raise UntranslatedError(f"expected addresses with a domain: {error}") from None
        if not address.local.isascii() or '"' in str(address):
            raise UntranslatedError(f"no server sends on to {one[:60]!r}: it has quotes or accents")
        found.append(str(address))
    if not found:
        raise UntranslatedError("there is no address")
    return tuple(dict.fromkeys(found))


def title(words: str, line: int) -> str:
    """A rule's name of what was written above it, or of its line."""
    name = "".join(one if one.isprintable() else " " for one in words).strip("#-=* \t")[:_NAME]
    return name.strip() or f"Line {line}"


def all_of(conditions: tuple[Condition, ...]) -> Condition | None:
    """All of them hold; None where there are none, for then every message fits."""
    return every(conditions) if conditions else None


def every(conditions: tuple[Condition, ...]) -> Condition:
    """All of them hold; there is one."""
    return conditions[0] if len(conditions) == 1 else Group(Quantity.ALL, conditions)


def any_of(conditions: tuple[Condition, ...]) -> Condition:
    """One of them holds; there is one."""
    return conditions[0] if len(conditions) == 1 else Group(Quantity.ANY, conditions)


def none_of(*conditions: Condition) -> Condition:
    """None of them holds."""
    return Group(Quantity.NONE, conditions)
