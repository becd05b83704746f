"""Policies of domains and users: their text in the directory, and how they stand beneath the site.

A value is `CHECK BAND choice ACTION` or `CHECK BAND allow ACTION,ACTION,...`; in a list of senders
it is a `SenderEntry`, and a rule about header fields is an `OwnRule`. A value may come from a
user's own hand: what cannot be read is left out with a note, and takes no other with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from iems.codec.headers import OwnRule
from iems.model.finding import MATCHED, TEMPERROR, Finding
from iems.model.policy import Action, Layer, Rule, Subject, allowed, decide
from iems.model.senders import MAX_TOLD, SenderEntry, Senders, parse_pattern

MAX_VALUES = 500
"""Rules of one subject that are read; a site has some tens of checks with few bands each."""

MAX_SENDERS = 1_000
"""Entries of one subject that are read: who has more wants a filter, and each costs memory."""

MAX_HEADERS = 20
"""Rules about header fields of one subject that are read: each is applied to all of its mail."""

_CHECK = re.compile(
    r"[a-z0-9-]{1,32}(?:/(?:[a-z0-9_.-]{1,64}|\*))?|header/[!-.0-~]{1,320}/[a-z0-9.-]{1,64}"
)
_BAND = re.compile(r"[a-z]{1,32}")
_TOLD = re.compile(rf'((?:"(?:[^"\\]|\\.)*"@)?[^ "]+) ([ -~]{{1,{MAX_TOLD}}})')
"""A pattern, whose local part may be in quotes, and what is told."""

OWN_BANDS = (MATCHED, TEMPERROR)
"""Those of a rule about header fields."""


def read_policy(values: Iterable[bytes], subject: Subject, note: Callable[[str], None]) -> Layer:
    """The layer of `subject`; each value that is none goes to `note` and is left out.

    Two values for the same thing are read in their byte order, and the later one is left out, for
    the values of an attribute have no order of their own.
    """
    rules: dict[tuple[str, str], Rule] = {}
    for count, value in enumerate(sorted(values)):
        if count == MAX_VALUES:
            note(f"{subject} has more than {MAX_VALUES} policy values; the rest is left out")
            break
        try:
            key, rule = _rule(value)
            rules[key] = _joined(rules.get(key, Rule()), rule)
        except ValueError as error:
            note(f"{subject}: policy value {value[:200]!r} is left out: {error}")
    return Layer(subject, rules)


def read_senders(values: Iterable[bytes], subject: Subject, note: Callable[[str], None]) -> Senders:
    """The list of senders of `subject`; each value that is no entry goes to `note`, as above.

    Of two entries with one pattern the one that blocks is read, or that wants proof.
    """
    senders: dict[str, SenderEntry] = {}
    for count, value in enumerate(sorted(values)):
        if count == MAX_SENDERS:
            note(f"{subject} has more than {MAX_SENDERS} entries; the rest is left out")
            break
        try:
            entry = SenderEntry.parse(value.decode("utf-8"))
        except ValueError as error:
            note(f"{subject}: sender entry {value[:200]!r} is left out: {error}")
            continue
        present = senders.get(entry.pattern)
        if present is None or (present.allows, present.unverified) > (
            entry.allows,
            entry.unverified,
        ):
            senders[entry.pattern] = entry
    return senders


def read_refused(
    values: Iterable[bytes],
    texts: Iterable[bytes],
    subject: Subject,
    note: Callable[[str], None],
) -> Senders:
    """What a user's rules refuse by the envelope sender: each value is a pattern and no more.

    The texts are `told_value`s of some of them.
    """
    senders = read_senders((b"block %b envelope" % value for value in values), subject, note)
    told = read_told(texts, subject, note)
    return {one: replace(entry, told=told.get(one, "")) for one, entry in senders.items()}


def read_told(
    values: Iterable[bytes], subject: Subject, note: Callable[[str], None]
) -> Mapping[str, str]:
    """What senders are told, by pattern; each value that says no such thing goes to `note`."""
    told: dict[str, str] = {}
    for count, value in enumerate(sorted(values)):
        if count == MAX_SENDERS:
            note(f"{subject} has more than {MAX_SENDERS} texts; the rest is left out")
            break
        try:
            pattern, text = _told(value.decode("utf-8"))
            told.setdefault(pattern, text)
        except ValueError as error:
            note(f"{subject}: text {value[:200]!r} is left out: {error}")
    return told


def told_value(pattern: str, text: str) -> bytes:
    """The value by which the sender is told this; the text has 1 to MAX_TOLD printable ASCII."""
    return f"{pattern} {text}".encode()


def with_headers(layer: Layer, values: Iterable[bytes], note: Callable[[str], None]) -> Layer:
    """The layer with these rules about header fields; each value that is none goes to `note`.

    What is done with what one finds is its own action, and no other choice of the same layer.
    """
    subject, headers, rules = layer.subject, dict[str, str](), dict(layer.rules)
    for count, value in enumerate(sorted(values)):
        if count == MAX_HEADERS:
            note(f"{subject} has more than {MAX_HEADERS} header rules; the rest is left out")
            break
        try:
            one = OwnRule.parse(value.decode("utf-8"))
        except ValueError as error:
            note(f"{subject}: header rule {value[:200]!r} is left out: {error}")
            continue
        check = one.check(subject.name)
        if check in headers:
            note(f"{subject}: header rule {value[:200]!r} is left out: there is one of this name")
            continue
        present = rules.get((check, MATCHED), Rule())
        if present.choice is not None:
            note(f"{subject}: its choice for {check} is left out: the rule says its action itself")
        headers[check] = one.test
        rules[check, MATCHED] = replace(present, choice=one.action)
    return replace(layer, rules=rules, headers=headers)


def pattern_of(value: bytes) -> str:
    """The pattern of an entry of a list of senders; empty where it is none."""
    try:
        return SenderEntry.parse(value.decode()).pattern
    except ValueError:
        return ""


def name_of(value: bytes) -> str:
    """The name of a rule about header fields, whatever stands behind it."""
    return value.strip().partition(b" ")[0].decode("utf-8", "replace")


def policy_values(layer: Layer) -> tuple[bytes, ...]:
    """The rules of the layer as values, sorted."""
    values: list[str] = []
    for (check, band), rule in layer.rules.items():
        if rule.choice is not None:
            values.append(f"{check} {band} choice {rule.choice.word}")
        if rule.allow is not None:
            words = ",".join(action.word for action in sorted(rule.allow))
            values.append(f"{check} {band} allow {words}")
    return tuple(sorted(value.encode("ascii") for value in values))


@dataclass(frozen=True, slots=True)
class Standing:
    """How one band stands for the subject of the last layer.

    `may` are the actions that the layers above leave to him, `choice` is his own, `action` what
    happens and `decided_by` whose choice that is; `notes` say where a choice is ignored.
    """

    check: str
    band: str
    action: Action
    decided_by: Subject
    may: frozenset[Action]
    choice: Action | None
    notes: tuple[str, ...]


def bands(layers: Sequence[Layer]) -> list[tuple[str, str]]:
    """What may be found of mail beneath these layers, the site's first: check and band, sorted."""
    site = (one for one in layers[0].rules if not one[0].endswith("/*"))
    own = ((check, band) for layer in layers for check in layer.headers for band in OWN_BANDS)
    return sorted({*site, *own})


def standings(layers: Sequence[Layer]) -> tuple[Standing, ...]:
    """All these bands, as they stand for the subject of the last layer."""
    return tuple(_standing(check, band, layers) for check, band in bands(layers))


def forbidden_by(check: str, band: str, action: Action, layers: Sequence[Layer]) -> Subject | None:
    """The outermost of these layers that does not allow the action, or None."""
    for count, layer in enumerate(layers, 1):
        if action not in allowed(check, band, layers[:count]):
            return layer.subject
    return None


def _standing(check: str, band: str, layers: Sequence[Layer]) -> Standing:
    decision = decide([Finding(check, "", band)], layers)
    [reason] = decision.reasons
    own = layers[-1].rule(check, band)
    may = allowed(check, band, layers[:-1])
    choice = own.choice if own else None
    return Standing(check, band, reason.action, reason.layer, may, choice, decision.notes)


def _rule(value: bytes) -> tuple[tuple[str, str], Rule]:
    words = value.decode("ascii").split(" ")
    if len(words) != 4:
        raise ValueError("expected CHECK BAND choice ACTION or CHECK BAND allow ACTION,...")
    check, band, kind, rest = words
    if not _CHECK.fullmatch(check) or not _BAND.fullmatch(band):
        raise ValueError("expected the name of a check and of a band")
    if kind == "choice":
        return (check, band), Rule(choice=Action.parse(rest))
    if kind == "allow":
        return (check, band), Rule(allow=frozenset(map(Action.parse, rest.split(","))))
    raise ValueError("expected choice or allow as the third word")


def _told(text: str) -> tuple[str, str]:
    found = _TOLD.fullmatch(text)
    if found is None:
        raise ValueError(f"expected PATTERN TEXT, at most {MAX_TOLD} characters of ASCII")
    return parse_pattern(found[1]), found[2]


def _joined(present: Rule, rule: Rule) -> Rule:
    if rule.allow is not None:
        if present.allow is not None:
            raise ValueError("there is another allow for this band")
        return Rule(rule.allow, present.choice)
    if present.choice is not None:
        raise ValueError("there is another choice for this band")
    return Rule(present.allow, rule.choice)
