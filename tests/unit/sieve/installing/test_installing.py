"""What is installed of rules: a script that knows itself, whom it leaves to RCPT, its turn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sieve.compiling.rcpt import Blocked
from sieve.compiling.site import Site
from sieve.diagnostic import Severity
from sieve.installing.compiled import NOTHING, patterns, ready
from sieve.installing.order import OURS, OWN, Turn, ordered
from sieve.installing.sealed import intact, sealed
from sieve.installing.shared import install_shared
from sieve.mailsort.rule import AddressTest, Mailsort, Operator, Party, Reject, Rule
from sieve.script.profile import PIGEONHOLE


def test_a_compiler_that_hangs_ends_and_leaves_the_former_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rules", "scripts", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "rules/before.toml").write_text('[[rule]]\nname = "x"\nthen = ["mark-read"]\n')
    former = tmp_path / "scripts/before.sieve"
    former.write_text("keep;")
    hangs = tmp_path / "bin/sievec"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{hangs.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("sieve.installing.shared._SECONDS", 0.1)
    [told] = install_shared(tmp_path / "rules", tmp_path / "scripts", PIGEONHOLE, Site())
    assert (told.outcome, told.error) == (None, "sievec gave no answer in 0.1 s")
    assert former.read_text() == "keep;"


@given(st.text(), st.text(min_size=1))
def test_a_script_knows_whether_it_was_edited(body: str, more: str) -> None:
    made = sealed(body)
    assert intact(made)
    if "\r" not in body + more:
        assert intact(made.replace(b"\n", b"\r\n"))
        assert not intact(made + more.encode("utf-8", "replace"))
    assert not intact(made[1:])
    assert not intact(body.encode("utf-8", "replace"))


@given(st.binary())
def test_what_is_none_of_ours_is_not_taken_for_it(script: bytes) -> None:
    assert not intact(script)


def refusing(*values: str, operator: Operator = Operator.IS) -> Mailsort:
    condition = AddressTest(Party.ENVELOPE_FROM, operator, values)
    return Mailsort((Rule("refused", condition, (Reject("No."),)),))


def test_who_is_refused_at_rcpt_is_in_no_script() -> None:
    made = ready(refusing("A@Bad.example"), PIGEONHOLE, Site(), 10)
    assert made.refused == {"a@bad.example": "No."}
    assert made.usable
    assert "bad.example" not in (made.body or "").lower()


def test_a_domain_is_itself_and_all_below_it() -> None:
    made = ready(refusing("bad.example", operator=Operator.IN_DOMAIN), PIGEONHOLE, Site(), 10)
    assert made.refused == {"bad.example": "No.", ".bad.example": "No."}


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        (refusing("a@bad.example", "b@bad.example"), 1),
        (refusing("single", operator=Operator.IN_DOMAIN), 10),
    ],
)
def test_what_a_list_cannot_say_the_script_does(rules: Mailsort, most: int) -> None:
    made = ready(rules, PIGEONHOLE, Site(), most)
    assert made.refused == {}
    assert made.body
    assert "Junk" in made.body
    assert made.remarks[0].severity is Severity.WARNING
    assert "nobody is refused at RCPT" in made.remarks[0].message


def test_no_rules_are_no_script() -> None:
    assert ready(Mailsort(), PIGEONHOLE, Site(), 10) == NOTHING


def test_patterns_are_those_of_a_list_of_senders() -> None:
    told = Blocked("", Operator.IS, ('"joe x"@Bad.example',), "")
    assert patterns([told], 1) == {'"joe x"@bad.example': ""}


def test_the_order_is_that_of_the_numbers_up_to_the_first_gap() -> None:
    settings = {
        "sieve": "file:~/sieve;active=~/.dovecot.sieve",
        "sieve_before": "/etc/junk.sieve",
        "sieve_before2": "file:/etc/%Ld/before.sieve;bindir=/x",
        "sieve_before3": "file:~/sieve/iems-mailsort.sieve",
        "sieve_before10": "file:/never",
        "sieve_after": "file:/etc/%n-%u%%.sieve",
    }
    assert list(ordered(settings, "alice@example.test")) == [
        Turn("/etc/junk.sieve"),
        Turn("/etc/example.test/before.sieve"),
        Turn(OURS),
        Turn(OWN),
        Turn("/etc/alice-alice@example.test%.sieve"),
    ]
    assert [one.shared for one in ordered({}, "a@b.test")] == [False]
