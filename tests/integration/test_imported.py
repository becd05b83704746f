"""Rules of programs that do not run here, imported and met by messages in Pigeonhole.

What becomes of a message is what the programs are documented to do. The files in `importing/` are
ours, in the forms that Gmail and Thunderbird write; beside each stand messages: what of one is not
usual, and behind `=>` the folders with their flags and the addresses that it goes to.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from sieve.commands.pigeonhole import outcome
from sieve.compiling.compiler import compile_rules
from sieve.compiling.site import Site
from sieve.diagnostic import Severity
from sieve.importing.imported import Imported
from sieve.script.profile import PIGEONHOLE

FOLDER = Path(__file__).parent / "importing"
KIM = "kim@example.org"


def imported(language: str, rules: str) -> Imported:
    """By the importer of this language."""
    read: Imported = importlib.import_module(f"sieve.importing.{language}").read(rules.encode())
    return read


def went(read: Imported, message: str) -> str:
    """Where Pigeonhole has a message go."""
    compiled = compile_rules(read.mailsort, PIGEONHOLE, Site(rcpt=False))
    assert not [one for one in compiled.remarks if one.severity is Severity.ERROR]
    said = dict(one.split(":", 1) for one in message.split("; ") if one)
    body = said.pop("Body", "hello").strip() + "\r\n"
    body *= int(said.pop("Lines", "1"))
    fields = {"From": "ann@x.example", "To": KIM, "Subject": "hello", **said}
    head = "".join(f"{name}: {value.strip()}\r\n" for name, value in fields.items())
    text = f"{head}\r\n{body}".encode()
    done = outcome(compiled.script, text, PIGEONHOLE, sender="ann@x.example", recipient=KIM)
    assert not done.failed
    filed = [" ".join((one.folder, *sorted(map(str.lower, one.flags)))) for one in done.filed]
    return ", ".join((*sorted(filed), *sorted(done.forwarded)))


@pytest.mark.parametrize("language", ["gmail", "thunderbird"])
def test_filters_do_what_their_program_does(language: str) -> None:
    rules = FOLDER / f"filters.{language}"
    read = imported(language, rules.read_text())
    assert not [one for one in read.remarks if one.severity is Severity.ERROR]
    lines = rules.with_suffix(f".{language}.txt").read_text().splitlines()
    for line in lines:
        message, arrow, wanted = line.partition("=> ")
        if arrow:
            assert went(read, message.strip()) == wanted, line


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ("kim@home.example\n", "kim@home.example"),
        ("# Work\nkim@home.example, Ann <ann@y.example>\n", "ann@y.example, kim@home.example"),
        ("\\kim, kim@home.example\n", "INBOX, kim@home.example"),
        ('\\kim\n"|exec /usr/bin/procmail"\n', "INBOX"),
        ("/dev/null\n", ""),
        ("/dev/null, \\kim\n", "INBOX"),
        ("", "INBOX"),
    ],
)
def test_forward(rules: str, wanted: str) -> None:
    assert went(imported("forward", rules), "") == wanted


THUNDERBIRD = """\
name="a"
enabled="yes"
action="Move to folder"
actionValue="imap://kim@mail.example.org/Kept"
condition="AND ({},is,30)"
name="b"
enabled="yes"
action="Delete"
condition="AND (subject,contains,sale)"
name="c"
enabled="yes"
action="Forward"
actionValue="kim@home.example"
condition="ALL"
"""
GMAIL = """\
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:apps="http://schemas.google.com/apps/2006"><entry>
<apps:property name="from" value="ann@x.example"/><apps:property name="{}" value="true"/>
<apps:property name="shouldTrash" value="true"/></entry></feed>
"""


@pytest.mark.parametrize(
    ("language", "rules", "unknown", "known", "mail"),
    [
        (
            "procmail",
            ":0\n* {}\nkept/\n\n:0\n* ^Subject:.*sale\n/dev/null\n\n:0\n! kim@home.example\n",
            "? test -e away",
            "^X-No: x",
            {"": ("INBOX", "kim@home.example"), "Subject: a sale": ("INBOX", "")},
        ),
        (
            "procmail",
            ":0\n* ^Subject:.*sale\n* {}\n/dev/null\n",
            "? test -e away",
            "^From:.*ann",
            {"Subject: a sale": ("INBOX", "")},
        ),
        (
            "maildrop",
            'if ({})\n{{\n  to "kept"\n}}\nif (/^Subject:.*sale/)\n{{\n  to "/dev/null"\n}}\n'
            'to "!kim@home.example"\n',
            "lookup($FROM, friends)",
            "/^X-No: x/",
            {"": ("INBOX", "kim@home.example"), "Subject: a sale": ("INBOX", "")},
        ),
        (
            "thunderbird",
            THUNDERBIRD,
            "age in days",
            "X-No",
            {"": ("INBOX", "INBOX, kim@home.example"), "Subject: a sale": ("INBOX", "Trash")},
        ),
        ("gmail", GMAIL, "hasAttachment", "shouldMarkAsRead", {"": ("INBOX", "Trash \\seen")}),
        (
            "forward",
            "kim@home.example, {}\n",
            "|/usr/bin/procmail",
            "ann@y.example",
            {"": ("INBOX, kim@home.example", "ann@y.example, kim@home.example")},
        ),
    ],
)
def test_what_is_not_translated_loses_no_mail(
    language: str, rules: str, unknown: str, known: str, mail: dict[str, tuple[str, str]]
) -> None:
    partly, wholly = (imported(language, rules.format(one)) for one in (unknown, known))
    assert [one for one in partly.remarks if one.severity is Severity.ERROR]
    assert not [one for one in wholly.remarks if one.severity is Severity.ERROR]
    for message, wanted in mail.items():
        assert (went(partly, message), went(wholly, message)) == wanted, message
