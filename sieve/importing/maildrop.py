"""maildrop's filters (maildropfilter(7)): what of them is the same in Mailsort.

`to` and `exit` end, `cc` does not; what stands in an `if` has its condition, and in an `else` none
of those before. Locks are transparent. Variables are followed as far as they are plain texts.
Programs, loops, scores and other files are not translated; docs/importing.md has the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sieve.importing.dropped import OF_MESSAGE, Conditions
from sieve.importing.imported import (
    MOST,
    Collector,
    Imported,
    UntranslatedError,
    addresses,
    all_of,
    none_of,
    text,
    title,
)
from sieve.importing.mailfilter import Expression, Shell, Statement, SyntaxFault, parse
from sieve.importing.rcwords import Variables
from sieve.mailsort.rule import Action, Condition, Copy, Discard, Flag, Forward, Move, Rule, Stop

_SETTINGS = frozenset(
    {
        *("VERBOSE", "PATH", "SHELL", "UMASK", "LOCKEXT", "LOCKREFRESH", "LOCKSLEEP"),
        *("LOCKTIMEOUT", "MAILDIRQUOTA", "SENDMAIL", "EXITCODE"),
    }
)
"""They say how maildrop works, and not where mail goes."""

_MAILDIR_FLAGS = {"S": "\\Seen", "F": "\\Flagged", "R": "\\Answered", "D": "\\Draft"}
_LEFT = {
    "xfilter": "it changes the message by a program",
    "include": "it leads to another file, which is not read",
    "foreach": "it is a loop",
    "while": "it is a loop",
}


def read(data: bytes) -> Imported:
    """The rules in a filter file."""
    found = Collector()
    if len(data) > MOST:
        found.error(0, f"it has {len(data)} bytes; at most {MOST} are read")
        return found.imported()
    whole = text(data)
    try:
        statements = parse(whole)
    except SyntaxFault as error:
        found.error(error.line, f"{error}; maildrop itself would take none of it")
        return found.imported()
    _Reader(found, whole.split("\n")).block(statements, ())
    return found.imported()


@dataclass(slots=True)
class _Reader:
    """The rules so far, and what is known of variables; `physical` are the lines of the file."""

    found: Collector
    physical: list[str]
    variables: Variables = field(default_factory=Variables)
    changed: list[tuple[str, str | None]] = field(default_factory=list)

    def block(self, statements: tuple[Statement, ...], outer: tuple[Condition, ...] | None) -> None:
        """Statements one after the other; outer holds for all of them, or is not translated."""
        for one in statements:
            for name in one.inside:
                self._set(name, None)
            if one.word == "if":
                self._if(one, outer)
            elif one.word == "=":
                self._assign(one, outer)
            elif one.word in {"to", "cc", "exit"}:
                self._deliver(one, outer)
            elif one.word in {"dotlock", "flock", "exception"}:
                self.block(one.block, outer)
            elif one.word in _LEFT:
                self.found.error(one.line, f"{one.word}: {_LEFT[one.word]}", ends=True)
            elif one.word in {"log", "logfile", "echo", "import"}:
                self.found.note(one.line, f"{one.word} says nothing of where mail goes")
                if one.word == "import":
                    self.variables.known |= {"".join(_plain(one.value)): None}
            elif one.word == "system" or isinstance(one.value, Shell):
                self.found.error(one.line, "it runs a program, which a server does not")

    def _if(self, one: Statement, outer: tuple[Condition, ...] | None) -> None:
        """Each branch holds for what no branch before it held for."""
        before: list[Condition] = []
        lasting: list[str] = []
        known = outer
        for asked, statements in one.branches:
            here: tuple[Condition, ...] | None = None
            if known is not None:
                here = (*known, none_of(*before)) if before else known
            if asked is not None and known is not None:
                try:
                    condition = Conditions(self.variables, self.found, one.line).of(asked)
                except UntranslatedError as error:
                    ends = any(_delivers(each) for _asked, each in one.branches)
                    self.found.error(one.line, str(error), ends=ends)
                    known = here = None
                else:
                    if here is not None and condition is not None:
                        here = (*here, condition)
                        before.append(condition)
                    elif condition is None:
                        known = here = None
                        self.found.error(one.line, "its condition is the same for all mail")
            outside, self.changed = self.changed, []
            self.block(statements, here)
            if not _ends(statements):
                lasting += [name for name, _value in self.changed]
            for name, value in reversed(self.changed):
                self.variables.known[name] = value
            self.changed = outside
        for name in lasting:
            self._set(name, None)

    def _assign(self, one: Statement, outer: tuple[Condition, ...] | None) -> None:
        name = one.name
        value = Conditions(self.variables, self.found, one.line).text(one.value)
        if name == "EXITCODE" and value not in {"", "0"}:
            self.found.error(
                one.line, "EXITCODE tells the mail server that a message failed", ends=True
            )
        elif name in _SETTINGS:
            self.found.note(one.line, f"{name} says how maildrop works; a server does without")
        elif name == "DEFAULT" and outer != ():
            self.found.error(one.line, "DEFAULT is set for some messages alone", ends=True)
        elif name == "DEFAULT":
            self.found.note(one.line, "DEFAULT is INBOX here")
        elif name == "MAILDROP_OLD_REGEXP" and value != "0":
            self.found.error(one.line, "patterns of maildrop 1 are not known", ends=True)
        elif value is None:
            self.found.warning(one.line, f"{name} is not known before a message is there")
        if name == "DEFAULT" and value is not None:
            value = self.variables.absolute(value)
        self._set(name, value)

    def _set(self, name: str, value: str | None) -> None:
        unset = None if OF_MESSAGE.fullmatch(name) else ""
        self.changed.append((name, self.variables.known.get(name, unset)))
        self.variables.known[name] = value

    # Deliveries

    def _deliver(self, one: Statement, outer: tuple[Condition, ...] | None) -> None:
        above = self.physical[one.line - 2].strip() if 2 <= one.line <= len(self.physical) else ""
        name = title(above if above.startswith("#") else "", one.line)
        if outer is None:
            self.found.error(one.line, "it stands in a block that is not translated", name)
            return
        try:
            actions = self._actions(one)
        except UntranslatedError as error:
            self.found.error(one.line, str(error), name, ends=one.word != "cc")
        else:
            if actions:
                self.found.add(one.line, Rule(name, all_of(outer), actions))
            else:
                self.found.note(one.line, "a copy to /dev/null is none", name)

    def _actions(self, one: Statement) -> tuple[Action, ...]:
        copy = one.word == "cc"
        if one.word == "exit":
            if self.variables.known.get("EXITCODE", "0") not in {"", "0"}:
                raise UntranslatedError("it ends with an EXITCODE, for the mail server to see")
            return (Discard(),)
        where = Conditions(self.variables, self.found, one.line).text(one.value)
        if where is None:
            raise UntranslatedError("it uses a variable or a program whose output is not known")
        if where.startswith("!"):
            to = addresses(self.variables.plain(each) for each in where[1:].split())
            return (Forward(to, keep=True),) if copy else (Forward(to), Stop())
        if where.startswith("|"):
            hint = "; say it in a vacation of your own" if "mailbot" in where else ""
            raise UntranslatedError(f"it hands the message to a program{hint}")
        where = self.variables.file(where)
        if where == "/dev/null":
            return () if copy else (Discard(),)
        flags = self._flags()
        if copy and flags:
            raise UntranslatedError("FLAGS or KEYWORDS would be on what is filed later, too")
        if copy:
            return (Copy(where),)
        return (*flags, Stop()) if where == "INBOX" else (*flags, Move(where), Stop())

    def _flags(self) -> tuple[Action, ...]:
        """What FLAGS and KEYWORDS put on a message."""
        given = self.variables.known.get("FLAGS", ""), self.variables.known.get("KEYWORDS", "")
        if None in given:
            raise UntranslatedError("FLAGS or KEYWORDS are not known before a message is there")
        letters, keywords = (one or "" for one in given)
        found = [_MAILDIR_FLAGS[one] for one in letters if one in _MAILDIR_FLAGS]
        words = [one.strip() for one in keywords.split(",") if one.strip()]
        if not all(re.fullmatch(r"[\w$.-]{1,100}", one, re.ASCII) for one in words):
            raise UntranslatedError("KEYWORDS has what is no keyword of IMAP")
        found += words
        return (Flag(tuple(dict.fromkeys(found))),) if found else ()


def _ends(statements: tuple[Statement, ...]) -> bool:
    """Whether all mail ends there."""
    return any(
        one.word in {"to", "exit"}
        or (one.word in {"dotlock", "flock"} and _ends(one.block))
        or (
            one.word == "if"
            and one.branches[-1][0] is None
            and all(_ends(each) for _asked, each in one.branches)
        )
        for one in statements
    )


def _delivers(statements: tuple[Statement, ...]) -> bool:
    """Whether mail may end there."""
    return any(
        one.word in {"to", "exit", *_LEFT}
        or _delivers(one.block)
        or any(_delivers(each) for _asked, each in one.branches)
        for one in statements
    )


def _plain(value: Expression | None) -> tuple[str, ...]:
    return tuple(piece for piece, _filled in getattr(value, "pieces", ()))
