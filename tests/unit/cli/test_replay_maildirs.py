"""`iems replay --maildir`: whose message it is, what it is judged by, and what cannot be judged."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cli.main import main
from iems.directory.account import closed
from iems.model.finding import Finding
from iems.model.policy import SITE, Action, Decision, Reason
from iems.store.records import Record, details
from tests.unit.cli.bench import ALICE, BOB, BY, SETTINGS, Bench, message

LISTED = Finding("dnsbl/soft", "listed", "listed", "client 192.0.2.66 is listed by soft")


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


def delivery(action: Action = Action.JUNK, whom: str = ALICE) -> Record:
    """The agent's, of a message from a listed client."""
    reason = Reason(LISTED, action, SITE, enforced=False)
    return Record(
        "REF1",
        "delivery",
        action.word,
        recipient=whom,
        subject=f"user {whom}",
        queue_id="Q1",
        message_id="<Q1@sender.example>",
        channel="internet",
        details=details(Decision(action, (reason,)), [LISTED]),
    )


def test_the_last_record_of_its_delivery_to_its_owner_counts(bench: Bench) -> None:
    """What the folder says does not: somebody may have moved it."""
    bench.put(message())
    first = replace(delivery(Action.DEFER), time=1.0)
    bench.record(first, delivery(), delivery(Action.TAG, whom=BOB))
    bench.directory({ALICE: '"dnsbl/soft" = { listed = "junk" }'})
    told = bench.json()
    assert (told["judged"], told["differences"]) == ({"record": 1}, [])
    [found] = bench.json("--set", ALICE, "dnsbl/soft", "reject")["differences"]
    assert (found["was"], found["now"], found["judged_by"]) == ("junk", "reject", "record")
    assert found["file"] == str(bench.folder / "m/cur/1")
    assert found["reference"] == "REF1"


def test_the_record_of_another_message_counts_for_nothing(bench: Bench) -> None:
    """A Received can be forged in a message that was put there by IMAP."""
    bench.put(message(client="192.0.2.1"))
    bench.record(
        replace(delivery(), message_id="<other@x>"), replace(delivery(), stage="end-of-message")
    )
    assert bench.json()["judged"] == {"checks": 1}


def test_without_a_record_checks_of_today_and_the_folder_count(bench: Bench) -> None:
    bench.put(message(), "inbox")
    bench.put(message(), "junk", ".Junk")
    bench.put(message(client="192.0.2.1"), "clean", ".Junk")
    bench.put(message(above="X-IEMS-Verdict: tag; ref=R\n"), "tag")
    bench.put(message().replace(b"\n", b"\r\n"), "crlf")
    bench.directory({ALICE: '"dnsbl/soft" = { listed = "tag" }'})
    told = bench.json()
    assert told["judged"] == {"checks": 5}
    assert [
        (Path(one["file"]).name, one["was"], one["now"], one["layer"])
        for one in told["differences"]
    ] == [
        ("crlf", "deliver", "tag", f"user {ALICE}"),
        ("inbox", "deliver", "tag", f"user {ALICE}"),
        ("clean", "junk", "deliver", ""),
        ("junk", "junk", "tag", f"user {ALICE}"),
    ]
    assert {one["reference"] for one in told["differences"]} == {"Q1"}


def test_what_people_read(bench: Bench) -> None:
    assert bench.capsys is not None
    bench.put(message())
    bench.put(message(client="192.0.2.1"), "2", ".Junk")
    bench.put(b"Subject: a draft\n\n", "3")
    assert bench.run("--set", ALICE, "dnsbl/soft", "junk") == 1
    out, err = bench.capsys.readouterr()
    assert (out.splitlines(), err) == (
        [
            f"       1  user {ALICE}: deliver -> junk, dnsbl/soft listed",
            f"       1  user {ALICE}: junk -> deliver, nothing found",
            "2 messages, 2 would have been treated otherwise",
            "judged by the record of their delivery: 0; by checks of today and the folder they lie "
            "in: 2",
            "not judged: 1 (not taken in by this server 1)",
        ],
        "",
    )
    assert bench.run("--each") == 1
    first, *_rest = bench.capsys.readouterr().out.splitlines()
    file = bench.folder / "m/.Junk/cur/2"
    assert first == f"Q1 {ALICE}: junk -> deliver, nothing found: {file}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not taken in by this server"),
        (message().replace(b"Postfix", b"Post)fix"), "not taken in by this server"),
        (b"Received: from x by y with SMTP id z\n" + message(), "not taken in by this server"),
        (b"X: " + b"x" * (1 << 20), "its header is too large"),
        (message(to="nobody"), "it does not say to whom it was delivered"),
        (message(above=f"Delivered-To: {BOB}\n"), "it does not say to whom it was delivered"),
        (message(to="\u0390" * 100 + "@example.test"), "it does not say to whom it was delivered"),
        (message(to='"\\"alice\\""@example.test'), "whose it is is no user now"),
        (message(to="eve@example.test"), "whose it is is no user now"),
        (message(to="eve@other.example"), "whose it is is no user now"),
        (message().replace(b"Return-Path", b"X-Path"), "it does not say who sent it"),
        (
            message(above="").replace(b"From", b"X-IEMS-Findings: x\n" * 101 + b"From"),
            "the milter would not take it in now",
        ),
    ],
)
def test_what_cannot_be_judged_is_counted_with_the_reason(
    bench: Bench, content: bytes, why: str
) -> None:
    bench.put(content, "0")
    bench.put(message(client="192.0.2.1"), "1")
    told = bench.json()
    assert (told["judged"], told["unjudged"]) == ({"checks": 1}, {why: 1})


def test_what_no_policy_decided_is_not_judged(bench: Bench) -> None:
    bench.put(message())
    bench.record(replace(delivery(), details=details(closed(None) or Decision(), [])))
    assert bench.json()["unjudged"] == {"no policy decided about it": 1}


def test_what_cannot_be_read_is_told_and_ends_nothing(bench: Bench) -> None:
    assert bench.capsys is not None
    link = bench.folder / "m/cur/\x1b[2Jlink"
    link.symlink_to("/etc/passwd")
    bench.put(message(client="192.0.2.1"))
    assert bench.run("--json") == 0
    out, err = bench.capsys.readouterr()
    assert json.loads(out)["unjudged"] == {"not read": 1}
    assert "?[2Jlink: Too many levels of symbolic links" in err


def test_an_owner_that_is_given_is_believed(bench: Bench) -> None:
    bench.put(message(to=BOB))
    bench.directory({ALICE: '"dnsbl/soft" = { listed = "junk" }'})
    assert bench.json()["differences"] == []
    [found] = bench.json("--owner", ALICE)["differences"]
    assert found["recipient"] == ALICE


def test_only_since(bench: Bench) -> None:
    bench.put(message(client="192.0.2.1"))
    assert bench.json("--since", "1h")["judged"] == {"checks": 1}
    assert bench.json("--since", "2999-01-01")["judged"] == {}


def test_lists_of_senders_count_as_they_are_now(bench: Bench) -> None:
    bench.put(message())
    bench.directory(
        {ALICE: '"dnsbl/soft" = { listed = "junk" }'}, 'senders = ["block sender.example"]'
    )
    [found] = bench.json()["differences"]
    assert (found["check"], found["now"], found["layer"]) == ("senders", "reject", "site")
    bench.directory(
        {ALICE: '"dnsbl/soft" = { listed = "junk" }'},
        'senders = ["allow sender.example unverified"]',
    )
    assert bench.json()["differences"] == []


def test_mail_of_our_users_is_no_mail_from_outside(bench: Bench) -> None:
    """What a list says of the client counts for none of it."""
    local = message(queue_id="Q2").split(b"Received: from mx")[0]
    local += (
        b"Received: "
        + BY.format("SMTP", "Q2").replace(" with SMTP", "").encode()
        + b"\nSubject: x\n\n"
    )
    bench.put(local, "local")
    bench.put(message(protocol="ESMTPSA"), "submitted")
    bench.put(message(protocol="ESMTPSA", sender=""), "a report")
    told = bench.json("--set", ALICE, "dnsbl/soft", "reject")
    assert (told["judged"], told["differences"]) == ({"checks": 3}, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shadow",), "no --maildir"),
        (("--set", ALICE, "dnsbl/none", "junk"), "no check dnsbl/none"),
        (("--dns", "/nowhere"), "No such file"),
        (("--dns", "/dev/null"), "/dev/null does not answer 66.2.0.192.soft.test"),
    ],
)
def test_what_cannot_be_asked(bench: Bench, words: tuple[str, ...], said: str) -> None:
    assert bench.capsys is not None
    bench.put(message())
    assert bench.run(*words) == 2
    assert said in bench.capsys.readouterr().err


def test_what_goes_with_maildirs_alone(bench: Bench) -> None:
    assert bench.capsys is not None
    files = ["--settings", str(bench.folder / "settings"), "replay"]
    for words in (["--owner", ALICE], ["--dns", str(bench.folder / "dns")]):
        assert main([*files, *words]) == 2
        assert "go with --maildir" in bench.capsys.readouterr().err
    directory = ["--directory", str(bench.folder / "directory")]
    assert main([*files, *directory, "--maildir", str(bench.folder)]) == 2
    assert "no Maildir" in bench.capsys.readouterr().err


def test_what_would_be_refused_now_is_looked_at_to_its_end(bench: Bench) -> None:
    enforced = SETTINGS.format(bench.folder).replace("delegate", "enforce", 1)
    bench.write("settings", enforced.replace('"deliver"', '"reject"', 1))
    bench.directory({ALICE: '"header/offer" = { matched = "junk" }'})
    bench.put(message(subject="an offer"))
    [found] = bench.json()["differences"]
    assert (found["now"], found["check"]) == ("reject", "dnsbl/soft")
    [found] = bench.json("--set", "site", "dnsbl/soft", "tag")["differences"]
    assert (found["now"], found["check"]) == ("junk", "header/offer")


def test_a_disk_that_fails_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(message())

    def failing(*_what: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("cli.maildir.os.pread", failing)
    assert bench.json()["unjudged"] == {"not read": 1}


def test_a_file_without_end_is_read_up_to_what_a_message_may_have(bench: Bench) -> None:
    reading = SETTINGS.format(bench.folder).replace(
        "milter = {", "milter = { tag_spam_bounces = true,"
    )
    bench.write("settings", reading)
    bench.put(message(client="192.0.2.1"))
    os.truncate(bench.folder / "m/cur/1", 1 << 40)
    assert bench.json()["judged"] == {"checks": 1}
