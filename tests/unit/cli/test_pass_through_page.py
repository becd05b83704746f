"""The worked example of docs/pass-through.md, run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from iems.store.records import Record
from tests.conftest import ROOT

PAGE = (ROOT / "docs/pass-through.md").read_text()
FOLDER = ROOT / "docs/examples/pass-through"
ROW = re.compile(r"^\| (\w+)@example\.test \| (\d+) \| ?(.*?) \| `(.*?)` \|$", re.MULTILINE)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mapping[str, Any]:
    """What the page's command says, from each of the two clients."""
    found = re.search(r"^    iems (--settings .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    command = shlex.split(found[1].replace("\\\n", " "))
    monkeypatch.chdir(FOLDER)
    answers = {}
    for client in ("192.0.2.66", "192.0.2.77"):
        words = [client if word == "192.0.2.66" else word for word in command]
        assert main([*words, "--json"]) == 0
        answers[client] = json.loads(capsys.readouterr().out)
    return answers


def verdicts(told: Mapping[str, Any], stage: str) -> dict[str, tuple[str, list[str], list[str]]]:
    """User to action, reasons as `iems why` words them, and notes."""
    rows = [Record(**row) for row in told["records"] if row["stage"] == stage]
    return {
        row.recipient.partition("@")[0]: (
            row.action,
            [
                f"{one['check']} {one['band']}: {one['action']}, chosen by {one['layer']}"
                for one in row.details["reasons"]  # type: ignore[attr-defined]
            ],
            list(row.details["notes"]),  # type: ignore[call-overload]
        )
        for row in rows
    }


def test_the_settings_on_the_page_are_the_example_s() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert (
        tomllib.loads(shown)["checks"]
        == tomllib.loads((FOLDER / "iems.toml").read_text())["checks"]
    )


def test_the_table_is_what_happens(told: Mapping[str, Any]) -> None:
    one = told["192.0.2.66"]
    replies = {whom.partition("@")[0]: answer[:3] for whom, answer in one["replies"]}
    refused, delivered = verdicts(one, "rcpt"), verdicts(one, "delivery")
    rows = ROW.findall(PAGE)
    assert len(rows) == 4
    for whom, reply, action, reason in rows:
        assert replies[whom] == reply
        user = {"office": "alice"}.get(whom, whom)
        verdict = delivered[user] if action else refused[user]
        assert reason in verdict[1]
        assert not action or verdict[0] == action.rpartition(" ")[2]
    assert [copy["recipient"] for copy in one["copies"]].count("bob@example.test") == 1


def test_what_is_said_of_the_other_client(told: Mapping[str, Any]) -> None:
    one = told["192.0.2.77"]
    (reason,) = verdicts(one, "rcpt")["alice"][1]
    assert reason in PAGE
    action, _reasons, (note,) = verdicts(one, "delivery")["bob"]
    assert action == "junk"
    assert note in " ".join(PAGE.split())


def test_every_file_of_the_example_is_used() -> None:
    assert {file.name for file in Path(FOLDER).iterdir()} == {
        "iems.toml", "directory.toml", "dns.zone", "message.eml",
    }  # fmt: skip
