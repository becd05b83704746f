"""What has to hold of any message whatever is done to it, asked of readers that know nothing of us.

Each step tells what is wrong in words, or why the message was left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from iems.codec.keypair import PrivateKey
from iems.edits.dkim_sign import Signer, sign
from iems.edits.edit import Edit
from iems.edits.place import Place
from iems.edits.rules import Rule
from iems.edits.strip import Removal, strip
from iems.edits.text import Block, Sealed, insert
from iems.mime.defect import Defect
from iems.mime.part import Part
from iems.mime.tree import parse
from tests.inserted import faults, recoding_faults, removal_faults
from tests.readers import Reader
from tests.signing import SigningKey, key, second_opinion

WORDS = "Grüße – 10 €"
BLOCK = Block(WORDS, f"<p>{WORDS}</p>", Place.BOTTOM, Sealed.WRAP, Sealed.WRAP)
NOTICE = "A file was removed."
_GONE = ("application/", "audio/", "image/", "video/")
_REMOVAL = Removal((Rule.of("files", {"type": [f"{one}*" for one in _GONE]}),), NOTICE)
_NOW = 1_700_000_000
STEPS = ("tree", "insertion", "removal", "signature")


@dataclass
class Proof:
    """By step: what is wrong, and why nothing was done."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    agreed: bool = False
    """Whether the tree has no defect, so that it was compared."""


def proof(data: bytes, readers: Mapping[str, Reader]) -> Proof:
    """All steps; the signature is over what insertion and removal have made.

    The removal goes by types; where one is odd, each reader has another instead.
    """
    found = Proof()
    root = parse(data)
    found.agreed = not any(part.defects or part.others for part in root.walk())
    found.wrong["tree"] = list(_tree(data, root, readers if found.agreed else {}))
    removed, inserted = strip(data, _REMOVAL, math.inf), insert(data, BLOCK)
    found.wrong["insertion"] = _insertion(data, inserted, readers)
    odd = any(one.defect is Defect.ODD_TYPE for part in root.walk() for one in part.defects)
    found.wrong["removal"] = _removal(data, removed, {} if odd else readers)
    made = removed.of(data)
    made = insert(made, BLOCK).of(made)
    signed = sign(made, _signer(key(1024)), _NOW)
    found.wrong["signature"] = _signature(made, signed, readers)
    for step, edit in (("insertion", inserted), ("removal", removed), ("signature", signed)):
        if edit.reason:
            found.left[step] = edit.reason.partition(" at ")[0]
    return found


def _tree(data: bytes, root: Part, readers: Mapping[str, Reader]) -> Iterator[str]:
    """The tree prints the message, and shows what other readers see where nothing is wrong."""
    if b"".join(_printed(data, root)) != data:
        yield "it is not printed as it was"
    ours = [
        (one.content_type.word, data[one.body : one.end])
        for one in root.walk()
        if not one.parts and not one.content_type.word.startswith("message/")
    ]
    for name, read in readers.items():
        if ours != [(one.kind, one.octets) for one in read(data)]:
            yield f"{name} sees other parts"


def _printed(data: bytes, part: Part) -> Iterator[bytes]:
    """Header, and body or all between the delimiters, as the tree has them."""
    yield data[part.start : part.body]
    at = part.body
    for one in part.parts:
        yield data[at : one.start]
        yield from _printed(data, one)
        at = one.end
    yield data[at : part.end]


def _insertion(data: bytes, edit: Edit, readers: Mapping[str, Reader]) -> list[str]:
    if edit.reason:
        return []
    after = edit.of(data)
    return [
        *(["a second time changes it"] if insert(after, BLOCK).splices else []),
        *_outside(data, edit, after),
        *(
            f"{told} ({name})"
            for name, r in readers.items()
            for told in faults(data, after, WORDS, r)
        ),
    ]


def _removal(data: bytes, edit: Edit, readers: Mapping[str, Reader]) -> list[str]:
    if edit.reason:
        return []
    after = edit.of(data)
    return [
        *(["a second time changes it"] if strip(after, _REMOVAL, math.inf).splices else []),
        *_outside(data, edit, after),
        *(
            f"{told} ({name})"
            for name, read in readers.items()
            for told in removal_faults(data, after, _goes, NOTICE, read)
        ),
    ]


def _signature(data: bytes, edit: Edit, readers: Mapping[str, Reader]) -> list[str]:
    if edit.reason:
        return []
    after = edit.of(data)
    sent = after.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return [
        *([] if second_opinion(sent, key(1024).record) else ["the signature does not hold"]),
        *_outside(data, edit, after),
        *(
            f"{told} ({name})"
            for name, read in readers.items()
            for told in recoding_faults(data, after, read)
        ),
    ]


def _outside(data: bytes, edit: Edit, after: bytes) -> list[str]:
    """One splice after the other: what is between them is there, in order, and nothing else is."""
    at = there = 0
    for splice in sorted(edit.splices, key=lambda one: (one.start, one.end)):
        for piece in (data[at : splice.start], splice.new):
            if not after.startswith(piece, there):
                return ["a byte outside of the splices changed"]
            there += len(piece)
        at = splice.end
    return [] if after[there:] == data[at:] else ["a byte outside of the splices changed"]


def _goes(kind: str) -> bool:
    return kind.startswith(_GONE)


def _signer(own: SigningKey) -> Signer:
    return Signer(own.domain, own.selector, PrivateKey(own.kind, own.private))
