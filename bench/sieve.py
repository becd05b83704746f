"""Rules compiled to Sieve: how fast, how large, and what a message costs in Pigeonhole.

What it costs is processor time of `sieve-filter` over a mailbox of messages that no rule fits, so
that all are met, less that of a script of one `keep`. Beside it stands the script that a person
would write who means the same; that both do the same is seen before.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from sieve.commands.pigeonhole import Outcome, outcome
from sieve.compiling.compiler import compile_rules
from sieve.compiling.site import Site
from sieve.mailsort.rule import (
    AddressTest,
    Condition,
    Group,
    HeaderTest,
    Mailsort,
    Move,
    Operator,
    Party,
    Quantity,
    Rule,
    SizeTest,
    Stop,
)
from sieve.script.parser import parse
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE, Profile

_NUMBERS = (10, 100, 1000)
_MOST = 5000
"""Rules that are compiled too: about as many as fit into a script."""

_MESSAGES = 1000
_SETTINGS = """\
mail_uid = nobody
mail_gid = nogroup
mail_home = {folder}
mail_location = maildir:{folder}/mail
log_path = /dev/null
namespace inbox {{
  inbox = yes
}}
"""
_MESSAGE = """\
Return-Path: <anna@sender.example>
Received: from mx.sender.example (mx.sender.example [192.0.2.1]) by mail.here.example
Message-ID: <{number}@sender.example>
From: Anna Example <anna@sender.example>
To: Ben Example <ben@here.example>, "Others, too" <others@there.example>
Subject: {subject}
Date: Mon, 2 Nov 2026 10:00:00 +0100
List-Id: Some list <some.lists.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

{body}
"""
_HEAD = 'require ["fileinto", "mailbox"];\n\n'


def measure(rounds: int, _messages: int) -> str:
    """Two tables in Markdown."""
    with tempfile.TemporaryDirectory(prefix="iems-bench-sieve-") as name:
        folder = Path(name)
        shutil.chown(folder, "nobody", "nogroup")
        _prepare(folder)
        rows = [_row(folder, number, rounds) for number in _NUMBERS]
    rates = [f"| {number} | {_rate(number, rounds):.0f} |" for number in (*_NUMBERS, _MOST)]
    head = (
        "| rules | script | octets | in Pigeonhole's form | a message, ms |\n"
        "| --- | --- | --- | --- | --- |"
    )
    return "\n".join(
        [
            "## Rules as Sieve",
            "",
            *("| rules | compiled and printed, rules/s |", "| --- | --- |", *rates, ""),
            *(head, *(line for row in rows for line in row)),
            "",
        ]
    )


def rules(number: int) -> tuple[Rule, ...]:
    """Of four kinds; each files what fits it, and no later rule is met."""
    return tuple(
        Rule(f"Rule {one}", _condition(one), (Move(f"Folder {one}"), Stop()))
        for one in range(number)
    )


def _condition(one: int) -> Condition:
    match one % 4:
        case 0:
            return AddressTest(Party.FROM, Operator.IN_DOMAIN, (f"shop{one}.example",))
        case 1:
            return HeaderTest("Subject", Operator.CONTAINS, (f"order {one}", f"bill {one}"))
        case 2:
            return HeaderTest("List-Id", Operator.CONTAINS, (f"<list{one}.lists.example>",))
        case _:
            return Group(
                Quantity.ALL,
                (
                    AddressTest(Party.RECIPIENT, Operator.IS, (f"box{one}@here.example",)),
                    SizeTest(over=False, octets=100_000),
                ),
            )


def _by_hand(number: int) -> str:
    """The same as a person would write it."""
    tests = (
        'address :domain :matches "From" ["shop{one}.example", "*.shop{one}.example"]',
        'header :contains "Subject" ["order {one}", "bill {one}"]',
        'header :contains "List-Id" "<list{one}.lists.example>"',
        'allof (address :is ["To", "Cc", "Bcc"] "box{one}@here.example", size :under 100000)',
    )
    words = ["if", *("elsif" for _ in range(1, number))]
    return _HEAD + "".join(
        f'{word} {tests[one % 4].format(one=one)} {{\n    fileinto :create "Folder {one}";\n}}\n'
        for one, word in enumerate(words)
    )


def _compiled(number: int) -> str:
    compiled = compile_rules(Mailsort(rules(number)), Profile(octets=2**30), Site(rcpt=False))
    return to_text(compiled.script)


def _rate(number: int, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        _compiled(number)
        times.append(time.process_time() - begin)
    return number / statistics.median(times)


def _row(folder: Path, number: int, rounds: int) -> list[str]:
    compiled, by_hand = _compiled(number), _by_hand(number)
    _same(compiled, by_hand, number)
    lines = []
    for name, text in (("compiled", compiled), ("by hand", by_hand)):
        file = folder / "script.sieve"
        file.write_text(text)
        subprocess.run(["sievec", "-c", folder / "dovecot.conf", file], check=True)
        binary = file.with_suffix(".svbin").stat().st_size
        more = statistics.median(
            _filter(folder, file.name) - _filter(folder, "keep.sieve") for _ in range(rounds)
        )
        lines.append(
            f"| {number} | {name} | {len(text.encode())} | {binary} "
            f"| {1000 * more / _MESSAGES:.3f} |"
        )
    return lines


def _filter(folder: Path, script: str) -> float:
    """Processor time of a script over the whole mailbox."""
    words = ["sieve-filter", "-c", str(folder / "dovecot.conf"), str(folder / script), "INBOX"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _same(compiled: str, by_hand: str, number: int) -> None:
    """Both do the same with a message for some of the rules, and with one for none."""
    last = number - number % 4
    subjects = ["nothing", "Your BILL 1", f"an order {last - 3}"]
    for subject in subjects:
        message = _message(0, subject)
        done: list[Outcome] = [
            outcome(parse(text.encode()), message, PIGEONHOLE) for text in (compiled, by_hand)
        ]
        assert done[0] == done[1], (subject, done)
        assert not done[0].failed
        assert (done[0].filed[0].folder == "INBOX") == (subject == "nothing")


def _message(number: int, subject: str) -> bytes:
    body = "All work and no play makes a message of some length.\n" * 60
    return _MESSAGE.format(number=number, subject=subject, body=body).encode()


def _prepare(folder: Path) -> None:
    (folder / "dovecot.conf").write_text(_SETTINGS.format(folder=folder))
    (folder / "keep.sieve").write_text("keep;\n")
    mail = folder / "mail"
    for part in ("cur", "new", "tmp"):
        (mail / part).mkdir(parents=True)
    for number in range(_MESSAGES):
        (mail / "cur" / f"{number}.x:2,").write_bytes(_message(number, "nothing"))
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            shutil.chown(Path(root) / name, "nobody", "nogroup")
