"""Rules, the Sieve made of them, and what is said of them; `make golden` records anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sieve.compiling.compiler import Compiled, compile_rules
from sieve.compiling.site import AfterQueue, Site
from sieve.diagnostic import Severity
from sieve.mailsort.read import read_toml
from sieve.script.parser import parse
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE
from tests.mailsort.pigeonhole import Pigeonhole, pigeonhole

FOLDER = Path(__file__).parent / "mailsort"
SITES = {"bounces": Site(reject_after_queue=AfterQueue.BOUNCE, rcpt=False)}
"""The others are of a site with nothing set."""


@pytest.fixture(scope="module")
def server() -> Iterator[Pigeonhole]:
    with pigeonhole() as one:
        yield one


def _said(compiled: Compiled) -> str:
    said = [str(one) for one in compiled.remarks]
    for one in compiled.blocked:
        senders = f"{one.operator.value} {', '.join(one.values)}"
        said.append(f'refused at RCPT: rule "{one.rule}": {senders}: {one.text}')
    return "".join(f"{line}\n" for line in said)


@pytest.mark.parametrize("case", sorted(path.name for path in FOLDER.iterdir()))
def test_rules_become_this_script(
    case: str, server: Pigeonhole, request: pytest.FixtureRequest
) -> None:
    folder = FOLDER / case
    mailsort = read_toml((folder / "rules.toml").read_bytes())
    compiled = compile_rules(mailsort, PIGEONHOLE, SITES.get(case, Site()))
    found = {"script.sieve": to_text(compiled.script), "diagnostics.txt": _said(compiled)}
    for name, text in found.items():
        if request.config.getoption("--record"):
            (folder / name).write_text(text)
        assert text == (folder / name).read_text()
    assert to_text(parse(found["script.sieve"].encode())) == found["script.sieve"]
    if all(one.severity is not Severity.ERROR for one in compiled.remarks):
        server.compiles(found["script.sieve"])
