"""The check `uribl` through the whole system: links in mail, and a real list behind unbound."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.integration.conftest import BLACKLISTS, Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import Sent, send

ZONE = BLACKLISTS[2]
CHECK = f"""
[checks.uribl.links]
mode = "delegate"
zone = "{ZONE}"
families = ["ipv4"]
"""


@pytest.fixture(scope="module")
def checked(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The system with a list of what links lead to."""
    with mailsystem.settings("uribl", CHECK):
        yield mailsystem


def message(fresh: Fresh, number: int, html: str) -> bytes:
    """A message with this as its HTML, in base64."""
    return (
        f"Message-ID: <{number}.{fresh.domain}@sender.example>\r\nSubject: s\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="=_b"\r\n\r\n'
        "--=_b\r\nContent-Type: text/plain\r\n\r\ntext\r\n"
        "--=_b\r\nContent-Type: text/html; charset=utf-8\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
        f"{base64.encodebytes(html.encode()).decode()}\r\n--=_b--\r\n"
    ).encode()


@pytest.mark.timeout(180)
def test_a_link_to_a_listed_domain_or_address_has_each_recipient_s_own_outcome(
    checked: MailSystem, fresh: Fresh
) -> None:
    checked.add_domain(fresh.domain)
    alice = checked.add_user(fresh.address("alice"), "uribl/links listed choice reject")
    bob = checked.add_user(fresh.address("bob"))
    domain = f"{fresh.domain.partition('.')[0]}-links.example"
    address = fresh.ip.replace("198.18.", "198.19.")
    checked.lists.list(ZONE, domain)
    checked.lists.list(ZONE, address)

    def sent(number: int, host: str, to: Mailbox) -> Sent:
        text = message(fresh, number, f'<p>hello <a href="https://{host}/path">here</a>')
        return send(
            checked.port(), "a@sender.example", [to.user], text, client=(fresh.ip, "mx.test")
        )

    refused = str(sent(1, f"www.{domain.upper()}", alice).data)
    assert refused.startswith("550 ")
    assert f"linked host {domain} is listed by links" in refused
    assert sent(2, f"www.{domain}", bob).accepted
    bob.wait(folder="Junk")
    (row,) = [
        row for row in checked.why(f"<2.{fresh.domain}@sender.example>", 2) if row["recipient"]
    ]
    told = str(row)
    assert "uribl/links" in told
    assert domain in told
    octal = ".".join(f"0{int(part):o}" for part in address.split("."))
    assert f"linked host {address} is listed" in str(sent(3, octal, alice).data)
    assert sent(4, "clear.example", alice).accepted
    alice.wait()
    assert (f"clear.example.{ZONE}", "A") in [
        (one.name, one.rtype) for one in checked.lists.asked()
    ]
