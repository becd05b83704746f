"""Forged fields at every entrance: none is trusted, and where they are left they are others' text.

Every row of `forged` is sent to three people by each entrance. `plain` wants nothing, `listed` has
listed mail in Junk, `blind` has in Junk what was not checked. So a forged verdict or finding that
is believed shows in the folder, and so does a genuine one that is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.integration.forged import Left, Row, rows
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, HOSTNAME, MailSystem
from tests.integration.stack.smtp import Client, LmtpClient

ROWS = {row.name: row for row in rows()}
LISTED = "198.18.250.1"
SENDER = "a@sender.example"
FOLDERS = ("INBOX", "Junk")
_ROW = re.compile(rb"<([^<>@\r\n]+)@row\.example>")
_NAME = re.compile(rb"^([!-9;-~]+)[ \t]*:")


@dataclass(frozen=True)
class Entrance:
    """A way in, the people it leads to, and the folders in which they find what comes so."""

    plain: Mailbox
    listed: Mailbox
    blind: Mailbox
    send: Callable[[Row], None]
    folders: tuple[str, str, str]

    @property
    def people(self) -> tuple[Mailbox, Mailbox, Mailbox]:
        """In the order of the folders."""
        return self.plain, self.listed, self.blind


@dataclass(frozen=True)
class Arrived:
    """What one entrance gave: by person, by row, the folder and the message."""

    folders: tuple[str, str, str]
    found: tuple[Mapping[str, tuple[str, bytes]], ...]


def people(mailsystem: MailSystem, way: str) -> tuple[Mailbox, Mailbox, Mailbox]:
    """The three in a domain of their own."""
    domain = f"{way}.forged.test"
    mailsystem.add_domain(domain)
    return (
        mailsystem.add_user(f"plain@{domain}"),
        mailsystem.add_user(f"listed@{domain}", "dnsbl/delegated listed choice junk"),
        mailsystem.add_user(f"blind@{domain}", "dnsbl/delegated temperror choice junk"),
    )


@contextmanager
def internet(mailsystem: MailSystem) -> Iterator[Entrance]:
    """Port 25, from a client that is on the list."""
    three = people(mailsystem, "internet")
    mailsystem.lists.list(DELEGATED, LISTED)
    with Client(mailsystem.port(), client=(LISTED, "mx.sender.example")) as client:
        yield Entrance(*three, _sends(client, SENDER, three), ("INBOX", "Junk", "INBOX"))


@contextmanager
def submission(mailsystem: MailSystem) -> Iterator[Entrance]:
    """Port 587, from a user who has logged in."""
    three = people(mailsystem, "submission")
    user = three[0].user
    with Client(mailsystem.port("submission")) as client:
        client.starttls()
        client.login(user, mailsystem.password(user))
        yield Entrance(*three, _sends(client, user, three), ("INBOX", "INBOX", "INBOX"))


@contextmanager
def sendmail(mailsystem: MailSystem) -> Iterator[Entrance]:
    """sendmail(1)."""
    three = people(mailsystem, "sendmail")
    to = [one.user for one in three]

    def send(row: Row) -> None:
        mailsystem.postfix.sendmail("-f", SENDER, *to, message=row.message())

    yield Entrance(*three, send, ("INBOX", "INBOX", "INBOX"))


@contextmanager
def socket(mailsystem: MailSystem) -> Iterator[Entrance]:
    """Straight to the agent, past Postfix and the milter."""
    three = people(mailsystem, "socket")
    with LmtpClient(mailsystem.agent.socket) as client:
        yield Entrance(*three, _sends(client, SENDER, three), ("INBOX", "INBOX", "Junk"))


def _sends(client: Client, sender: str, three: tuple[Mailbox, ...]) -> Callable[[Row], None]:
    to = [one.user for one in three]

    def send(row: Row) -> None:
        sent = client.send(sender, to, row.message())
        assert sent.accepted, f"{row.name}: {sent}"

    return send


WAYS = {one.__name__: one for one in (internet, submission, sendmail, socket)}


@pytest.fixture(scope="module", params=WAYS)
def arrived(request: pytest.FixtureRequest, mailsystem: MailSystem) -> Arrived:
    """All rows sent by one entrance, and read."""
    with WAYS[request.param](mailsystem) as entrance:
        for row in ROWS.values():
            entrance.send(row)
    mailsystem.postfix.wait_empty(40)
    found = tuple(_read(person) for person in entrance.people)
    return Arrived(entrance.folders, found)


def _read(person: Mailbox) -> Mapping[str, tuple[str, bytes]]:
    """What is in a mailbox, by row; a row that comes twice is an error."""
    found: dict[str, tuple[str, bytes]] = {}
    for folder in FOLDERS:
        for text in person.messages(folder):
            name = _ROW.search(text)
            assert name, text
            assert name.group(1).decode() not in found
            found[name.group(1).decode()] = folder, text
    return found


@pytest.mark.parametrize("name", ROWS)
def test_nothing_forged_is_trusted(
    arrived: Arrived, name: str, request: pytest.FixtureRequest
) -> None:
    row, way = ROWS[name], request.node.callspec.params["arrived"]
    for folder, found in zip(arrived.folders, arrived.found, strict=True):
        where, text = found[name]
        assert where == folder
        assert left(text) in (row.agent if way == "socket" else row.postfix), text[-4000:]
        assert not fields(text, b"x-iems-findings")
        assert len(fields(text, b"x-iems-verdict")) == (folder == "Junk")
        results = fields(text, b"authentication-results")
        ours = [line for line in results if f": {HOSTNAME};".encode() in line]
        assert len(ours) == (way == "internet"), "what is under our name is the milter's own"
        assert all(b"iprev=" in line for line in ours)


def left(text: bytes) -> Left:
    """Where the value of a row is in a message."""
    head, _empty, body = text.partition(b"\r\n\r\n")
    if b"EVIL" in head:
        return Left.OTHER
    return Left.TEXT if b"EVIL" in body else Left.GONE


def fields(text: bytes, name: bytes) -> list[bytes]:
    """The fields of this name in the header, each on one line."""
    head = re.sub(rb"\r\n[ \t]+", b" ", text.partition(b"\r\n\r\n")[0])
    named = ((_NAME.match(line), line) for line in head.split(b"\r\n"))
    return [line for found, line in named if found and found.group(1).lower() == name]


def test_a_bounce_holds_what_was_forged_as_text_alone(mailsystem: MailSystem) -> None:
    """The header of a bounce is Postfix's; what it returns is read by nobody as ours."""
    _plain, listed, blind = people(mailsystem, "bounce")
    for row in ROWS.values():
        nobody = f"nobody@{listed.user.partition('@')[2]}"
        mailsystem.postfix.sendmail("-f", blind.user, nobody, message=row.message())
    mailsystem.postfix.wait_empty(40)
    found = _read(blind)
    assert found.keys() == ROWS.keys()
    for name, (folder, text) in found.items():
        assert folder == "INBOX", name
        assert left(text) is not Left.OTHER, name
        for field in (b"authentication-results", b"x-iems-findings", b"x-iems-verdict"):
            assert not fields(text, field), name


def test_more_forged_fields_than_can_be_removed_are_refused(mailsystem: MailSystem) -> None:
    """Each removal costs Postfix a walk through the header."""
    _plain, listed, blind = people(mailsystem, "many")
    mailsystem.lists.list(DELEGATED, LISTED)
    text = b"X-IEMS-Verdict: junk; ref=EVIL\r\n" * 101 + b"\r\nbody\r\n"
    with Client(mailsystem.port(), client=(LISTED, "mx.sender.example")) as client:
        sent = client.send(SENDER, [listed.user], text)
        assert sent.data
        assert str(sent.data).startswith("552 5.3.4 more than 100 forged header fields; reference ")
        many = client.send(SENDER, [listed.user], b"a:\r\n" * 10_001 + b"\r\nbody\r\n")
        assert "more than 10000 header fields" in str(many.data)
    # What comes by sendmail(1) comes back to its sender.
    mailsystem.postfix.sendmail("-f", blind.user, listed.user, message=text)
    (bounce,) = blind.wait()
    assert b"more than 100 forged header fields" in bounce
    mailsystem.postfix.wait_empty()
    assert not listed.messages("Junk")


def test_a_loop_is_refused_before_the_queue(mailsystem: MailSystem) -> None:
    """Or filed for him who had the message before, where others get it, too: no bounce goes out."""
    plain, listed, _blind = people(mailsystem, "loop")
    outside = len(mailsystem.sent_out())
    with Client(mailsystem.port()) as client:
        sent = client.send(SENDER, [plain.user], b"Subject: once\r\n\r\nbody\r\n")
        assert sent.accepted
        (text,) = plain.wait()
        assert fields(text, b"delivered-to")
        again = client.send(SENDER, [plain.user], text)
        assert str(again.data).startswith("550 5.4.6 mail loop, "), again
        both = client.send(SENDER, [plain.user, listed.user], text)
        assert both.data is not None
        assert both.data.code == 250
    (filed,) = plain.wait(folder="Junk")
    assert len(fields(filed, b"delivered-to")) == 2
    assert listed.wait()
    mailsystem.postfix.wait_empty()
    assert len(plain.messages()) == 1
    assert len(mailsystem.sent_out()) == outside
