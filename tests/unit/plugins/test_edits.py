"""Edits of others: what they may say, their processes, which are real ones, and mail meanwhile."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.directory.person import NOBODY
from iems.editing.assembly import Plan, Prepared, build_edits
from iems.edits.edit import Edit, EditUnavailable
from iems.mime.splice import Splice
from iems.settings.load import from_table
from iems.settings.read import SettingsError
from lmtp.editing import Editor
from milters.plugins import edits
from milters.plugins.family import running
from milters.plugins.wire import MAX_MESSAGE, WireError, edit, edit_row
from milters.reply import Continue, Reject, ReplaceBody, TempFail
from tests.unit.chain.test_signing import note
from tests.unit.chain.test_texts import sent
from tests.unit.chain.world import SETTINGS, World

SOURCE = '''
import os
import sys

from iems.edits.edit import Edit
from iems.mime.splice import Splice
from iems.settings.read import SettingsError

EDITS = {
    "end": lambda size, person: Edit((Splice(size, size, b"!"),)),
    "name": lambda size, person: Edit((Splice(0, 0, person["name"].encode()),)),
    "nothing": lambda size, person: Edit(),
    "reject": lambda size, person: Edit(reason="not such mail", rejected=True),
    "outside": lambda size, person: Edit((Splice(size, size + 1),)),
    "overlap": lambda size, person: Edit((Splice(0, 2), Splice(1, 3))),
    "many": lambda size, person: Edit((Splice(0, 0, b"x"),) * 10_001),
    "large": lambda size, person: Edit((Splice(0, 0, bytes(1 << 24)),)),
    "larger": lambda size, person: Edit((Splice(0, 0, bytes(19 << 20)),)),
    "ends": lambda size, person: os._exit(3),
    "raises": lambda size, person: 1 // 0,
    "none": lambda size, person: None,
}


def parse(options, key, where):
    if "says" in options:
        text = options["says"].encode()
        os.write(int(sys.argv[1]), len(text).to_bytes(4, "big") + text)
    if "wrong" in options:
        raise SettingsError([f"{where(key + '.wrong')}: {key}.wrong is wrong"])
    return options["do"]


def edit(message, person, do):
    """What its settings say, or the last word of the message."""
    do = do or message[-99:].split()[-1].decode().rstrip("!")
    while do == "hang":
        pass
    return EDITS[do](len(message), person)
'''
SITE = """
[edits.probe.end]
do = "end"
processes = 1
timeout = 20
channels = ["submission", "local"]
[edits.probe.told]
do = ""
processes = 1
timeout = 20
channels = ["submission", "local"]
[edits.probe.hasty]
do = "hang"
processes = 1
timeout = 0.5
channels = ["nowhere"]
"""
ROW = {"splices": [[0, 1, "eA=="]], "reason": "", "rejected": False}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where Python finds the module; others can read it, for root's processes are nobody's."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        about = place / "probe-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
        points = "[iems.edits]\nprobe = edits_of_a_probe\nempty = empty_probe\ntext = empty_probe\n"
        (about / "entry_points.txt").write_text(points)
        (place / "edits_of_a_probe.py").write_text(SOURCE)
        (place / "empty_probe.py").write_text("def parse(options, key, where):\n    return None\n")
        yield place


@pytest.fixture(autouse=True)
def _found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))


def planned(text: str) -> Plan:
    return build_edits(from_table(tomllib.loads(f"{SETTINGS}\n{text}")), edits.make)


@pytest.fixture(scope="module")
def plan(folder: Path) -> Iterator[Plan]:
    """Those of SITE, with their processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        made = planned(SITE)
        with running((), None, made):
            yield made


def prepared(plan: Plan, label: str) -> Prepared:
    """That edit, for Alice."""
    [found] = [one for one in plan.edits if one.name == f"probe/{label}"]
    return found.editor.of({**NOBODY, "name": "Alice"})


def test_an_edit_comes_as_it_was_made() -> None:
    for made in (
        Edit((Splice(4, 4, b"\0\xff"), Splice(0, 2))),
        Edit(reason="why"),
        Edit(reason="why", rejected=True),
    ):
        assert edit(json.loads(json.dumps(edit_row(made))), b"text") == made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("splices", None),
        ("splices", {}),
        ("splices", [1]),
        ("splices", [[0, 1]]),
        ("splices", [[0, 1, "", ""]]),
        ("splices", [[0.0, 1, ""]]),
        ("splices", [[False, True, ""]]),
        ("splices", [["0", 1, ""]]),
        ("splices", [[0, 1, None]]),
        ("splices", [[0, 1, "x"]]),
        ("splices", [[0, 1, "\u00e4"]]),
        ("splices", [[0, 1, "e A=="]]),
        ("splices", [[-1, 1, ""]]),
        ("splices", [[2, 1, ""]]),
        ("splices", [[0, 5, ""]]),
        ("splices", [[0, 10**30, ""]]),
        ("splices", [[0, 2, ""], [1, 3, ""]]),
        ("splices", [[0, 0, ""]] * 10_001),
        ("reason", None),
        ("reason", "x" * 401),
        ("reason", "a\r\nb"),
        ("rejected", None),
        ("rejected", 1),
        ("rejected", True),
    ],
)
def test_what_is_no_edit_of_the_message(name: str, value: object) -> None:
    with pytest.raises(WireError):
        edit({**ROW, name: value}, b"text")


def test_what_is_not_to_be_rejected_so() -> None:
    wrong: tuple[object, ...] = (None, [], {**ROW, "splices": [], "rejected": True})
    for said in wrong:
        with pytest.raises(WireError):
            edit(said, b"text")


def test_a_message_grows_to_its_bound_and_no_further() -> None:
    row = edit_row(Edit((Splice(0, 0, bytes(MAX_MESSAGE - 4)),)))
    assert len(edit(row, b"text").of(b"text")) == MAX_MESSAGE
    with pytest.raises(WireError, match=f"a message of {MAX_MESSAGE + 1} bytes"):
        edit(row, b"texts")


VALUES = st.none() | st.booleans() | st.integers(-1, 6) | st.floats() | st.text(max_size=5)
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES | st.just("eA==")).map(list) | VALUES, max_size=3)
SAID = st.fixed_dictionaries(
    {"splices": ROWS | VALUES, "reason": VALUES, "rejected": VALUES}, optional={"more": VALUES}
)


@given(SAID | VALUES)
def test_whatever_it_says_can_be_done_or_is_an_error(said: object) -> None:
    try:
        made = edit(said, b"text")
    except WireError:
        return
    assert len(made.of(b"text")) <= MAX_MESSAGE
    assert not (made.rejected and made.splices)


def test_it_is_told_the_message_and_the_person(plan: Plan) -> None:
    told = prepared(plan, "told")
    assert told.edit(b"an end").of(b"an end") == b"an end!"
    large = bytes(3 << 20) + b" end"
    assert told.edit(large).of(large) == large + b"!"
    assert told.edit(b"a name").of(b"a name") == b"Alicea name"
    assert told.edit(b"nothing") == Edit(reason="it had nothing to do")


WRONGS = {
    "outside": "answers nonsense: bytes 7 to 8 cannot be replaced",
    "overlap": "answers nonsense: bytes 1 to 3 cannot be replaced",
    "many": "answers nonsense: no list of at most 10000 splices",
    "large": "answers nonsense: a message of 16777221 bytes, and 16777216 may be",
    "larger": "answers nonsense: 26564",
    "raises": "raised ZeroDivisionError",
    "none": "raised AttributeError",
    "ends": "ended with exit code 3",
}


def test_what_it_does_wrong_lets_a_message_wait_and_it_goes_on(plan: Plan) -> None:
    told = prepared(plan, "told")
    for wrong, why in WRONGS.items():
        with pytest.raises(EditUnavailable) as caught:
            told.edit(wrong.encode())
        assert str(caught.value).startswith(f"probe/told: the plug-in {why}")
    assert told.edit(b"end").of(b"end") == b"end!"


def test_it_has_no_more_time_than_it_is_given(plan: Plan) -> None:
    with pytest.raises(EditUnavailable, match=r"^probe/hasty: the plug-in (gives no|had no time)"):
        prepared(plan, "hasty").edit(b"text")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[edits.probe.x]\nwrong = 1", "settings: edits.probe.x.wrong is wrong (probe 1)"),
        ("[edits.probe.x]", "settings: edits.probe.x cannot be made: KeyError: 'do' (probe 1)"),
        (
            """[edits.probe.x]\nsays = '{"faults": 1}'\ndo = ''""",
            "settings: edits.probe.x: the plug-in of probe 1 makes no edit",
        ),
        ("[edits.empty.x]", "edits.empty.x cannot be made: AttributeError: module 'empty_probe'"),
        ('[edits.probe.x]\ndo = "end"\ntimeout = 0', "edits.probe.x.timeout is 0; expected"),
        ("[edits.probe.x]\nat = 07:00:00", "edits.probe.x holds a time, which no plug-in gets"),
        (
            '[edits.probe.x]\nchannels = ["internet"]',
            "edits.probe.x.channels holds 'internet', whose mail no plug-in edits (this one is of "
            "probe 1); expected other channels",
        ),
        ("[edits.other.x]", "settings: edits.other is no edit; known: text"),
        ("[edits.text.x]", "edits.text.x.plain is missing"),
    ],
)
def test_what_cannot_be_made_is_a_fault_of_the_settings(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        planned(text)
    [fault] = caught.value.faults
    assert told in fault


def test_the_agent_makes_none() -> None:
    table = tomllib.loads(f"{SETTINGS}\n[edits.probe.x]\nwrong = 1\n")
    assert Editor.of(from_table(table)).plan.edits == ()


@pytest.fixture
def world(plan: Plan) -> World:
    """With `end` and `told`, which is told what to do by the last word of the body."""
    made = World()
    made.use()
    made.runtime = replace(made.runtime, plan=plan)
    return made


def bodies(made: tuple[object, ...]) -> list[bytes]:
    return [one.content for one in made if isinstance(one, ReplaceBody)]


def test_mail_is_edited_and_told_of(world: World) -> None:
    reply, made = sent(world, body=b"nothing")
    assert reply == Continue()
    assert bodies(made) == [b"nothing!"]
    assert note(world) == "probe/end: edited; probe/told: not edited: it had nothing to do"


def test_mail_waits_whole_where_one_of_its_edits_fails(world: World) -> None:
    reply, made = sent(world, body=b"raises")
    assert isinstance(reply, TempFail)
    assert (reply.code, made) == (451, ())
    [record] = world.recorder.committed
    assert record.action == "defer"
    told = json.dumps(record.details)
    assert "probe/told" in told
    assert "the plug-in raised ZeroDivisionError" in told


def test_mail_that_cannot_wait_goes_on_as_it_came(world: World) -> None:
    reply, made = sent(world, daemon="local", login="", body=b"raises")
    assert reply == Continue()
    assert bodies(made) == []
    assert "not edited: probe/told: the plug-in raised ZeroDivisionError" in note(world)


def test_mail_is_refused_where_its_sender_waits(world: World) -> None:
    refused, _edits = sent(world, body=b"reject")
    assert isinstance(refused, Reject)
    assert "such mail is not taken: not such mail" in refused.text
    taken, made = sent(world, daemon="local", login="", body=b"reject")
    assert taken == Continue()
    assert bodies(made) == [b"reject!"]
    assert note(world) == "probe/end: edited; probe/told: not edited: not such mail"
