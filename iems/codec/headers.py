"""Rules about header fields that a domain or a list makes for mail to it: their text, and applied.

One is `NAME ACTION FIELD TEST [VALUE]`, the words one blank apart: `casino junk Subject contains
lottery`. TEST is an operator of `iems.codec.rule`, behind which may stand `,raw` (encoded words
stay as they are) and `,case` (upper and lower case are told apart). What one finds is the finding
`header/OWNER/NAME`; where it finds nothing there is none.

Whoever may write one is trusted with the mail of his own domain and not with the time of the
server: text, compiled pattern and number are bounded, and so is what is applied to one message.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.codec.rule import HeaderRule, Operator, Result, RuleError
from iems.model.finding import MATCHED, TEMPERROR, Finding
from iems.model.message import HeaderBlock
from iems.model.policy import Action, Layer

PER_MESSAGE = 200
"""Rules that are applied to one message; the domains of its recipients may have more together."""

_LENGTH = 500
"""Characters of one."""

_PROGRAM = 200
"""Instructions of its pattern: the worst ones found took 0.15 s for 64 KiB of a field."""

_KEPT = 128
"""Tests that stay compiled, each with at most 1 MiB, or refused. To compile one takes 0.3 ms, to
refuse one up to 50 ms, and the directory reads them again and again."""

_SHOWN = 100
"""Characters of a value that are evidence."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_RAW, _CASE = "raw", "case"


@dataclass(frozen=True, slots=True)
class OwnRule:
    """One rule; `test` is the text of it behind the action."""

    name: str
    action: Action
    test: str

    @classmethod
    def parse(cls, text: str) -> OwnRule:
        """Read one; ValueError says what is wrong."""
        words = text.strip().split(" ", 2)
        if len(words) != 3 or len(text) > _LENGTH or not text.isprintable():
            raise ValueError(
                "expected NAME ACTION FIELD TEST [VALUE], printable and of at most "
                f"{_LENGTH} characters"
            )
        name, action, test = words
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name; expected lower-case letters, digits, - .")
        _compiled(test)
        return cls(name, Action.parse(action), test)

    def __str__(self) -> str:
        return f"{self.name} {self.action.word} {self.test}"

    def check(self, owner: str) -> str:
        """What it finds of mail to its owner is a finding of this name."""
        return f"header/{printable(owner)}/{self.name}"


class OwnFindings:
    """What such rules find in one header; each is applied once, for however many recipients."""

    def __init__(self, block: HeaderBlock) -> None:
        self._block = block
        self._known: dict[tuple[str, str], Finding | None] = {}

    def of(self, layers: Iterable[Layer]) -> tuple[Finding, ...]:
        """What the rules of these layers find."""
        found = [self._found(*one) for layer in layers for one in layer.headers.items()]
        return tuple(one for one in found if one is not None)

    def _found(self, check: str, test: str) -> Finding | None:
        if (check, test) not in self._known:
            if len(self._known) >= PER_MESSAGE:
                reason = f"more than {PER_MESSAGE} rules of domains and lists for one message"
                return Finding(check, TEMPERROR, TEMPERROR, reason)
            owner, _slash, name = check.partition("/")[2].rpartition("/")
            one = finding(check, f"{name} of {owner}", _compiled(test), self._block)
            self._known[check, test] = one if one.band else None
        return self._known[check, test]


def finding(check: str, label: str, rule: HeaderRule, block: HeaderBlock) -> Finding:
    """What a rule says of a header, as the finding of `check`; `label` is what people call it."""
    result, field = rule.apply(block)
    name = printable(rule.field)
    if result is Result.CLEAR:
        return Finding(check, "clear")
    if result is Result.UNREAD:
        reason = f"there is more of field {name} than is read for rule {label}"
        return Finding(check, TEMPERROR, TEMPERROR, reason, None, (("field", name),))
    reason = f"the message matches rule {label} about field {name}"
    evidence = [("field", name)]
    if field is not None and rule.test.of_values:
        evidence.append(("occurrence", str(field.occurrence)))
        evidence.append(("value", printable(rule.shown(block, field), _SHOWN)))
    return Finding(check, MATCHED, MATCHED, reason, None, tuple(evidence))


def _compiled(test: str) -> HeaderRule:
    """The rule of `FIELD TEST [VALUE]`; ValueError where it is none."""
    found = _read(test)
    if isinstance(found, str):
        raise ValueError(found)
    return found


@functools.lru_cache(maxsize=_KEPT)
def _read(test: str) -> HeaderRule | str:
    """The rule, or why it is none."""
    try:
        return _made(test)
    except RuleError as error:
        return f"{error.part}: {error}"


def _made(text: str) -> HeaderRule:
    field, _blank, rest = text.partition(" ")
    word, _blank, value = rest.partition(" ")
    operator, *flags = word.split(",")
    operators = [one.value for one in Operator]
    if operator not in operators or not {_RAW, _CASE}.issuperset(flags):
        raise RuleError(
            "test", f"expected one of {', '.join(operators)}, and ,{_RAW} or ,{_CASE} behind it"
        )
    decoded, case = _RAW not in flags, _CASE in flags
    rule = HeaderRule.of(field, Operator(operator), value, decoded=decoded, case=case)
    if rule.pattern is not None and rule.pattern.size > _PROGRAM:
        raise RuleError("value", f"expected a pattern of at most {_PROGRAM} instructions")
    return rule
