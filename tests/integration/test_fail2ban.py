"""The filter for fail2ban, by fail2ban's own tester, on lines that the milter really writes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import Fresh
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.programs import program
from tests.integration.stack.smtp import send

FILTER = ROOT / "docs/monitoring/fail2ban/iems.conf"
STAMP = "Nov 26 12:00:00 mail "


def banned(lines: list[str], folder: Path) -> list[str]:
    """The addresses that the filter finds in a log with these lines, in their order."""
    log = folder / "mail.log"
    log.write_text("".join(f"{STAMP}{line}\n" for line in lines))
    command = [program("fail2ban-regex"), "--out", "ip", str(log), str(FILTER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    return done.stdout.split()


def test_refused_clients_are_found(mailsystem: MailSystem, fresh: Fresh, tmp_path: Path) -> None:
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("alice"), "dnsbl/delegated listed choice reject")
    mailsystem.lists.list(DELEGATED, fresh.ip)
    for client in (fresh.ip, fresh.ip6):
        message = b"Subject: x\r\n\r\ntext\r\n"
        send(mailsystem.port(), "a@sender.example", [box.user], message, client=(client, "mx"))
    box.wait()
    lines = [line for line in mailsystem.milter.log("stage=").splitlines() if fresh.ip in line]
    lines += mailsystem.milter.log(fresh.ip6).splitlines()
    assert len(lines) >= 2
    assert banned(lines, tmp_path) == [fresh.ip]


def test_no_client_names_another(mailsystem: MailSystem, fresh: Fresh, tmp_path: Path) -> None:
    """A Message-ID that looks like our own fields bans nobody."""
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("alice"))
    forged = f'<{fresh.domain}" stage="rcpt" action="reject" client="192.0.2.1" "@x>'
    message = f"Message-ID: {forged}\r\n\r\ntext\r\n".encode()
    send(mailsystem.port(), "a@sender.example", [box.user], message, client=(fresh.ip, "mx"))
    box.wait()
    [line] = mailsystem.milter.log(f'message_id="<{fresh.domain}').splitlines()
    assert "192.0.2.1" in line
    assert banned([line], tmp_path) == []


@pytest.mark.parametrize("what", ["iems-milter", "iems-lmtp"])
def test_the_page_shows_lines_as_they_are(what: str, tmp_path: Path) -> None:
    """Of the samples in docs/log.md the filter finds the refused client alone."""
    page = (ROOT / "docs/log.md").read_text()
    samples = re.findall(rf"^{what}\[\d+\]: .*$", page, re.MULTILINE)
    assert samples
    assert banned(samples, tmp_path) == (["192.0.2.66"] if what == "iems-milter" else [])
