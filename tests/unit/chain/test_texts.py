"""Texts that the milter puts into mail: into which, with what of the directory, signed then."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.editing.assembly import build_edits
from iems.settings.load import from_table
from iems.store.spool import MEMORY_LIMIT, Spool
from milters import draft
from milters.reply import ChangeHeader, Continue, Edit, InsertHeader, Reject, ReplaceBody, TempFail
from tests.unit.chain.test_signing import KEYS, holds, note
from tests.unit.chain.world import DIRECTORY, SETTINGS, World

SIGNED = ("Content-Type", ' multipart/signed; boundary="b"')
BODY = b"Hello.\r\n"
FOOTED = b"Hello.\r\n\r\nAlice Adams of example\r\n"
PEOPLE = DIRECTORY.replace(
    '[users."bob@example.test"]',
    'person = { name = "Alice Adams", organisation = "example" }\n[users."bob@example.test"]',
)
ALICE = [("From", " Alice <alice@example.test>"), ("Subject", " hello")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "footer").write_text("{{ name }} of {{ organisation }}")
    made = World()
    made.use()
    made.directory = TomlDirectory.parse(PEOPLE)
    made.runtime = replace(made.runtime, directory=made.directory)
    return made


def planned(world: World, folder: Path, *options: str) -> World:
    text = f'{SETTINGS}[edits.text.footer]\nplain = "{folder}/footer"\n' + "\n".join(options)
    plan = build_edits(from_table(tomllib.loads(text)))
    world.runtime = replace(world.runtime, plan=plan)
    return world


def sent(
    world: World,
    fields: Iterable[tuple[str, str]] = ALICE,
    *,
    daemon: str = "submission",
    login: str = "alice@example.test",
    to: str = "far@elsewhere.example",
    body: bytes = BODY,
) -> tuple[object, tuple[Edit, ...]]:
    chain = world.connect(daemon=daemon)
    chain.mail("<alice@example.test>", {"{auth_authen}": login} if login else {})
    chain.rcpt(f"<{to}>", {})
    for name, value in fields:
        chain.header(name.encode(), value.encode())
    chain.end_of_headers()
    chain.body(body)
    return chain.end_of_message({"i": "4QueueId"})


def bodies(edits: tuple[Edit, ...]) -> list[bytes]:
    return [one.content for one in edits if isinstance(one, ReplaceBody)]


def test_the_text_is_in_what_leaves_and_below_the_signature(world: World, tmp_path: Path) -> None:
    planned(world, tmp_path)
    world.runtime = replace(world.runtime, signing_keys={"example.test": KEYS})
    reply, edits = sent(world)
    assert reply == Continue()
    assert bodies(edits) == [FOOTED]
    field = edits[-1]
    assert isinstance(field, InsertHeader)
    header = [(name.encode(), value.encode()) for name, value in ALICE]
    assert holds(field.value, header, FOOTED)
    assert note(world) == "text/footer: put in; signed: s._domainkey.example.test"
    assert world.recorder.added[-1].details["notes"] == note(world).split("; ")


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ((), {"daemon": "internet", "login": ""}),
        (('channels = ["internet"]',), {"daemon": "internet", "login": ""}),
        (('direction = "inside"',), {}),
        (('senders = ["bob@example.test"]',), {}),
        (('replies = "only"',), {}),
        (('channels = ["local"]',), {}),
        (
            ('channels = ["local"]',),
            {"daemon": "local", "login": "", "fields": [*ALICE, ("X-Sieve", " Pigeonhole")]},
        ),
        (
            ('channels = ["local"]',),
            {"daemon": "local", "login": "", "fields": [*ALICE, ("Received", " from x")]},
        ),
    ],
)
def test_other_mail_is_not_edited(
    world: World, tmp_path: Path, options: tuple[str, ...], more: dict[str, object]
) -> None:
    reply, edits = sent(planned(world, tmp_path, *options), **more)  # type: ignore[arg-type]
    assert reply == Continue()
    assert bodies(edits) == []
    assert note(world) == ""


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (('direction = "outside"', 'senders = ["both@example.test"]'), {}),
        (('direction = "inside"',), {"to": "bob@example.test"}),
        (('direction = "outside"',), {"to": "mixed@example.test"}),
        (('channels = ["local"]',), {"daemon": "local", "login": ""}),
    ],
)
def test_this_mail_is(
    world: World, tmp_path: Path, options: tuple[str, ...], more: dict[str, str]
) -> None:
    reply, edits = sent(planned(world, tmp_path, *options), **more)  # type: ignore[arg-type]
    assert reply == Continue()
    assert bodies(edits) == [FOOTED]


def test_who_writes_with_an_extension_is_the_same_person(world: World, tmp_path: Path) -> None:
    planned(world, tmp_path, 'channels = ["local"]')
    author = [("From", " alice+shop@example.test")]
    _reply, edits = sent(world, author, daemon="local", login="")
    assert bodies(edits) == [FOOTED]


@pytest.mark.parametrize(
    ("author", "expected"),
    [("far@elsewhere.example", []), ("alice@example.test", [FOOTED])],
)
def test_what_another_wrote_and_a_user_resends_is_not_edited(
    world: World, tmp_path: Path, author: str, expected: list[bytes]
) -> None:
    """His own mail is, whatever he writes into it."""
    fields = [("Resent-From", " alice@example.test"), ("From", f" {author}")]
    _reply, edits = sent(planned(world, tmp_path), fields)
    assert bodies(edits) == expected


def test_what_is_left_alone_is_told(world: World, tmp_path: Path) -> None:
    planned(world, tmp_path, "max_size = 100")
    for body, more, why in (
        (FOOTED, (), "it stands there already"),
        (b"x" * 100, (), "it has more than 100 bytes"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", (SIGNED,), "it is signed"),
    ):
        reply, edits = sent(world, [*ALICE[:1], *more], body=body)
        assert reply == Continue()
        assert bodies(edits) == []
        assert note(world) == f"text/footer: not put in: {why}"


@pytest.mark.parametrize("daemon", ["submission", "local"])
def test_what_is_rejected_is_refused_while_the_sender_waits(
    world: World, tmp_path: Path, daemon: str
) -> None:
    """Postfix would keep other mail in maildrop for ever."""
    planned(world, tmp_path, 'signed = "reject"', 'channels = ["submission", "local"]')
    login = "" if daemon == "local" else "alice@example.test"
    body = b"--b\r\n\r\nx\r\n--b--\r\n"
    reply, edits = sent(world, [*ALICE, SIGNED], daemon=daemon, login=login, body=body)
    if daemon == "local":
        assert reply == Continue()
        assert note(world) == "text/footer: not put in: it is signed"
        return
    told = "such mail is not taken: it is signed; help: help@example.test; reference REF00"
    assert reply == Reject(550, "5.7.1", told)
    assert edits == ()
    assert [one.reply for one in world.recorder.committed] == [f"550 5.7.1 {told}"]
    assert '"text/footer"' in json.dumps(world.recorder.committed[0].details["reasons"])


def test_two_texts_follow_each_other(world: World, tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("Careful.")
    second = f'[edits.text.banner]\nplain = "{tmp_path}/banner"\nplace = "top"'
    reply, edits = sent(planned(world, tmp_path, second))
    assert reply == Continue()
    assert bodies(edits) == [b"Careful.\r\n\r\n" + FOOTED]
    assert note(world) == "text/footer: put in; text/banner: put in"


def test_an_odd_field_that_would_have_to_be_rewritten_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "footer").write_text("Grüße")
    planned(world, tmp_path)
    chain = world.connect(daemon="submission")
    chain.mail("<alice@example.test>", {"{auth_authen}": "alice@example.test"})
    chain.rcpt("<far@elsewhere.example>", {})
    chain.header(b"From", b" alice@example.test")
    chain.header(b"Content-Type", b' text/plain; name="\xe4"; charset=us-ascii')
    chain.end_of_headers()
    chain.body(BODY)
    reply, edits = chain.end_of_message({"i": "4QueueId"})
    assert reply == Continue()
    assert not any(isinstance(one, ReplaceBody | ChangeHeader) for one in edits)
    assert note(world) == "text/footer: not put in: its new Content-Type is not UTF-8"


def test_mail_waits_where_the_directory_or_the_spool_fails(world: World, tmp_path: Path) -> None:
    planned(world, tmp_path, 'channels = ["submission", "local"]')

    class Down:
        def find(self, *_arguments: object) -> object:
            raise DirectoryUnavailable("no answer")

    editing = world.runtime.editing
    world.runtime = replace(world.runtime)
    world.runtime.editing._directory = Down()  # type: ignore[assignment]
    assert world.runtime.editing is not editing
    reply, edits = sent(world)
    assert isinstance(reply, TempFail)
    assert edits == ()
    reply, edits = sent(world, daemon="local", login="")
    assert reply == Continue()
    assert note(world) == "not edited: no answer; not signed: no answer"
    world.runtime = replace(world.runtime, spool=Spool(tmp_path / "gone"))
    reply, edits = sent(world, body=b"x\r\n" * MEMORY_LIMIT)
    assert isinstance(reply, TempFail)


def test_large_messages_are_edited_one_at_a_time(world: World, tmp_path: Path) -> None:
    """Each takes ten times its bytes of memory meanwhile."""
    planned(world, tmp_path, 'channels = ["submission"]')
    milter = replace(world.runtime.settings.milter, content_timeout=0.05)
    world.runtime = replace(world.runtime, settings=replace(world.runtime.settings, milter=milter))
    large = b"x\r\n" * draft.LIGHT
    with draft._turn:
        assert sent(world)[0] == Continue()
        assert isinstance(sent(world, body=large)[0], TempFail)
        assert sent(world, daemon="internet", login="", body=large)[0] == Continue()
    assert sent(world, body=large)[0] == Continue()
    assert sent(world, body=large)[0] == Continue()
