"""Rules through the program that they were written for, and through Pigeonhole once imported.

The files in `importing/` are ours, modelled on the manual pages of procmail and maildrop; every
rule of them is translated. What procmail sends on has the flag `w`, so that it is there once
procmail has ended. Messages are drawn from words that the rules ask for, by a fixed seed.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sieve.compiling.compiler import compile_rules
from sieve.compiling.site import Site
from sieve.diagnostic import Severity
from sieve.importing import maildrop, procmail
from sieve.importing.imported import Imported
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE
from tests.integration import originals
from tests.integration.originals import Original, Went
from tests.mailsort.meaning import Facts
from tests.mailsort.pigeonhole import Done, Pigeonhole, pigeonhole

FOLDER = Path(__file__).parent / "importing"
RULES = 25
"""Of one script: Pigeonhole carries out 32 actions for a message."""

MESSAGES = 12
"""For each file; `PIGEONHOLE` and the original together take a tenth of a second for one."""

SUBJECTS = (
    *("foo", "Foo", "xfoo", "foox", "a foo b", "bar", "foo bar", "Re: bar", "[foo] x", "a.foo"),
    *("*foo", "-foo", "^foo", "foo, bar", "fo", "fuo", "f-o", "fooo", "barx", "x bar", "foot"),
    *("foo  bar", "(foo)", "foo {2}", "b\\ar", "status", "compilers", "re: foo status", "cafe"),
)
ADDRESSES = (
    *("foo@x.example", "Foo Bar <foo@x.example>", "bar-foo@x.example", '"foo" <bar@y.example>'),
    *("root@x.example", "Mailer-Daemon@x.example", "owner-foo@x.example", "kim@example.org"),
    *("kim@example.org, foo@x.example", "<foo@x.example>", "list-request@x.example"),
    *("server@x.example", "a@b.example (root)", "peter@x.example", "boss@domain.example"),
)
SENDERS = ("foo@x.example", "root@x.example", "peter@y.example", "owner-foo@x.example")
FIELDS = {
    "From": ADDRESSES,
    "To": ADDRESSES,
    "Subject": SUBJECTS,
    "Cc": ADDRESSES,
    "Sender": ADDRESSES,
    "Resent-To": ADDRESSES,
    "X-Loop": ADDRESSES,
    "List-Id": ("Foo <foo.x.example>", "<devel.project.example>", "bar"),
    "Precedence": ("bulk", "list", "first-class"),
    "X-Spam-Status": ("Yes, score=9", "No, score=1"),
    "X-Subject": SUBJECTS,
    "Mailing-List": ("list foo@x.example",),
    "Apparently-To": ADDRESSES,
}
BODIES = ("hello\n", "a foo b\n", "cheap meds\n", "long line\n" * 200)


@pytest.fixture(scope="module")
def server() -> Iterator[Pigeonhole]:
    with pigeonhole() as one:
        yield one


@pytest.mark.parametrize("case", sorted(FOLDER.glob("*.procmail")), ids=lambda path: path.stem)
def test_procmail(case: Path, server: Pigeonhole) -> None:
    _same(case, originals.procmail, procmail.read(case.read_bytes()), server)


@pytest.mark.parametrize("case", sorted(FOLDER.glob("*.maildrop")), ids=lambda path: path.stem)
def test_maildrop(case: Path, server: Pigeonhole) -> None:
    _same(case, originals.maildrop, maildrop.read(case.read_bytes()), server)


def test_conditions_of_procmail(server: Pigeonhole) -> None:
    """Each condition by itself, as a rule that copies into a folder of its own."""
    conditions = (FOLDER / "conditions.txt").read_text().splitlines()
    recipes = [f":0 c\n* {one}\n{place}/\n" for place, one in enumerate(conditions)]
    scripts = [
        _script(procmail.read("".join(recipes[at : at + RULES]).encode()))
        for at in range(0, len(recipes), RULES)
    ]
    drawn = random.Random("conditions")
    met = set[int]()
    for _ in range(MESSAGES):
        message, sender = _message(drawn)
        holding = originals.conditions_of_procmail(conditions, message, sender)
        filed = {one for script in scripts for one in _done(server, script, message, sender).files}
        assert {int(one) for one in filed - {"INBOX"}} == holding, message.decode()
        met |= holding
    assert len(met) > len(conditions) * 3 // 4, "the messages hardly meet the conditions"


def _script(imported: Imported) -> str:
    """Compiled for Pigeonhole; nothing of the rules is left out."""
    assert not [one for one in imported.remarks if one.severity is Severity.ERROR]
    compiled = compile_rules(imported.mailsort, PIGEONHOLE, Site(rcpt=False, separator="/"))
    assert not [one for one in compiled.remarks if one.severity is Severity.ERROR]
    return to_text(compiled.script)


def _done(server: Pigeonhole, script: str, message: bytes, sender: str) -> Done:
    facts = Facts(sender, "kim@example.org", NOW)
    return server.done(script, message.replace(b"\n", b"\r\n"), facts)


def _same(case: Path, original: Original, imported: Imported, server: Pigeonhole) -> None:
    """Every message goes to the same folders and addresses."""
    script = _script(imported)
    drawn = random.Random(case.stem)
    seen = set[Went]()
    for _ in range(MESSAGES):
        message, sender = _message(drawn)
        went = original(case.read_bytes(), message, sender)
        done = _done(server, script, message, sender)
        assert Went(frozenset(done.files), done.forwards) == went, message.decode()
        seen.add(went)
    assert len(seen) > MESSAGES // 4, "the messages hardly meet the rules"


NOW = datetime.datetime(2026, 11, 27, 12)  # noqa: DTZ001 - the server's own time zone


def _message(drawn: random.Random) -> tuple[bytes, str]:
    fields = []
    for name, values in FIELDS.items():
        if drawn.random() < (0.95 if name in {"From", "To", "Subject"} else 0.3):
            value = drawn.choice(values)
            fold = drawn.random() < 0.1
            fields.append(f"{name}: {value.replace(' ', chr(10) + ' ', 1) if fold else value}\n")
    drawn.shuffle(fields)
    return f"{''.join(fields)}\n{drawn.choice(BODIES)}".encode(), drawn.choice(SENDERS)
