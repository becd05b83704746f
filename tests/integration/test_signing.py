"""What is sent here is signed, and holds behind a hop without 8BITMIME; opendkim verifies it.

Postfix is told to do without 8BITMIME wherever it sends, so that it recodes all that it would
recode on any way.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.store.signingkeys import DomainKeys, load_all, load_one, make_folder
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import Ground
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import HOSTNAME, MailSystem
from tests.integration.stack.postfix import Listener
from tests.integration.stack.programs import run
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

DOMAIN = "signing.box.test"
FAR = "someone@elsewhere.example"
LONG = b"a long line of words " * 60
UTF8 = b"Content-Type: text/plain; charset=utf-8\r\n"
EIGHT = b"Content-Transfer-Encoding: 8bit\r\n"
MIME = b"MIME-Version: 1.0\r\n"
MESSAGES = {
    "plain": b"To: somebody@elsewhere.example\r\n\r\nHello.\r\n.\r\n\r\nEnd  \r\n\r\n\r\n",
    "no body": b"\r\n",
    "8-bit body": MIME + UTF8 + EIGHT + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 3,
    "8-bit body, not declared": b"\r\nGr\xfc\xdfe\r\n",
    "8-bit field": b"X-Odd: Gr\xfc\xdfe\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\n\r\nHello.\r\n",
    "long line": b"\r\nshort\r\n" + LONG + b"\r\n",
    "large": MIME + UTF8 + EIGHT + b"\r\n" + b"Gr\xc3\xbc\xc3\x9fe in a large message\r\n" * 20000,
    "parts": MIME + b'Content-Type: multipart/mixed; boundary="b"\r\n' + EIGHT + b"\r\n"
    b"--b\r\n" + UTF8 + EIGHT + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>" + LONG + b"\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n" + EIGHT + b"\r\n" + MIME + UTF8 + EIGHT
    + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n--b--\r\n",
    "declared and not so": MIME + UTF8 + EIGHT + b"\r\nHello.\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """Keys of the host's domain and of one with users; two of its kind sign for the latter."""
    folder = mailsystem.site.etc / "keys/dkim"
    make_folder(folder)
    now = datetime.datetime.now(datetime.UTC)
    for domain, kinds in ((DOMAIN, ("rsa", "ed25519")), ("example.test", ("ed25519",))):
        keys = DomainKeys(domain)
        for kind in kinds:
            keys = keys.prepared(kind, "", now)
        keys.activated(now).write(folder)
    mailsystem.add_domain(DOMAIN)
    for name in ("alice", "bob", "carol"):
        mailsystem.add_user(f"{name}@{DOMAIN}")
    file = mailsystem.postfix.config / "main.cf"
    before = file.read_text()
    file.write_text(f"{before}smtp_discard_ehlo_keywords = 8bitmime\n")
    mailsystem.postfix.reload()
    mailsystem.reload()
    yield mailsystem
    file.write_text(before)
    mailsystem.postfix.reload()
    for one in folder.iterdir():
        one.unlink()
    mailsystem.reload()


def box(system: MailSystem, name: str) -> Mailbox:
    """A user's mailboxes."""
    address = f"{name}@{DOMAIN}"
    return system.dovecot.mailbox(address, system.password(address))


def head(fresh: Fresh, author: str) -> bytes:
    """The first fields of a message, which the test knows it by."""
    return f"From: {author}\r\nMessage-ID: <{fresh.domain}@signing>\r\n".encode()


def arrived(system: MailSystem, word: str) -> bytes:
    """The message that left, with this word in it."""
    return eventually(
        lambda: [one.message for one in system.outside.caught() if word.encode() in one.message],
        40,
        lambda: system.postfix.log()[-2000:],
    )[0]


def submitted(system: MailSystem, fresh: Fresh, author: str, rest: bytes) -> bytes:
    """What becomes of a message that alice hands in."""
    login = f"alice@{DOMAIN}"
    with Client(system.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(login, system.password(login))
        assert smtp.send(login, [FAR], head(fresh, author) + rest).accepted == (FAR,)
    return arrived(system, f"<{fresh.domain}@signing>")


def passes(system: MailSystem, message: bytes, folder: Path) -> int:
    """How many signatures hold, says opendkim; all there are have to."""
    known = "".join(
        f"{key.selector}._domainkey.{domain} {key.record}\n"
        for domain, keys in load_all(system.site.etc / "keys/dkim").items()
        for key in keys.keys
    )
    for name, content in (
        ("keys", known.encode()),
        ("conf", f"TestPublicKeys {folder}/keys\nMode v\n".encode()),
        ("message", message),
    ):
        (folder / name).write_bytes(content)
    told = run("opendkim", "-x", folder / "conf", "-vv", "-t", folder / "message").decode()
    there = message.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature: ")
    assert told.count("dkim=pass") == there, told
    return there


@pytest.mark.parametrize("name", MESSAGES)
def test_what_a_user_sends_holds_where_it_arrives(
    system: MailSystem, fresh: Fresh, name: str, tmp_path: Path
) -> None:
    message = submitted(system, fresh, f"Alice <alice@{DOMAIN}>", MESSAGES[name])
    assert passes(system, message, tmp_path) == 2
    body = message.partition(b"\r\n\r\n")[2]
    assert body.isascii()
    assert max(map(len, body.split(b"\r\n"))) <= 998
    changed = message.replace(b"Message-ID: <", b"Message-ID: <x")
    assert changed != message
    with pytest.raises(AssertionError, match="dkim=fail"):
        passes(system, changed, tmp_path)


def test_the_address_of_somebody_else_is_not_signed(system: MailSystem, fresh: Fresh) -> None:
    message = submitted(system, fresh, f"bob@{DOMAIN}", MESSAGES["plain"])
    assert b"DKIM-Signature" not in message
    [line] = system.milter.log(f"<{fresh.domain}@signing>").splitlines()
    assert f"not signed: bob@{DOMAIN} is not an address of alice@{DOMAIN}" in line


def test_what_sieve_sends_on_or_answers_is_not_signed(system: MailSystem, fresh: Fresh) -> None:
    """A stranger writes in alice's name; over 127.0.0.1 and by sendmail(1) it comes again."""
    bob, carol = box(system, "bob"), box(system, "carol")
    script = f'require "vacation"; redirect "{carol.user}"; vacation :from "{carol.user}" "away";'
    system.dovecot.script(bob.user, script)
    forged = head(fresh, f"alice@{DOMAIN}") + f"To: {bob.user}\r\n\r\nforged\r\n".encode()
    came = (fresh.ip, "mx.sender.example")
    assert send(system.port(), carol.user, [bob.user], forged, client=came).accepted
    found = carol.wait(2, deadline=40)
    assert len(found) == 2
    answer, redirected = sorted(found, key=lambda one: b"forged" in one)
    assert b"forged" not in answer
    assert b"X-Sieve: " in answer
    assert b"forged" in redirected
    for at, (sender, message) in enumerate(((f"a@{DOMAIN}", redirected), ("<>", answer))):
        assert b"DKIM-Signature" not in message
        # As Pigeonhole wrote it, with a word of its own, and from the host's name, for which
        # anything else would be signed.
        text = message[message.index(b"X-Sieve: ") :].replace(
            b"\r\nFrom: ", f"\r\nX-Again: {fresh.domain}-{at}\r\nFrom: ".encode()
        )
        text = text.replace(DOMAIN.encode(), HOSTNAME.encode()).replace(b"\r\n", b"\n")
        system.postfix.sendmail("-f", sender.replace(DOMAIN, HOSTNAME), FAR, message=text)
        assert b"DKIM-Signature" not in arrived(system, f"{fresh.domain}-{at}")


@pytest.mark.parametrize(("account", "signed"), [(f"root@{HOSTNAME}", 1), (f"alice@{DOMAIN}", 0)])
def test_this_machine_signs_for_its_accounts_and_not_for_users(
    system: MailSystem, fresh: Fresh, account: str, signed: int, tmp_path: Path
) -> None:
    text = head(fresh, account) + "\r\nGrüße\r\n".encode()
    system.postfix.sendmail("-f", account, FAR, message=text.replace(b"\r\n", b"\n"))
    message = arrived(system, f"<{fresh.domain}@signing>")
    assert passes(system, message, tmp_path) == signed


def test_a_list_manager_signs_for_lists(
    system: MailSystem, ground: Ground, fresh: Fresh, tmp_path: Path
) -> None:
    """It hands in what its lists send by a listener of its own."""
    rights = {"mynetworks": "127.0.0.1", "smtpd_relay_restrictions": "permit_mynetworks, reject"}
    listener = Listener("list", ground.port(), rights)
    file = system.postfix.config / "master.cf"
    before = file.read_text()
    file.write_text(f"{before}{listener.line()}\n")
    try:
        system.postfix.reload()
        eventually(lambda: _accepts(listener.port), 20)
        members = system.add_alias(f"{fresh.domain}@{DOMAIN}", f"carol@{DOMAIN}")
        for author, signatures in ((members, 2), (f"alice@{DOMAIN}", 0)):
            text = head(fresh, author).replace(b"<", b"<%d." % signatures) + b"\r\nto all\r\n"
            assert send(listener.port, author, [FAR], text).accepted
            message = arrived(system, f"<{signatures}.{fresh.domain}@signing>")
            assert passes(system, message, tmp_path) == signatures
    finally:
        file.write_text(before)
        system.postfix.reload()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def test_a_bounce_is_signed(system: MailSystem, fresh: Fresh, tmp_path: Path) -> None:
    nobody = system.add_alias(f"{fresh.domain}@{DOMAIN}", f"gone-{fresh.domain}@{DOMAIN}", FAR)
    sender = f"{fresh.domain}@sender.example"
    client = (fresh.ip, "mx.sender.example")
    text = head(fresh, sender) + b"\r\nhello\r\n"
    assert send(system.port(), sender, [nobody], text, client=client).accepted
    bounce = eventually(
        lambda: [one for one in system.outside.caught() if one.recipients == (sender,)], 40
    )[0]
    assert bounce.sender == ""
    assert f"MAILER-DAEMON@{HOSTNAME}".encode() in bounce.message
    assert passes(system, bounce.message, tmp_path) == 1


def test_a_key_signs_once_its_record_is_published(
    system: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    system.iems("dkim", "keygen", DOMAIN, "--selector", "next")
    assert system.iems_ends("dkim", "rotate", DOMAIN).returncode == 1
    assert system.iems_ends("dkim", "dns", DOMAIN, "--check").returncode == 1
    rows = json.loads(system.iems("dkim", "dns", DOMAIN, "--json"))
    assert {row["text"] for row in rows} == {
        key.record for key in load_one(system.site.etc / "keys/dkim", DOMAIN).keys
    }
    for row in rows:
        strings = " ".join(f'"{one}"' for one in row["strings"])
        system.resolver.add(f"{row['name']}. TXT {strings}")
    told = system.iems("dkim", "dns", DOMAIN, "--check").decode()
    assert told.count(": published") == len(rows) == 3
    told = system.iems("dkim", "rotate", DOMAIN).decode()
    assert "rsa key next" in told
    for row in rows:
        system.resolver.remove(f"{row['name']}.")
    assert b"nothing is wrong" in system.iems("check")
    system.reload()
    message = submitted(system, fresh, f"alice@{DOMAIN}", MESSAGES["plain"])
    assert b"\ts=next; " in message
    assert passes(system, message, tmp_path) == 2
