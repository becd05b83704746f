"""Text insertion: a block of plain text and HTML goes into what readers show as the message.

Each alternative gets it. Where the message has no text, it becomes a part of its own. Invitations
and reports are left alone, for programs read them; and so is what cannot be read in one way only.
Signed and encrypted mail is left alone, wrapped or rejected, as set. A block that stands where it
belongs is not put there again.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from iems.edits import html, plain
from iems.edits.body import Text, edited
from iems.edits.edit import Edit, EditError
from iems.edits.fields import header
from iems.edits.place import Place
from iems.edits.wrap import has_part, text_part, with_part
from iems.mime.defect import Defect
from iems.mime.part import Part
from iems.mime.splice import Splice
from iems.mime.transfer import line_end
from iems.mime.tree import parse

_MARKER = re.compile(r"[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ARMOUR = b"-----BEGIN PGP "
_PGP = re.compile(rb"^-----BEGIN PGP (SIGNED )?MESSAGE-----[ \t]*\r?$", re.MULTILINE)

_PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ENCRYPTED = frozenset({"multipart/encrypted", "application/pgp-encrypted"})
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_TEXTS = frozenset({"text/plain", "text/html"})


class Sealed(enum.Enum):
    """What is done with mail that cannot be changed inside, by the word for it."""

    SKIP = "skip"
    WRAP = "wrap"
    REJECT = "reject"


@dataclass(frozen=True)
class Block:
    """What is put in, where, and how; ValueError where it cannot be meant."""

    plain: str
    html: str = ""
    """What stands in the body of a page; the plain text where there is none."""

    place: Place = Place.BOTTOM
    signed: Sealed = Sealed.SKIP
    encrypted: Sealed = Sealed.SKIP
    marker: str = "text"
    """By which a later run knows its HTML."""

    renew: bool = False
    """Whether copies elsewhere in the text are taken away, as in what is answered."""

    def __post_init__(self) -> None:
        """Say what is wrong with it."""
        if not self.lines:
            raise ValueError("the plain text is empty")
        if not _MARKER.fullmatch(self.marker):
            raise ValueError(
                f"marker {self.marker!r}: expected letters, digits, and - or . between"
            )
        if fault := html.fault(self.fragment):
            raise ValueError(f"the HTML cannot be put into a message: {fault}")
        quotes = (plain.quotes(self.lines), html.quotes(self.fragment))
        texts = (self.lines, self.fragment)
        for name, text, quoted in zip(("plain text", "HTML"), texts, quotes, strict=True):
            if (found := _CONTROL.search(text)) is not None:
                raise ValueError(f"the {name} holds a control character, {found[0]!r}")
            if quoted and self.place is Place.QUOTE:
                raise ValueError(f"the {name} looks like a message that is answered")

    @property
    def lines(self) -> str:
        """The plain text with LF between its lines, without blanks around them."""
        lines = (line.rstrip("\r") for line in self.plain.split("\n"))
        bare = (line if line == "-- " else line.rstrip(" \t\r") for line in lines)
        return "\n".join(bare).strip("\n")

    @property
    def fragment(self) -> str:
        """The HTML with LF between its lines."""
        text = "\n".join(line.rstrip("\r") for line in self.html.split("\n")).strip(" \t\n")
        return text or html.escaped(self.lines)


def insert(data: bytes, block: Block) -> Edit:
    """The message with the block."""
    root = parse(data)
    try:
        _look(root)
        kind = _sealed(root)
        parts = [] if kind else _bodies(data, root, last=block.place is not Place.TOP)
        bodies = [Text(data, part) for part in parts]
        kind = kind or next(filter(None, map(_pgp, bodies)), "")
        if kind:
            return _beside(data, root, block, kind)
        if not bodies:
            return Edit(_part(data, root, block, first=True))
        return Edit(tuple(one for body in bodies for one in _within(body, block)))
    except EditError as error:
        return Edit(reason=str(error))


def _within(body: Text, block: Block) -> list[Splice]:
    """The block in one text."""
    kind = body.part.content_type
    if kind.word == "text/html":
        return edited(
            body,
            block.fragment,
            lambda text, fragment, end: html.changes(
                text, fragment.replace("\n", end), block.place, block.marker, end, renew=block.renew
            ),
        )
    flowed = any(one.strip().lower() == b"flowed" for one in kind.all("format"))
    return edited(
        body,
        block.lines,
        lambda text, lines, end: plain.changes(
            text, lines, block.place, end, flowed=flowed, renew=block.renew
        ),
    )


def _beside(data: bytes, root: Part, block: Block, kind: str) -> Edit:
    """What is done with a message that is signed or encrypted."""
    action = block.signed if kind == "signed" else block.encrypted
    if action is Sealed.WRAP:
        return Edit(_part(data, root, block, first=block.place is Place.TOP))
    return Edit(reason=f"it is {kind}", rejected=action is Sealed.REJECT)


def _part(data: bytes, root: Part, block: Block, *, first: bool) -> tuple[Splice, ...]:
    """The block as a part of its own."""
    part = text_part(block.lines, line_end(data))
    if has_part(data, root, part, first=first):
        return ()
    return tuple(with_part(data, root, part, first=first))


def _look(root: Part) -> None:
    """EditError for what programs read."""
    word = root.content_type.word
    if word.startswith("message/") and word not in _MESSAGES:
        raise EditError(f"it is a {word}")
    _agreed(root)
    for part in _inside(root):
        kind = part.content_type
        if kind.word == "multipart/report":
            raise EditError("it is a report")
        if kind.word == "text/calendar" and (kind.all("method") or not _attached(part)):
            raise EditError("it is an invitation")


def _agreed(part: Part) -> None:
    """EditError where readers may take the part for different things."""
    found = next((one for one in part.defects if one.defect is not Defect.NO_END), None)
    if found is not None:
        raise EditError(f"readers disagree about its structure: {found.defect.value} at {found.at}")
    if part.others:
        raise EditError(f"readers disagree about its structure at {part.start}")


def _inside(part: Part) -> Iterator[Part]:
    """The part and all below it, without what is in messages that it holds."""
    waiting = [part]
    while waiting:
        one = waiting.pop()
        yield one
        if one.content_type.word.startswith("multipart/"):
            waiting += reversed(one.parts)


def _attached(part: Part) -> bool:
    return part.disposition.word == "attachment" or bool(part.names)


def _sealed(root: Part) -> str:
    """Whether the message is signed or encrypted as a whole or in what is shown of it."""
    if root.content_type.word in _PKCS7:
        kinds = root.content_type.all("smime-type")
        return "signed" if any(b"signed" in kind.lower() for kind in kinds) else "encrypted"
    if any(name.lower().endswith(".p7m") for name in root.names):
        return "encrypted"
    for part in _inside(root):
        if part.content_type.word == "multipart/signed":
            return "signed"
        if part.content_type.word in _ENCRYPTED:
            return "encrypted"
    return ""


def _pgp(body: Text) -> str:
    """Whether a plain text is signed or encrypted by PGP within."""
    if body.part.content_type.word != "text/plain":
        return ""
    found = _PGP.search(body.octets) if _ARMOUR in body.octets else None  # which is much quicker
    return "" if found is None else "signed" if found[1] else "encrypted"


def _bodies(data: bytes, part: Part, *, last: bool) -> list[Part]:
    """The texts that are shown: one, or one of each alternative; none if all is attached."""
    _agreed(part)
    word, within = part.content_type.word, partial(_bodies, data, last=last)
    if word == "multipart/alternative":
        return [body for one in part.parts for body in within(one)]
    if word == "multipart/related":
        return within(_first_of_related(data, part)) if part.parts else []
    if word.startswith("multipart/"):
        return _of_mixed(part, within, last=last)
    return [part] if word in _TEXTS and part.disposition.word != "attachment" else []


def _of_mixed(part: Part, within: Callable[[Part], list[Part]], *, last: bool) -> list[Part]:
    """The first that has a text, or the last of its kind: some readers attach all other kinds."""
    shown = [one for one in part.parts if not _attached(one)]
    for at, first in enumerate(shown):
        if found := within(first):  # once for each: parts stand in each other 50 deep
            kind = first.content_type.word
            alike = [one for one in shown[at + 1 :] if last and one.content_type.word == kind]
            return next(filter(None, map(within, reversed(alike))), found)
    return []


def _first_of_related(data: bytes, part: Part) -> Part:
    """The part that refers to the others (RFC 2387 section 3.2)."""
    starts = part.content_type.all("start")
    for one in part.parts if starts else ():
        if any(field.value.strip() in starts for field in header(data, one).named(b"content-id")):
            return one
    return part.parts[0]
