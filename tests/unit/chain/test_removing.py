"""Attachments in mail that leaves: taken out for all before it is signed, or it does not leave."""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from iems.codec.header import parse_header
from iems.dns.zonefile import ZoneResolver
from iems.model.finding import Finding
from iems.model.policy import SITE, Action, Reason
from iems.notices.removed import Removals
from iems.settings.load import from_table
from iems.store.spool import MemoryBody
from milters import draft
from milters.assembly import build_checks
from milters.checks.attachment import turn
from milters.checks.protocol import Tools
from milters.removing import removed
from milters.reply import Continue, Edit, Hold, InsertHeader, Reject, ReplaceBody, Reply, TempFail
from tests.samples import zipped
from tests.unit.chain.test_signing import KEYS, holds
from tests.unit.chain.world import SETTINGS, World

RULES = """
[attachments]
language = "de"
timeout = {timeout}
[checks.attachment.programs]
mode = "delegate"
extension = ["exe"]
"""
FAR, BOB, MIXED = "far@elsewhere.example", "bob@example.test", "mixed@example.test"
FIELDS = [
    ("From", " alice@example.test"),
    ("MIME-Version", " 1.0"),
    ("Content-Type", " multipart/mixed; boundary=b"),
]
PART = (
    b"--b\r\nContent-Type: application/x-test; name=%s\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n%s\r\n"
)
TEXT = b"--b\r\n\r\nhello\r\n"
BODY = TEXT + PART % (b"evil.exe", b"TVo=") + b"--b--\r\n"


def ruled(text: str = RULES, timeout: float = 20) -> World:
    """A world with the rule."""
    world = World()
    world.use()
    settings = from_table(tomllib.loads(SETTINGS + text.format(timeout=timeout)))
    world.runtime = replace(
        world.runtime,
        settings=settings,
        checks=tuple(
            one
            for one in build_checks(Tools.within(settings, ZoneResolver(""), Path("/nowhere")))
            if one.name.startswith("attachment/")
        ),
        removals=Removals.of(settings),
    )
    return world


def sent(
    world: World,
    *to: str,
    channel: str = "submission",
    fields: Iterable[tuple[str, str]] = FIELDS,
    body: bytes = BODY,
) -> tuple[Reply, tuple[Edit, ...]]:
    chain = world.connect(daemon=channel)
    login = "alice@example.test" if channel == "submission" else ""
    chain.mail("<alice@example.test>", {"{auth_authen}": login})
    for one in to:
        assert chain.rcpt(f"<{one}>", {}) == Continue()
    for name, value in fields:
        chain.header(name.encode(), value.encode())
    chain.end_of_headers()
    chain.body(body)
    return chain.end_of_message({"i": "4QueueId"})


def bodies(edits: tuple[Edit, ...]) -> list[bytes]:
    return [one.content for one in edits if isinstance(one, ReplaceBody)]


@pytest.mark.parametrize("to", [(FAR,), (FAR, BOB), (MIXED,)], ids=["far", "both", "forwarded"])
@pytest.mark.parametrize("channel", ["submission", "internet", "local"])
def test_it_is_gone_for_all(to: tuple[str, ...], channel: str) -> None:
    world = ruled()
    reply, edits = sent(world, *to, channel=channel)
    assert reply == Continue()
    (body,) = bodies(edits)
    assert b"evil.exe (application/x-test, 2 Bytes) wurde nach der Regel programs entfernt." in body
    assert b"name=evil.exe" not in body
    assert body.startswith(TEXT)
    assert not [one for one in edits if isinstance(one, Hold)]
    assert "taken out: attachment/programs" in str(world.recorder.added[-1].details)


def test_what_stays_here_is_the_agent_s() -> None:
    reply, edits = sent(ruled(), BOB)
    assert reply == Continue()
    assert bodies(edits) == []


def test_the_signature_is_that_of_what_leaves() -> None:
    world = ruled()
    world.runtime = replace(world.runtime, signing_keys={"example.test": KEYS})
    _reply, edits = sent(world, FAR)
    (body,) = bodies(edits)
    field = edits[-1]
    assert isinstance(field, InsertHeader)
    header = [(name.encode(), value.encode()) for name, value in FIELDS]
    assert holds(field.value, header, body)
    assert not holds(field.value, header, BODY)


TWICE = [("Content-Type", " text/plain"), *FIELDS]
"""Some readers take the first type, and would still find it."""


@pytest.mark.parametrize("to", [(FAR,), (MIXED,)], ids=["far", "forwarded"])
def test_what_cannot_be_taken_out_does_not_leave(to: tuple[str, ...]) -> None:
    reply, edits = sent(ruled(), *to, fields=TWICE)
    assert isinstance(reply, Reject)
    assert "such mail is not taken: malformed: readers disagree" in reply.text
    assert edits == ()
    reply, edits = sent(ruled(), *to, fields=TWICE, channel="local")
    assert reply == Continue()
    (held,) = (one for one in edits if isinstance(one, Hold))
    assert held.reason.startswith("attachment/programs cannot be taken out: malformed")


def test_one_message_is_taken_apart_at_a_time() -> None:
    """An archive may take 256 MiB, and the process serves many senders at once."""
    hasty, patient = (ruled(timeout=one).runtime.removals for one in (0.05, 20))
    found = Finding("attachment/programs", "matched", "matched")
    reasons = (Reason(found, Action.REMOVE, SITE, enforced=False),)
    block = parse_header(b"".join(f"{name}:{value}\r\n".encode() for name, value in FIELDS))
    whole = draft.Draft(block, block, MemoryBody(b"\r\n" + BODY))
    with turn:
        done = removed(whole, hasty, reasons)
    assert (done.unable, done.draft) == ("other messages take too long", whole)
    assert removed(whole, patient, reasons).notes
    assert not turn.locked()


def test_more_than_is_edited_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "LIMIT", 300)
    reply, _edits = sent(ruled(), FAR, body=BODY + b"x" * 300)
    assert isinstance(reply, Reject)
    assert "it has more than 300 bytes" in reply.text


def test_without_time_it_waits() -> None:
    """By its name the archive is matched; whether it is all that is there nobody knows."""
    text = RULES.replace('["exe"]', '["zip"]')
    packed = base64.b64encode(zipped(b"x", "x.txt"))
    body = TEXT + PART % (b"a.zip", packed) + b"--b--\r\n"
    reply, _edits = sent(ruled(text, timeout=0), FAR, body=body)
    assert isinstance(reply, TempFail)
    reply, edits = sent(ruled(text, timeout=0), FAR, body=body, channel="local")
    assert reply == Continue()
    (held,) = (one for one in edits if isinstance(one, Hold))
    assert held.reason == "attachment/programs cannot be taken out: there was no time for it"


def test_who_is_outside_has_the_policy_of_the_destination() -> None:
    text = RULES + (
        '[destinations.internet.policy."attachment/programs"]\n'
        'default = {{ matched = "deliver" }}\n'
    )
    reply, edits = sent(ruled(text), FAR, BOB)
    assert reply == Continue()
    assert bodies(edits) == []


@pytest.mark.parametrize(("action", "reply"), [("reject", Reject), ("defer", TempFail)])
def test_what_is_refused_outside_is_refused_for_all(action: str, reply: type[Reply]) -> None:
    """bob would take it, and without its parts it could go to him alone."""
    text = RULES + (
        '[destinations.internet.policy."attachment/programs"]\n'
        f'default = {{{{ matched = "{action}" }}}}\n'
    )
    answer, edits = sent(ruled(text), FAR, BOB)
    assert isinstance(answer, reply)
    assert edits == ()
    answer, edits = sent(ruled(text), FAR, BOB, channel="local")
    assert answer == Continue()
    (held,) = (one for one in edits if isinstance(one, Hold))
    assert held.reason.startswith(f"attachment/programs matched is {action}: ")
