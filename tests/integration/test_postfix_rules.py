"""What Postfix refuses by itself: as `iems policy show` tells it, so each client is told.

The configuration is the deployed one, with its switches on; the directory's tables are others.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from cli.postfix import read_postfix
from cli.refusals import Refusal, refusals
from tests.integration.conftest import Fresh
from tests.integration.stack import deployed
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.mailsystem import MailSystem, certificate
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import Client, Reply

BOX = "alice@box.test"
SENDER = "a@sender.example"
SWITCHES = ("refuse_nameless_clients", "verify_senders")
LISTENERS = {"internet": "smtp", "submission": "submission"}


@dataclass
class Asked:
    """Another site's server, which knows nobody called `nobody`, and when it was asked for whom."""

    times: dict[str, list[float]] = field(default_factory=dict)

    def known(self, recipient: str) -> str:
        """The reply to a RCPT."""
        self.times.setdefault(recipient, []).append(time.monotonic())
        return "550 5.1.1 no such user" if recipient.startswith("nobody") else "250 ok"


@pytest.fixture(scope="module")
def asked() -> Asked:
    """What a sender's site was asked."""
    return Asked()


@pytest.fixture(scope="module")
def postfix(ground: Ground, asked: Asked) -> Iterator[Postfix]:
    """Port 25 and submission as deployed, with both switches on."""
    written = deployed.values("postfix/main.cf", *SWITCHES)
    pair = str(certificate(ground.place("tls")))
    with Sink(known=asked.known) as site:
        own = {
            "inet_interfaces": "127.0.0.1",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "virtual_mailbox_domains": "box.test",
            "virtual_mailbox_maps": f"inline:{{{BOX}=x}}",
            "virtual_alias_maps": "",
            "virtual_transport": "discard:",
            "smtpd_sender_login_maps": "",
            "smtpd_sender_restrictions": "reject_non_fqdn_sender, "
            "reject_authenticated_sender_login_mismatch",
            "smtpd_milters": "",
            "non_smtpd_milters": "",
            "smtpd_sasl_type": "cyrus",
            "smtpd_sasl_path": "smtpd",
            "smtpd_tls_cert_file": pair,
            "smtpd_tls_key_file": pair,
            "smtp_header_checks": "",
            "address_verify_default_transport": f"verify-smtp:[127.0.0.1]:{site.port}",
            "address_verify_poll_delay": "1s",
            "address_verify_poll_count": "40",
        }
        server = Postfix(
            ground,
            main={**written, **own},
            listeners=[
                Listener(channel, ground.port(), deployed.service(name, "inet").options)
                for channel, name in LISTENERS.items()
            ],
            services=[deployed.service("verify-smtp").line()],
        )
        with running(server):
            yield server


@pytest.fixture
def rules(postfix: Postfix, monkeypatch: pytest.MonkeyPatch) -> list[Refusal]:
    """What is told of it."""
    monkeypatch.setenv("MAIL_CONFIG", str(postfix.config))
    read = read_postfix()
    assert read is not None
    return list(refusals(read))


def recipient(client: Client, sender: str, address: str = BOX) -> Reply:
    """The reply to one RCPT of this sender's."""
    client.command("RSET")
    assert client.command(f"MAIL FROM:<{sender}>").code == 250
    return client.command(f"RCPT TO:<{address}>")


def refused(postfix: Postfix) -> dict[tuple[str, str], Reply]:
    """What a stranger is told who breaks the rules, by listener and rule."""
    found: dict[tuple[str, str], Reply] = {}
    with Client(postfix.port(), client=("192.0.2.9", "")) as client:
        found["internet", "reject_unknown_reverse_client_hostname"] = recipient(client, SENDER)
    with Client(postfix.port(), client=("192.0.2.9", "mx.sender.example")) as client:
        found["internet", "smtpd_sasl_auth_enable = no"] = client.command("AUTH PLAIN AAA=")
        found["internet", "reject_unauth_destination"] = recipient(client, SENDER, "b@else.test")
        found["internet", "reject_unlisted_recipient"] = recipient(client, SENDER, "b@box.test")
        found["internet", "reject_non_fqdn_sender"] = recipient(client, "a@short")
        found["internet", "reject_unverified_sender"] = recipient(client, "nobody@site.example")
        assert recipient(client, "").code == 250
        hops = b"Received: by mx.example\r\n" * 50
        (found["internet", "hopcount_limit = 50"],) = client.data(hops + b"\r\ntext\r\n")
    with Client(postfix.port("submission")) as client:
        rule = "smtpd_tls_security_level = encrypt"
        found["submission", rule] = client.command(f"MAIL FROM:<{SENDER}>")
        client.starttls()
        found["submission", "reject"] = recipient(client, SENDER)
    return found


def test_a_client_is_told_what_is_shown(postfix: Postfix, rules: list[Refusal]) -> None:
    shown = {(one.channel, one.rule): one.reply for one in rules}
    for rule, reply in refused(postfix).items():
        told = shown[rule]
        assert told is not None, rule
        code, _blank, words = told.partition(" ")
        assert str(reply.code) == code, (rule, reply)
        assert words in reply.text, (rule, reply)


def test_every_kind_of_rule_is_shown_on_every_listener(rules: list[Refusal]) -> None:
    kinds = {"relay", "loop", "reverse-dns", "authentication", "sender-verification"}
    for channel in LISTENERS:
        assert kinds <= {one.about for one in rules if one.channel == channel}
    off = {(one.channel, one.about) for one in rules if one.rule is None}
    # Who has logged in is asked neither for his host's name nor for his site's word.
    assert off == {("submission", "reverse-dns"), ("submission", "sender-verification")}
    (reverse,) = [one for one in rules if one.about == "reverse-dns" and one.rule]
    assert reverse.but_for == ("permit_mynetworks",)
    assert reverse.reply == "550 cannot find your reverse hostname"


def test_a_name_that_cannot_be_looked_up_now_is_no_reason_to_refuse(postfix: Postfix) -> None:
    with Client(postfix.port()) as client:
        client.command("XCLIENT ADDR=192.0.2.9 NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL]")
        client.command("EHLO mx.sender.example")
        assert recipient(client, SENDER).code == 450


def test_a_sender_s_site_is_asked_once_and_one_sender_a_second(
    postfix: Postfix, asked: Asked, fresh: Fresh
) -> None:
    """And never before the recipient is known to be ours."""
    senders = [f"{local}@{fresh.domain}.example" for local in ("a", "b", "c")]

    def ask(sender: str) -> Reply:
        with Client(postfix.port(), client=(fresh.ip, "mx.sender.example")) as client:
            return recipient(client, sender)

    with ThreadPoolExecutor(len(senders)) as pool:
        assert [reply.code for reply in pool.map(ask, senders)] == [250] * len(senders)
    assert [ask(sender).code for sender in senders] == [250] * len(senders)
    first, _second, third = sorted(at for sender in senders for at in asked.times[sender])
    # Three at once were told within 0.02 s, with a second between them it was 2.0 s.
    assert third - first > 1
    with Client(postfix.port(), client=(fresh.ip, "mx.sender.example")) as client:
        assert recipient(client, f"other@{fresh.domain}.example", "b@box.test").code == 550
        assert f"other@{fresh.domain}.example" not in asked.times


def test_the_command_shows_what_is_deployed(mailsystem: MailSystem, fresh: Fresh) -> None:
    """Both switches are off."""
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("alice"))
    shown = json.loads(mailsystem.iems("policy", "show", box.user, "--json"))
    assert shown["postfix_missing"] is None
    assert {row["check"] for row in shown["checks"]} >= {"iprev", "dnsbl/enforced"}
    rules = {(row["channel"], row["about"], row["rule"]): row for row in shown["postfix"]}
    assert rules["internet", "relay", "reject_unauth_destination"]["reply"] == (
        "554 Relay access denied"
    )
    assert rules["submission", "authentication", "check_sasl_access"]["reply"] is None
    assert ("submission", "loop", "hopcount_limit = 50") in rules
    for about in ("reverse-dns", "sender-verification"):
        assert ("internet", about, None) in rules
    text = mailsystem.iems("policy", "show", box.user).decode()
    assert re.search(r"^reverse-dns +internet \(127\.0\.0\.1:\d+/inet\) +off$", text, re.MULTILINE)
