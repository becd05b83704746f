"""The whole system used from outside: each recipient's own outcome, and why."""

from __future__ import annotations

import re
import smtplib
from dataclasses import dataclass

import pytest

from iems.codec.findings import Passed, encode
from iems.model.finding import Finding
from tests.integration.conftest import Fresh
from tests.integration.stack.daemons import KEY_ID, SECRET
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import CONTACT, DELEGATED, ENFORCED, MailSystem
from tests.integration.stack.smtp import Client, LmtpClient, send

SENDER = "a@sender.example"
NAME = "mx.sender.example"


@dataclass
class People:
    """alice refuses the delegated list, bob wants it in Junk, carol says nothing."""

    alice: Mailbox
    bob: Mailbox
    carol: Mailbox
    both: str

    @property
    def addresses(self) -> list[str]:
        """All three."""
        return [self.alice.user, self.bob.user, self.carol.user]


@pytest.fixture
def people(mailsystem: MailSystem, fresh: Fresh) -> People:
    """Users in a domain of the test's own."""
    mailsystem.add_domain(fresh.domain)
    return People(
        mailsystem.add_user(fresh.address("alice"), "dnsbl/delegated listed choice reject"),
        mailsystem.add_user(fresh.address("bob"), "dnsbl/delegated listed choice junk"),
        mailsystem.add_user(fresh.address("carol")),
        mailsystem.add_alias(fresh.address("both"), fresh.address("alice"), fresh.address("bob")),
    )


def bounced(mailsystem: MailSystem, fresh: Fresh) -> list[bytes]:
    """What went back to the sender about mail to the test's own domain."""
    domain = fresh.domain.encode()
    return [one.message for one in mailsystem.outside.caught() if domain in one.message]


def message(fresh: Fresh, *fields: str) -> bytes:
    """A message with a Message-ID of its own."""
    head = [f"Message-ID: <{fresh.domain}@sender.example>", "Subject: hello", *fields]
    return "".join(f"{line}\r\n" for line in [*head, "", "text"]).encode()


def test_each_recipient_has_his_own_outcome(
    mailsystem: MailSystem, people: People, fresh: Fresh
) -> None:
    mailsystem.lists.list(DELEGATED, fresh.ip)
    client = (fresh.ip, NAME)
    sent = send(mailsystem.port(), SENDER, people.addresses, message(fresh), client=client)
    refusal = sent.recipients[people.alice.user]
    assert refusal.code == 550
    assert "delegated" in refusal.text
    assert CONTACT in refusal.text
    assert sent.accepted == (people.bob.user,) or people.carol.user in sent.accepted
    assert people.bob.wait(folder="Junk")
    assert people.carol.wait()
    mailsystem.postfix.wait_empty()
    assert not people.alice.messages()
    assert not people.bob.messages()
    # Each of the three is explained, the refused one by the reference in the refusal.
    reference = re.search(r"reference (\S+)", refusal.text)
    assert reference
    # One refusal, one message let in, two deliveries.
    told = mailsystem.why(reference.group(1), 4)
    actions = {(row["recipient"], row["action"]) for row in told if row["recipient"]}
    assert {
        (people.alice.user, "reject"),
        (people.bob.user, "junk"),
        (people.carol.user, "deliver"),
    } <= actions
    by_id = mailsystem.why(f"<{fresh.domain}@sender.example>", 4)
    assert {row["reference"] for row in by_id} == {reference.group(1)}
    assert not bounced(mailsystem, fresh)


def test_an_alias_accepts_and_each_gets_his_own_outcome(
    mailsystem: MailSystem, people: People, fresh: Fresh
) -> None:
    mailsystem.lists.list(DELEGATED, fresh.ip)
    sent = send(mailsystem.port(), SENDER, [people.both], message(fresh), client=(fresh.ip, NAME))
    assert sent.accepted == (people.both,)
    people.bob.wait(folder="Junk")
    mailsystem.postfix.wait_empty()
    # The sender was told 250, so alice's refusal is no bounce but her Junk folder.
    assert len(people.alice.messages("Junk")) == 1
    assert not people.alice.messages()
    assert not bounced(mailsystem, fresh)


def test_the_enforced_list_refuses_for_all(
    mailsystem: MailSystem, people: People, fresh: Fresh
) -> None:
    mailsystem.lists.list(ENFORCED, fresh.ip6)
    everybody = [*people.addresses, people.both]
    sent = send(mailsystem.port(), SENDER, everybody, message(fresh), client=(fresh.ip6, NAME))
    assert {reply.code for reply in sent.recipients.values()} == {550}
    assert all("enforced" in reply.text for reply in sent.recipients.values())


def test_a_clear_client_reaches_all(mailsystem: MailSystem, people: People, fresh: Fresh) -> None:
    client = (fresh.ip, NAME)
    send(mailsystem.port(), SENDER, people.addresses, message(fresh), client=client)
    for box in (people.alice, people.bob, people.carol):
        (text,) = box.wait()
        assert b"X-IEMS-Findings" not in text
        assert b"\r\nAuthentication-Results: mail.example.test" in text
    mailsystem.postfix.wait_empty()
    # One line of the milter's for the message, one of the agent's for each recipient.
    assert len(mailsystem.milter.log(fresh.domain).splitlines()) == 1
    for address in people.addresses:
        assert mailsystem.agent.log(f'recipient="{address}"').count(" action=") == 1


def test_forged_and_foreign_findings_change_nothing(
    mailsystem: MailSystem, people: People, fresh: Fresh
) -> None:
    bob = people.bob.user
    forged = message(fresh, "X-IEMS-Findings: v=1; k=testkey", "x-iems-VERDICT: junk; ref=1")
    send(mailsystem.port(), SENDER, [bob], forged, client=(fresh.ip, NAME))
    (text,) = people.bob.wait()
    assert b"k=testkey" not in text
    assert b"ref=1" not in text
    # Straight to the agent: genuine findings of another message are none of this one, and a
    # message without any was not found to be listed either.
    finding = Finding("dnsbl/delegated", "listed", "listed", "the client is listed")
    passed = Passed("000000000000", "4Z00000000000z", "internet", SENDER, 1, (finding,))
    genuine = b"X-IEMS-Findings:" + encode(passed, KEY_ID, SECRET) + b"\r\n"
    with LmtpClient(mailsystem.agent.socket) as lmtp:
        lmtp.send(SENDER, [bob], genuine + message(fresh))
        lmtp.send(SENDER, [bob], message(fresh))
    people.bob.wait(3)
    # By sendmail(1) forged findings come no further either.
    mailsystem.postfix.sendmail("-f", people.carol.user, bob, message=forged)
    last = people.bob.wait(4)[-1]
    assert b"k=testkey" not in last
    assert b"ref=1" not in last
    assert not people.bob.messages("Junk")
    mailsystem.postfix.wait_empty()


def test_submission_takes_users_with_their_own_addresses(
    mailsystem: MailSystem, people: People, fresh: Fresh
) -> None:
    alice, bob = people.alice.user, people.bob.user
    before = len(mailsystem.sent_out())
    with Client(mailsystem.port("submission")) as smtp:
        assert smtp.command(f"MAIL FROM:<{alice}>").code == 530
        smtp.starttls()
        smtp.login(alice, mailsystem.password(alice))
        refused = smtp.send(bob, ["someone@elsewhere.example"], message(fresh))
        assert refused.recipients["someone@elsewhere.example"].code == 553
        sent = smtp.send(alice, [bob, "someone@elsewhere.example"], message(fresh))
        assert len(sent.recipients) == 2
    people.bob.wait()
    mailsystem.postfix.wait_empty()
    (caught,) = mailsystem.sent_out()[before:]
    assert b"X-IEMS" not in caught.message


def test_wrong_passwords_and_clients_without_tls_are_refused(
    mailsystem: MailSystem, people: People
) -> None:
    with Client(mailsystem.port("submission")) as smtp:
        smtp.starttls()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login(people.alice.user, "wrong")


def test_port_25_offers_no_login_and_no_dsn_and_relays_nothing(
    mailsystem: MailSystem, people: People, fresh: Fresh
) -> None:
    with Client(mailsystem.port(), client=(fresh.ip, NAME)) as smtp:
        assert "AUTH" not in smtp.ehlo.text
        assert "DSN" not in smtp.ehlo.text
        nobody = fresh.address("nobody")
        targets = ["someone@elsewhere.example", nobody, people.carol.user]
        sent = smtp.send(SENDER, targets, message(fresh))
        assert sent.recipients["someone@elsewhere.example"].code == 554
        assert sent.recipients[nobody].code == 550
        assert sent.accepted == (people.carol.user,)
    people.carol.wait()


def test_a_bounce_passes_the_milter(mailsystem: MailSystem, people: People, fresh: Fresh) -> None:
    nobody = fresh.address("nobody")
    mailsystem.postfix.sendmail("-f", people.carol.user, nobody, message=message(fresh))
    (bounce,) = people.carol.wait()
    assert b"Undelivered Mail Returned to Sender" in bounce
    assert b"X-IEMS-Findings" not in bounce.partition(b"\r\n\r\n")[0]
    queue_id = re.search(rb"\(Postfix\)\s+id ([A-Za-z0-9]+)", bounce)
    assert queue_id
    # One message let in, one delivery; either may be written first.
    told = mailsystem.why(queue_id.group(1).decode(), 2)
    assert {row["channel"] for row in told if row["stage"] == "end-of-message"} == {"local"}
    mailsystem.postfix.wait_empty()
