"""Thunderbird's filters, msgFilterRules.dat: lines of `key="value"`, a filter from `name` on.

A filter is met in its order and moves a message out of the sight of later ones. Thunderbird tells
names of addresses from addresses and says of each; where Mailsort has the address alone, that is
told. Folders of the server become folders here; those on the user's own disk become folders of the
same name.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sieve.importing.imported import (
    Collector,
    Imported,
    UntranslatedError,
    addresses,
    any_of,
    every,
    folder,
    lines,
    none_of,
    plain,
    title,
)
from sieve.mailsort.rule import (
    Action,
    AddressTest,
    BodyTest,
    Book,
    Condition,
    Copy,
    Delete,
    Flag,
    Forward,
    HeaderTest,
    KnownTest,
    MarkRead,
    Move,
    Operator,
    Party,
    Rule,
    SizeTest,
    Stop,
    VerdictTest,
)

_LINE = re.compile(r'([A-Za-z]+)="((?:[^"\\]|\\.)*)"\s*$')
_TERM = re.compile(
    r'\s*(AND|OR)\s*\(\s*("(?:[^"\\]|\\.)*"|[^,"]*),\s*([^,]*),\s*("(?:[^"\\]|\\.)*"|[^)]*)\)'
)
_TERMS = 500
_INCOMING = 1 | 2 | 32
"""Bits of `type` of filters that new mail meets; others are for what is sent or archived."""

_FIELDS = {
    "subject": ("Subject",),
    "from": ("From",),
    "to": ("To",),
    "cc": ("Cc",),
    "to or cc": ("To", "Cc"),
    "all addresses": ("From", "To", "Cc", "Bcc"),
}
_PARTIES = {
    "From": Party.FROM,
    "To": Party.TO,
    "Cc": Party.CC,
    "Reply-To": Party.REPLY_TO,
    "Sender": Party.SENDER,
}
_WITHOUT = {
    "Change priority": "there are no priorities",
    "JunkScore": "junk is found by the server",
    "Mark unread": "what is new is unread",
    "Watch thread": "threads are not watched",
    "Kill thread": "threads are not ignored",
    "Ignore thread": "threads are not ignored",
    "Ignore subthread": "threads are not ignored",
    "Fetch body from Pop3Server": "it is of POP3",
    "Leave on Pop3 server": "it is of POP3",
}
_VALUED = frozenset(
    {"Move to folder", "Copy to folder", "Forward", "Reply", "AddTag", "Label", "Custom"}
)


@dataclass(slots=True)
class _Filter:
    """One filter, as it stands there; `actions` are names and values."""

    line: int
    name: str
    enabled: bool = True
    kind: int = 1
    actions: list[tuple[str, str]] = field(default_factory=list)
    condition: str = ""


def read(data: bytes) -> Imported:
    """The filters of a file."""
    found = Collector()
    for one in _filters(lines(data, found), found):
        name = title(one.name, one.line)
        try:
            rule = _rule(one, name, found)
        except UntranslatedError as error:
            ends = {"Move to folder", "Delete", "Stop execution"} & {key for key, _ in one.actions}
            new = one.enabled and bool(one.kind & _INCOMING)
            found.error(one.line, str(error), name, ends=bool(ends) and new)
        else:
            found.add(one.line, rule)
    return found.imported()


def _filters(physical: list[str], found: Collector) -> Iterator[_Filter]:
    current: _Filter | None = None
    for line, words in enumerate(physical, 1):
        match = _LINE.match(words.strip())
        if match is None:
            if words.strip():
                found.error(line, f'expected key="value": {words[:60]!r}', ends=True)
            continue
        key, value = match[1], re.sub(r"\\(.)", r"\1", match[2])
        if key == "name":
            if current is not None:
                yield current
            current = _Filter(line, value)
        elif current is None:
            continue  # the version of the format, and whether filters are logged
        elif key == "enabled":
            current.enabled = value == "yes"
        elif key == "type" and value.isdecimal() and len(value) < 6:
            current.kind = int(value)
        elif key == "action":
            current.actions.append((value, ""))
        elif key == "actionValue" and current.actions:
            current.actions[-1] = (current.actions[-1][0], value)
        elif key == "condition":
            current.condition = value
    if current is not None:
        yield current


def _rule(one: _Filter, name: str, found: Collector) -> Rule:
    if not one.kind & _INCOMING:
        raise UntranslatedError("it is not for new mail")
    condition = _condition(one, name, found)
    actions: list[Action] = []
    for action, value in one.actions:
        if action in _WITHOUT:
            found.warning(one.line, f"{action} is left out: {_WITHOUT[action]}", name)
        else:
            actions += _action(action, value, one.line, name, found)
    if not actions:
        raise UntranslatedError("it does nothing that is known here")
    last = [each for each in actions if isinstance(each, Move | Delete)]
    kept = [each for each in actions if each not in last and each != Stop()]
    ends = [Stop()] if last or Stop() in actions else []
    return Rule(name, condition, (*kept, *last, *ends), one.enabled)


def _action(action: str, value: str, line: int, name: str, found: Collector) -> tuple[Action, ...]:
    if action == "Move to folder":
        where = _folder(value, line, name, found)
        return (Stop(),) if where == "INBOX" else (Move(where),)
    if action == "Copy to folder":
        return (Copy(_folder(value, line, name, found)),)
    if action == "Forward":
        return (Forward(addresses([value]), keep=True),)
    if action == "AddTag":
        if not re.fullmatch(r"[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|~-]{1,100}", value):
            raise UntranslatedError(f"{value[:40]!r} is no keyword of IMAP")
        return (Flag((value,)),)
    if action == "Label" and value in {"1", "2", "3", "4", "5"}:
        return (Flag((f"$Label{value}",)),)
    simple: dict[str, Action] = {
        "Delete": Delete(),
        "Mark read": MarkRead(),
        "Mark flagged": Flag(("\\Flagged",)),
        "Stop execution": Stop(),
    }
    if action not in simple:
        raise UntranslatedError(f"{action[:40]} has no counterpart")
    return (simple[action],)


def _folder(uri: str, line: int, name: str, found: Collector) -> str:
    """The folder that a URI names; IMAP's modified UTF-7 is decoded."""
    scheme, _colon, rest = uri.partition("://")
    path = urllib.parse.unquote(rest.partition("/")[2])
    if scheme == "mailbox":
        found.warning(line, "a folder on the user's disk becomes one on the server", name)
    elif scheme == "imap":
        path = _decoded(path)
    else:
        raise UntranslatedError(f"{uri[:60]!r} is no folder of mail")
    return "INBOX" if path.upper() == "INBOX" else folder(path)


def _decoded(path: str) -> str:
    """A name of IMAP (RFC 3501 section 5.1.3) as text; what is none stays as it is."""

    def text(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        coded = match[1].replace(",", "/")
        try:
            octets = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
            return octets.decode("utf-16-be")
        except ValueError:
            return match[0]

    return re.sub(r"&([A-Za-z0-9+,]*)-", text, path)


# Conditions


def _condition(one: _Filter, name: str, found: Collector) -> Condition | None:
    if one.condition.strip() == "ALL":
        return None
    terms: list[Condition] = []
    words: set[str] = set()
    at = 0
    while at < len(one.condition.rstrip()):
        match = _TERM.match(one.condition, at)
        if match is None or len(terms) >= _TERMS:
            raise UntranslatedError(f"its condition goes on with {one.condition[at:][:60]!r}")
        at = match.end()
        words.add(match[1])
        subject, operator, value = (_unquoted(part.strip()) for part in match.groups()[1:])
        terms.append(_term(subject, operator, plain(value, "its value"), one.line, name, found))
    if not terms or len(words) > 1:
        raise UntranslatedError("expected ALL, or conditions by AND or by OR")
    return every(tuple(terms)) if words == {"AND"} else any_of(tuple(terms))


def _unquoted(part: str) -> str:
    if len(part) > 1 and part[0] == part[-1] == '"':
        return re.sub(r"\\(.)", r"\1", part[1:-1])
    return part


def _term(
    subject: str, operator: str, value: str, line: int, name: str, found: Collector
) -> Condition:
    """One comparison; a contrary is none of what it is the contrary of."""
    if operator in _CONTRARY:
        return none_of(_term(subject, _CONTRARY[operator], value, line, name, found))
    if subject == "size" and operator in {"is greater than", "is less than"}:
        if not re.fullmatch(r"[0-9]{1,6}", value):
            raise UntranslatedError(f"{value[:20]!r} is no size")
        return SizeTest(operator == "is greater than", int(value) * 1024)
    if subject == "junk status" and operator == "is" and value == "2":
        found.warning(line, "junk is what the server finds, and not Thunderbird", name)
        return VerdictTest(("junk",))
    if operator == "is in ab":
        if subject != "from":
            raise UntranslatedError("only senders are looked for in address books")
        found.warning(line, "the user's address book on the server is meant", name)
        return KnownTest((Book.ADDRESS_BOOK,))
    if not value and operator != "is empty":
        raise UntranslatedError("it compares with nothing")
    if subject == "body" and operator == "contains":
        return BodyTest(Operator.CONTAINS, (value,))
    names = _FIELDS.get(subject)
    if names is None:
        if subject in _UNKNOWN or not re.fullmatch(r"[!-9;-~]{1,78}", subject):
            raise UntranslatedError(f"{subject[:40]} cannot be asked")
        names = (subject,)
    compare = _COMPARED.get(operator)
    if compare is None:
        raise UntranslatedError(f"{operator[:40]} has no counterpart for {subject[:40]}")
    if compare is not _contains and any(one in _PARTIES for one in names):
        found.warning(line, f"{subject} {operator}: of addresses alone, not of names", name)
    return compare(names, value)


def _contains(names: tuple[str, ...], value: str) -> Condition:
    return any_of(tuple(HeaderTest(one, Operator.CONTAINS, (value,)) for one in names))


def _is(names: tuple[str, ...], value: str) -> Condition:
    return any_of(tuple(_compared(one, Operator.IS, value) for one in names))


def _begins(names: tuple[str, ...], value: str) -> Condition:
    return any_of(tuple(_compared(one, Operator.MATCHES, f"{_escaped(value)}*") for one in names))


def _ends(names: tuple[str, ...], value: str) -> Condition:
    return any_of(tuple(_compared(one, Operator.MATCHES, f"*{_escaped(value)}") for one in names))


def _empty(names: tuple[str, ...], _value: str) -> Condition:
    return none_of(*(HeaderTest(one, Operator.REGEX, (".",)) for one in names))


def _compared(name: str, operator: Operator, value: str) -> Condition:
    if name in _PARTIES:
        return AddressTest(_PARTIES[name], operator, (value,))
    return HeaderTest(name, operator, (value,))


def _escaped(value: str) -> str:
    return re.sub(r"([\\*?])", r"\\\1", value)


_CONTRARY = {
    "doesn't contain": "contains",
    "isn't": "is",
    "isn't empty": "is empty",
    "isn't in ab": "is in ab",
}
_COMPARED: dict[str, Callable[[tuple[str, ...], str], Condition]] = {
    "contains": _contains,
    "is": _is,
    "begins with": _begins,
    "ends with": _ends,
    "is empty": _empty,
}
_UNKNOWN = frozenset(
    {
        *("body", "date", "priority", "status", "age in days", "size", "tag", "label"),
        *("any tag", "keywords", "junk status", "junk percent", "junk score origin"),
        *("has attachment status", "custom", "folder flag", "gloda"),
    }
)
