"""Content on the installed server: what scans, removes, puts in and was written by others.

All of it runs under the units as they are installed, with their filters and limits.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest

from milters.engines.scanner import EICAR
from tests import samples, shouting
from tests.system import mail
from tests.system.mail import marker, tls
from tests.system.server import DOMAIN, Server
from tests.system.world import CLEAN
from tests.waiting import eventually

SCANNER = "/usr/local/bin/scan-for-eicar"
SETTINGS = f"""\
[checks.virus]
mode = "enforce"
default = {{ infected = "reject" }}
engines = {{ own = {{ kind = "command", command = ["{SCANNER}"] }} }}

[checks.attachment.programs]
mode = "delegate"
extension = ["exe"]

[edits.text.footer]
plain = "/etc/iems/texts/footer.txt"
senders = ["{DOMAIN}"]

[edits.tagging.all]
word = "[tagged]"
"""
PACKAGE = "/root/shouting"


@pytest.fixture(scope="module")
def content(server: Server) -> Iterator[Server]:
    """The server with a scanner, a rule, a text, and the check and the edit of the page."""
    machine = server.machine
    scan = machine.path(SCANNER)
    scan.write_text("#!/bin/sh\ngrep -q EICAR-STANDARD && exit 1\nexit 0\n")
    scan.chmod(0o755)
    machine.path("/etc/iems/texts/footer.txt").write_text("Written by {{ name }}.\n")
    machine.path(PACKAGE).mkdir()
    for name, text in shouting.files().items():
        machine.path(f"{PACKAGE}/{name}").write_text(text)
    install, _tried = shouting.commands()
    python = "/opt/iems/current/bin/python"
    machine.run(python, *install, cwd=PACKAGE, timeout=120.0)
    server.settings("content.toml", SETTINGS + shouting.turned_on("shouting.toml"))
    server.iems("check")
    server.reload()
    eventually(lambda: _as_written(server), 60, "the daemons with these settings")
    yield server
    server.settings("content.toml", "")
    server.reload()


def _as_written(server: Server) -> bool:
    return server.machine.run("iems", "check", "--live", check=False).returncode == 0


def test_what_a_user_sends_is_scanned_stripped_and_gets_its_texts(content: Server) -> None:
    alice, bob = content.account("alice"), content.account("bob")

    def sent(*parts: bytes) -> str:
        word = marker()
        head = f"From: {alice.address}\r\nTo: {bob.address}\r\nSubject: {word}\r\n".encode()
        data = samples.mixed(*parts, header=head + b"MIME-Version: 1.0\r\n")
        with mail.connect(content.host, 587) as session:
            session.starttls(context=tls())
            session.login(alice.address, alice.password)
            session.sendmail(alice.address, [bob.address], data)
        return word

    word = sent(samples.TEXT, samples.part(b"MZ harmless", name="evil.exe"))
    _folder, whole = bob.wait_for(word)
    assert b"Subject: [tagged] " in whole
    assert b"Written by " in whole
    assert b"evil.exe" in whole
    assert b"programs" in whole
    assert samples.lines(b"MZ harmless").strip() not in whole
    with pytest.raises(smtplib.SMTPDataError, match="virus"):
        sent(b"Content-Type: text/plain\r\n\r\n" + EICAR + b"\r\n")


def test_a_check_of_others_finds_under_the_unit(content: Server) -> None:
    word = marker()
    subject = f"{word} BUY NOW OR NEVER OR MUCH LATER"
    loud = f"From: a@sender.example\r\nSubject: {subject}\r\n\r\nBuy.\r\n"
    told = content.send(CLEAN, ["alice"], loud.encode())
    assert told.data is not None
    assert told.data.code == 250
    folder, _whole = content.account("alice").wait_for(word)
    assert folder == "Junk"


def test_a_move_into_junk_trains_the_users_filter(server: Server) -> None:
    alice = server.account("alice")

    def learned() -> int:
        told = f'training user="{alice.address}" source="move" label="spam" done="learned"'
        return len(server.maillog(f"iems-bayes.*{told}"))

    before, word = learned(), server.deliver(CLEAN, ["alice"])
    assert alice.wait_for(word)[0] == "INBOX"
    with alice.imap() as session:
        session.select("INBOX")
        _status, [number] = session.search(None, "SUBJECT", word)
        assert session._simple_command("MOVE", number.decode(), "Junk")[0] == "OK"
    assert alice.wait_for(word)[0] == "Junk"
    eventually(lambda: learned() > before, 30)
