"""A mailing list with a policy of its own, from the command that makes it to the copies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import alias, domain, policy, sender, user
from cli.main import main
from iems.directory.toml import TomlDirectory
from iems.model.policy import Action, Kind, Subject
from iems.settings.load import load
from iems.store.records import Record
from iems.store.replay import Change, Replay
from tests.unit.cli.memory import Bench as Commands
from tests.unit.cli.test_try import DIRECTORY, SETTINGS, Bench, actions, bench

__all__ = ["bench"]

TEAM, ALICE = "team@example.test", "alice@example.test"
HEADER = '[checks.header.hi]\nmode = "delegate"\nfield = "Subject"\ntest = "present"\n'
MEMBERS = DIRECTORY.replace('"far@elsewhere.example"', '"bob@example.test"')
BOTH = '"outer@example.test" = ["team@example.test", "bob@example.test"]\n'


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    """A directory with alice and a list with her in it."""
    made = Commands()
    made.run(domain, "add", "example.test", "--postmaster", ALICE)
    made.run(user, "add", ALICE)
    made.run(alias, "add", TEAM, ALICE)
    capsys.readouterr()
    return made


def test_a_list_has_a_policy(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(policy, "set", TEAM, "iprev", "tag") == 0
    assert commands.run(policy, "set", TEAM, "iprev", "reject") == 1
    out, err = capsys.readouterr()
    assert out == f"set list {TEAM} iprev:mismatch tag\n"
    assert f"list {TEAM} may not choose reject for iprev:mismatch: site forbids it" in err
    assert commands.run(policy, "show", TEAM, "--json") == 0
    rows = {
        (one["check"], one["band"]): one for one in json.loads(capsys.readouterr().out)["checks"]
    }
    assert rows["iprev", "mismatch"]["decided_by"] == f"list {TEAM}"
    assert commands.run(policy, "unset", TEAM, "iprev") == 0
    assert not [one for one in commands.store.entries.values() if one.get("iemsPolicy")]


def test_a_list_has_a_list_of_senders(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.run(sender, "block", TEAM, "spam.example") == 0
    assert capsys.readouterr().out == f"set list {TEAM} block spam.example\n"
    assert commands.run(sender, "list", TEAM) == 0
    assert capsys.readouterr().out == "block spam.example\n"
    assert commands.run(sender, "block", "none@example.test", "spam.example") == 1
    assert "no user none@example.test" in capsys.readouterr().err


def test_a_user_of_that_address_comes_first(commands: Commands) -> None:
    commands.run(alias, "add", ALICE, ALICE, "copy@example.net")
    assert commands.run(policy, "set", ALICE, "iprev", "tag") == 0
    [owner] = [name for name, entry in commands.store.entries.items() if "iemsPolicy" in entry]
    assert owner[0] == ("uid", "alice")


def told(bench: Bench, own: str, *rcpt: str, settings: str = SETTINGS) -> dict[str, Any]:
    """What becomes of a message; `own` is what the list says."""
    (bench.folder / "settings").write_text(settings)
    (bench.folder / "directory").write_text(f'{MEMBERS}{BOTH}[lists."{TEAM}"]\n{own}\n')
    return bench.json(*rcpt)


REJECT = 'policy = { "dnsbl/soft" = { listed = "reject" } }'


def codes(found: dict[str, Any]) -> list[str]:
    return [answer[:3] for _recipient, answer in found["replies"]]


def test_what_the_list_rejects_is_refused_whatever_its_members_take(bench: Bench) -> None:
    found = told(bench, REJECT, "team", "carol", "bob")
    assert codes(found) == ["550", "250", "250"]
    refused = [one for one in found["records"] if one["stage"] == "rcpt"]
    assert {one["recipient"] for one in refused} == {TEAM}
    assert all(
        f"list {TEAM}" in [row["layer"] for row in one["details"]["reasons"]] for one in refused
    )
    assert actions(found)["carol@example.test"] == "tag"


def test_what_the_list_chose_otherwise_its_copies_get_and_no_others(bench: Bench) -> None:
    mild = 'policy = { "dnsbl/soft" = { listed = "junk" } }'
    found = told(bench, mild, "team")
    assert codes(found) == ["250"]
    assert actions(found) == {
        ALICE: "junk",
        "bob@example.test": "junk",
        "carol@example.test": "junk",
    }
    [carols] = [one for one in found["records"] if one["recipient"] == "carol@example.test"]
    assert carols["details"]["lists"] == [TEAM]
    layers = [row["layer"] for row in carols["details"]["reasons"] if row["check"] == "dnsbl/soft"]
    assert layers == ["site", f"list {TEAM}"]
    assert actions(told(bench, mild, "carol"))["carol@example.test"] == "tag"


def test_a_list_within_another_rejects_too_late(bench: Bench) -> None:
    """bob takes it, so it is let in; who gets it through the list alone has it in Junk."""
    directory = f'[lists."{TEAM}"]\n{REJECT}\n'
    members = MEMBERS.replace(', "bob@example.test"]', "]")
    (bench.folder / "directory").write_text(f"{members}{BOTH}{directory}")
    found = bench.json("outer")
    assert codes(found) == ["250"]
    assert actions(found) == {
        ALICE: "junk",
        "bob@example.test": "junk",
        "carol@example.test": "junk",
    }
    assert codes(bench.json("team")) == ["550"]


def test_at_the_end_of_data_as_well(bench: Bench) -> None:
    own = 'policy = { "header/hi" = { matched = "reject" } }'
    found = told(bench, own, "team", settings=SETTINGS + HEADER)
    assert codes(found) == ["250"]
    assert found["end"].startswith("550")
    found = told(bench, own, "team", "carol", settings=SETTINGS + HEADER)
    assert found["end"].startswith("250")


def test_a_list_of_senders_refuses_for_the_list_alone(bench: Bench) -> None:
    found = told(bench, 'senders = ["block sender.example"]', "team", "carol")
    assert codes(found) == ["550", "250"]


def test_where_classes_are_kept_apart_a_list_is_one(bench: Bench) -> None:
    (bench.folder / "settings").write_text(f"exact = true\n{SETTINGS}{HEADER}")
    own = '[lists."solo@example.test"]\npolicy = { "header/hi" = { matched = "reject" } }'
    for text, expected in ((own, ["250", "452"]), ("", ["250", "250"])):
        solo = '"solo@example.test" = ["carol@example.test"]\n'
        (bench.folder / "directory").write_text(f"{MEMBERS}{solo}{text}\n")
        assert codes(bench.json("carol", "solo")) == expected


def test_what_happened_to_a_list_is_replayed(bench: Bench) -> None:
    found = told(bench, REJECT, "team", "carol")
    records = [Record(**one) for one in found["records"]]
    site = replace(load(bench.folder / "settings"))
    known = TomlDirectory.load(bench.folder / "directory")
    assert list(Replay(site, known).differences(records)) == []
    change = Change(Subject(Kind.LIST, TEAM), "dnsbl/soft", "listed", Action.TAG)
    changed = list(Replay(site, known, (change,)).differences(records))
    assert {one.record.recipient for one in changed} == {TEAM}
    assert all(one.was is Action.REJECT for one in changed)
    gone = TomlDirectory.parse('[domains."example.test"]\n')
    assert {one.record.recipient for one in Replay(site, gone).differences(records)} == {TEAM}


def test_a_change_is_tried_on_a_list(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(bench, REJECT, "carol")
    words = ["--settings", str(bench.folder / "settings"), "replay"]
    words += ["--directory", str(bench.folder / "directory"), "--records", str(tmp_path / "none")]
    assert main([*words, "--set", TEAM, "dnsbl/soft", "junk"]) == 0
    assert capsys.readouterr().out.startswith("0 verdicts")
