"""Text insertion into each of `tests/golden/structures.py`: which block, and what comes out.

`tests/golden/edit/text/STRUCTURE/EDIT` holds the message, byte for byte; or, where it is left as it
is, one line that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert
from tests.golden.structures import SEALED, STRUCTURES

FOLDER = Path(__file__).parent / "edit/text"
FOOTER = "-- \nExample Ltd.\n"
WORDS = "Grüße – 10 €\n"

BLOCKS: Mapping[str, Block] = {
    "bottom": Block(WORDS, "<p>Grüße – <b>10 €</b></p>"),
    "top": Block("[outside] From a stranger\n > be careful\n", place=Place.TOP),
    "above-quote": Block(FOOTER, place=Place.QUOTE),
    "renew": Block(FOOTER, renew=True),
    "wrap-bottom": Block(WORDS, signed=Sealed.WRAP, encrypted=Sealed.WRAP),
    "wrap-top": Block(FOOTER, place=Place.TOP, signed=Sealed.WRAP, encrypted=Sealed.WRAP),
    "reject": Block(FOOTER, signed=Sealed.REJECT, encrypted=Sealed.REJECT),
}


@dataclass(frozen=True)
class Case:
    """One structure and one edit."""

    structure: str
    edit: str

    def __str__(self) -> str:
        return f"{self.structure}/{self.edit}"

    @property
    def data(self) -> bytes:
        """The message."""
        return STRUCTURES[self.structure]

    @property
    def block(self) -> Block:
        """What is put in."""
        return BLOCKS[self.edit]

    @property
    def result(self) -> bytes:
        """What comes out."""
        done = insert(self.data, self.block)
        if not done.reason:
            return done.of(self.data)
        assert not done.splices
        return f"{'rejected' if done.rejected else 'left'}: {done.reason}\n".encode()

    @property
    def expected(self) -> bytes:
        """What is recorded; empty before the first recording."""
        file = FOLDER / self.structure / self.edit
        return file.read_bytes() if file.exists() else b""

    def record(self, result: bytes) -> None:
        """Keep this as what is expected."""
        file = FOLDER / self.structure / self.edit
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(result)


def cases() -> list[Case]:
    """Every structure at the bottom and at the top; replies and sealed mail in all ways."""
    return [
        Case(structure, edit)
        for structure in STRUCTURES
        for edit in BLOCKS
        if edit in {"bottom", "top"}
        or (edit in {"above-quote", "renew"} and "reply" in structure)
        or (edit in {"wrap-bottom", "wrap-top", "reject"} and structure in SEALED)
    ]
