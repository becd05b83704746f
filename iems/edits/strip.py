"""Removal of attachments: what a rule matches goes, and a notice takes its place.

A part is replaced by a text, by HTML where it was HTML, so that there are as many parts as before.
In a multipart/alternative, of which readers show the last part that they can, another than a text
goes away and the notice becomes the first part. A message of one part keeps its header but for the
MIME fields. A file in a text is replaced by a line of that text.

The result is looked at again in every reading: what one reader would still find there makes the
message `malformed`, as does what cannot be looked at as a whole. It is to be rejected then, and
nothing is edited.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from typing import TypeAlias

from iems.archive.member import Budget
from iems.edits.edit import Edit, EditError
from iems.edits.fields import added, ended, header
from iems.edits.inventory import Found, everywhere, is_encoded, is_text, look, of_part
from iems.edits.rules import Rule
from iems.mime.block import Block
from iems.mime.inside import File
from iems.mime.part import Part
from iems.mime.splice import Splice, apply
from iems.mime.transfer import PLAIN, TransferError, decode, encode, fitting, line_end
from iems.mime.tree import parse

NOTICE = "The attachment $name ($type, $size bytes) was removed by the rule $rule."
_FIELDS = frozenset({"name", "type", "size", "rule"})
_NAME = 200
"""Characters of a name that a notice shows."""


Place: TypeAlias = tuple[int, int, int | None]
"""Where a file is in a message: the offsets of its part, and that of the file in a text."""


@dataclass(frozen=True)
class Removal:
    """What is removed and what stands there instead; ValueError where it cannot be meant."""

    rules: tuple[Rule, ...]
    notice: str = NOTICE
    """With $name, $type, $size and $rule; $$ is a dollar sign."""

    release: str = ""
    """By what the message as it was can be asked for: $release, where there is any."""

    places: tuple[tuple[Place, Rule], ...] = ()
    """Files of one message that go, whatever they are, and the rule that is told of each."""

    def __post_init__(self) -> None:
        """Say what is wrong with it."""
        template = Template(self.notice)
        known = _FIELDS | {"release"} if self.release else _FIELDS
        unknown = sorted(set(template.get_identifiers()) - known)
        if not self.rules and not self.places:
            raise ValueError("there is no rule")
        if not self.notice.strip() or not template.is_valid() or unknown:
            fields = ", ".join(f"${one}" for one in sorted(known))
            raise ValueError(f"the notice: expected a text with {fields}, and $$ for a dollar sign")


@dataclass(frozen=True, slots=True)
class _Match:
    """A file that goes, and what it goes by."""

    part: Part
    place: tuple[Part, int] | None
    """The part above it, and which of its parts it is; None for the message itself."""

    block: Block | None
    rule: Rule
    shown: File
    """The file as people see it: the attachment that holds the one that was matched."""


def strip(data: bytes, removal: Removal, until: float) -> Edit:
    """The message without what the rules match; archives are looked into up to `until`."""
    try:
        root = parse(data)
        look(data, root)
        budget, again = Budget(until=until), Budget(until=until)
        found = list(_matches(data, root, removal, budget))
        splices = tuple(one for splices in _edits(data, found, removal) for one in splices)
        if splices or any(part.others or is_encoded(part) for part in root.walk()):
            _checked(apply(data, splices), removal.rules, again)
        return Edit(splices, late=budget.late or again.late)
    except (EditError, TransferError) as error:
        return Edit(reason=f"malformed: {error}", rejected=True)


def _checked(made: bytes, rules: tuple[Rule, ...], budget: Budget) -> None:
    """EditError where any reader finds something in the result."""
    for found in everywhere(made, budget):
        if (rule := _rule(found, rules)) is not None:
            raise EditError(
                f"readers disagree about its structure: the rule {rule.label} still matches"
                f" at {found.part.start} for some of them"
            )


def _matches(data: bytes, root: Part, removal: Removal, budget: Budget) -> Iterator[_Match]:
    """Those of the main reading; what is in something that goes is none."""
    waiting: list[tuple[Part, tuple[Part, int] | None]] = [(root, None)]
    while waiting:
        part, place = waiting.pop()
        found = list(_of_part(data, part, place, removal, budget))
        whole = [one for one in found if one.block is None]
        yield from whole[:1] or found
        if not whole:
            waiting += [(one, (part, at)) for at, one in reversed([*enumerate(part.parts)])]


def _of_part(
    data: bytes, part: Part, place: tuple[Part, int] | None, removal: Removal, budget: Budget
) -> Iterator[_Match]:
    places = dict(removal.places)
    for found in of_part(data, part, budget):
        rule = places.get(place_of(found.part, found.block)) or _rule(found, removal.rules)
        if rule is not None:
            yield _Match(part, place, found.block, rule, found.shown)


def _rule(found: Found, rules: tuple[Rule, ...]) -> Rule | None:
    """The first rule that matches one of the files."""
    matching = (
        rule for file in found.files for rule in rules if rule.matches(file, found.declared)
    )
    return next(matching, None)


def place_of(part: Part, block: Block | None) -> Place:
    """Where a part is, or a file in its text."""
    return part.start, part.end, block.start if block else None


def _edits(data: bytes, found: list[_Match], removal: Removal) -> Iterator[list[Splice]]:
    blocks: dict[int, list[_Match]] = {}
    for match in found:
        if match.block is not None:
            blocks.setdefault(match.part.start, []).append(match)
        elif match.place is None or match.place[0].content_type.word.startswith("message/"):
            yield _body(data, match, removal)
        else:
            yield _part(data, match, *match.place, removal)
    for matches in blocks.values():
        yield _text(data, matches, removal)


def _part(data: bytes, match: _Match, above: Part, place: int, removal: Removal) -> list[Splice]:
    """The notice in the place of a part of a multipart."""
    part, end = match.part, line_end(data)
    fields, body = _notice(match, removal, end)
    notice = end.join([*fields, b"", body])
    if above.content_type.word != "multipart/alternative" or not place or is_text(part):
        last = end if data.endswith(b"\n", part.start, part.end) else b""
        kept = [_line(field.raw) for field in header(data, part).named(b"content-id")]
        return [Splice(part.start, part.end, b"".join(one + end for one in kept) + notice + last)]
    (start, _stop), first = above.delimiters[place], above.delimiters[0]
    line = data[first[0] : first[1]].strip()
    return [
        Splice(first[1], first[1], notice + end + line + end),
        Splice(start, part.end),
    ]


def _body(data: bytes, match: _Match, removal: Removal) -> list[Splice]:
    """The notice as the body of a message, whose header loses its MIME fields."""
    part, end = match.part, line_end(data)
    fields, body = _notice(match, removal, end)
    block = header(data, part)
    old = [field for field in block.fields if field.key.startswith(b"content-")]
    version = [] if block.named(b"mime-version") else [b"MIME-Version: 1.0"]
    gone = [
        Splice(part.start + field.start, part.start + field.start + len(field.raw)) for field in old
    ]
    last = end if data.endswith(b"\n", part.body, part.end) else b""
    return [
        *gone,
        added(data, part, end.join([*version, *fields])),
        Splice(part.body, part.end, ended(data, part) + body + last),
    ]


def _text(data: bytes, matches: list[_Match], removal: Removal) -> list[Splice]:
    """The notices in the places of files in a text."""
    part, wire = matches[0].part, line_end(data)
    octets = decode(part.encoding, data[part.body : part.end])
    end = wire if part.encoding in PLAIN else line_end(octets)
    splices = []
    for match in matches:
        block = match.block
        if block is None or not block.whole:
            raise EditError(f"a file in the text at {part.start} has no end")
        text = _said(match, removal)
        line = (html.escape(text) if "html" in part.content_type.word else text) + "\n"
        new = line.encode("ascii", "replace").replace(b"\n", end)
        splices.append(Splice(block.start, block.end, new))
    if part.encoding in PLAIN:
        return [Splice(part.body + one.start, part.body + one.end, one.new) for one in splices]
    body = encode(part.encoding, apply(octets, splices), wire)
    return [Splice(part.body, part.end, body)]


def _notice(match: _Match, removal: Removal, end: bytes) -> tuple[list[bytes], bytes]:
    """The fields and the body of a text, without a line end behind it."""
    text, kind = _said(match, removal), "text/plain"
    if match.part.content_type.word == "text/html":
        kind, text = "text/html", f"<p>{html.escape(text)}</p>".replace("\n", "<br>\n")
    octets = text.encode("utf-8", "replace").replace(b"\n", end)
    encoding = fitting(octets, end)
    charset = "us-ascii" if octets.isascii() else "utf-8"
    fields = (
        f"Content-Type: {kind}; charset={charset}",
        f"Content-Transfer-Encoding: {encoding}",
        "Content-Disposition: inline",
    )
    return [one.encode("ascii") for one in fields], encode(encoding, octets, end).removesuffix(end)


def _said(match: _Match, removal: Removal) -> str:
    file = match.shown
    names = file.names or ("without a name",)
    name = "".join(letter if letter.isprintable() else "?" for letter in names[0][:_NAME])
    declared = match.part.content_type.word if match.block is None else match.block.form.value
    return Template("\n".join(removal.notice.split("\r\n")).strip("\n")).substitute(
        name=name,
        type="".join(letter if " " < letter <= "~" else "?" for letter in declared[:_NAME]),
        size="?" if file.size is None else file.size,
        rule=match.rule.label,
        release=removal.release,
    )


def _line(raw: bytes) -> bytes:
    return raw.rstrip(b"\r\n")
