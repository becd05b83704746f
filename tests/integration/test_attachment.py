"""Attachments through Postfix, milter, agent and Dovecot: who gets what, and what is kept."""

from __future__ import annotations

import datetime
import email
import email.policy
import json
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from iems.store.signingkeys import DomainKeys, make_folder
from tests import samples
from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.postfix import Queued
from tests.integration.stack.smtp import Client, Reply, send
from tests.integration.test_signing import arrived, passes
from tests.waiting import eventually

SENDER = "a@sender.example"
FAR = "someone@elsewhere.example"
SETTINGS = """
[checks.attachment.programs]
mode = "delegate"
content = ["executable"]
allow = { matched = ["deliver", "remove", "quarantine", "reject"] }

[checks.attachment.logs]
mode = "enforce"
extension = ["log"]
"""
PROGRAM = b"MZ\x90\0" + b"\0" * 60
ZIP = samples.part(samples.zipped(PROGRAM, "setup.exe"), "application/zip", "offer.zip")
EXE = samples.part(PROGRAM, name="setup.exe")
LOG = samples.part(b"a line\n", "text/x-log", "a.log")


class World:
    """The system with a domain of the test's own."""

    def __init__(self, system: MailSystem, fresh: Fresh) -> None:
        self.system, self.fresh = system, fresh
        system.add_domain(fresh.domain)
        self.alice = self.user("alice")

    def user(self, name: str, *policy: str) -> Mailbox:
        return self.system.add_user(self.fresh.address(name), *policy)

    def send(self, message: bytes, *to: str) -> Reply:
        """What is said at the end of the message."""
        where = (self.fresh.ip, "mx.sender.example")
        sent = send(self.system.port(), SENDER, to or [self.alice.user], message, client=where)
        assert {one.code for one in sent.recipients.values()} == {250}
        assert sent.data is not None
        return sent.data

    def why(self, word: str, text: str) -> str:
        """What `iems why` says, once this is in it: records are written a moment later."""
        told: list[str] = []

        def there() -> bool:
            done = self.system.iems_ends("why", word)
            told[:] = [done.stdout.decode()]
            return text in told[0]

        eventually(there, 20, lambda: f"{text} in {told}")
        return told[0]

    def kept(self, recipient: str) -> list[dict[str, object]]:
        """What `iems quarantine list` has for him."""
        told = self.system.iems("quarantine", "list", "--recipient", recipient, "--json")
        rows: list[dict[str, object]] = json.loads(told)
        return rows


@pytest.fixture(scope="module")
def ruled(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The system with rules about attachments."""
    with mailsystem.settings("attachments", SETTINGS):
        yield mailsystem


@pytest.fixture
def world(ruled: MailSystem, fresh: Fresh) -> World:
    """A domain of the test's own."""
    return World(ruled, fresh)


def read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


def parts(raw: bytes) -> list[tuple[str, str, str]]:
    """Type, name and text of each part that is none of others."""
    found = []
    for one in read(raw).walk():
        if not one.is_multipart():
            shown = one.get_content_maintype() == "text" and not one.get_filename()
            text = "\n".join(str(one.get_content()).split("\r\n")).strip() if shown else ""
            found.append((one.get_content_type(), one.get_filename() or "", text))
    return found


def test_each_gets_what_his_policy_leaves_and_a_release_brings_the_rest(world: World) -> None:
    """alice wants German; bob takes programs; carl keeps such mail off; all by one transaction."""
    system, alice = world.system, world.alice
    rule = "attachment/programs matched choice"
    bob, carl = world.user("bob", f"{rule} deliver"), world.user("carl", f"{rule} quarantine")
    system.iems("user", "set", alice.user, "--language", "de")
    assert world.send(samples.mixed(samples.TEXT, ZIP), alice.user, bob.user, carl.user).code == 250
    (got,) = alice.wait()
    (row,) = world.kept(alice.user)
    assert (row["check"], row["original"]) == ("attachment/programs", True)
    text, (kind, name, notice) = parts(got)
    assert text[2] == "hello"
    assert (kind, name) == ("text/plain", "")
    assert notice.startswith("Der Anhang offer.zip (application/zip, ")
    assert "programs entfernt.\nDie Nachricht, wie sie war, wird einige Zeit" in notice
    assert notice.endswith(f"freigeben: {row['id']}")
    (whole,) = bob.wait()
    assert parts(whole)[1][:2] == ("application/zip", "offer.zip")
    assert world.kept(bob.user) == []
    (away,) = world.kept(carl.user)
    assert (away["check"], away["original"]) == ("attachment/programs", False)
    told = world.why(str(row["reference"]), f"kept in quarantine as it was: {row['id']}")
    assert "attachment/programs matched: remove, chosen by site" in told
    assert b"delivered without parts" in system.iems("quarantine", "show", str(row["id"]))
    system.iems("quarantine", "release", str(row["id"]), "--recipient", alice.user)
    (again,) = (one for one in alice.wait(2) if one != got)
    assert parts(again) == parts(whole)
    assert world.kept(alice.user) == []
    system.postfix.wait_empty()
    assert carl.messages() == []


def test_a_release_goes_past_exactly_its_rule(world: World) -> None:
    """Who may not choose about logs passes no rule about them; root names both."""
    system, user = world.system, world.alice.user
    assert world.send(samples.mixed(samples.TEXT, ZIP, LOG)).code == 250
    (got,) = world.alice.wait()
    assert [name for _kind, name, _text in parts(got)] == ["", "", ""]
    (row,) = world.kept(user)
    name, rule = str(row["id"]), "attachment/programs:matched"
    done = system.iems_ends("quarantine", "release", name, "--rule", rule)
    assert done.returncode == 1
    assert b"Still held: attachment/logs:matched remove, enforced by site" in done.stderr
    both = ("--rule", rule, "--rule", "attachment/logs:matched")
    own = system.iems_ends("quarantine", "release", "--as", user, name, *both)
    assert own.returncode == 77
    system.iems("quarantine", "release", name, *both)
    (again,) = (one for one in world.alice.wait(2) if one != got)
    assert [name for _kind, name, _text in parts(again)] == ["", "offer.zip", "a.log"]


def test_what_all_refuse_is_refused_while_the_sender_waits(world: World) -> None:
    bob = world.user("bob", "attachment/programs matched choice reject")
    reply = world.send(samples.mixed(samples.TEXT, ZIP), bob.user)
    assert reply.code == 550
    assert "the attachment is not taken here: setup.exe in offer.zip (programs)" in reply.text
    assert world.send(samples.mixed(samples.TEXT), bob.user).code == 250
    assert len(bob.wait()) == 1


def test_what_comes_through_a_list_is_stripped_as_the_list_wants(world: World) -> None:
    system = world.system
    bob = world.user("bob", "attachment/programs matched choice deliver")
    team = system.add_alias(world.fresh.address("team"), bob.user)
    system.iems("policy", "set", team, "attachment/programs:matched", "remove")
    assert world.send(samples.mixed(samples.TEXT, ZIP), team).code == 250
    (got,) = bob.wait()
    assert [name for _kind, name, _text in parts(got)] == ["", ""]
    assert world.send(samples.mixed(samples.TEXT, ZIP), bob.user).code == 250
    (whole,) = (one for one in bob.wait(2) if one != got)
    assert [name for _kind, name, _text in parts(whole)] == ["", "offer.zip"]


def test_a_name_from_right_to_left_misleads_nobody(world: World) -> None:
    part = samples.part(PROGRAM, "image/png", "photo\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe")
    assert world.send(samples.mixed(samples.TEXT, part)).code == 250
    (got,) = world.alice.wait()
    _text, (_kind, name, notice) = parts(got)
    assert name == ""
    assert notice.startswith("The attachment photo?gnp.exe (image/png, 64 bytes) was removed")


def test_the_only_part_and_an_image_that_html_refers_to(world: World) -> None:
    """The message stays one, and the page shows a text where its image was."""
    header = b"Subject: only\r\nMIME-Version: 1.0\r\n"
    only = header + samples.part(PROGRAM)
    assert world.send(only).code == 250
    page = (
        header.replace(b"only", b"page") + b'Content-Type: multipart/related; boundary="r"\r\n\r\n'
        b'--r\r\nContent-Type: text/html\r\n\r\n<p>see</p><img src="cid:i@x">\r\n'
        b"--r\r\nContent-Type: image/png; name=i.png\r\nContent-ID: <i@x>\r\n"
        b"Content-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + samples.lines(PROGRAM)
        + b"\r\n--r--\r\n"
    )
    assert world.send(page).code == 250
    by_subject = {read(one)["Subject"]: one for one in world.alice.wait(2)}
    ((kind, name, notice),) = parts(by_subject["only"])
    assert (kind, name) == ("text/plain", "")
    assert "was removed by the rule programs." in notice
    html, image = parts(by_subject["page"])
    assert html[2] == '<p>see</p><img src="cid:i@x">'
    assert image[0] == "text/plain"
    assert [one["Content-ID"] for one in read(by_subject["page"]).iter_parts()] == [None, "<i@x>"]


@pytest.fixture
def signing(world: World) -> Iterator[MailSystem]:
    """The system with keys for the test's own domain."""
    system, domain = world.system, world.fresh.domain
    folder = system.site.etc / "keys/dkim"
    make_folder(folder)
    now = datetime.datetime.now(datetime.UTC)
    keys = DomainKeys(domain).prepared("ed25519", "", now).activated(now)
    keys.write(folder)
    system.reload()
    yield system
    (folder / f"{domain}.toml").unlink()
    system.reload()


def test_what_leaves_is_without_it_for_all_and_signed_so(
    world: World, signing: MailSystem, tmp_path: Path
) -> None:
    """Submitted to outside and to bob, who would take programs."""
    system, user = signing, world.alice.user
    bob = world.user("bob", "attachment/programs matched choice deliver")
    word = f"<{world.fresh.domain}@attachment>"
    head = samples.HEADER.replace(b"a@sender.example", user.encode())
    head += f"Message-ID: {word}\r\n".encode()
    with Client(system.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(user, system.password(user))
        sent = smtp.send(user, [FAR, bob.user], samples.mixed(samples.TEXT, ZIP, header=head))
        doubtful = b"Content-Type: text/plain\r\n" + samples.mixed(samples.TEXT, EXE, header=head)
        refused = smtp.send(user, [FAR], doubtful)
    assert set(sent.accepted) == {FAR, bob.user}
    message = arrived(system, word)
    assert passes(system, message, tmp_path) == 1
    _text, (kind, name, notice) = parts(message)
    assert (kind, name) == ("text/plain", "")
    assert notice.startswith("The attachment offer.zip (application/zip, ")
    assert notice.endswith(" was removed by the rule programs.")
    (copy,) = bob.wait()
    assert parts(copy) == parts(message)
    assert world.kept(bob.user) == []
    world.why(word, "note: taken out: attachment/programs")
    assert refused.data is not None
    assert refused.data.code == 550
    assert "such mail is not taken: malformed: readers disagree" in refused.data.text


def test_what_cannot_be_taken_out_is_held_where_nobody_waits(world: World) -> None:
    system, user = world.system, world.alice.user
    doubtful = b"Content-Type: text/plain\r\n" + samples.mixed(samples.TEXT, EXE)
    system.postfix.sendmail("-f", user, FAR, message=doubtful.replace(b"\r\n", b"\n"))

    def held() -> list[Queued]:
        entries = system.postfix.entries()
        return [one for one in entries if one.sender == user and one.queue == "hold"]

    (one,) = eventually(held, 20)
    system.why(one.queue_id)
    told = system.iems("why", one.queue_id).decode()
    assert "held in the queue: attachment/programs cannot be taken out: malformed" in told
    system.iems("queue", "delete", "--sender", user, "--queue", "hold", "--yes")
    assert all(user not in str(one) for one in system.sent_out())
