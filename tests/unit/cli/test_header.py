"""Rules about header fields: the command that makes them, and what becomes of mail they fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli import alias, domain, header, policy, user
from cli.main import main
from iems.directory.authority import Actor
from iems.directory.toml import TomlDirectory
from iems.directory.tree import HEADER, domain_entry
from iems.model.policy import Action, Kind, Subject
from iems.settings.load import load
from iems.store.records import Record
from iems.store.replay import Change, Replay
from tests.unit.cli.memory import Bench as Commands
from tests.unit.cli.test_try import SETTINGS, Bench, actions, bench

__all__ = ["bench"]

ALICE, TEAM = "alice@example.test", "team@example.test"
OFFER = "header/example.test/offer"


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    """A directory with alice, who administers the domain, and a list with her in it."""
    made = Commands()
    made.run(domain, "add", "example.test", "--postmaster", ALICE)
    made.run(user, "add", ALICE)
    made.run(alias, "add", TEAM, ALICE)
    capsys.readouterr()
    made.audited.clear()
    return made


def values(commands: Commands) -> list[bytes]:
    """What stands in the domain's entry."""
    return commands.store.entries[domain_entry("example.test")].get(HEADER, [])


def test_a_rule_takes_the_place_of_the_last_of_its_name(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [b"bad", b"offer is none", b" offer junk Date absent"]
    commands.store.entries[domain_entry("example.test")][HEADER] = there
    words = ("example.test", "offer", "junk", "Subject", "contains", "two words")
    assert commands.run(header, "set", *words) == 0
    assert values(commands) == [b"bad", b"offer junk Subject contains two words"]
    assert commands.run(header, "set", *words) == 0
    words = ("example.test", "offer", "tag", "Subject", "matches", "^x")
    assert commands.run(header, "set", *words, "--raw", "--case") == 0
    assert values(commands) == [b"bad", b"offer tag Subject matches,raw,case ^x"]
    assert commands.run(header, "remove", "example.test", "offer") == 0
    assert values(commands) == [b"bad"]
    assert commands.audited == ["site set header example.test: done"] * 3
    assert capsys.readouterr().out.splitlines() == [
        "set domain example.test offer junk Subject contains two words",
        "unchanged domain example.test offer junk Subject contains two words",
        "set domain example.test offer tag Subject matches,raw,case ^x",
        "removed domain example.test offer",
    ]


def test_rules_of_a_list_are_listed(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(header, "set", TEAM, "date", "tag", "Date", "absent") == 0
    capsys.readouterr()
    assert commands.run(header, "list", TEAM) == 0
    assert capsys.readouterr().out == "date tag Date absent\n"
    assert commands.run(header, "list", TEAM, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "date", "action": "tag", "test": "Date absent"}
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("example.test", "a", "reject", "X", "present"),
            "site forbids it; allowed: deliver, tag, junk",
        ),
        (("example.test", "a", "tag", "X", "matches", "("), "value: expected a pattern of RE2"),
        (("example.test", "a", "tag", "X", "contains"), "value: expected a value"),
        (("example.test", "A", "tag", "X", "present"), "'A' is no name"),
        ((ALICE, "a", "tag", "X", "present"), "a user has no such rules"),
        (("none@example.test", "a", "tag", "X", "present"), "is no mailing list"),
        (("other.test", "a", "tag", "X", "present"), "no domain other.test"),
    ],
)
def test_what_is_refused(
    commands: Commands, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert commands.run(header, "set", *words) == 1
    assert told in capsys.readouterr().err
    assert not [one for one in commands.store.entries.values() if one.get(HEADER)]


def test_an_administrator_of_the_domain_may_and_others_may_not(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("a", "tag", "X", "present")
    subject = Subject(Kind.USER, ALICE)
    for domains, code in ((frozenset({"example.test"}), 0), (frozenset({"other.test"}), 77)):
        commands.actor = Actor(subject, domains)
        for owner in ("example.test", TEAM):
            assert commands.run(header, "set", owner, *words) == code
            assert commands.run(header, "list", owner) == code
            assert commands.run(header, "remove", owner, "a") == code
    assert f"user {ALICE} may not set header example.test" in capsys.readouterr().err
    assert f"user {ALICE} set header {TEAM}: NotAuthorisedError" in commands.audited


def test_a_domain_binds_its_lists(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    entry = commands.store.entries[domain_entry("example.test")]
    entry["iemsPolicy"] = [b"header/* matched allow deliver,tag"]
    assert commands.run(header, "set", TEAM, "a", "junk", "X", "present") == 1
    assert "domain example.test forbids it; allowed: deliver, tag" in capsys.readouterr().err


def test_no_more_than_count(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        assert commands.run(header, "set", TEAM, f"r{number}", "tag", "X", "present") == 0
    assert commands.run(header, "set", TEAM, "one-more", "tag", "X", "present") == 1
    assert "at most 20 count" in capsys.readouterr().err
    assert commands.run(header, "set", TEAM, "r7", "junk", "X", "present") == 0


@pytest.mark.parametrize("words", [("a b", "tag", "X"), ("a", "tag", "X Y"), ("a", "boil", "X")])
def test_what_is_no_word_is_usage(commands: Commands, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.run(header, "set", "example.test", *words, "present")
    assert ended.value.code == 2


def test_users_see_the_rule_and_choose_about_it(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.run(header, "set", "example.test", "offer", "junk", "X", "present") == 0
    assert commands.run(policy, "set", ALICE, OFFER, "tag") == 0
    assert commands.run(policy, "set", ALICE, OFFER, "reject") == 1
    assert commands.run(policy, "set", "example.test", OFFER, "tag") == 1
    assert commands.run(policy, "set", "example.test", f"{OFFER}:temperror", "tag") == 0
    out, err = capsys.readouterr()
    assert f"set user {ALICE} {OFFER}:matched tag" in out
    assert "site forbids it; allowed: deliver, tag, junk" in err
    assert "has its action in the rule" in err
    assert commands.run(policy, "show", ALICE, "--json") == 0
    rows = {
        (one["check"], one["band"]): one for one in json.loads(capsys.readouterr().out)["checks"]
    }
    assert (rows[OFFER, "matched"]["action"], rows[OFFER, "matched"]["decided_by"]) == (
        "tag",
        f"user {ALICE}",
    )
    assert ("header/*", "matched") not in rows


SITE = SETTINGS[: SETTINGS.index("[checks")]
HEADERS = '[headers]\nallow = ["tag", "junk", "quarantine", "reject"]\n'
DIRECTORY = """
[domains."example.test"]
headers = ["hi {one} Subject equals hi"]
[domains."other.test"]
headers = ["hi {other} Subject equals hi"]
[users."alice@example.test"]
{alice}
[users."carol@other.test"]
[users."dave@other.test"]
[aliases]
"team@example.test" = ["carol@other.test"]
[lists."team@example.test"]
headers = ["any {team} Subject present"]
"""


def told(
    bench: Bench,
    *rcpt: str,
    settings: str = SITE + HEADERS,
    directory: str = DIRECTORY,
    **own: str,
) -> dict[str, Any]:
    """What becomes of a message with the subject `hi`; `own` is what the rules do."""
    said = {"one": "tag", "other": "tag", "team": "tag", "alice": "", **own}
    (bench.folder / "settings").write_text(settings)
    (bench.folder / "directory").write_text(directory.format(**said))
    (bench.folder / "message.eml").write_bytes(b"Subject: hi\nMessage-ID: <m@x>\n\ntext\n")
    words = ["try", str(bench.folder / "message.eml"), "--client", "192.0.2.66", "--json"]
    words += ["--mail-from", "<a@sender.example>", "--helo", "mx.sender.example"]
    for name in ("settings", "directory", "dns"):
        words += [f"--{name}", str(bench.folder / name)]
    main([*words, "--rcpt", *rcpt])
    found: dict[str, Any] = json.loads(bench.capsys.readouterr().out)
    return found


CAROL, DAVE = "carol@other.test", "dave@other.test"


def test_each_domain_has_its_own_rule_in_one_transaction(bench: Bench) -> None:
    found = told(bench, ALICE, DAVE, other="quarantine")
    assert actions(found) == {ALICE: "tag", DAVE: "quarantine"}
    [alices] = [one for one in found["records"] if one["recipient"] == ALICE]
    [reason] = alices["details"]["reasons"]
    assert (reason["check"], reason["layer"]) == ("header/example.test/hi", "domain example.test")
    assert "other.test" not in json.dumps(alices), "nothing of another recipient"
    assert "header/example.test/hi" in [one["check"] for one in alices["details"]["findings"]]
    assert "header/" not in json.dumps(found["findings"]), "nothing of it travels"


def test_what_everybody_s_rule_rejects_is_refused_at_the_end_of_data(bench: Bench) -> None:
    found = told(bench, ALICE, DAVE, one="reject", other="reject")
    assert found["end"].startswith("550")
    assert "rule hi of example.test" in found["end"]
    layers = {one["details"]["reasons"][0]["layer"] for one in found["records"]}
    assert layers == {"domain example.test", "domain other.test"}
    found = told(bench, ALICE, DAVE, one="reject")
    assert found["end"].startswith("250")
    assert actions(found) == {ALICE: "junk", DAVE: "tag"}


def test_a_list_has_its_own_for_what_comes_through_it(bench: Bench) -> None:
    found = told(bench, TEAM, DAVE, team="junk")
    assert actions(found) == {CAROL: "junk", DAVE: "tag"}
    [carols] = [one for one in found["records"] if one["recipient"] == CAROL]
    rows = [(one["check"], one["layer"]) for one in carols["details"]["reasons"]]
    assert (f"header/{TEAM}/any", f"list {TEAM}") in rows
    assert ("header/other.test/hi", "domain other.test") in rows
    assert told(bench, TEAM, team="reject")["end"].startswith("550")


def test_the_site_says_what_such_rules_may_do(bench: Bench) -> None:
    """What is more is left undone, with a note; users choose within it too."""
    for more in ("", '[headers]\nallow = ["deliver"]\n'):
        found = told(bench, ALICE, settings=SITE + more, one="reject")
        assert found["end"].startswith("250")
        assert actions(found) == {ALICE: "deliver"}
        [alices] = [one for one in found["records"] if one["recipient"] == ALICE]
        assert "domain example.test says reject, which is not allowed there" in str(alices)
    mild = 'policy = { "header/example.test/hi" = { matched = "deliver" } }'
    assert actions(told(bench, ALICE, alice=mild)) == {ALICE: "deliver"}


@pytest.mark.parametrize("field", ["Received", "X-IEMS-Findings", "Authentication-Results"])
def test_the_agent_reads_what_the_client_sent(bench: Bench, field: str) -> None:
    """And none of the fields that stand above it by then."""
    directory = DIRECTORY.replace("Subject equals hi", f"{field} present")
    found = told(bench, ALICE, directory=directory, one="junk")
    assert actions(found) == {ALICE: "deliver"}


def test_where_classes_are_kept_apart_a_rule_that_may_refuse_parts(bench: Bench) -> None:
    exact = SITE.replace("[milter]", "exact = true\n[milter]") + HEADERS
    for one, codes in (("reject", ["250", "452"]), ("junk", ["250", "250"])):
        found = told(bench, ALICE, DAVE, settings=exact, one=one)
        assert [answer[:3] for _recipient, answer in found["replies"]] == codes


def test_what_was_found_is_replayed(bench: Bench) -> None:
    found = told(bench, ALICE, TEAM, team="junk")
    records = [Record(**one) for one in found["records"]]
    site, known = load(bench.folder / "settings"), TomlDirectory.load(bench.folder / "directory")
    assert list(Replay(site, known).differences(records)) == []
    change = Change(
        Subject(Kind.DOMAIN, "example.test"), "header/example.test/hi", "matched", Action.JUNK
    )
    [one] = Replay(site, known, (change,)).differences(records)
    assert (one.record.recipient, one.was, one.now) == (ALICE, Action.TAG, Action.JUNK)
    [two] = Replay(site, known, (Change(Subject(Kind.LIST, TEAM), f"header/{TEAM}/any", "matched",
                                        Action.DELIVER),)).differences(records)  # fmt: skip
    assert (two.record.recipient, two.now) == (CAROL, Action.TAG)
    words = ["--settings", str(bench.folder / "settings"), "replay", "--directory"]
    words += [str(bench.folder / "directory"), "--records", str(bench.folder / "none")]
    assert main([*words, "--set", "example.test", "header/example.test/hi", "junk"]) == 0
    assert main([*words, "--set", "example.test", "header/example.test/hi", "discard"]) == 2
    assert main([*words, "--set", "example.test", "dnsbl/example.test/hi", "junk"]) == 2
