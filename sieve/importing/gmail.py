"""Gmail's export of filters, mailFilters.xml: an Atom feed, whose entries have properties.

Gmail has no order of filters: all that match do what they say. So those that only flag come first
here, and those that flag and file before the others: a flag is on what is filed later. A label is a
folder; what is labelled stays in INBOX too, unless it skips the inbox. Gmail compares whole words
where Mailsort looks for texts, which finds a little more; its search operators are read as far as
Mailsort has the like.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from sieve.importing.imported import (
    MOST,
    Collector,
    Imported,
    UntranslatedError,
    addresses,
    every,
    folder,
    title,
)
from sieve.importing.search import conditions, where
from sieve.mailsort.rule import (
    Action,
    BodyTest,
    Condition,
    Copy,
    Delete,
    Flag,
    Forward,
    HeaderTest,
    MarkRead,
    Move,
    Rule,
    SizeTest,
    tests,
)

_PROPERTY = "http://schemas.google.com/apps/2006 property"
_ENTRY = "http://www.w3.org/2005/Atom entry"
_DEPTH = 20
_PROPERTIES = 100
"""Of one entry; Gmail has some thirty."""

_UNITS = {"s_sb": 1, "s_skb": 1024, "s_smb": 1024 * 1024}
_CRITERIA = ("from", "to", "subject", "hasTheWord", "doesNotHaveTheWord")
_WITHOUT = {
    "excludeChats": "",
    "sizeOperator": "",
    "sizeUnit": "",
    "shouldAlwaysMarkAsImportant": "there are no marks of importance",
    "shouldNeverMarkAsImportant": "there are no marks of importance",
    "smartLabelToApply": "there are no categories",
    "shouldNeverSpam": "who is never to be junk stands in the user's allow list",
}
"""What is left out, and why it is told; what is empty says nothing about mail."""


@dataclass(slots=True)
class _Entry:
    """One filter: its properties in their order, and the line at which it begins."""

    line: int
    properties: list[tuple[str, str]] = field(default_factory=list)


def read(data: bytes) -> Imported:
    """The filters of an export."""
    found = Collector()
    try:
        entries = _entries(data)
    except UntranslatedError as error:
        found.error(0, f"it is no export of filters: {error}")
        return found.imported()
    if not entries:
        found.error(0, "it is no export of filters: there is no entry in it")
    rules = [(one.line, rule) for one in entries if (rule := _rule(one, found))]
    rules.sort(key=lambda one: _rank(one[1]))
    both = [line for line, rule in rules if _rank(rule) is _Rank.BOTH]
    if len(both) > 1:
        found.warning(both[1], "flags of this filter are not on what filters before it have filed")
    for line, rule in rules:
        found.add(line, rule)
    return found.imported()


class _Rank(enum.IntEnum):
    """In which order filters are met: a flag is on what is filed later."""

    FLAGS = 0
    BOTH = 1
    FILES = 2


def _rank(rule: Rule) -> _Rank:
    if not any(isinstance(one, Flag | MarkRead) for one in rule.actions):
        return _Rank.FILES
    filing = any(isinstance(one, Copy | Delete | Move) for one in rule.actions)
    return _Rank.BOTH if filing else _Rank.FLAGS


def _entries(data: bytes) -> list[_Entry]:
    """The entries of the feed; an entity or a document type is refused, none is ever expanded."""
    if len(data) > MOST:
        raise UntranslatedError(f"it has {len(data)} bytes; at most {MOST} are read")
    entries: list[_Entry] = []
    inside: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def begin(name: str, attributes: Mapping[str, str]) -> None:
        inside.append(name)
        if len(inside) > _DEPTH:
            raise UntranslatedError(f"elements are nested more than {_DEPTH} deep")
        if name == _ENTRY:
            entries.append(_Entry(parser.CurrentLineNumber))
        elif name == _PROPERTY and _ENTRY in inside:
            entries[-1].properties.append((attributes.get("name", ""), attributes.get("value", "")))

    def end(_name: str) -> None:
        inside.pop()

    def doctype(*_arguments: object) -> None:
        raise UntranslatedError("it has a document type")

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UntranslatedError(f"no XML: {error}") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, UntranslatedError):
            raise
        raise UntranslatedError(f"no XML: {type(error).__name__}") from None
    return entries


def _rule(entry: _Entry, found: Collector) -> Rule | None:
    """The rule that a filter is; None, and a remark, where it cannot be said."""
    said = dict(entry.properties)
    if len(entry.properties) > _PROPERTIES or len(said) < len(set(entry.properties)):
        found.error(entry.line, "a property stands twice in it, or there are too many of them")
        return None
    name = title(_named(said), entry.line)
    try:
        condition = _condition(said, entry.line, name, found)
        actions = tuple(_actions(said, entry.line, name, found))
    except UntranslatedError as error:
        found.error(entry.line, str(error), name)
        return None
    if not actions:
        found.error(entry.line, "it does nothing that is known here", name)
        return None
    return Rule(name, condition, actions)


def _named(said: Mapping[str, str]) -> str:
    words = (f"{one} {said[one]}" for one in _CRITERIA if said.get(one))
    return "; ".join(words).replace("hasTheWord ", "").replace("doesNotHaveTheWord", "without")


def _condition(said: Mapping[str, str], line: int, name: str, found: Collector) -> Condition:
    """All that a filter asks for."""
    asked: list[Condition] = []
    for one in _CRITERIA:
        if said.get(one):
            asked += conditions(said[one], where(one))
    if said.get("size"):
        octets = said["size"]
        unit = _UNITS.get(said.get("sizeUnit", "s_smb"))
        if not re.fullmatch(r"[0-9]{1,6}", octets) or unit is None:
            raise UntranslatedError(f"its size is {octets[:20]!r}")
        asked.append(SizeTest(said.get("sizeOperator", "s_sl") == "s_sl", int(octets) * unit))
    if said.get("hasAttachment") == "true":
        raise UntranslatedError("whether a message has attachments cannot be asked")
    if not asked:
        raise UntranslatedError("it asks for nothing")
    whole = every(tuple(asked))
    if any(isinstance(one, HeaderTest | BodyTest) for one in tests(whole)):
        found.warning(line, "Gmail compares whole words, here their texts are looked for", name)
    return whole


def _actions(said: Mapping[str, str], line: int, name: str, found: Collector) -> Iterator[Action]:
    """All that a filter does."""
    if said.get("shouldMarkAsRead") == "true":
        yield MarkRead()
    if said.get("shouldStar") == "true":
        yield Flag(("\\Flagged",))
    if said.get("forwardTo"):
        yield Forward(addresses([said["forwardTo"]]), keep=True)
    archived = said.get("shouldArchive") == "true"
    if said.get("shouldTrash") == "true":
        yield Delete()
    elif said.get("label"):
        label = folder(said["label"])
        yield Move(label) if archived else Copy(label)
    elif archived:
        found.warning(line, "what skips the inbox without a label goes into Archive", name)
        yield Move("Archive")
    if said.get("cannedResponse"):
        raise UntranslatedError("the text of its template is not in the export")
    known = {*_CRITERIA, *_WITHOUT, "size", "hasAttachment", "label", "forwardTo"}
    known |= {"shouldMarkAsRead", "shouldStar", "shouldArchive", "shouldTrash"}
    for one, value in said.items():
        if value and one not in known and not one.startswith("should"):
            raise UntranslatedError(f"{one[:40]!r} is not known, and may be a condition")
        if value and value != "false" and (one not in known or _WITHOUT.get(one)):
            found.warning(
                line, f"{one[:40]} is left out: {_WITHOUT.get(one) or 'it is not known'}", name
            )
