"""Texts in copies of mail from outside: for whom, shared where equal, and never in the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from iems.directory.reader import Directory, DirectoryUnavailable, Entry
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.store.spool import Incoming, Spool
from lmtp import editing
from lmtp.editing import Editor
from lmtp.outcome import DEFER_LIMIT
from tests.unit.lmtp.conftest import LISTED, NOW, Office, settings
from tests.unit.lmtp.test_removal import BODY, DIRECTORY, HEADER, PROGRAM, RULE, original, taken

PEOPLE = f"""{DIRECTORY}
[users."greta@b.test"]
person = {{ name = "Greta" }}
[aliases]
"team@b.test" = ["ann@b.test"]
"""
BANNER = b"\r\n\r\nFrom outside\r\n\r\nbody\r\n.\r\n"


@pytest.fixture
def outside(office: Office) -> Office:
    """The office of a site with one text for what comes from outside."""
    return with_texts(office, {"banner": {}})


def with_texts(office: Office, texts: Mapping[str, dict[str, Any]], **more: object) -> Office:
    (office.folder / "banner").write_text("From outside")
    (office.folder / "named").write_text("Dear {{ name }}")
    common = {"plain": f"{office.folder}/banner", "channels": ["internet"], "place": "top"}
    edits = {label: {**common, **own} for label, own in texts.items()}
    made = settings(edits={"text": edits}, **more)
    agent = replace(
        office.agent,
        settings=made,
        directory=TomlDirectory.parse(PEOPLE),
        editor=Editor.of(made),
        now=lambda: NOW,
    )
    return replace(office, agent=agent)


def notes(office: Office, name: str = "ann") -> object:
    [found] = [one for one in office.records() if one.recipient == f"{name}@b.test"]
    return found.details.get("notes")


def test_equal_copies_share_a_transaction_and_the_record_tells(outside: Office) -> None:
    outside.deliver("ann", "carl", "greta", findings=[])
    [copy] = outside.taken
    assert len(copy.recipients) == 3
    assert copy.data.endswith(BANNER)
    assert notes(outside) == ["text/banner: put in"]


def test_mail_of_another_channel_is_as_the_milter_made_it(outside: Office) -> None:
    outside.deliver("ann", channel="submission", findings=[])
    assert taken(outside)["ann"].endswith(b"\r\n\r\nbody\r\n.\r\n")
    assert notes(outside) == []


def test_a_second_time_it_stands_there(outside: Office) -> None:
    outside.deliver("ann", findings=[], body=b"\r\nFrom outside\r\n\r\nbody\r\n")
    assert taken(outside)["ann"].endswith(BANNER)
    assert notes(outside) == ["text/banner: not put in: it stands there already"]


def test_values_are_those_of_who_gets_it(office: Office) -> None:
    named = with_texts(office, {"named": {"plain": f"{office.folder}/named"}})
    named.deliver("ann", "carl", "greta", findings=[])
    assert [len(copy.recipients) for copy in named.taken] == [2, 1]
    assert b"\r\nDear Greta\r\n" in taken(named)["greta"]
    assert b"\r\nDear\r\n" in taken(named)["ann"]


def test_a_text_is_for_recipients_and_senders(office: Office) -> None:
    one = with_texts(
        office,
        {
            "team": {"recipients": ["team@b.test"]},
            "partner": {"senders": ["x.test"], "plain": f"{office.folder}/named"},
        },
    )
    one.deliver("ann", "carl", findings=[], header=b"From: s@x.test\r\n")
    one.deliver("greta", findings=[], header=b"From: s@y.test\r\n")
    got = taken(one)
    assert b"From outside" in got["ann"]
    assert b"From outside" not in got["carl"]
    assert b"\r\nDear\r\n" in got["carl"]
    assert got["greta"].endswith(b"\r\n\r\nbody\r\n.\r\n")


def test_a_large_message_goes_on_as_it_is(office: Office) -> None:
    one = with_texts(office, {"banner": {"max_size": 100}})
    one.deliver("ann", findings=[], body=b"\r\n" + b"x" * 100 + b"\r\n")
    assert b"From outside" not in taken(one)["ann"]
    assert notes(one) == ["text/banner: not put in: it has more than 100 bytes"]


def test_attachments_are_removed_first_and_the_message_kept_as_it_was(office: Office) -> None:
    rules = {"programs": {"mode": "delegate", "extension": ["exe"]}}
    one = with_texts(office, {"banner": {}}, checks={"attachment": rules})
    one.deliver("ann", "dora", body=BODY, header=HEADER, findings=[PROGRAM])
    got = taken(one)
    assert b"The attachment evil.exe" in got["ann"]
    assert b"name=evil.exe" in got["dora"]
    for name in ("ann", "dora"):
        assert got[name].count(b"From outside") == 1
    [kept] = original(one)["recipients"]
    assert kept["address"] == "ann@b.test"
    assert RULE[0] in str(kept)
    # Where nothing of a message is removed it is not kept, though it gets a text.
    before = one.quarantined
    clean = HEADER, b"\r\n--b\r\n\r\nthe text\r\n--b--\r\n"
    one.deliver("ann", header=clean[0], body=clean[1], findings=[PROGRAM])
    assert one.taken[-1].data.count(b"From outside") == 1
    assert one.quarantined == before


def test_a_text_does_not_wait_for_an_archive_in_another_message(
    outside: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is large does, for the memory that it takes."""
    with editing._turn:
        outside.deliver("ann", findings=[])
        monkeypatch.setattr(editing, "SECONDS", 0.2)
        [answer] = outside.deliver("carl", findings=[], body=b"\r\n" + b"x\r\n" * editing.LIGHT)
    assert taken(outside)["ann"].endswith(BANNER)
    assert answer.startswith("451 4.7.1")


def test_copies_of_many_kinds_do_not_hold_up_those_that_are_made(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the time for all of them who has none waits for the next try."""
    named = with_texts(office, {"named": {"plain": f"{office.folder}/named"}})
    monkeypatch.setattr(editing, "SECONDS", 0.0)
    assert [one[:3] for one in named.deliver("ann", "greta", findings=[])] == ["451", "451"]
    assert named.taken == []
    late = NOW - DEFER_LIMIT - 1
    assert [one[:3] for one in named.deliver("ann", findings=[], at=late)] == ["250"]


class _Once(Spool):
    """A spool that is full after one copy."""

    def receive(self, limit: int) -> Incoming:
        if self.__dict__.setdefault("full", False):
            raise OSError("no space left")
        self.__dict__["full"] = True
        return super().receive(limit)


def test_what_may_have_been_removed_is_kept(office: Office) -> None:
    """Where nobody could look whether it was, for the disk is full by then."""
    rules = {"programs": {"mode": "delegate", "extension": ["exe"]}}
    one = with_texts(office, {"banner": {}}, checks={"attachment": rules})
    one = replace(one, agent=replace(one.agent, spool=_Once(office.folder)))
    one.deliver("ann", body=BODY, header=HEADER, findings=[PROGRAM])
    assert original(one)["original"]
    assert original(one)["id"].encode() in taken(one)["ann"]


@dataclass
class _Down:
    """A directory that fails once members are asked for."""

    directory: Directory

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        if any(one.local == "team" for one in addresses):
            raise DirectoryUnavailable("no answer")
        return self.directory.find(addresses, deadline)

    def __getattr__(self, name: str) -> object:
        return getattr(self.directory, name)


@pytest.mark.parametrize("broken", ["directory", "spool"])
def test_mail_waits_while_it_cannot_be_edited_and_after_a_day_goes_on_as_it_is(
    office: Office, broken: str
) -> None:
    one = with_texts(office, {"banner": {"recipients": ["team@b.test"]}})
    agent = replace(one.agent, directory=_Down(one.agent.directory))  # type: ignore[arg-type]
    if broken == "spool":
        agent = replace(one.agent, spool=Spool(office.folder / "gone"))
    one = replace(one, agent=agent)
    large = b"\r\n" + b"x\r\n" * 100_000
    [answer] = one.deliver("ann", findings=[LISTED], body=large)
    assert answer.startswith("451 4.7.1")
    assert one.taken == []
    [answer] = one.deliver("ann", findings=[LISTED], body=large, at=NOW - DEFER_LIMIT - 1)
    assert answer.startswith("250")
    assert one.taken[0].data.endswith(large.removeprefix(b"\r\n") + b".\r\n")
    assert "texts are not put in: " in str(one.records()[-1].details["notes"])
