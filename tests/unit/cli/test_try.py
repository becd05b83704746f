"""`iems try`: the real chain and agent on one message, with everything around them made up."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
contact = "help@example.test"
[milter]
state = "/nowhere"
[checks.iprev]
mode = "delegate"
[checks.dnsbl.soft]
mode = "delegate"
zone = "soft.test"
default = { listed = "tag" }
"""
DIRECTORY = """
[domains."example.test"]
[users."alice@example.test"]
policy = { "dnsbl/soft" = { listed = "reject" } }
[users."bob@example.test"]
policy = { "dnsbl/soft" = { listed = "junk" } }
[users."carol@example.test"]
[users."dora@example.test"]
policy = { "dnsbl/soft" = { listed = "defer" } }
[users."quinn@example.test"]
policy = { "dnsbl/soft" = { listed = "quarantine" } }
[aliases]
"team@example.test" = ["alice@example.test", "carol@example.test", "far@elsewhere.example"]
"""
ZONE = """
66.2.0.192.soft.test A 127.0.0.2
66.2.0.192.soft.test TXT "seen spamming"
66.2.0.192.in-addr.arpa PTR mx.sender.example
mx.sender.example A 192.0.2.66
"""
MESSAGE = b"Subject: hi\nX-IEMS-Verdict: deliver\nMessage-ID: <m@x>\n\nline\n.dot\n"


@dataclass
class Bench:
    """Files of one site, and what was printed."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *rcpt: str, message: bytes = MESSAGE, options: tuple[str, ...] = ()) -> int:
        (self.folder / "message.eml").write_bytes(message)
        words = ["try", str(self.folder / "message.eml"), "--client", "192.0.2.66"]
        words += ["--mail-from", "<a@sender.example>", "--helo", "mx.sender.example"]
        for name in ("settings", "directory", "dns"):
            words += [f"--{name}", str(self.folder / name)]
        addresses = [f"{one}@example.test" for one in rcpt]
        return main([*words, *options, "--rcpt", *addresses])

    def json(self, *rcpt: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
        self.code = self.run(*rcpt, options=(*options, "--json"))
        told: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return told


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    for name, text in (("settings", SETTINGS), ("directory", DIRECTORY), ("dns", ZONE)):
        (tmp_path / name).write_text(text)
    return Bench(tmp_path, capsys)


VIRUS = """
[checks.virus]
mode = "enforce"
engines = { a = { kind = "command", command = ["/bin/false"] } }
notify = ["postmaster", "recipient"]
"""


def test_nobody_is_told_of_a_virus_that_has_not_come(bench: Bench) -> None:
    state = bench.folder / "state"
    (state / "spool").mkdir(parents=True)
    (bench.folder / "settings").write_text(SETTINGS.replace("/nowhere", str(state)) + VIRUS)
    told = bench.json("carol")
    assert "the message carries a virus" in str(told)
    assert [file.name for file in state.iterdir()] == ["spool"]


def actions(told: dict[str, Any]) -> dict[str, str]:
    return {one["recipient"]: one["action"] for one in told["records"] if one["recipient"]}


def test_each_recipient_gets_his_own_verdict(bench: Bench) -> None:
    told = bench.json("alice", "bob", "team")
    assert bench.code == 0
    assert [answer[:3] for _recipient, answer in told["replies"]] == ["550", "250", "250"]
    assert actions(told) == {
        "alice@example.test": "junk",  # by way of the alias, when the queue has the message
        "bob@example.test": "junk",
        "carol@example.test": "tag",
    }
    assert told["relayed"] == ["far@elsewhere.example"]
    assert [one["check"] for one in told["findings"]] == ["iprev", "dnsbl/soft"]
    assert told["findings"][1]["evidence"][0] == ["client", "192.0.2.66"]
    assert told["authentication_results"].startswith("mail.example.test;")


def test_what_is_tried_is_counted_for_itself_alone(bench: Bench) -> None:
    """The daemon's own counts are in a folder that there is not, or on such a server."""
    server = '[counters]\nserver = "unix:/nowhere"\n'
    limits = '[checks.flow.limits.a]\ncount = "recipients"\nper = "network"\nwindow = 60\n'
    check = f'{SETTINGS}[checks.flow]\nmode = "enforce"\n{limits}'
    for most, codes in ((1, ["250", "450"]), (1, ["250", "450"]), (0, ["450", "450"])):
        (bench.folder / "settings").write_text(f"{check}limit = {most}\n{server}")
        told = bench.json("carol", "carol")
        assert [answer[:3] for _recipient, answer in told["replies"]] == codes


def test_where_classes_are_kept_apart_the_second_one_is_put_off(bench: Bench) -> None:
    rule = '[checks.header.hi]\nmode = "delegate"\nfield = "Subject"\ntest = "present"\n'
    (bench.folder / "settings").write_text(f"exact = true\n{SETTINGS}{rule}")
    strict = 'policy = { "header/hi" = { matched = "reject" } }'
    users = f'[users."eve@example.test"]\n{strict}\n'
    (bench.folder / "directory").write_text(users + DIRECTORY)
    told = bench.json("bob", "eve", "carol")
    assert [answer[:9] for _recipient, answer in told["replies"]] == [
        "250 2.1.5",
        "452 4.5.3",
        "250 2.1.5",
    ]
    assert actions(told) == {
        "bob@example.test": "junk",
        "eve@example.test": "defer",
        "carol@example.test": "tag",
    }
    bench.run("bob", "eve")
    said = bench.capsys.readouterr().out
    assert "exact apart: defer, enforced by site; the recipients before are of another" in said


def test_the_copies_are_those_that_the_next_hop_would_get(bench: Bench, tmp_path: Path) -> None:
    told = bench.json("bob", "carol", options=("--output", str(tmp_path / "out")))
    files = {one["recipient"]: Path(one["file"]) for one in told["copies"]}
    bob, carol = (files[f"{one}@example.test"].read_bytes() for one in ("bob", "carol"))
    reference = told["reference"].encode()
    assert bob.startswith(b"X-IEMS-Verdict: junk; ref=" + reference + b"\r\n")
    assert carol.startswith(b"X-IEMS-Verdict: tag; ref=" + reference + b"\r\n")
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    for copy in (bob, carol):
        assert copy.count(b"X-IEMS") == 1
        assert b"\r\nSubject: hi\r\nMessage-ID: <m@x>\r\n\r\nline\r\n.dot\r\n" in copy


def test_of_fields_with_one_name_the_forged_one_goes(bench: Bench, tmp_path: Path) -> None:
    results = [f"Authentication-Results: {name}; iprev=pass\n" for name in ("a.test", "b.test")]
    forged = "authentication-results: mail.example.test; iprev=pass\n"
    message = "".join([results[0], forged, results[1], "\n"]).encode()
    assert bench.run("bob", message=message, options=("--output", str(tmp_path / "out"))) == 0
    [copy] = (tmp_path / "out").iterdir()
    assert copy.read_bytes().count(b"mail.example.test;") == 1
    for one in results:
        assert one.strip().encode() in copy.read_bytes()


def test_it_says_the_same_to_people(bench: Bench) -> None:
    assert bench.run("alice", "bob") == 0
    told = bench.capsys.readouterr().out
    assert "RCPT TO:<alice@example.test>: 550 5.7.1" in told
    assert "end of DATA: 250" in told
    assert "dnsbl/soft listed: junk, chosen by user bob@example.test" in told


@pytest.mark.parametrize(
    ("recipients", "code"),
    [
        (["alice"], 1),
        (["dora"], 75),
        (["quinn"], 0),
        (["nobody"], 1),
        (["alice", "carol"], 0),
    ],
)
def test_the_exit_code_tells_whether_anybody_gets_it(
    bench: Bench, recipients: list[str], code: int
) -> None:
    assert bench.run(*recipients) == code


def test_the_filter_of_a_recipient_is_asked_and_remembers_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    folder = tmp_path / "bayes"
    folder.mkdir()
    extra = f'[checks.bayes]\nmode = "delegate"\n[bayes]\nstore = "{folder}"\n'
    (tmp_path / "settings").write_text(SETTINGS + extra)
    assert "not enough data (0 ham, 0 spam)" in str(bench.json("carol"))
    assert [file.name for file in folder.iterdir()] == ["bayes.sqlite"]


def test_nothing_is_left_behind(bench: Bench, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    assert bench.run("quinn") == 0
    assert set(tmp_path.rglob("*")) == before | {tmp_path / "message.eml"}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("dns", "", "does not answer"),
        ("dns", "name A", "line 1"),
        ("directory", "[", "cannot be read"),
        ("settings", "version = 2", "version"),
    ],
)
def test_what_it_is_given_can_be_wrong(bench: Bench, file: str, text: str, said: str) -> None:
    (bench.folder / file).write_text(text)
    assert bench.run("bob") in {2, 78}
    assert said in bench.capsys.readouterr().err


BROKEN = (b"", b"no header", b"\n", b": x\n\n", b" lead\nA: b\n\n", b"A: \xff\xc0\r\r\n\n")


@pytest.mark.parametrize("message", [*BROKEN, random.Random(1).randbytes(2000)])
def test_any_bytes_are_a_message(bench: Bench, message: bytes) -> None:
    assert bench.run("carol", message=message) == 0


def test_a_user_of_ours_and_a_bounce(bench: Bench) -> None:
    told = bench.json("alice", options=("--login", "bob@example.test"))
    assert told["records"][0]["channel"] == "submission"
    assert actions(told) == {"alice@example.test": "deliver"}


def test_attachments_are_taken_out_by_the_agent_and_of_what_leaves_by_the_milter(
    bench: Bench,
) -> None:
    rule = '[checks.attachment.programs]\nmode = "delegate"\nextension = ["exe"]\n'
    (bench.folder / "settings").write_text(SETTINGS + rule)
    message = b"MIME-Version: 1.0\nContent-Type: a/b; name=evil.exe\n\nx\n"
    for rcpt, keeps in (("carol", True), ("team", False)):
        folder = bench.folder / rcpt
        options = ("--output", str(folder), "--json")
        assert bench.run(rcpt, message=message, options=options) == 0
        bench.capsys.readouterr()
        for file in folder.iterdir():
            body = file.read_bytes().partition(b"\r\n\r\n")[2]
            assert body.startswith(b"The attachment evil.exe (a/b, ")
            assert (b"is kept for some time" in body) == keeps
