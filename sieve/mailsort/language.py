"""The language of rules: which keys there are, what each may hold and which value it is.

One table serves the reader, the writer and the JSON Schema; docs/mailsort.md is for people.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from sieve.mailsort.conditions import CONDITION, in_order
from sieve.mailsort.kinds import (
    Case,
    Field,
    Kind,
    either,
    later,
    many,
    one_of,
    some,
    table,
    truth,
)
from sieve.mailsort.rule import (
    Action,
    Condition,
    Copy,
    Delete,
    Discard,
    Flag,
    Forward,
    Mailsort,
    MarkRead,
    Move,
    Notify,
    Reject,
    Reply,
    Rule,
    Stop,
    Vacation,
)
from sieve.mailsort.values import (
    ADDRESS,
    DATE,
    DAYS,
    FLAG,
    FOLDER,
    HTML,
    LINE,
    NAME,
    NOTICE,
    TEXT,
    same,
)

MOST_RULES = 10_000

WORDS: Mapping[str, Action] = {
    "delete": Delete(),
    "discard": Discard(),
    "mark-read": MarkRead(),
    "stop": Stop(),
}
WORD_DOCS: Mapping[str, str] = {
    "delete": "into the folder for what is deleted",
    "discard": "thrown away, and nobody is told",
    "mark-read": "as if you had read it",
    "stop": "no later rule is met",
}

_FORWARD = either(
    some(ADDRESS),
    table(
        {
            "to": Field(some(ADDRESS), "to whom", "to"),
            "keep": Field(truth(), "whether it stays here as well", "keep", False),
        },
        Forward,
    ),
    Forward,
    lambda one: None if one.keep else one.to,
)
_REPLY = either(
    TEXT,
    table(
        {
            "text": Field(TEXT, "what is answered", "text"),
            "subject": Field(LINE, "the subject of the answer", "subject", ""),
            "days": Field(DAYS, "to each sender once in so many days", "days", 7),
        },
        Reply,
    ),
    Reply,
    lambda one: one.text if one == Reply(one.text) else None,
)
_NOTIFY = either(
    ADDRESS,
    table(
        {
            "to": Field(ADDRESS, "to whom", "to"),
            "text": Field(NOTICE, "what it says", "text", ""),
        },
        Notify,
    ),
    Notify,
    lambda one: None if one.text else one.to,
)

ACTIONS: Mapping[str, Case[Action]] = {
    "move": Case(
        FOLDER,
        "into this folder",
        Move,
        lambda one: one.folder if isinstance(one, Move) else None,
    ),
    "copy": Case(
        FOLDER,
        "into this folder as well",
        Copy,
        lambda one: one.folder if isinstance(one, Copy) else None,
    ),
    "forward": Case(
        _FORWARD, "to these addresses", same, lambda one: one if isinstance(one, Forward) else None
    ),
    "flag": Case(
        some(FLAG),
        "with these flags",
        Flag,
        lambda one: one.flags if isinstance(one, Flag) else None,
    ),
    "reject": Case(
        TEXT,
        "refused with this text",
        Reject,
        lambda one: one.text if isinstance(one, Reject) else None,
    ),
    "reply": Case(
        _REPLY,
        "answered with this text",
        same,
        lambda one: one if isinstance(one, Reply) else None,
    ),
    "notify": Case(
        _NOTIFY,
        "a short mail to this address that one has come",
        same,
        lambda one: one if isinstance(one, Notify) else None,
    ),
}
ACTION: Kind[Action] = one_of("an action", ACTIONS, WORDS)

_DONE = (Move, Copy, Delete, Forward, Reply)
"""After these nothing is refused any more."""


def _rule(
    name: str,
    actions: tuple[Action, ...],
    condition: Condition | None = None,
    enabled: bool = True,
) -> Rule:
    for at, one in enumerate(actions):
        if isinstance(one, (Reject, Discard)):
            last = "reject" if isinstance(one, Reject) else "discard"
            if any(not isinstance(other, Stop) for other in actions[at + 1 :]):
                raise ValueError(f"does something after {last}; expected it to be the last action")
            if isinstance(one, Reject) and any(isinstance(other, _DONE) for other in actions):
                raise ValueError(
                    "refuses what it files, forwards or answers; expected a rule of its own"
                )
    return Rule(name, condition, actions, enabled)


def _vacation(
    since: datetime.date | None = None, until: datetime.date | None = None, **others: object
) -> Vacation:
    in_order(since, until)
    return Vacation(since=since, until=until, **others)  # type: ignore[arg-type]


RULE_FIELDS: Mapping[str, Field] = {
    "name": Field(NAME, "what it is called", "name"),
    "enabled": Field(truth(), "whether it is in use", "enabled", True),
    "if": Field(
        later("a condition", "condition", lambda: CONDITION),
        "for which messages; without it, for every one",
        "condition",
        None,
    ),
    "then": Field(
        some(later(ACTION.expected, "action", lambda: ACTION)), "what is done", "actions"
    ),
}
VACATION_FIELDS: Mapping[str, Field] = {
    "enabled": Field(truth(), "whether it is in use", "enabled", True),
    "since": Field(DATE, "the first day", "since", None),
    "until": Field(DATE, "the last day", "until", None),
    "days": Field(DAYS, "to each sender once in so many days", "days", 7),
    "addresses": Field(
        some(ADDRESS, least=0),
        "your other addresses",
        "addresses",
        (),
    ),
    "subject": Field(LINE, "the subject of the answer", "subject", ""),
    "text": Field(TEXT, "what is answered", "text"),
    "html": Field(HTML, "the same in HTML, for who prefers it", "html", ""),
}
RULE: Kind[Rule] = table(RULE_FIELDS, _rule)
VACATION: Kind[Vacation] = table(VACATION_FIELDS, _vacation)
MAILSORT: Kind[Mailsort] = table(
    {
        "rule": Field(many(RULE, MOST_RULES, 0), "the rules, in their order", "rules", ()),
        "vacation": Field(VACATION, "the answer of who is away", "vacation", None),
    },
    Mailsort,
)
