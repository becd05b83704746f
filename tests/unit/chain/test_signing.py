"""Which mail the milter signs, and by whose key: never what merely comes through."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from iems.directory.reader import Directory, DirectoryUnavailable, Entry
from iems.dns.resolver import Answer, Status
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.store.signingkeys import DomainKeys
from iems.store.spool import MEMORY_LIMIT, Spool
from milters import draft
from milters.chain import Chain
from milters.reply import ChangeHeader, Continue, InsertHeader, ReplaceBody, TempFail
from tests.signing import MESSAGE
from tests.unit.chain.world import World
from tests.unit.checks.test_dkim import look, outcomes

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
KEYS = DomainKeys("example.test").prepared("ed25519", "s", NOW).activated(NOW)
BODY = MESSAGE.partition(b"\r\n\r\n")[2]
HOST = "mail.example.test"


@pytest.fixture
def world() -> World:
    """A worker that reads no body but for signatures."""
    made = World()
    made.use()
    made.runtime = replace(made.runtime, signing_keys={"example.test": KEYS})
    return made


def fields(author: str, *more: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    rows = [("From", f" Somebody <{author}>"), ("Subject", " lines\n\tand folds"), *more]
    return [(name.encode(), value.encode()) for name, value in rows]


def sent(
    chain: Chain,
    header: list[tuple[bytes, bytes]],
    *,
    login: str = "",
    sender: str = "alice@example.test",
    body: bytes = BODY,
) -> list[bytes]:
    """The values of the signatures that the message gets."""
    chain.mail(f"<{sender}>", {"{auth_authen}": login} if login else {})
    assert chain.rcpt("<far@elsewhere.example>", {}) == Continue()
    for name, value in header:
        chain.header(name, value)
    chain.end_of_headers()
    for at in range(0, len(body), 9):
        chain.body(body[at : at + 9])
    reply, edits = chain.end_of_message({"i": "4QueueId"})
    assert reply == Continue()
    inserted = [one for one in edits if isinstance(one, InsertHeader)]
    found = [one.value for one in inserted if one.name == b"DKIM-Signature"]
    assert found == [one.value for one in inserted[len(inserted) - len(found) :]]  # the last edits
    return found


def note(world: World) -> str:
    """What the log says of the last message."""
    return str(world.log.lines[-1].get("note", ""))


def holds(value: bytes, header: list[tuple[bytes, bytes]], body: bytes = BODY) -> bool:
    raw = b"".join(b"%s:%s\r\n" % (name, text.replace(b"\n", b"\r\n")) for name, text in header)
    message = b"DKIM-Signature: " + value + b"\r\n" + raw + b"\r\n" + body
    answer = Answer(Status.FOUND, (KEYS.keys[0].record,), 60)
    return outcomes(look(message, {("s._domainkey.example.test", "TXT"): answer})) == [("pass", "")]


@pytest.mark.parametrize(
    ("login", "author", "signed"),
    [
        ("alice@example.test", "alice@example.test", True),
        ("alice@example.test", "Alice+x@EXAMPLE.test", True),
        ("alice@example.test", "both@example.test", True),
        ("alice@example.test", "bob@example.test", False),
        ("alice@example.test", "alice@elsewhere.example", False),
        ("alice", "alice@example.test", False),
    ],
)
def test_at_submission_the_login_owns_the_address(
    world: World, login: str, author: str, signed: bool
) -> None:
    header = fields(author)
    found = sent(world.connect(daemon="submission"), header, login=login)
    assert len(found) == signed
    if signed:
        assert holds(found[0], header)
        assert note(world) == "signed: s._domainkey.example.test"
        assert world.recorder.added[-1].details["notes"] == [note(world)]
    elif author.endswith("example.test"):
        assert note(world).startswith("not signed: ")


@pytest.mark.parametrize(
    "header",
    [
        fields("alice@example.test", ("From", " bob@example.test")),
        fields("alice@example.test>, <bob@example.test"),
        fields("alice@example.test")[1:],
        fields('"alice"@example.test'),
        fields("alice@[192.0.2.1]"),
    ],
    ids=["two fields", "two authors", "none", "quoted", "literal"],
)
def test_who_wrote_it_is_in_no_doubt(world: World, header: list[tuple[bytes, bytes]]) -> None:
    assert not sent(world.connect(daemon="submission"), header, login="alice@example.test")


@pytest.mark.parametrize("ip", ["127.0.0.1", "192.0.2.9"])
def test_what_comes_without_a_login_is_not_signed(world: World, ip: str) -> None:
    """Over the loopback, too: what Sieve sends on is foreign."""
    assert not sent(world.connect(ip), fields("alice@example.test"))
    assert not sent(world.connect(ip), fields(f"MAILER-DAEMON@{HOST}"), sender="")
    assert note(world) == ""


@pytest.mark.parametrize(
    ("sender", "author", "more", "signed"),
    [
        ("", f"MAILER-DAEMON@{HOST}", (), True),
        (f"root@{HOST}", f"root@{HOST}", (), True),
        (f"root@{HOST}", f"cron@{HOST}", (), False),
        ("alice@example.test", "alice@example.test", (), False),
        ("", "alice@example.test", (), False),
        ("", f"MAILER-DAEMON@{HOST}", ("Received", " from x by y"), False),
        ("", f"MAILER-DAEMON@{HOST}", ("X-Sieve", " Pigeonhole Sieve"), False),
        ("", "MAILER-DAEMON@elsewhere.example", (), False),
    ],
)
def test_this_machine_signs_its_own_mail_and_its_bounces(
    world: World, sender: str, author: str, more: tuple[str, str] | tuple[()], signed: bool
) -> None:
    header = fields(author, *([more] if more else []))
    found = sent(world.connect(daemon="local"), header, sender=sender)
    assert len(found) == signed
    assert not signed or holds(found[0], header)


def test_a_list_signs_for_itself(world: World) -> None:
    chain = world.connect("127.0.0.1", daemon="list")
    assert sent(chain, fields("both@example.test"))
    assert not sent(chain, fields("alice@example.test"))
    assert "is no list" in note(world)


def test_only_keys_that_are_active_sign_and_each_kind_once(world: World) -> None:
    waiting = DomainKeys("example.test").prepared("ed25519", "s", NOW)
    both = KEYS.prepared("rsa", "r", NOW).activated(NOW).prepared("rsa", "next", NOW)
    for keys, expected in ((waiting, []), (both, [b"s=s;", b"s=r;"])):
        world.runtime = replace(world.runtime, signing_keys={"example.test": keys})
        chain = world.connect(daemon="submission")
        assert chain.reads_bodies is bool(expected)
        found = sent(chain, fields("alice@example.test"), login="alice@example.test")
        assert [next(one for one in expected if one in value) for value in found] == expected


def test_the_nearest_domain_signs(world: World) -> None:
    own = DomainKeys(HOST).prepared("ed25519", "own", NOW).activated(NOW)
    world.runtime = replace(world.runtime, signing_keys={"example.test": KEYS, HOST: own})
    (value,) = sent(world.connect(daemon="local"), fields(f"root@{HOST}"), sender=f"root@{HOST}")
    assert f"d={HOST};".encode() in value


@dataclass
class _Down:
    """A directory that fails once mail is to be signed."""

    directory: Directory
    asked: int = 0

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        self.asked += 1
        if self.asked > 1:
            raise DirectoryUnavailable("no answer")
        return self.directory.find(addresses, deadline)

    def __getattr__(self, name: str) -> object:
        return getattr(self.directory, name)


def test_mail_does_not_leave_unsigned_where_the_directory_fails(world: World) -> None:
    world.runtime = replace(world.runtime, directory=_Down(world.directory))  # type: ignore[arg-type]
    chain = world.connect(daemon="submission")
    chain.mail("<alice@example.test>", {"{auth_authen}": "alice@example.test"})
    chain.rcpt("<far@elsewhere.example>", {})
    for name, value in fields("alice@example.test"):
        chain.header(name, value)
    chain.end_of_headers()
    chain.body(BODY)
    reply, edits = chain.end_of_message({"i": "4QueueId"})
    assert isinstance(reply, TempFail)
    assert edits == ()


def recoded(world: World, body: bytes, *more: tuple[str, str]) -> tuple[list[object], str]:
    """The edits but for the findings of a message of alice's, and what is told of them."""
    chain = world.connect(daemon="submission")
    chain.mail("<alice@example.test>", {"{auth_authen}": "alice@example.test"})
    chain.rcpt("<far@elsewhere.example>", {})
    for name, value in fields("alice@example.test", *more):
        chain.header(name, value)
    chain.end_of_headers()
    chain.body(body)
    reply, edits = chain.end_of_message({"i": "4QueueId"})
    assert reply == Continue()
    ours = [one for one in edits if isinstance(one, InsertHeader) and b"IEMS" in one.name]
    assert len(ours) == 1
    return [one for one in edits if one not in ours], note(world)


def test_a_body_is_recoded_before_it_is_signed(world: World) -> None:
    declared = ("Content-Transfer-Encoding", " 8bit")
    edits, told = recoded(world, "grüße\r\n".encode(), declared)
    assert told == "signed: s._domainkey.example.test"
    *changes, field = edits
    assert changes == [
        ChangeHeader(b"Content-Transfer-Encoding", 1, b" base64"),
        ChangeHeader(b"MIME-Version", 1, b" 1.0"),
        ReplaceBody(b"Z3LDvMOfZQ0K\r\n"),
    ]
    assert isinstance(field, InsertHeader)
    after = (("Content-Transfer-Encoding", " base64"), ("MIME-Version", " 1.0"))
    assert holds(field.value, fields("alice@example.test", *after), b"Z3LDvMOfZQ0K\r\n")


def test_what_cannot_be_recoded_is_signed_as_it_is_unless_a_line_would_break_it(
    world: World,
) -> None:
    kind = ("Content-Type", ' multipart/signed; boundary="b"')
    parts = b"--b\r\n\r\n%s\r\n--b--\r\n"
    edits, told = recoded(world, parts % b"\xe4", kind)
    assert "stay as they are: a part is multipart/signed" in told
    (field,) = edits
    assert isinstance(field, InsertHeader)
    assert holds(field.value, fields("alice@example.test", kind), parts % b"\xe4")
    kind = ("Content-Type", ' multipart/mixed; boundary="b"')
    outside = b"\xe4\r\n" + parts % b"text"
    edits, told = recoded(world, outside, kind)
    assert "stay as they are: they stand outside of its parts" in told
    assert len(edits) == 1
    kind = ("Content-Type", ' multipart/signed; boundary="b"')
    edits, told = recoded(world, parts % (b"y" * 999), kind)
    assert told.startswith("not signed: a line has more than 998 bytes")
    assert edits == []


def test_a_large_message_is_read_in_pieces_and_not_recoded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "LIMIT", 100)
    edits, told = recoded(world, b"gr\xfc\xdfe\r\n" * 20)
    assert "more than 100 bytes" in told
    assert len(edits) == 1


@pytest.mark.parametrize("daemon", ["submission", "local"])
def test_a_body_that_cannot_be_kept_delays_mail_that_comes_by_smtp(
    world: World, daemon: str, tmp_path: Path
) -> None:
    """Postfix would keep other mail in maildrop for ever."""
    world.runtime = replace(world.runtime, spool=Spool(tmp_path / "gone"))
    author = f"root@{HOST}" if daemon == "local" else "alice@example.test"
    chain = world.connect(daemon=daemon)
    chain.mail(f"<{author}>", {} if daemon == "local" else {"{auth_authen}": author})
    chain.rcpt("<far@elsewhere.example>", {})
    for name, value in fields(author):
        chain.header(name, value)
    chain.end_of_headers()
    chain.body(b"x\r\n" * MEMORY_LIMIT)
    reply, edits = chain.end_of_message({"i": "4QueueId"})
    if daemon == "submission":
        assert isinstance(reply, TempFail)
        return
    assert reply == Continue()
    assert [one.name for one in edits if isinstance(one, InsertHeader)] == [b"X-IEMS-Findings"]
    assert note(world) == "not signed: its body could not be kept"
