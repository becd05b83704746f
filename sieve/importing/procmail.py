"""procmail's rcfiles (procmailrc(5), procmailsc(5)): what of them is the same in Mailsort.

Recipes become rules in their order, those in blocks with the conditions of what is around them.
A delivery ends with `Stop`, a carbon copy does not. Lock files and the flags `w`, `W`, `i` and `r`
say how procmail writes files and have no meaning on a server. Variables are followed as far as they
are plain texts. Programs, filters, scores that are more than alternatives, and includes are not
translated; docs/importing.md has the table.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from sieve.importing.imported import (
    Collector,
    Imported,
    UntranslatedError,
    addresses,
    all_of,
    folder,
    lines,
    none_of,
    title,
)
from sieve.importing.rctests import Conditions
from sieve.importing.rcwords import Variables, logical
from sieve.mailsort.rule import Action, Condition, Copy, Discard, Forward, Move, Rule, Stop

_DEPTH = 20
_ELSES = 50
_LONGEST = 4000
"""Characters of a line; procmail itself takes 2,048 unless LINEBUF says else."""

_HEAD = re.compile(r":0[ \t]*([A-Za-z \t]*)(:.*)?$")
_OLD = re.compile(r":[ \t]*(\d*)")
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*(=|\?\?)?[ \t]*")

_SETTINGS = frozenset(
    {
        *("VERBOSE", "LOGFILE", "LOGABSTRACT", "LOG", "COMSAT", "UMASK", "PATH", "DROPPRIVS"),
        *("LOCKFILE", "LOCKEXT", "LOCKSLEEP", "LOCKTIMEOUT", "TIMEOUT", "NORESRETRY", "SUSPEND"),
        *("SHELL", "SHELLFLAGS", "SHELLMETAS", "LINEBUF", "MSGPREFIX", "SENDMAIL"),
        *("SENDMAILFLAGS", "LINENO", "FORMAIL"),
    }
)
"""They say how procmail works, and not where mail goes."""


def read(data: bytes) -> Imported:
    """The rules in an rcfile."""
    found = Collector()
    left = list(logical(lines(data, found)))[::-1]
    if long := next((line for line, words in reversed(left) if len(words) > _LONGEST), 0):
        found.error(long, f"a line of more than {_LONGEST} characters; nothing is read")
        return found.imported()
    reader = _Reader(found, left)
    reader.block((), 0)
    reader.finish()
    return found.imported()


@dataclass(frozen=True, slots=True)
class _Said:
    """The conditions of a recipe; None where one is not translated."""

    conditions: tuple[Condition, ...] | None
    why: str = ""


@dataclass(slots=True)
class _Chain:
    """What the flags A and E look back at, in one block."""

    last: _Said = field(default_factory=lambda: _Said(None, "there is none"))
    before: list[_Said] = field(default_factory=lambda: [_Said(())])


@dataclass(slots=True)
class _Reader:
    """What is left of the file, its next line last, and what is known there."""

    found: Collector
    left: list[tuple[int, str]]
    comment: tuple[int, str] = (0, "")
    variables: Variables = field(default_factory=Variables)
    changed: list[str] = field(default_factory=list)

    def block(self, outer: tuple[Condition, ...] | None, depth: int) -> None:
        """Everything up to the end of a block, or of the file; outer holds for all of it."""
        chain = _Chain()
        while self.left:
            line, words = self.left.pop()
            if not words:
                continue
            if words.startswith("#"):
                self.comment = (line, words)
            elif words.startswith("}") and depth:
                self._push(line, words[1:])
                return
            elif words.startswith(":"):
                self._recipe(line, words, outer, chain, depth)
            elif not self._assignment(line, words, outer):
                self.found.error(line, f"no recipe and no assignment: {words[:60]!r}", ends=True)

    def finish(self) -> None:
        """Mail that no recipe has delivered goes to $DEFAULT."""
        if self.variables.known["DEFAULT"] == "/dev/null":
            self.found.add(0, Rule("Everything else", None, (Discard(),)))

    def _push(self, line: int, words: str) -> None:
        """What is left of a line is one of its own."""
        if words.strip():
            self.left.append((line, words.strip()))

    # Assignments

    def _assignment(self, line: int, words: str, outer: tuple[Condition, ...] | None) -> bool:
        found = _ASSIGNED.match(words)
        if found is None or found[2] == "??":
            return False
        name, rest = found[1], words[found.end() :]
        value: str | None = ""
        if found[2]:
            value, rest = self.variables.word(rest)
        elif rest and not rest.startswith("#"):
            return False
        if not rest.startswith("#"):
            self._push(line, rest)
        self._assign(line, name, value, outer)
        return True

    def _assign(
        self, line: int, name: str, value: str | None, outer: tuple[Condition, ...] | None
    ) -> None:
        if name in {"INCLUDERC", "SWITCHRC", "HOST"}:
            if value or name == "HOST":
                self.found.error(
                    line, f"{name} leads to other files, which are not read", ends=True
                )
            elif name == "SWITCHRC" and outer is not None:
                thrown = self.variables.known["DEFAULT"] == "/dev/null"
                end = Discard() if thrown else Stop()
                self.found.add(line, Rule(title("", line), all_of(outer), (end,)))
            elif name == "SWITCHRC":
                self.found.error(line, "it depends on what is not translated", ends=True)
        elif name == "EXITCODE" and value != "0":
            self.found.error(
                line, "EXITCODE tells the mail server that a message failed", ends=True
            )
        elif name == "TRAP" and value:
            self.found.error(line, "TRAP runs a program, which a server does not")
        elif name in _SETTINGS:
            self.found.note(line, f"{name} says how procmail works; a server does without")
        elif value is None:
            self.found.warning(line, f"{name} is not known before a message is there")
        if name in {"MAILDIR", "DEFAULT"} and value and value != "/dev/null":
            value = self.variables.absolute(value)
        if name == "DEFAULT" and outer != ():
            self.found.error(line, "DEFAULT is set for some messages alone", ends=True)
        elif name == "DEFAULT":
            self.found.note(line, "DEFAULT is INBOX here")
        self.variables.known[name] = value
        self.changed.append(name)

    # Recipes

    def _recipe(
        self,
        line: int,
        words: str,
        outer: tuple[Condition, ...] | None,
        chain: _Chain,
        depth: int,
    ) -> None:
        above, comment = self.comment
        name = title(comment if above == line - 1 else "", line)
        head = _HEAD.match(re.sub(r"(^|\s)#.*", "", words))
        flags = "".join(head[1].split()) if head else ""
        unknown = "" if head else "it is of a form before :0"
        if strange := set(flags) - set("HBDAaEehbfcwWir"):
            unknown = f"a recipe has no flag {sorted(strange)[0]}"
        said = self._conditions(flags, _older(words) if head is None else 0)
        if unknown:
            said = _Said(None, unknown)
        said = self._chained(flags, said, chain)
        conditions = said.conditions
        if outer is None and conditions is not None:
            said = _Said(None, "it stands in a block that is not translated")
        whole = None if outer is None or conditions is None else (*outer, *conditions)
        if self._action(line, name, flags, said, whole, depth):
            chain.before.pop()  # what is over need not be excluded again

    def _conditions(self, flags: str, older: int) -> _Said:
        """What the lines with `*` say, or so many lines in the old form."""
        found = Conditions(flags, self.variables, self.found)
        why = ""
        while self.left:
            line, words = self.left[-1]
            if words.startswith("*") or (older and words and not words.startswith("#")):
                older = max(older - 1, 0)
                try:
                    found.add(line, words.removeprefix("*").strip())
                except UntranslatedError as error:
                    why = why or f"{words[:60]}: {error}"
            elif words and not words.startswith("#"):
                break
            self.left.pop()
        return _Said(None, why) if why else _Said(found.all)

    def _chained(self, flags: str, said: _Said, chain: _Chain) -> _Said:
        """What a recipe says together with those that its flags A and E look back at."""
        own = said
        if "e" in flags:
            said = _Said(None, "it asks whether the recipe before it failed")
        if "A" in flags or "a" in flags:
            said = _both(chain.last, said)
        if "E" in flags and len(chain.before) >= _ELSES:
            said = _Said(None, f"more than {_ELSES} recipes with E stand in a row")
        elif "E" in flags:
            for one in chain.before:
                said = _both(_negated(one), said)
            chain.before.append(_both(chain.last, own) if set("Aa") & set(flags) else own)
        else:
            chain.before = [said]
        if not set("Aa") & set(flags):
            chain.last = said
        return said

    # Actions

    def _action(
        self,
        line: int,
        name: str,
        flags: str,
        said: _Said,
        whole: tuple[Condition, ...] | None,
        depth: int,
    ) -> bool:
        """Do what its last line says; whether none of its mail is left for later recipes."""
        if not self.left:
            self.found.error(line, "a recipe without an action", name)
            return False
        number, words = self.left.pop()
        ends = "c" not in flags
        if words.startswith("{"):
            self._nested(line, number, words[1:], name, flags, said, whole, depth)
            return False
        actions: tuple[Action, ...] = ()
        why = said.why
        if whole is not None:
            try:
                actions = self._actions(words, flags)
            except UntranslatedError as error:
                why = str(error)
        if why or whole is None:
            self.found.error(line, why, name, ends=ends or "f" in flags)
            return False
        if not actions:
            self.found.note(line, "a copy to /dev/null is none", name)
            return False
        return self.found.add(line, Rule(name, all_of(whole), actions)) and ends

    def _nested(
        self,
        line: int,
        number: int,
        rest: str,
        name: str,
        flags: str,
        said: _Said,
        whole: tuple[Condition, ...] | None,
        depth: int,
    ) -> None:
        if whole is None:
            self.found.error(line, said.why, name, ends=True)
        if "c" in flags and whole is not None:
            self.found.error(line, "a block for a copy of the message", name, ends=True)
            whole = None
        if depth >= _DEPTH:
            self.found.error(line, f"blocks are nested more than {_DEPTH} deep", name, ends=True)
            self.left.clear()
            return
        if rest.rstrip().endswith("}"):
            self.left.append((number, "}"))
            rest = rest.rstrip()[:-1]
        self._push(number, rest)
        outside, self.changed = self.changed, []
        self.block(whole, depth + 1)
        if whole != ():
            self.variables.known |= dict.fromkeys(self.changed)
        outside.extend(self.changed)
        self.changed = outside

    def _actions(self, words: str, flags: str) -> tuple[Action, ...]:
        """What an action line comes to; none for a copy that is thrown away."""
        copy = "c" in flags
        if words.startswith("!"):
            if ("h" in flags) != ("b" in flags):
                raise UntranslatedError("it sends on a part of the message")
            to = addresses(map(self.variables.plain, self.variables.listed(words[1:])))
            return (Forward(to, keep=True),) if copy else (Forward(to), Stop())
        if words.startswith("|") or re.match(r"\w+[ \t]*=[ \t]*\|", words):
            return self._program(words, flags)
        if "f" in flags:
            raise UntranslatedError("it changes the message by a program")
        found = [self.variables.file(one) for one in self.variables.files(words)]
        if ("h" in flags) != ("b" in flags) and found != ["/dev/null"]:
            raise UntranslatedError("it files a part of the message")
        if found == ["/dev/null"]:
            return () if copy else (Discard(),)
        if "/dev/null" in found:
            raise UntranslatedError("it files into /dev/null and elsewhere")
        if copy:
            return tuple(map(Copy, found))
        if found == ["INBOX"]:
            return (Stop(),)
        return (*map(Copy, found[:-1]), Move(found[-1]), Stop())

    def _program(self, words: str, flags: str) -> tuple[Action, ...]:
        """A program is run by nobody here, but one is known that files."""
        if not words.startswith("|"):
            raise UntranslatedError("it takes the output of a program")
        if "f" in flags:
            hint = "; spam is found by the server itself" if re.search("spam|bogo", words) else ""
            raise UntranslatedError(f"it changes the message by a program{hint}")
        if re.search(r"/(dovecot-lda|deliver)\b[^|;&<>`$]*$", words):
            try:
                given = shlex.split(words[1:])
            except ValueError:
                given = []
            if "-m" in given[:-1]:
                name = folder(given[given.index("-m") + 1])
                return (Copy(name),) if "c" in flags else (Move(name), Stop())
        hint = "; say it in a vacation of your own" if "vacation" in words else ""
        raise UntranslatedError(f"it hands the message to a program{hint}")


def _older(words: str) -> int:
    found = _OLD.match(words)
    return min(int(found[1] or 1) if found and len(found[1]) < 5 else 1, 100)


def _both(one: _Said, other: _Said) -> _Said:
    if one.conditions is None or other.conditions is None:
        return _Said(None, other.why or f"it depends on a recipe above: {one.why}")
    return _Said((*one.conditions, *other.conditions))


def _negated(one: _Said) -> _Said:
    if one.conditions is None:
        return one
    whole = all_of(one.conditions)
    return _Said((none_of(whole),)) if whole else _Said(None, "the recipe before it always matches")
