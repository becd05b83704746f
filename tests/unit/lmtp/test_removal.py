"""Parts that are taken out of copies: for whom, what stands there then, and what is kept."""

from __future__ import annotations

import base64
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.why import explain
from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.store.held import held
from iems.store.quarantine import Quarantine
from iems.store.spool import Incoming, Spool
from lmtp.editing import Editor
from tests.unit.lmtp.conftest import LISTED, NOW, Office, settings
from tests.unit.lmtp.test_release import Gate

PROGRAM = Finding("attachment/programs", "matched", "matched", "evil.exe")
LOGS = Finding("attachment/logs", "matched", "matched", "a.log")
RULE, OTHER = ("attachment/programs", "matched"), ("attachment/logs", "matched")
DIRECTORY = """
[domains."b.test"]
[users."ann@b.test"]
[users."ben@b.test"]
policy = { "dnsbl/one" = { listed = "junk" } }
[users."carl@b.test"]
language = "de"
[users."dora@b.test"]
policy = { "attachment/programs" = { matched = "deliver" } }
[users."fritz@b.test"]
policy = { "attachment/programs" = { matched = "reject" } }
[users."pop@b.test"]
reads = "pop3"
policy = { "attachment/programs" = { matched = "reject" } }
[users."emil@b.test"]
policy = { "attachment/programs" = { matched = "quarantine" } }
"""
HEADER = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"


def part(name: str, octets: bytes = b"MZ") -> bytes:
    return (
        b"--b\r\nContent-Type: application/x-test; name=" + name.encode() + b"\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(octets).replace(b"\n", b"\r\n")
    )


TEXT = b"\r\n--b\r\n\r\nthe text\r\n"
BODY = TEXT + part("evil.exe") + part("note.bin") + b"--b--\r\n"


def ruled(office: Office, shared: dict[str, object] | None = None, **keep: bool) -> Office:
    """The office of a site that removes programs and logs."""
    rules: dict[str, dict[str, object]] = {
        "programs": {"mode": "delegate", "extension": ["exe"]},
        "logs": {"mode": "delegate", "extension": ["log"]},
    }
    for name, one in keep.items():
        rules[name]["keep"] = one
    lists = {"one": {"mode": "delegate", "default": {"listed": "deliver"}}}
    made = settings(checks={"dnsbl": lists, "attachment": rules}, attachments=shared or {})
    directory = TomlDirectory.parse(DIRECTORY)
    agent = replace(
        office.agent, settings=made, directory=directory, editor=Editor.of(made), now=lambda: NOW
    )
    return replace(office, agent=agent)


def send(office: Office, *to: str, body: bytes = BODY, **more: Any) -> list[str]:  # noqa: ANN401
    wanted = {"findings": [PROGRAM], "header": HEADER, **more}
    return office.deliver(*to, body=body, **wanted)


def taken(office: Office) -> dict[str, bytes]:
    """What each has got."""
    return {
        one.removeprefix("RCPT TO:<").removesuffix("@b.test>"): copy.data
        for copy in office.taken
        for one in copy.recipients
    }


def original(office: Office) -> dict[str, Any]:
    """What quarantine says of the one message that is there."""
    (name,) = office.quarantined
    return Quarantine(office.folder / "quarantine").describe(name)


def test_each_gets_what_his_policy_leaves_in_it(office: Office) -> None:
    office = ruled(office)
    assert send(office, "ann", "ben", "carl", "dora", "emil") == [
        *["250 2.0.0 Saved"] * 4,
        "250 2.0.0 Taken; ref=ref012345678",
    ]
    got = taken(office)
    assert set(got) == {"ann", "ben", "carl", "dora"}
    assert b"evil.exe\r\n" in got["dora"]
    assert got["dora"].endswith(BODY + b".\r\n")
    for name in ("ann", "ben", "carl"):
        assert b"name=evil.exe" not in got[name]
        assert b"note.bin" in got[name]
        assert b"the text" in got[name]
    assert b"The attachment evil.exe (application/x-test, 2 bytes) was removed" in got["ann"]
    assert b"Der Anhang evil.exe" in got["carl"]


def test_equal_copies_share_a_transaction(office: Office) -> None:
    """And what differs, be it the verdict, has one of its own."""
    office = ruled(office)
    send(office, "ann", "ben", findings=[PROGRAM])
    assert [len(copy.recipients) for copy in office.taken] == [2]
    send(office, "ann", "ben", findings=[PROGRAM, LISTED])
    first, second = office.taken[1:]
    assert second.data.removeprefix(b"X-IEMS-Verdict: junk; ref=ref012345678\r\n") == first.data
    assert b"name=evil.exe" not in second.data, "what is junk is stripped as well"


def test_the_message_as_it_was_is_kept_for_whom_parts_are_removed(office: Office) -> None:
    office = ruled(office)
    send(office, "ann", "dora", "carl")
    told = held(original(office))
    assert told.original
    assert [one.address for one in told.recipients] == ["ann@b.test", "carl@b.test"]
    assert {one.decisive for one in told.recipients} == {RULE}
    for name in ("ann", "carl"):
        assert told.id.encode() in taken(office)[name]
    file = office.folder / "quarantine" / f"{told.id}.eml"
    assert file.read_bytes().endswith(BODY)
    record = next(one for one in office.records() if one.recipient == "ann@b.test")
    assert (record.action, record.details["original"]) == ("remove", told.id)
    assert f"    kept in quarantine as it was: {told.id}" in list(explain(record))


def test_a_release_brings_it_past_the_rule_and_no_other(office: Office) -> None:
    office = ruled(office)
    body = BODY.replace(b"--b--", part("a.log") + b"--b--")
    send(office, "ann", findings=[PROGRAM, LOGS], body=body)
    gate = Gate(office)
    (name,) = office.quarantined
    answer = gate.release("ann@b.test", RULE)
    assert answer.startswith("550 5.7.0 Still held: attachment/logs:matched remove, chosen by site")
    assert office.quarantined == [name]
    assert gate.release("ann@b.test", RULE, OTHER) == "250 2.0.0 Saved"
    assert office.taken[-1].data.endswith(body + b".\r\n")
    assert office.quarantined == []


def test_what_was_quarantined_by_another_rule_is_released_without_the_part(office: Office) -> None:
    office = ruled(office)
    send(office, "emil", findings=[PROGRAM, LOGS], body=BODY.replace(b"note.bin", b"a.log"))
    assert Gate(office).release("emil@b.test", RULE) == "250 2.0.0 Saved"
    assert b"name=evil.exe" in office.taken[0].data
    assert b"name=a.log" not in office.taken[0].data
    assert original(office)["original"]


@pytest.mark.parametrize("to", ["fritz", "pop"])
def test_a_file_that_is_rejected_after_the_queue_gets_into_no_folder(
    office: Office, to: str
) -> None:
    """Another recipient takes it, and so the sender was told nothing."""
    office = ruled(office)
    assert send(office, to, "dora")[0].startswith("250 2.0.0 Taken")
    assert set(taken(office)) == {"dora"}
    (row,) = original(office)["recipients"]
    assert row["notes"] == ["reject after the queue is quarantine of attachments"]
    made = replace(office.agent.settings, reject_after_queue="bounce")
    office = replace(office, agent=replace(office.agent, settings=made))
    assert send(office, to)[0].startswith("550 5.7.1")


def test_nothing_is_kept_where_no_rule_wants_it(office: Office) -> None:
    office = ruled(office, programs=False)
    send(office, "ann")
    assert office.quarantined == []
    assert b"was removed by the rule programs.\r\n--b\r\n" in taken(office)["ann"]
    send(office, "ann", findings=[PROGRAM, LOGS])
    assert len(office.quarantined) == 1


def test_a_removal_that_cannot_be_made_is_quarantine(office: Office) -> None:
    """Some readers take the other type, and would still find it."""
    office = ruled(office)
    header = b"Content-Type: text/plain\r\n" + HEADER
    assert send(office, "ann", "dora", header=header)[0].startswith("250 2.0.0 Taken")
    assert set(taken(office)) == {"dora"}
    described = original(office)
    assert "original" not in described
    (row,) = described["recipients"]
    (note,) = row["notes"]
    assert note.startswith("cannot be changed: malformed: readers disagree")
    assert Gate(office).release("ann@b.test", RULE) == "250 2.0.0 Saved"


def test_a_rule_that_is_gone_is_quarantine(office: Office) -> None:
    office = ruled(office)
    editor = Editor(replace(office.agent.editor.removals, rules={}))
    office = replace(office, agent=replace(office.agent, editor=editor))
    send(office, "ann")
    assert office.taken == []
    assert "there is no rule attachment/programs any more" in str(original(office))


def test_no_time_is_a_deferral_with_an_end(office: Office) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("evil.exe", "MZ")
    body = TEXT + part("a.zip", stream.getvalue()) + b"--b--\r\n"
    office = ruled(office, {"timeout": 0})
    assert send(office, "ann", body=body)[0].startswith("451 4.7.1")
    assert office.taken == []
    assert office.quarantined == []
    assert send(office, "ann", body=body, at=NOW - 90_000)[0].startswith("250 2.0.0 Taken")
    assert "deferred for 24 hours" in str(original(office))


def test_a_release_whose_copy_cannot_be_made_now_may_be_tried_again(office: Office) -> None:
    """Though the message is old: nobody else waits for it."""
    office = ruled(office)
    body = BODY.replace(b"note.bin", b"a.log")
    send(office, "emil", findings=[PROGRAM, LOGS], body=body, at=NOW - 90_000)
    before = office.quarantined
    busy = replace(office, agent=replace(office.agent, spool=_Full(office.folder)))
    answer = Gate(busy).release("emil@b.test", RULE)
    assert answer.startswith("451 4.3.0 Not now; cannot be changed now: ")
    assert office.quarantined == before
    assert Gate(office).release("emil@b.test", RULE) == "250 2.0.0 Saved"


class _Full(Spool):
    """One without space."""

    def receive(self, limit: int) -> Incoming:
        raise OSError(f"no space left for {limit} bytes")


def test_who_has_not_got_his_copy_has_no_original(office: Office) -> None:
    office = ruled(office)
    office.hop.final = {"ben@b.test": "451 4.2.0 later", "ann@b.test": "451 4.2.0 later"}
    assert [one[:3] for one in send(office, "ann", "ben")] == ["451", "451"]
    assert office.quarantined == []
    office.hop.final = {"ben@b.test": "451 4.2.0 later"}
    send(office, "ann", "ben")
    assert [one.address for one in held(original(office)).recipients] == ["ann@b.test"]


def test_without_its_original_no_copy_goes_out(office: Office) -> None:
    office = ruled(office)
    (office.folder / "file").touch()
    agent = replace(office.agent, quarantine=Quarantine(office.folder / "file"))
    office = replace(office, agent=agent)
    assert send(office, "ann", "dora") == [
        "451 4.3.1 Quarantine is not available",
        "250 2.0.0 Saved",
    ]
    assert set(taken(office)) == {"dora"}


def test_where_nothing_is_left_to_remove_nothing_is_kept(office: Office) -> None:
    """The milter has removed it, as for who is outside."""
    office = ruled(office)
    body = TEXT + part("note.bin") + b"--b--\r\n"
    send(office, "ann", "dora", body=body)
    assert [len(copy.recipients) for copy in office.taken] == [2]
    assert office.quarantined == []
    told = {one.recipient[:4]: one.details["notes"] for one in office.records()}
    assert told == {"ann@": ["nothing was left to remove"], "dora": []}


def test_a_large_message_lies_in_the_spool(office: Office) -> None:
    office = ruled(office)
    body = BODY.replace(b"the text", b"line of text\r\n" * 40_000)
    send(office, "ann", body=body)
    copy = taken(office)["ann"]
    assert copy.count(b"line of text\r\n") == 40_000
    assert b"name=evil.exe" not in copy
    assert not [one for one in office.folder.iterdir() if one.suffix == ".tmp"]


def test_the_only_part_and_the_site_s_words(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "words.toml"
    file.write_text("removed = 'gone: $$ $name'\nkept = 'ask for $release'\n")
    office = ruled(office, {"notices": {"en": str(file)}})
    header = b"Content-Type: application/x-test; name=evil.exe\r\nMIME-Version: 1.0\r\n"
    send(office, "ann", header=header, body=b"\r\nMZ\r\n")
    copy = taken(office)["ann"]
    (name,) = office.quarantined
    assert copy.endswith(f"\r\n\r\ngone: $ evil.exe\r\nask for {name}\r\n.\r\n".encode())
    assert b"Subject: x\r\n" in copy


@pytest.mark.parametrize("channel", ["internet", "submission", "local"])
def test_all_channels_are_alike(office: Office, channel: str) -> None:
    office = ruled(office)
    send(office, "ann", channel=channel)
    assert b"name=evil.exe" not in taken(office)["ann"]
