"""A resolver that answers from a text: for scripts, tests and trying things out without a network.

A line is `NAME TYPE VALUE`, several lines of one name and type are several records; instead of a
value stands what goes wrong: `NXDOMAIN NODATA SERVFAIL REFUSED TIMEOUT`. A value may stand in
quotes, several of them are joined. `;` outside of quotes starts a comment. A question that the text
does not hold raises, so that a script shows every question that is asked, unless the text is the
whole of the DNS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from iems.dns.resolver import Answer, Rtype, Status, Then
from iems.serve.deadline import Deadline

_TTL = 300
_WORDS = {status.name: status for status in Status if status is not Status.FOUND}
_TYPES: dict[str, Rtype] = {rtype: rtype for rtype in get_args(Rtype)}


class ZoneFileError(ValueError):
    """A line that cannot be read."""


class UnexpectedQuestionError(LookupError):
    """A question that the text does not hold."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A question whose answer is known."""

    answer: Answer

    def result(self, deadline: Deadline) -> Answer:  # noqa: ARG002 - the protocol's signature
        """The answer; nothing is waited for."""
        return self.answer


class ZoneResolver:
    """Answers what the text holds; where it is the `whole`, nothing else exists."""

    def __init__(self, text: str, *, whole: bool = False) -> None:
        self.text = text
        self.whole = whole
        self._answers: dict[tuple[str, Rtype], Answer] = {}
        for number, line in enumerate(text.splitlines(), 1):
            bare = _bare(line)
            if bare:
                self._read(bare, number)

    def ask(self, name: str, rtype: Rtype, then: Then | None = None) -> Ready:
        """The answer of the text; UnexpectedQuestionError where it has none."""
        answer = self._answers.get((_key(name), rtype))
        if answer is None:
            answer = self._absent(name, rtype)
        if answer.status.definite and then is not None:
            then(answer)
        return Ready(answer)

    def _absent(self, name: str, rtype: Rtype) -> Answer:
        if not self.whole:
            raise UnexpectedQuestionError(f"{name} {rtype}")
        known = any(owner == _key(name) for owner, _rtype in self._answers)
        return Answer(Status.NODATA if known else Status.NXDOMAIN)

    def _read(self, line: str, number: int) -> None:
        words = line.split(maxsplit=2)
        rtype = _TYPES.get(words[1]) if len(words) == 3 else None
        if rtype is None:
            raise ZoneFileError(f"line {number}: {line!r}; expected NAME A|AAAA|MX|PTR|TXT VALUE")
        quoted = re.findall(r'"([^"]*)"', words[2]) if words[2].startswith('"') else []
        key, value = (_key(words[0]), rtype), "".join(quoted) or words[2].strip('"')
        known = self._answers.get(key)
        if value in _WORDS:
            self._answers[key] = Answer(_WORDS[value])
        else:
            value = _key(value) if rtype in {"MX", "PTR"} else value
            records = known.records if known else ()
            self._answers[key] = Answer(Status.FOUND, (*records, value), _TTL)


def _key(name: str) -> str:
    return name.rstrip(".").lower()


def _bare(line: str) -> str:
    """The line without its comment."""
    quoted = False
    for index, letter in enumerate(line):
        quoted ^= letter == '"'
        if letter == ";" and not quoted:
            return line[:index].strip()
    return line.strip()
