"""The hop before a trusted relay, read from what a real Postfix writes into Received."""

from __future__ import annotations

import pytest

from iems.codec.header import parse_header
from iems.model.envelope import INTERNET, Client
from iems.model.message import HeaderBlock
from iems.settings.load import from_table
from milters.checks.clients import ClientSettings, clients
from milters.checks.protocol import Stage, View
from tests.integration.conftest import Fresh
from tests.integration.stack import smtp
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.postfix import Postfix

RELAY = "203.0.113.9"
SITE = from_table(
    {
        "version": 1,
        "hostname": "mail.box.test",
        "postmaster": "postmaster@box.test",
        "trusted_relays": [RELAY],
    }
)


@pytest.mark.parametrize(
    "helo", ["client.example", "a (b [9.9.9.9])", "[9.9.9.9]", "a) (b [9.9.9.9]) by c", "a\tb<c>"]
)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("name", ["client.example", ""])
def test_no_helo_hides_the_address_that_the_relay_saw(
    helo: str, family: str, name: str, postfix: Postfix, dovecot: Dovecot, fresh: Fresh
) -> None:
    box = dovecot.add_user(fresh.address("hop"))
    address = fresh.ip if family == "ipv4" else fresh.ip6
    with smtp.Client(postfix.port(), client=(address, name)) as client:
        client.command(f"HELO {helo}")
        client.send("a@sender.example", [box.user], b"Received: from x (y [9.9.9.9])\r\n\r\nhi\r\n")
    (message,) = box.wait()
    header = message.partition(b"\r\n\r\n")[0] + b"\r\n"
    fields = parse_header(header).fields
    # What the mailbox added stands above what the relay wrote.
    start = next(index for index, one in enumerate(fields) if b"(Postfix)" in one.value)
    received = HeaderBlock(header, fields[start:])
    rule = clients(SITE, ClientSettings())
    view = View(Client(RELAY), "", INTERNET, "", None, received)
    assert str(rule.address(view, Stage.HEADERS)) == address
