"""`attachment`: what rules find in messages, and what keeps them from finding it."""

from __future__ import annotations

import base64
import dataclasses
import io
import threading
import zipfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.header import split_message
from iems.edits.inventory import Inventory, inventory
from iems.model.envelope import LOCAL, SUBMISSION
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.policy import missing_findings
from iems.settings.read import SettingsError
from iems.store.spool import MemoryBody, Spooled
from milters.checks import attachment
from milters.checks.protocol import Check, Stage, View
from tests.unit.checks.world import OWN, Answers, site, tools, view

KEY = "checks.attachment.a"
PROGRAM = b"MZ\x90\0" + b"\0" * 60


def check(label: str = "a", *, seconds: float = 20, **options: object) -> Check:
    """The rule of these options."""
    return ruled(options, label, seconds)


def ruled(options: dict[str, object], label: str = "a", seconds: float = 20) -> Check:
    """The same."""
    made = tools(Answers())
    wanted = dataclasses.replace(made, site=site(attachments={"timeout": seconds}))
    (one,) = attachment.make(label, attachment.parse(options, KEY), wanted)
    assert one.stage is Stage.BODY
    assert one.name == f"attachment/{label}"
    return one


def attached(name: str, octets: bytes, kind: str = "application/octet-stream") -> bytes:
    """A message with a text and this file."""
    return (
        b"Subject: s\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nthe text\r\n"
        b"--b\r\nContent-Type: " + kind.encode() + b'; name="' + name.encode() + b'"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(octets).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )


def zipped(*names: str, octets: bytes = PROGRAM) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, octets)
    return stream.getvalue()


def message(data: bytes, **client: str) -> View:
    header, body = split_message(data)
    seen = view(client.pop("ip", "192.0.2.1"), header=header, **client)
    return dataclasses.replace(seen, message=Spooled(header, MemoryBody(body)))


def findings(one: Check, seen: View) -> tuple[Finding, ...]:
    pending = one.start(seen, Deadline.after(0))
    found = pending.result()
    assert pending.result() == found
    return found


def bands(one: Check, seen: View) -> list[str]:
    return [finding.band for finding in findings(one, seen)]


@pytest.mark.parametrize(
    ("options", "name", "octets"),
    [
        ({"name": ["*.iso", "?vil.*"]}, "evil.txt", b"x"),
        ({"pattern": ["^ev.l"]}, "evil.txt", b"x"),
        ({"extension": ["exe"]}, "evil.EXE", b"x"),
        ({"extension": ["exe"]}, "evil\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe", b"x"),
        ({"double_extension": True}, "evil.pdf.exe", b"x"),
        ({"type": ["application/octet-*"]}, "evil", b"x"),
        ({"content": ["executable"]}, "evil.txt", PROGRAM),
        ({"larger": 3}, "evil.txt", b"four"),
        ({"content": ["archive"], "fault": ["broken"]}, "a.zip", zipped("a")[:50]),
    ],
    ids=["name", "pattern", "extension", "direction", "double", "type", "content", "size", "fault"],
)
def test_what_rules_match(options: dict[str, object], name: str, octets: bytes) -> None:
    one = ruled(options)
    (found,) = findings(one, message(attached(name, octets)))
    assert (found.check, found.outcome, found.band) == ("attachment/a", "matched", "matched")
    (none,) = findings(one, message(attached("note.txt", b"abc", "text/x-note")))
    assert (none.outcome, none.band) == ("clear", "")


def test_what_is_told_of_a_file_in_an_archive() -> None:
    data = attached("offer.zip", zipped("note.txt", "deep/evil.exe"), "application/zip")
    (found,) = findings(check("programs", extension=["exe"]), message(data))
    assert found.reason == "the attachment is not taken here: deep/evil.exe in offer.zip (programs)"
    size = str(len(zipped("note.txt", "deep/evil.exe")))
    assert found.evidence == (
        ("name", "offer.zip"),
        ("type", "application/zip"),
        ("size", size),
        ("file", "deep/evil.exe"),
    )


@given(st.text(max_size=300), st.binary(max_size=40))
def test_what_is_told_is_printable_and_short(name: str, octets: bytes) -> None:
    names = "".join(letter for letter in name if letter >= " " and letter not in '"\\\x7f')
    data = attached(names.encode("utf-8", "replace").decode(), octets)
    for found in findings(check(type=["*"]), message(data)):
        texts = (found.reason, *(text for pair in found.evidence for text in pair))
        assert all(one.isascii() and one.isprintable() and len(one) < 400 for one in texts)


@given(st.binary(max_size=400))
def test_hostile_bytes_raise_nothing(data: bytes) -> None:
    seen = view("192.0.2.1", header=b"")
    seen = dataclasses.replace(seen, message=Spooled(b"", MemoryBody(data)))
    assert set(bands(check(content=["executable"]), seen)) <= {"", "matched", "malformed"}


@pytest.mark.parametrize(
    "client",
    [{"ip": OWN}, {"channel": SUBMISSION, "authenticated": "a@b.test"}, {"channel": LOCAL}],
)
def test_all_mail_is_looked_at(client: dict[str, str]) -> None:
    one = check(extension=["exe"])
    seen = message(attached("a.exe", b""), **client)
    assert one.applies(seen)
    assert bands(one, seen) == ["matched"]


def test_a_message_is_taken_apart_once_for_all_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def counted(data: bytes, until: float) -> Inventory:
        calls.append(data)
        return inventory(data, until)

    monkeypatch.setattr(attachment, "inventory", counted)
    seen = message(attached("a.exe", b""))
    assert [bands(check(str(n), extension=[n]), seen) for n in ("exe", "com")] == [
        ["matched"],
        [""],
    ]
    assert len(calls) == 1


def test_what_one_reader_finds_is_found() -> None:
    """Two types, of which readers take the one or the other."""
    inner = attached("evil.exe", PROGRAM)
    data = inner.replace(b"Subject: s\r\n", b"Subject: s\r\nContent-Type: text/plain\r\n")
    assert bands(check(extension=["exe"]), message(data)) == ["matched"]


@pytest.mark.parametrize(
    "data",
    [
        attached("a.bin", b"x").replace(b"Encoding: base64", b"Encoding: x-base64"),
        attached("a.zip", zipped(*map(str, range(10_001)), octets=b"")),
    ],
    ids=["an encoding that is none", "more files than are looked into"],
)
def test_malformed(data: bytes) -> None:
    (found,) = findings(check(extension=["exe"]), message(data))
    assert (found.outcome, found.band) == ("malformed", "malformed")
    assert found.reason.startswith("the message cannot be looked at as a whole: ")


def test_a_rule_that_matches_hides_not_that_there_may_be_more() -> None:
    data = attached("a.exe", b"x").replace(b"Encoding: base64", b"Encoding: x-base64")
    whole = data.replace(b"--b\r\nContent-Type: text", b"--b\r\nX: a.exe\r\nContent-Type: text")
    assert bands(check(extension=["exe"]), message(whole)) == ["malformed"]
    many = attached("evil.zip", zipped("a.exe", *map(str, range(10_001)), octets=b""))
    assert bands(check(extension=["exe"]), message(many)) == ["matched", "malformed"]


def test_a_large_file_in_an_archive_is_known_by_its_name() -> None:
    """Its content is cut, and nothing is hidden by that."""
    data = attached("a.zip", zipped("zeros.bin", octets=b"\0" * (3 << 20)))
    assert bands(check(extension=["exe"]), message(data)) == [""]
    assert bands(check(fault=["too-large"]), message(data)) == ["matched"]


def test_a_message_beyond_the_bound_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "MOST", 100)
    assert bands(check(extension=["exe"]), message(attached("a.exe", b"x" * 100))) == ["malformed"]


def test_no_time_is_a_temporary_error_but_for_who_knows_already() -> None:
    seen = message(attached("a.zip", zipped("evil.exe")))
    late = {label: check(label, seconds=0, extension=[label]) for label in ("exe", "zip")}
    (found,) = findings(late["exe"], seen)
    assert (found.outcome, found.band) == ("temperror", "temperror")
    assert found.reason == "attachments could not be looked at: there was no time for it"
    assert bands(late["zip"], seen) == ["matched"]


def test_whose_turn_does_not_come_is_not_looked_at() -> None:
    with attachment.turn:
        seen = message(attached("a.exe", b"x"))
        found: list[str] = []
        other = threading.Thread(
            target=lambda: found.extend(bands(check(seconds=0.05, extension=["exe"]), seen))
        )
        other.start()
        other.join(10)
        assert found == ["temperror"]


class Lost(MemoryBody):
    """A body in a file that cannot be read."""

    def pieces(self) -> Iterator[bytes]:
        """Fail."""
        raise OSError(5, "Input/output error")


def test_what_cannot_be_read_is_a_temporary_error() -> None:
    seen = view("192.0.2.1", header=b"")
    assert bands(check(name=["*"]), seen) == ["temperror"], "it could not be kept"
    seen = dataclasses.replace(seen, message=Spooled(b"", Lost(b"x")))
    (found,) = findings(check(name=["*"]), seen)
    assert found.reason.endswith("it cannot be read: Input/output error")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, f"{KEY}: expected one of name, pattern"),
        ({"content": ["virus"]}, f"{KEY}: content = 'virus': expected one of"),
        ({"fault": ["odd"]}, f"{KEY}: fault = 'odd': expected one of"),
        ({"pattern": ["("]}, f"{KEY}: '(' is no pattern"),
        ({"extensions": ["exe"]}, f"{KEY}.extensions is no setting; did you mean extension?"),
        ({"extension": "exe"}, f"{KEY}.extension is 'exe'; expected a list of strings"),
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        attachment.parse(options, KEY)
    assert str(caught.value).startswith(f"settings: {told}")


def test_lost_findings_are_a_temporary_error_in_either_mode() -> None:
    rules = {mode: {"mode": mode, "name": ["*"]} for mode in ("enforce", "delegate", "shadow")}
    missing = missing_findings(site(checks={"attachment": rules}).checks)
    assert {(one.check, one.band) for one in missing} == {
        ("attachment/enforce", "temperror"),
        ("attachment/delegate", "temperror"),
    }
