"""`iems quarantine`: who sees, releases and deletes what, and how each end is told."""

from __future__ import annotations

import argparse
import itertools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli import entries, quarantine
from cli.main import main
from iems.codec.release import Release
from iems.directory.authority import Actor, Thing
from iems.model.policy import Kind, Subject
from iems.settings.load import load
from iems.store.keys import create
from iems.store.quarantine import Quarantine
from lmtp.reply import Reply, reply
from tests.unit.lmtp.parts import Hop
from tests.unit.store.test_held import REASON, ROW, TOLD

ALICE = Actor(Subject(Kind.USER, "alice@b.test"), login="root")
POST = Actor(Subject(Kind.USER, "post@b.test"), frozenset({"b.test"}), "root")
EVE = Actor(Subject(Kind.USER, "eve@c.test"), frozenset({"c.test"}), "root")
BOB: dict[str, Any] = {
    **ROW,
    "address": "bob@b.test",
    "subject": "user bob@b.test",
    "reasons": [{**REASON, "check": "spf", "band": "fail", "enforced": True}],
}
TEXT = b"Subject: x\x1b[2J\xff\r\nFrom: s@x.test\r\n\r\nbody\r\n"


@dataclass
class Store:
    """A site with a folder of quarantine, and what the audit was told."""

    folder: Path
    audited: list[str] = field(default_factory=list)
    asked: list[Release] = field(default_factory=list)
    answer: Reply = field(default_factory=lambda: reply(250, "2.0.0", "Saved"))

    @property
    def file(self) -> Path:
        """The settings."""
        return self.folder / "iems.toml"

    @property
    def quarantine(self) -> Quarantine:
        """The messages."""
        return Quarantine(self.folder / "quarantine")

    def put(self, *recipients: dict[str, Any], at: float = 10.5, **over: object) -> str:
        """A message for these."""
        rows = list(recipients) or [ROW]
        name = self.quarantine.put([TEXT], {**TOLD, "time": at, "recipients": rows, **over})
        os.utime(self.folder / "quarantine" / f"{name}.json", (at, at))
        described = self.folder / "quarantine" / f"{name}.json"
        text = json.dumps({**json.loads(described.read_text()), "id": name})
        described.write_text(text)
        os.utime(described, (at, at))
        return name

    def run(self, *words: str, actor: Actor = Actor(login="root")) -> int:  # noqa: B008 - frozen
        """One command with these words; its exit code."""
        parser = argparse.ArgumentParser(prog="iems")
        quarantine.add_arguments(parser)

        def audit(actor: Actor, verb: str, thing: Thing, result: str) -> None:
            self.audited.append(f"{actor} {verb} {thing}: {result}")

        desk = quarantine.Desk(load(self.file), actor, audit)
        arguments = parser.parse_args(words)
        return entries.told(lambda: quarantine.act(arguments, desk))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    create(tmp_path / "findings.toml", "k1")
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@b.test"\n'
        f'[agent]\nstate = "{tmp_path}"\nsocket = "{tmp_path}/s"\n'
        f'[keys]\nfindings = "{tmp_path}/findings.toml"\n'
    )
    made = Store(tmp_path)

    def ask(wanted: Release, _settings: object) -> Reply:
        made.asked.append(wanted)
        return made.answer

    monkeypatch.setattr(quarantine, "ask", ask)
    return made


def listed(
    store: Store,
    capsys: pytest.CaptureFixture[str],
    *words: str,
    actor: Actor = Actor(login="root"),  # noqa: B008 - frozen
) -> list[str]:
    """The recipients that `list` shows."""
    assert store.run("list", "--json", *words, actor=actor) == 0
    return [row["recipient"] for row in json.loads(capsys.readouterr().out)]


def test_a_line_for_each_recipient_the_oldest_first(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store.run("list") == 0
    assert store.run("list", "--json") == 0
    assert capsys.readouterr().out == "[]\n"
    second, first = store.put(ROW, BOB, at=20), store.put(at=10, sender="t@x.test\x1b")
    assert store.run("list") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"1970-01-01 00:00:10Z {first} Alice+x@b.test <t@x.test?> dnsbl/one:listed",
        f"1970-01-01 00:00:20Z {second} Alice+x@b.test <s@x.test> dnsbl/one:listed",
        f"1970-01-01 00:00:20Z {second} bob@b.test <s@x.test> spf:fail",
    ]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--recipient", "BOB@b.test"], ["bob@b.test"]),
        (["--recipient", "b.test"], ["Alice+x@b.test", "bob@b.test"]),
        (["--recipient", "test"], []),
        (["--sender", "x.test", "--check", "spf"], ["bob@b.test"]),
        (["--sender", "y.test"], []),
        (["--check", "dnsbl/one:listed"], ["Alice+x@b.test"]),
        (["--check", "dnsbl/one:temperror"], []),
        (["--since", "1970-01-01T00:00:09+00:00"], ["Alice+x@b.test", "bob@b.test"]),
        (["--since", "1h"], []),
        (["--before", "1970-01-01T00:00:10+00:00"], []),
        (["--before", "1h"], ["Alice+x@b.test", "bob@b.test"]),
    ],
)
def test_filters(
    store: Store, capsys: pytest.CaptureFixture[str], words: list[str], shown: list[str]
) -> None:
    store.put(ROW, BOB)
    assert listed(store, capsys, *words) == shown


def test_each_sees_his_own(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(ROW, BOB)
    assert listed(store, capsys, actor=ALICE) == ["Alice+x@b.test"]
    assert listed(store, capsys, actor=POST) == ["Alice+x@b.test", "bob@b.test"]
    assert listed(store, capsys, actor=EVE) == []


def test_a_damaged_description_hides_no_other(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put()
    damaged = store.put(at=5)
    (store.folder / "quarantine" / f"{damaged}.json").write_text("{")
    assert store.run("list") == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert f"iems: warning: {damaged}: JSONDecodeError in its description" in told.err
    for verb in ("show", "release", "delete"):
        assert store.run(verb, damaged) == 1
        assert f"iems: {damaged}: JSONDecodeError in its description" in capsys.readouterr().err


def test_a_list_is_printed_as_it_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all messages the ids are held, and one description at a time."""
    numbers = itertools.count()
    said: list[str] = []

    def describe(_self: Quarantine, name: str) -> dict[str, object]:
        said.append(capsys.readouterr().out)
        assert bool(said[-1]) == (next(numbers) > 0), "each is out before the next one is read"
        return {**TOLD, "id": name}

    monkeypatch.setattr(Quarantine, "oldest_first", lambda *_words: map(str, range(500)))
    monkeypatch.setattr(Quarantine, "describe", describe)
    assert store.run("list", "--json") == 0
    assert len(json.loads("".join([*said, capsys.readouterr().out]))) == 500


def test_show_tells_why_it_is_there_and_commands_no_terminal(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = store.put(ROW, BOB)
    assert store.run("show", name) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{name}, {len(TEXT)} bytes"
    assert lines[1].startswith("1970-01-01 00:00:10Z kept for Alice+x@b.test (user alice@b.test)")
    assert "client 192.0.2.1" in lines[2]
    assert "sender <s@x.test>" in lines[2]
    assert "    dnsbl/one listed: quarantine, chosen by None; None" in lines
    assert lines[-3:] == ["", "Subject: x?[2J\ufffd", "From: s@x.test"]
    assert all(line.isprintable() for line in lines)
    assert store.run("show", name, actor=ALICE) == 0
    assert "bob@" not in capsys.readouterr().out


def test_show_as_json_and_raw(store: Store, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = store.put(ROW, BOB)
    assert store.run("show", "--raw", name, actor=ALICE) == 0
    assert capfdbinary.readouterr().out == TEXT
    assert store.run("show", "--json", name, actor=ALICE) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert [row["address"] for row in told["recipients"]] == ["Alice+x@b.test"]


def test_a_terminal_gets_no_raw_message(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = store.put()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert store.run("show", "--raw", name) == 2
    assert "say > FILE" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["show", "release", "delete"])
def test_what_is_not_his_is_not_there_for_him(
    store: Store, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    name = store.put(BOB)
    assert store.run(verb, name, actor=ALICE) == 1
    hidden = capsys.readouterr().err
    assert store.run(verb, "none", actor=ALICE) == 1
    assert capsys.readouterr().err == hidden.replace(name, "none")
    assert hidden == f"iems: no message {name} in quarantine for user alice@b.test\n"
    assert store.audited == [
        f"user alice@b.test {verb} quarantine bob@b.test: {name} NotAuthorisedError"
    ]
    assert not store.asked
    assert store.quarantine.ids() == [name]


def test_a_release_asks_for_each_recipient_past_the_rule_that_led_there(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = store.put(ROW, BOB)
    assert store.run("release", name) == 0
    assert [(one.id, one.recipient, one.rules, one.rights, one.by) for one in store.asked] == [
        (name, "Alice+x@b.test", (("dnsbl/one", "listed"),), "site", "root"),
        (name, "bob@b.test", (("spf", "fail"),), "site", "root"),
    ]
    assert (
        capsys.readouterr().out == f"released {name} Alice+x@b.test\nreleased {name} bob@b.test\n"
    )
    assert store.audited == [
        f"site release quarantine alice@b.test: {name} done",
        f"site release quarantine bob@b.test: {name} done",
    ]


@pytest.mark.parametrize(("actor", "rights"), [(ALICE, "user"), (POST, "domain")])
def test_a_release_is_by_the_rights_of_who_releases(
    store: Store, actor: Actor, rights: str
) -> None:
    name = store.put(ROW, BOB)
    assert store.run("release", name, "--recipient", "alice+x@b.test", actor=actor) == 0
    assert [(one.recipient, one.rights) for one in store.asked] == [("Alice+x@b.test", rights)]


def test_rules_are_named_and_known(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    name = store.put()
    assert store.run("release", name, "--rule", "z:listed", "--rule", "iprev:listed") == 0
    assert [one.rules for one in store.asked] == [(("z", "listed"), ("iprev", "listed"))]
    assert store.run("release", name, "--rule", "dnsbl/one") == 1
    assert "there are: iprev:listed, dnsbl/one:listed, z:listed" in capsys.readouterr().err


def test_a_description_that_somebody_else_wrote_commands_no_terminal(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = store.put({**ROW, "reasons": [{**REASON, "band": "\x1b[2J"}]})
    file = store.folder / "quarantine" / f"{name}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "id": "\x1b]0;x"}))
    assert store.run("release", name, "--rule", "spf:fail") == 1
    assert store.run("list") == 0
    assert store.run("release", name) == 0
    assert store.asked[0].id == name
    told = capsys.readouterr()
    assert f"{name} is not kept by spf:fail; there are: dnsbl/one:?[2J" in told.err
    assert "\x1b" not in told.out + told.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(450, "4.2.0", "Busy"), 75),
        (reply(550, "5.7.0", "Still held: spf:fail"), 1),
        (reply(530, "5.7.1", "Not allowed"), 77),
        (reply(535, "5.7.8", "Token is not valid"), 1),
    ],
)
def test_what_the_agent_says_is_told_and_has_its_exit_code(
    store: Store, capsys: pytest.CaptureFixture[str], answer: Reply, code: int
) -> None:
    store.answer = answer
    name, other = store.put(), store.put()
    assert store.run("release", name, other) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[0] == f"iems: {name} Alice+x@b.test: {answer}"
    assert store.audited[0] == f"site release quarantine alice@b.test: {name} {answer}"
    assert len(store.asked) == 2


def test_the_worst_of_several_is_the_exit_code(store: Store) -> None:
    name = store.put()
    assert store.run("release", "none", name) == 1
    assert len(store.asked) == 1


def test_delete_takes_what_is_his(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    name = store.put(ROW, BOB)
    assert store.run("delete", name, actor=ALICE) == 0
    assert capsys.readouterr().out == f"deleted {name} Alice+x@b.test\n"
    assert store.audited == [f"user alice@b.test delete quarantine alice@b.test: {name} done"]
    told: dict[str, Any] = store.quarantine.describe(name)
    assert [row["address"] for row in told["recipients"]] == ["bob@b.test"]
    with store.quarantine.claimed(name):
        assert store.run("delete", name) == 75
    assert "is being released now" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        store.run("delete", name, "--recipient", "")
    assert store.run("delete", name) == 0
    assert store.quarantine.ids() == []


def test_root_touches_the_store_with_the_agent_s_rights_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is its own: a link that it puts there leads root nowhere."""
    name, seen = store.put(ROW, BOB), list[str]()
    drop = Quarantine.drop

    def dropped(*told: Any) -> None:  # noqa: ANN401 - whatever it takes
        seen.append("drop")
        drop(*told)

    monkeypatch.setattr(Quarantine, "drop", dropped)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.seteuid", lambda _user: seen.append("another"))
    for words in (["list"], ["show", name], ["delete", name, "--recipient", "bob@b.test"]):
        assert store.run(*words) == 0
    assert seen == [*["another"] * 4, "another", "drop", "another"]


def main_release(store: Store, *names: str) -> int:
    """The command as it is called."""
    return main(["--settings", str(store.file), "quarantine", "release", *names])


def test_over_the_agent_s_socket(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    name = store.put()
    assert main_release(store, name) == 75
    assert "the agent cannot be asked: 451 4.4.1" in capsys.readouterr().err
    with Hop(store.folder / "s") as old:
        assert main_release(store, name) == 75
        assert "the agent that runs cannot release; restart it" in capsys.readouterr().err
        assert old.connections == 1
    with Hop(store.folder / "s", extensions=("XRELEASE",)):
        assert main_release(store, name) == 0
    assert capsys.readouterr().out == f"released {name} Alice+x@b.test\n"
    with Hop(store.folder / "s", extensions=("XRELEASE",)) as cut:
        cut.moments["other"] = lambda: False
        assert main_release(store, name) == 75
    assert "the agent's answer was lost" in capsys.readouterr().err
    (store.folder / "findings.toml").unlink()
    assert main_release(store, name) == 78


def test_only_root_acts_for_somebody_else_and_reads(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    words = ["--settings", str(store.file), "quarantine", "list"]
    assert main([*words, "--as", "alice@b.test"]) == 77
    assert capsys.readouterr().err == "iems: only root may act as somebody else\n"

    def closed(_place: object) -> None:
        raise PermissionError(13, "Permission denied", str(store.folder))

    monkeypatch.setattr("os.scandir", closed)
    assert main(words) == 77
    assert "run it as root" in capsys.readouterr().err
