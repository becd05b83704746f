"""The conditions of procmail's recipes (procmailrc(5), procmailsc(5)) as those of Mailsort."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sieve.importing.fields import anywhere
from sieve.importing.imported import Collector, UntranslatedError, any_of, none_of, plain
from sieve.importing.lines import tested
from sieve.importing.rcwords import Variables
from sieve.importing.regex import Dialect, parse
from sieve.mailsort.rule import BodyTest, Condition, Operator, SizeTest

_TO = "((Original-)?(Resent-)?(To|Cc|Bcc)|(X-Envelope|Apparently(-Resent)?)-To)"
_SOURCE = "(^(((Resent-)?(From|Sender)|X-Envelope-From):|>?From )([^>]*[^(.%@a-z0-9])?"
_END = r"(([^).!:a-z0-9][-_a-z0-9]*)?[%@>	 ][^<)]*(\(.*\).*)?)?$)"
_MACROS = (
    ("^TO_", f"(^{_TO}:(.*[^-a-zA-Z0-9_.])?)"),
    ("^TO", f"(^{_TO}:(.*[^a-zA-Z])?)"),
    (
        "^FROM_DAEMON",
        "(^(Mailing-List:|Precedence:.*(junk|bulk|list)|To: Multiple recipients of )|"
        rf"{_SOURCE}(Post(ma?(st(e?r)?|n)|office)|(send)?Mail(er)?|daemon|m(mdf|ajordomo)"
        r"|n?uucp|LIST(SERV|proc)|NETSERV|o(wner|ps)|r(e(quest|sponse)|oot)|b(ounce|bs\.smtp)"
        r"|echo|mirror|s(erv(ices?|er)|mtp(error)?|ystem)|A(dmin(istrator)?|MMGR|utoanswer))"
        rf"{_END})",
    ),
    (
        "^FROM_MAILER",
        rf"{_SOURCE}(Post(ma(st(er)?|n)|office)|(send)?Mail(er)?|daemon|mmdf|n?uucp|ops"
        r"|r(esponse|oot)|(bbs\.)?smtp(error)?|s(erv(ices?|er)|ystem)|A(dmin(istrator)?|MMGR))"
        rf"{_END}",
    ),
)
"""What procmail puts in their place (procmailrc(5), Miscellaneous), in one line each."""

_SCORE = re.compile(r"(-?[0-9.]+)\^(-?[0-9.]+)[ \t]*")
_AREA = re.compile(r"([A-Za-z_]\w*)[ \t]*\?\?[ \t]*")


@dataclass(slots=True)
class Conditions:
    """Those of one recipe; `scored` are the ones of which one has to hold."""

    flags: str
    variables: Variables
    remarks: Collector
    found: list[Condition] = field(default_factory=list)
    scored: list[Condition] = field(default_factory=list)

    @property
    def all(self) -> tuple[Condition, ...]:
        """All that have to hold."""
        return (*self.found, *([any_of(tuple(self.scored))] if self.scored else []))

    def add(self, line: int, words: str) -> None:
        """What stands behind a `*`; UntranslatedError where it cannot be said."""
        score = _SCORE.match(words)
        if score is None:
            self.found.append(self._test(line, words, self.flags))
            return
        weight, more = (_number(one) for one in score.groups())
        rest = words[score.end() :]
        if weight <= 0 or more < 0 or not rest or rest[0] in "<>":
            raise UntranslatedError("its score is more than one of several conditions")
        self.scored.append(self._test(line, rest, self.flags))

    def _test(self, line: int, words: str, flags: str, depth: int = 0) -> Condition:
        """One condition."""
        if depth > 5:
            raise UntranslatedError("it is substituted or inverted more than five times")
        if words.startswith("!"):
            return none_of(self._test(line, words[1:].lstrip(), flags, depth + 1))
        if words.startswith("$"):
            return self._test(line, self.variables.substituted(words[1:]).strip(), flags, depth + 1)
        if words.startswith("?"):
            raise UntranslatedError("it asks a program")
        if words[:1] in {"<", ">"}:
            size = words[1:].strip()
            if not (size.isdecimal() and size.isascii() and len(size) < 10):
                raise UntranslatedError("expected a number of bytes")
            return SizeTest(words[0] == ">", int(size))
        if area := _AREA.match(words):
            if area[1] not in {"B", "H", "HB", "BH"}:
                raise UntranslatedError("it asks for the value of a variable")
            flags = area[1] + flags.replace("B", "").replace("H", "")
            return self._test(line, words[area.end() :], flags, depth + 1)
        if words[:2] in {"\\!", "\\$", "\\?", "\\<", "\\>"} and words[1] not in "<>":
            words = words[1:]
        return self._pattern(line, words, flags)

    def _pattern(self, line: int, words: str, flags: str) -> Condition:
        """An expression, in the header or in the body."""
        plain(words, "it")
        for short, long in _MACROS:
            words = words.replace(short, long)
        if any(one in words for one in (r"=\?", "=[?]", "=?")):
            raise UntranslatedError("it looks for encoded words, which are decoded here")
        if "D" in flags and any(map(str.isalpha, words)):
            raise UntranslatedError("upper and lower case are never told apart")
        self.remarks.spend(words)
        pattern = parse(words, Dialect.PROCMAIL)
        if "B" not in flags:
            return any_of(tested(pattern, self.remarks, line, envelope=True))
        if "H" in flags:
            raise UntranslatedError("it looks in header and body at once")
        self.remarks.warning(line, "the body is searched in its decoded text, not as it was sent")
        by: dict[Operator, list[str]] = {}
        for operator, value in anywhere(pattern):
            by.setdefault(operator, []).append(value)
        return any_of(tuple(BodyTest(one, tuple(values)) for one, values in by.items()))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UntranslatedError("its score is no number") from None
