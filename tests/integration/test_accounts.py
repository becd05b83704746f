"""Kinds of accounts on the whole system: who gets mail, who logs in, who sends with which address.

Each test has users of its own, set up by `iems` before anybody has asked for them.
"""

from __future__ import annotations

import imaplib
import json
import smtplib

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import Client, Sent, send

SENDER = "a@sender.example"
FAR = "someone@elsewhere.example"


@pytest.fixture
def domain(mailsystem: MailSystem, fresh: Fresh) -> str:
    """A domain of the test's own, with bob in it."""
    mailsystem.add_domain(fresh.domain)
    mailsystem.add_user(fresh.address("bob"))
    return fresh.domain


def bob(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """Bob's mailboxes."""
    address = fresh.address("bob")
    return mailsystem.dovecot.mailbox(address, mailsystem.password(address))


def mail(mailsystem: MailSystem, fresh: Fresh, *recipients: str) -> Sent:
    """A message from outside."""
    text = f"Message-ID: <{fresh.domain}@sender.example>\r\nSubject: hello\r\n\r\ntext\r\n"
    client = (fresh.ip, "mx.sender.example")
    return send(mailsystem.port(), SENDER, recipients, text.encode(), client=client)


def submit(mailsystem: MailSystem, login: str, sender: str, *recipients: str) -> Sent:
    """A message that a user hands in."""
    with Client(mailsystem.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(login, mailsystem.password(login))
        return smtp.send(sender, recipients, b"Subject: out\r\n\r\ntext\r\n")


@pytest.mark.usefixtures("domain")
def test_a_disabled_account_refuses_mail_and_logins_and_keeps_its_store(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    kept = mailsystem.add_user(fresh.address("kept"))
    mail(mailsystem, fresh, kept.user)
    kept.wait()
    mailsystem.iems("user", "set", kept.user, "--disabled", "moved away")
    with pytest.raises(imaplib.IMAP4.error):
        kept.messages()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        submit(mailsystem, kept.user, kept.user, FAR)
    mailsystem.iems("user", "set", kept.user, "--enabled")
    assert len(kept.messages()) == 1
    # Milter and agent remember him for a minute, so who is refused is somebody nobody asked for.
    gone = mailsystem.add_user(fresh.address("gone")).user
    alias = mailsystem.add_alias(fresh.address("office"), gone)
    mailsystem.iems("user", "set", gone, "--disabled", "moved away", "--forward", FAR)
    before = len(mailsystem.sent_out())
    for recipient in (gone, gone.replace("@", "+x@"), alias):
        refusal = mail(mailsystem, fresh, recipient).recipients[recipient]
        assert refusal.code == 550
        assert refusal.text.startswith("5.2.1 ")
        assert "this account is disabled: moved away" in refusal.text
    mailsystem.postfix.wait_empty()
    assert len(mailsystem.sent_out()) == before


@pytest.mark.usefixtures("domain")
def test_who_else_an_alias_reaches_gets_the_mail_and_nothing_bounces(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    gone = mailsystem.add_user(fresh.address("gone"))
    both = mailsystem.add_alias(fresh.address("both"), gone.user, fresh.address("bob"))
    mailsystem.iems("user", "set", gone.user, "--disabled", "moved away")
    before = len(mailsystem.sent_out())
    assert mail(mailsystem, fresh, both).accepted == (both,)
    bob(mailsystem, fresh).wait()
    mailsystem.postfix.wait_empty()
    assert len(mailsystem.sent_out()) == before
    mailsystem.iems("user", "set", gone.user, "--enabled")
    assert len(gone.messages("Junk")) == 1
    assert not gone.messages()
    rows = mailsystem.why(f"<{fresh.domain}@sender.example>", 3)
    assert {"junk", "deliver"} <= {row["action"] for row in rows if row["stage"] == "delivery"}


@pytest.mark.usefixtures("domain")
def test_mail_of_this_machine_to_a_disabled_account_bounces_with_the_reason(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    gone = mailsystem.add_user(fresh.address("gone")).user
    mailsystem.iems("user", "set", gone, "--disabled", "moved away")
    sender = fresh.address("bob")
    mailsystem.postfix.sendmail("-f", sender, gone, message=b"Subject: x\n\ntext\n")
    [bounce] = bob(mailsystem, fresh).wait()
    assert b"this account is disabled: moved away" in bounce
    mailsystem.postfix.wait_empty()


@pytest.mark.usefixtures("domain")
def test_a_locked_account_gets_mail_and_lets_nobody_in(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    lars = mailsystem.add_user(fresh.address("lars"))
    mailsystem.iems("user", "set", lars.user, "--locked")
    assert mail(mailsystem, fresh, lars.user).accepted
    with pytest.raises(imaplib.IMAP4.error):
        lars.messages()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        submit(mailsystem, lars.user, lars.user, FAR)
    mailsystem.iems("user", "set", lars.user, "--unlocked")
    lars.wait()
    mailsystem.postfix.wait_empty()


@pytest.mark.usefixtures("domain")
def test_a_send_only_account_sends_and_is_refused_mail(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    printer = mailsystem.add_user(fresh.address("printer"))
    mailsystem.iems("user", "set", printer.user, "--kind", "send-only")
    refusal = mail(mailsystem, fresh, printer.user).recipients[printer.user]
    assert refusal.code == 550
    assert "sends mail and receives none" in refusal.text
    assert submit(mailsystem, printer.user, printer.user, fresh.address("bob")).accepted
    bob(mailsystem, fresh).wait()
    mailsystem.postfix.wait_empty()


@pytest.mark.usefixtures("domain")
def test_a_receive_only_account_reads_and_sends_nothing(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    lobby = mailsystem.add_user(fresh.address("lobby"))
    mailsystem.iems("user", "set", lobby.user, "--kind", "receive-only")
    assert mail(mailsystem, fresh, lobby.user).accepted
    lobby.wait()
    for sender in (lobby.user, ""):
        refused = submit(mailsystem, lobby.user, sender, FAR).recipients[FAR]
        assert (refused.code, "sends none" in refused.text) == (550, True)
    # For others nothing is different.
    assert submit(mailsystem, fresh.address("bob"), "", fresh.address("bob")).accepted
    bob(mailsystem, fresh).wait()
    mailsystem.postfix.wait_empty()


@pytest.mark.usefixtures("domain")
def test_forward_with_and_without_a_copy(mailsystem: MailSystem, fresh: Fresh) -> None:
    away, both = (mailsystem.add_user(fresh.address(name)) for name in ("away", "both"))
    mailsystem.iems("user", "set", away.user, "--forward", fresh.address("bob"))
    mailsystem.iems("user", "set", both.user, "--forward", fresh.address("bob"), "--keep")
    assert len(mail(mailsystem, fresh, away.user, both.user).accepted) == 2
    both.wait()
    mailsystem.postfix.wait_empty()
    assert bob(mailsystem, fresh).messages()
    assert not away.messages()
    # Whom one forwards to gets no right to one's address.
    refused = submit(mailsystem, fresh.address("bob"), away.user, FAR).recipients[FAR]
    assert refused.code == 553
    assert submit(mailsystem, away.user, away.user, fresh.address("bob")).accepted
    mailsystem.postfix.wait_empty()


def test_a_domain_alias_is_another_name_of_everybody(
    mailsystem: MailSystem, fresh: Fresh, domain: str
) -> None:
    other = f"other.{domain}"
    mailsystem.iems("domain", "add", other, "--alias-of", domain)
    alice = mailsystem.add_user(fresh.address("alice"))
    shut = mailsystem.add_user(fresh.address("shut"))
    mailsystem.iems("user", "set", shut.user, "--disabled", "moved away")
    mailsystem.add_alias(f"sales@{other}", fresh.address("bob"))
    assert mail(mailsystem, fresh, f"alice+x@{other}", f"sales@{other}").accepted
    alice.wait()
    bob(mailsystem, fresh).wait()
    for name, code in (("nobody", "5.1.1"), ("shut", "5.2.1")):
        refusal = mail(mailsystem, fresh, f"{name}@{other}").recipients[f"{name}@{other}"]
        assert refusal.code == 550
        assert refusal.text.startswith(f"{code} ")
    mailsystem.postfix.wait_empty()


def test_who_sends_with_the_addresses_of_a_domain_alias(
    mailsystem: MailSystem, fresh: Fresh, domain: str
) -> None:
    other = f"other.{domain}"
    mailsystem.iems("domain", "add", other, "--alias-of", domain)
    mailsystem.add_user(fresh.address("alice"))
    mailsystem.add_alias(f"alice2@{other}", fresh.address("bob"))
    rights = {
        (name, sender): submit(
            mailsystem, fresh.address(name), f"{sender}@{other}", fresh.address("bob")
        )
        .recipients[fresh.address("bob")]
        .code
        for name in ("alice", "bob")
        for sender in ("alice", "alice+x", "alice2", "alice2+x", "bob", "bob+x", "nobody")
    }
    own = {sender for (name, sender), code in rights.items() if name == "alice" and code == 250}
    assert own == {"alice", "alice+x"}
    own = {sender for (name, sender), code in rights.items() if name == "bob" and code == 250}
    assert own == {"alice2", "alice2+x", "bob", "bob+x"}
    assert set(rights.values()) == {250, 553}
    mailsystem.postfix.wait_empty()


@pytest.mark.usefixtures("domain")
def test_why_as_a_user_tells_him_nothing_of_others(mailsystem: MailSystem, fresh: Fresh) -> None:
    alice = mailsystem.add_user(fresh.address("alice"), "iprev mismatch choice tag").user
    carol = mailsystem.add_user(fresh.address("carol")).user
    both = mailsystem.add_alias(fresh.address("both"), alice, fresh.address("bob"))
    assert len(mail(mailsystem, fresh, both, alice).accepted) == 2
    word = f"<{fresh.domain}@sender.example>"
    everything = mailsystem.why(word, 3)
    mailsystem.postfix.wait_empty()
    told = json.loads(mailsystem.iems("why", "--json", "--as", alice, word))
    assert {row["recipient"] for row in told} == {"", alice}
    assert fresh.address("bob") not in json.dumps(told)
    assert fresh.address("bob") in json.dumps(everything)
    with pytest.raises(RuntimeError, match="no record of"):
        mailsystem.iems("why", "--as", carol, word)
    mailsystem.iems("domain", "admin", "add", fresh.domain, carol)
    assert json.loads(mailsystem.iems("why", "--json", "--as", carol, word)) == everything
    with pytest.raises(RuntimeError, match="ended with 77"):
        mailsystem.iems("why", "--as", fresh.address("nobody"), word)


@pytest.mark.usefixtures("domain")
def test_who_reads_by_pop3_alone_gets_junk_into_his_inbox_with_a_tag(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    """Others of the domain have it in Junk, and so has he what he wants there himself."""
    old = mailsystem.add_user(fresh.address("old"))
    own = mailsystem.add_user(fresh.address("own"), "dnsbl/delegated listed choice junk")
    for box in (old, own):
        mailsystem.iems("user", "set", box.user, "--pop3-only")
    mailsystem.iems("policy", "set", fresh.domain, "dnsbl/delegated", "junk")
    note = f"dnsbl/delegated listed: junk is tag, for user {old.user} never sees Junk"
    assert f"note: {note}\n" in mailsystem.iems("policy", "show", old.user).decode()
    mailsystem.lists.list(DELEGATED, fresh.ip)
    mail(mailsystem, fresh, old.user, own.user, fresh.address("bob"))
    [message] = old.wait()
    assert b"X-IEMS-Verdict: tag;" in message
    own.wait(folder="Junk")
    bob(mailsystem, fresh).wait(folder="Junk")
    mailsystem.postfix.wait_empty()
    assert not old.messages("Junk")
    told = mailsystem.why(f"<{fresh.domain}@sender.example>", 4)
    notes = {str(row["recipient"]): str(row["details"]) for row in told if row["recipient"]}
    assert note in notes[old.user]
    assert "never sees Junk" not in notes[own.user]
