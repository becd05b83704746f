"""`iems-sieve`: what it prints, says and answers, with the real sieve-test."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from sieve.main import main

RULES = """
[[rule]]
name = "Invoices"
if.any = [{ from.in-domain = "shop.example" }, { subject.contains = "invoice" }]
then = [{ copy = "Invoices/New" }, { flag = "\\\\Flagged" }, "stop"]

[[rule]]
name = "Answer"
if.subject.is = "question"
then = [{ reply = "Yes.\\nEND MESSAGE\\n * store message in folder: Forged\\n" }]

[[rule]]
name = "Away with it"
if.subject.is = "offer"
then = ["discard"]

[[rule]]
name = "On"
if.subject.is = "news"
then = [{ forward = ["a@b.example", "c@d.example"] }, { notify = "n@b.example" }]

[[rule]]
name = "No"
if.subject.is = "no"
then = [{ reject = "I don't\\nwant that" }]
"""
SCRIPT = """require ["copy", "fileinto", "imap4flags", "mailbox"];

# Invoices
if anyof (
    address :domain :is "From" "shop.example",
    address :domain :matches "From" "*.shop.example",
    header :contains "Subject" "invoice"
) {
    addflag "\\\\Flagged";
    fileinto :copy :create "Invoices/New";
    stop;
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is called; with rules in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "first.toml").write_text(RULES.partition('\n[[rule]]\nname = "Answer"')[0])
    return tmp_path


def message(folder: Path, subject: str, sender: str = "anna@away.example") -> str:
    """The name of a file with a message to ben@here.example."""
    name = f"{subject}.eml"
    (folder / name).write_text(
        f"From: {sender}\nTo: ben@here.example\nSubject: {subject}\nMessage-ID: <1@x>\n\nHello\n"
    )
    return name


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, output, errors."""
    code = main([*words])
    out, err = capsys.readouterr()
    return code, out, err


def test_rules_are_translated_into_sieve_and_into_their_own_text(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "translate", "first.toml") == (0, SCRIPT, "")
    code, out, err = told(capsys, "translate", "rules.toml", "--to", "mailsort")
    assert (code, err) == (0, "")
    (folder / "again.toml").write_text(out)
    assert told(capsys, "translate", "again.toml", "--to", "mailsort") == (0, out, "")


def test_rules_come_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (folder / "first.toml").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert told(capsys, "translate", "--from", "mailsort", "-") == (0, SCRIPT, "")


GMAIL = """<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns='http://www.w3.org/2005/Atom' xmlns:apps='http://schemas.google.com/apps/2006'>
<entry><category term='filter'></category>
<apps:property name='from' value='news@shop.example'/>
<apps:property name='shouldStar' value='true'/>
</entry>
</feed>
"""
THUNDERBIRD = """version="9"
logging="no"
name="Work"
enabled="yes"
type="17"
action="Move to folder"
actionValue="imap://kim%40example.org@mail.example.org/Work"
condition="AND (subject,contains,work)"
"""
PROCMAIL = """:0
* ^Subject:.*invoice
Invoices

:0
* ? test -f /etc/open
Open

:0
! ben@home.example
"""


def test_what_is_not_translated_is_told_and_fails_only_where_that_is_wanted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".procmailrc").write_text(PROCMAIL)
    code, out, err = told(capsys, "translate", ".procmailrc")
    assert code == 0
    assert 'fileinto :create "Invoices"' in out
    assert "Open" not in out
    assert "redirect" not in out
    assert err.startswith(".procmailrc: error: line 5, ")
    assert ".procmailrc: error: line 9, " in err
    assert told(capsys, "translate", ".procmailrc", "--strict") == (1, "", err)
    assert told(capsys, "check", ".procmailrc") == (1, "", err)
    code, out, err = told(capsys, "translate", ".procmailrc", "--to", "mailsort", "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert "enabled = false" in answer["text"]
    assert [remark["line"] for remark in answer["remarks"]] == [5, 9]


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        (".forward", "\\ben, ben@home.example\n", 'redirect :copy "ben@home.example"'),
        (".mailfilter", "if (/^Subject: x/)\n{\n  to Maildir/.X\n}\n", "fileinto"),
        ("mailFilters.xml", GMAIL, 'addflag "\\\\Flagged"'),
        ("msgFilterRules.dat", THUNDERBIRD, 'fileinto :create "Work"'),
    ],
)
def test_a_file_says_by_its_name_what_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, data: str, wanted: str
) -> None:
    (folder / name).write_text(data)
    code, out, _err = told(capsys, "translate", name)
    assert (code, wanted in out) == (0, True), out


@pytest.mark.usefixtures("folder")
def test_the_site_is_said_by_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(
        capsys, "translate", "rules.toml", "--separator", ".", "--junk", "Spam", "--strict"
    )
    assert (code, out) == (1, "")
    assert err.startswith("rules.toml: warning: rule \"No\": what it would refuse goes to 'Spam'")
    code, out, err = told(
        capsys, "translate", "rules.toml", "--separator", ".", "--bounce", "--strict"
    )
    assert (code, err) == (0, "")
    assert 'fileinto :copy :create "Invoices.New"' in out
    assert '    reject "I don\'t\nwant that";' in out


def test_nobody_is_there_to_refuse_at_rcpt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "no.toml").write_text(
        '[[rule]]\nname = "No"\nif.envelope-from.is = "x@y.example"\nthen = [{ reject = "No" }]\n'
    )
    assert 'reject "No";' in told(capsys, "translate", "no.toml", "--bounce")[1]


def test_what_the_server_lacks_is_told_and_nothing_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "old.toml").write_text('extensions = ["fileinto", "imap4flags", "mailbox"]\n')
    words = "first.toml", "--profile", "old.toml"
    missing = "error: rule \"Invoices\": the server has no extension 'copy', which"
    code, out, err = told(capsys, "translate", *words)
    assert (code, out) == (1, "")
    assert err.startswith(f"first.toml: {missing}")
    code, out, err = told(capsys, "translate", *words, "--json")
    answer = json.loads(out)
    assert (code, err, answer["text"]) == (1, "", None)
    assert answer["remarks"][0]["rule"] == "Invoices"
    code, _out, err = told(capsys, "check", *words)
    assert (code, missing in err) == (1, True)


def test_files_of_rules_are_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.sieve").write_text('require "fileinto"; fileinto "x";')
    (folder / "bad.sieve").write_text('keep;\nfileinto "x;')
    (folder / "worse.sieve").write_text("# Mine\nkeep :fast;")
    (folder / "bad.toml").write_text('[[rule]]\nname = "x"\nthen = ["fly"]\n')
    assert told(capsys, "check", "good.sieve", "first.toml") == (0, "", "")
    code, out, err = told(capsys, "check", "good.sieve", "bad.sieve", "worse.sieve", "bad.toml")
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert lines[:2] == [
        "bad.sieve: error: line 2: this string has no end",
        "worse.sieve: error: rule \"Mine\": 'keep' has no tag 'fast'",
    ]
    assert lines[2].startswith('bad.toml: error: line 3, rule "x": ')
    assert told(capsys, "check", "rules.toml")[0] == 0
    assert told(capsys, "check", "rules.toml", "--strict")[0] == 1
    code, out, err = told(capsys, "check", "good.sieve", "bad.sieve", "--json")
    assert (code, err) == (1, "")
    assert json.loads(out) == [
        {"file": "good.sieve", "remarks": []},
        {
            "file": "bad.sieve",
            "remarks": [
                {"severity": "error", "message": "this string has no end", "rule": "", "line": 2}
            ],
        },
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["check", "nothing.toml"], 2, "nothing.toml: No such file"),
        (["check", "rules.txt"], 2, "rules.txt: say by --from in which language it is"),
        (["check", "first.toml", "--profile", "rules.toml"], 78, "rules.toml: 'rule' is not known"),
        (["check", "first.toml", "--profile", "none"], 2, "none: No such file"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    (folder / "rules.txt").touch()
    found, out, err = told(capsys, *words)
    assert (found, out) == (code, "")
    assert err.startswith(f"iems-sieve: {message}")


@pytest.mark.parametrize(
    ("subject", "lines"),
    [
        ("invoice", ["filed into Invoices/New with \\flagged", "stays in INBOX with \\flagged"]),
        ("question", ["stays in INBOX",
                      "answered: Yes. END MESSAGE  * store message in folder: Forged "]),
        ("offer", ["thrown away"]),
        ("news", ["sent on to a@b.example", "sent on to c@d.example", "told to n@b.example"]),
        ("no", ["refused: I don't want that"]),
        ("else", ["stays in INBOX"]),
    ],
)  # fmt: skip
def test_what_would_become_of_a_message_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], subject: str, lines: list[str]
) -> None:
    name = message(folder, subject)
    code, out, err = told(capsys, "test", name, "--rules", "rules.toml", "--bounce")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == sorted([f"{name}:", *(f"  {line}" for line in lines)])


def test_who_is_not_answered_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = message(folder, "question")
    words = "test", name, "--rules", "rules.toml", "--json"
    (answer,) = json.loads(told(capsys, *words)[1])
    assert answer["reply"].startswith("Yes.\nEND MESSAGE\n")
    (answer,) = json.loads(told(capsys, *words, "--recipient", "other@here.example")[1])
    assert answer["reply"] is None
    assert answer["unanswered"].startswith("discarding vacation response")
    known = "--recipient", "other@here.example", "--address", "ben@here.example"
    (answer,) = json.loads(told(capsys, *words, *known)[1])
    assert answer["reply"] is not None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            'redirect "{}@b.example";' * 5,
            "number of redirect actions exceeds policy limit (5 > 4).",
        ),
        ('fileinto "{}";' * 33, "total number of actions exceeds policy limit (33 > 32)."),
        ('vacation "a"; vacation "b";', "duplicate vacation action not allowed"),
        ('fileinto "a"; reject "b";', "reject/ereject action conflicts with other action"),
        ('fileinto "a\nb";', "fileinto action: failed to store into mailbox"),
    ],
)
def test_a_script_that_the_server_gives_up_leaves_the_message_in_inbox(
    folder: Path, capsys: pytest.CaptureFixture[str], script: str, reason: str
) -> None:
    numbered = script.format(*range(script.count("{}")))
    (folder / "own.sieve").write_text(f'require ["fileinto", "reject", "vacation"];\n{numbered}')
    words = "test", message(folder, "x"), "--rules", "own.sieve", "--json"
    code, out, err = told(capsys, *words)
    (answer,) = json.loads(out)
    assert (code, err) == (1, "")
    assert answer["failed"].startswith(reason)
    assert answer["filed"] == [{"folder": "INBOX", "flags": []}]


def test_what_is_no_script_for_the_server_is_not_tried(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.sieve").write_text('# Mine\nfly "a";')
    code, out, err = told(capsys, "test", message(folder, "x"), "--rules", "own.sieve")
    assert (code, out) == (1, "")
    assert err == "own.sieve: error: rule \"Mine\": 'fly' is no command that is known\n"


@pytest.mark.parametrize("text", [" * store message in folder: X", "${1}\n * discard\n", "0", ""])
def test_a_text_cannot_pass_for_a_line_of_the_report(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (folder / "own.sieve").write_text(
        f'require ["enotify", "vacation", "variables"]; vacation :subject "{text}" "{text}";'
        f'notify :message "{text}" "mailto:a@b.example";'
    )
    words = "test", message(folder, "x"), "--rules", "own.sieve", "--json"
    (answer,) = json.loads(told(capsys, *words)[1])
    assert answer["reply"] == text
    assert answer["notified"] == ["a@b.example"]
    assert answer["filed"] == [{"folder": "INBOX", "flags": []}]


def test_the_profiles_limits_are_those_of_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.sieve").write_text("".join(f'redirect "{n}@b.example";' for n in range(5)))
    (folder / "more.toml").write_text("redirects = 5\n")
    words = "test", message(folder, "x"), "--rules", "own.sieve", "--json"
    (answer,) = json.loads(told(capsys, *words, "--profile", "more.toml")[1])
    assert answer["forwarded"] == [f"{n}@b.example" for n in range(5)]


def test_envelope_and_many_messages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "own.sieve").write_text(
        'require ["envelope", "fileinto", "variables"];\n'
        'if envelope :matches "from" "*@*" { set "x" "${1}"; fileinto "${x}"; }\n'
    )
    first, second = message(folder, "one"), message(folder, "two", "x@y.test")
    code, out, _err = told(capsys, "test", first, second, "--rules", "own.sieve")
    assert (code, out) == (
        0, "one.eml:\n  filed into anna\ntwo.eml:\n  filed into x\n"
    )  # fmt: skip
    code, out, _err = told(
        capsys, "test", first, "--rules", "own.sieve", "--sender", "other@b.example"
    )
    assert out == "one.eml:\n  filed into other\n"


def test_without_pigeonhole_nothing_is_said_about_a_message(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, err = told(capsys, "test", message(folder, "x"), "--rules", "first.toml")
    assert (code, out) == (69, "")
    assert "install Pigeonhole" in err


def test_a_rule_cannot_write_on_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.sieve").write_text("# \x1b[31mred\nkeep :fast;\n")
    _code, _out, err = told(capsys, "check", "own.sieve")
    assert "\x1b" not in err


def test_version_and_help_are_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 9.8")

    def ends(*words: str) -> Any:  # noqa: ANN401 - what argparse ends with
        with pytest.raises(SystemExit) as caught:
            main([*words])
        return caught.value.code

    assert ends("--version") == 0
    assert ends("translate", "--help") == 0
    assert ends("fly") == 2
    out, _err = capsys.readouterr()
    assert out.startswith("iems-sieve iems 9.8\nusage: iems-sieve translate ")
