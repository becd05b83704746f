"""What is printed, as another program reads it: sievelib's parser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sieve.script.grammar import COMMANDS, TESTS
from sieve.script.parser import parse
from sieve.script.printer import to_text
from sieve.script.tree import Command, Script, Text, command, nodes
from sieve.script.tree import Test as Asked
from tests.conftest import ROOT
from tests.unit.sieve.bysievelib import LACKS, RefusedError, lacking, read
from tests.unit.sieve.trees import EVERY_NAME, SOUND_SCRIPT, UNDRAWN

GOLDEN = sorted(ROOT.glob("tests/golden/mailsort/*/script.sieve"))


def parts(script: Script) -> list[tuple[Command, ...]]:
    """Commands, each `if` with what belongs to it: what one has does not hide the others."""
    parted: list[list[Command]] = []
    for one in script.commands:
        if one.name in {"elsif", "else"}:
            parted[-1].append(one)
        else:
            parted.append([one])
    return [tuple(one) for one in parted]


def bare(commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """Without comments."""
    return tuple(
        replace(one, comment=(), block=None if one.block is None else bare(one.block))
        for one in commands
    )


def alone(commands: tuple[Command, ...]) -> list[tuple[Command, ...]]:
    """Each command and each test of them by itself."""
    return [
        (Command("if", (), one, ()) if isinstance(one, Asked) else one,)
        for one in nodes(commands)
        if isinstance(one, Asked) or one.block is None
    ]


def taken(commands: tuple[Command, ...]) -> set[str]:
    """Names that sievelib took as what they are; what it refuses, it has to lack."""
    printed = to_text(Script(commands)).encode()
    wanting = lacking(commands)
    if not wanting:
        assert read(printed).commands == bare(commands), printed.decode()
        return {one.name for one in nodes(commands)}
    with pytest.raises(RefusedError) as refused:
        read(printed)
    assert any(one in str(refused.value) for one in wanting)
    return set[str]().union(*(taken(one) for one in alone(commands) if one != commands))


def test_sievelib_reads_what_was_printed() -> None:
    names, wanting = set[str](), set[str]()

    @settings(max_examples=12)
    @example([EVERY_NAME])
    @example([Script((command("set", Text("x"), Text("$${x}")),))])
    @given(st.lists(SOUND_SCRIPT, min_size=1, max_size=8))
    def law(scripts: list[Script]) -> None:
        for script in scripts:
            for part in parts(script):
                names.update(taken(part))
                wanting.update(lacking(part))

    law()
    assert names == {*COMMANDS, *TESTS} - UNDRAWN - LACKS.keys()
    assert wanting == LACKS.keys()


@pytest.mark.parametrize("case", GOLDEN, ids=lambda path: path.parent.name)
def test_sievelib_reads_what_rules_have_become(case: Path) -> None:
    script = parse(case.read_bytes())
    assert "if" in set[str]().union(*map(taken, parts(script)))


def test_what_a_script_requires_the_next_one_does_not_have() -> None:
    read(b'require "fileinto"; fileinto "a";')
    with pytest.raises(RefusedError, match="'fileinto' not loaded"):
        read(b'fileinto "a";')
