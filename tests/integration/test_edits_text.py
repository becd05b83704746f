"""Texts in mail that flows: with what slapd says of who sends it, signed after that.

Through the real Postfix, milter, agent and Dovecot; opendkim verifies what leaves.
"""

from __future__ import annotations

import datetime
import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from iems.store.signingkeys import DomainKeys, make_folder
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import Client, Sent, send
from tests.integration.test_signing import arrived, passes
from tests.waiting import eventually

DOMAIN = "footers.box.test"
FAR = "someone@elsewhere.example"
PERSON = (
    "givenName: Alice",
    "title: Head of <Sales> & Söhne",
    "telephoneNumber: +49 30 1234",
    "ou: Sales",
    "o: Example",
    "street: Main Street 1",
    "postalCode: 12345",
    "l: Berlin",
    "mobile: +49 170 1",
)
PLAIN = """{{ given_name }} {{ surname }}{% if title %}, {{ title }}{% endif %}

{{ department }}, {{ organisation }}, {{ street }}, {{ postal_code }} {{ place }}
{{ phone }} {{ mobile }} {{ mail }}
"""
HTML = """<p><b>{{ given_name }}</b>{% if title %}<br>{{ title }}{% endif %}<br>{{ mail }}</p>"""
TEMPLATES = {
    "footer.txt": PLAIN,
    "footer.html": HTML,
    "team.txt": "The team",
    "outside.txt": "{{ given_name }}: this came from outside",
    "outside.html": "<p>{{ given_name }}: this came from outside</p>",
}
FOOTER = [
    "Alice alice, Head of <Sales> & Söhne",
    "Sales, Example, Main Street 1, 12345 Berlin",
    f"+49 30 1234 +49 170 1 alice@{DOMAIN}",
]
SETTINGS = """
[edits.text.footer]
plain = "{folder}/footer.txt"
html = "{folder}/footer.html"
senders = ["alice@footers.box.test"]
direction = "outside"
signed = "reject"
place = "above-quote"
[edits.text.team]
plain = "{folder}/team.txt"
senders = ["sales@footers.box.test"]
[edits.text.outside]
plain = "{folder}/outside.txt"
html = "{folder}/outside.html"
channels = ["internet"]
recipients = ["footers.box.test"]
place = "top"
"""
SIGNED = (
    b'Content-Type: multipart/signed; boundary="b"; protocol="application/pgp-signature"\r\n'
    b"\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
)


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """A domain with keys, three users and a group of one, and the texts of these settings."""
    folder = mailsystem.site.etc / "keys/dkim"
    make_folder(folder)
    now = datetime.datetime.now(datetime.UTC)
    keys = DomainKeys(DOMAIN).prepared("ed25519", "", now).activated(now)
    keys.write(folder)
    mailsystem.add_domain(DOMAIN)
    mailsystem.slapd.add(tree.user(f"alice@{DOMAIN}", *PERSON))
    for name in ("bob", "carol"):
        mailsystem.add_user(f"{name}@{DOMAIN}")
    mailsystem.add_alias(f"sales@{DOMAIN}", f"inner@{DOMAIN}")
    mailsystem.add_alias(f"inner@{DOMAIN}", f"bob@{DOMAIN}")
    (mailsystem.site.etc / "texts").mkdir(mode=0o755, exist_ok=True)
    for name, text in TEMPLATES.items():
        mailsystem.site.write(f"texts/{name}", text)
    with mailsystem.settings("texts", SETTINGS.format(folder=mailsystem.site.etc / "texts")):
        yield mailsystem
        for one in folder.iterdir():
            one.unlink()


def submitted(system: MailSystem, fresh: Fresh, user: str, to: str, rest: bytes) -> Sent:
    """A message that a user hands in; it is known by its Message-ID."""
    login = f"{user}@{DOMAIN}"
    head = f"From: {login}\r\nMessage-ID: <{fresh.domain}@texts>\r\n".encode()
    with Client(system.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(login, system.password(login))
        return smtp.send(login, [to], head + rest)


def left(system: MailSystem, fresh: Fresh, user: str, rest: bytes) -> bytes:
    """The same, as it arrives outside."""
    assert submitted(system, fresh, user, FAR, rest).accepted == (FAR,)
    return arrived(system, f"<{fresh.domain}@texts>")


def notes(system: MailSystem, fresh: Fresh) -> list[str]:
    """What the record says of it."""
    [row] = system.why(f"<{fresh.domain}@texts>")
    details = row["details"]
    assert isinstance(details, dict)
    return list(details["notes"])


def parsed(message: bytes) -> EmailMessage:
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def found(box: Mailbox, word: bytes) -> bytes:
    """The one message with this word, once it is in a mailbox."""
    [message] = eventually(lambda: [one for one in box.messages() if word in one], 30)
    return message


def test_plain_text_gets_what_the_directory_says_and_is_signed_then(
    system: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    text = b"Subject: hello\r\n\r\nHello.\r\n"
    message = left(system, fresh, "alice", text)
    assert passes(system, message, tmp_path) == 1
    assert parsed(message).get_content().splitlines() == ["Hello.", "", FOOTER[0], "", *FOOTER[1:]]
    told = notes(system, fresh)
    assert told[0] == "text/footer: put in"
    assert told[1].startswith("signed: ")
    line = system.milter.log(f"<{fresh.domain}@texts>").splitlines()[-1]
    assert 'note="text/footer: put in; signed: ' in line
    assert f"note: {told[0]}".encode() in system.iems("why", f"<{fresh.domain}@texts>")


def test_both_alternatives_get_it_each_in_its_form(
    system: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    made = EmailMessage()
    made.set_content("Hello.\n")
    made.add_alternative("<html><body><p>Grüße</p></body></html>", subtype="html", cte="8bit")
    message = left(system, fresh, "alice", made.as_bytes(policy=email.policy.SMTP))
    assert passes(system, message, tmp_path) == 1
    plain, html = (one.get_content() for one in parsed(message).iter_parts())
    assert plain.count(FOOTER[2]) == 1
    assert "<p>Grüße</p>" in html
    assert html.count("<br>Head of &lt;Sales&gt; &amp; S&#246;hne<br>alice@") == 1
    assert html.rstrip().endswith("</body></html>")


def test_an_answer_in_a_thread_has_it_once(
    system: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    quoted = "".join(f"> {line}\r\n" for line in ["Hello.", "", FOOTER[0], "", *FOOTER[1:]])
    text = (
        "Subject: Re: hello\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
        f"Yes.\r\n\r\nOn Friday Bob wrote:\r\n{quoted}"
    )
    message = left(system, fresh, "alice", text.encode())
    assert passes(system, message, tmp_path) == 1
    body = parsed(message).get_content()
    assert body.count(FOOTER[1]) == 1
    assert body.index(FOOTER[1]) < body.index("On Friday Bob wrote:") < body.index("> Hello.")


def test_mail_to_inside_does_not_get_what_is_for_outside(system: MailSystem, fresh: Fresh) -> None:
    bob = f"bob@{DOMAIN}"
    text = f"Subject: {fresh.domain}\r\n\r\nHello.\r\n".encode()
    assert submitted(system, fresh, "alice", bob, text).accepted == (bob,)
    box = system.dovecot.mailbox(bob, system.password(bob))
    word = fresh.domain.encode()
    message = found(box, word)
    assert message.endswith(b"\r\n\r\nHello.\r\n")


@pytest.mark.parametrize(("user", "count"), [("bob", 1), ("carol", 0)])
def test_a_group_is_an_alias_and_its_members_have_its_text(
    system: MailSystem, fresh: Fresh, user: str, count: int, tmp_path: Path
) -> None:
    message = left(system, fresh, user, b"\r\nHello.\r\n")
    assert message.count(b"Hello.\r\n\r\nThe team\r\n") == count
    assert passes(system, message, tmp_path) == 1
    assert ("text/team: put in" in notes(system, fresh)) == bool(count)


def test_signed_mail_is_refused_while_its_sender_waits(system: MailSystem, fresh: Fresh) -> None:
    sent = submitted(system, fresh, "alice", FAR, SIGNED)
    assert sent.data is not None
    assert sent.data.code == 550
    assert "such mail is not taken: it is signed" in sent.data.text
    reference = sent.data.text.rpartition("reference ")[2]
    [row] = system.why(reference)
    assert row["action"] == "reject"
    # Of who has no such text it is taken as it is.
    message = left(system, fresh, "carol", SIGNED)
    assert message.endswith(SIGNED.partition(b"\r\n\r\n")[2])


def test_mail_from_outside_gets_its_text_in_each_mailbox_and_none_where_it_leaves(
    system: MailSystem, fresh: Fresh
) -> None:
    """By an alias to two of ours and one outside: he gets each byte that the sender has signed."""
    everybody = system.add_alias(
        f"{fresh.domain}@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}", FAR
    )
    made = EmailMessage()
    made["From"], made["Subject"] = "a@sender.example", fresh.domain
    made.set_content("Hello.\n")
    made.add_alternative("<html><body><p>Gr\xfc\xdfe</p></body></html>", subtype="html")
    message = made.as_bytes(policy=email.policy.SMTP)
    client = (fresh.ip, "mx.sender.example")
    sent = send(system.port(), "a@sender.example", [everybody], message, client=client)
    assert sent.accepted == (everybody,)
    word = fresh.domain.encode()
    [far] = eventually(
        lambda: [one.message for one in system.outside.caught() if word in one.message], 30
    )
    assert far.endswith(message)
    for user, name in (("alice", "Alice"), ("bob", "")):
        address = f"{user}@{DOMAIN}"
        box = system.dovecot.mailbox(address, system.password(address))
        copy = found(box, word)
        plain, html = (one.get_content() for one in parsed(copy).iter_parts())
        assert plain.splitlines() == [f"{name}: this came from outside", "", "Hello."]
        assert html.count(f"<p>{name}: this came from outside</p>") == 1
        assert "<p>Gr\xfc\xdfe</p>" in html
        # What was found of it is as it came: the text was not there.
        assert b"\r\nAuthentication-Results: " in b"\r\n" + copy
    [row] = [
        one
        for one in system.why(sent.data.text.split()[-1], 3)  # type: ignore[union-attr]
        if one["recipient"] == f"alice@{DOMAIN}" and one["stage"] == "delivery"
    ]
    details = row["details"]
    assert isinstance(details, dict)
    assert details["notes"] == ["text/outside: put in"]


def test_mail_from_outside_that_has_the_text_gets_no_second_one(
    system: MailSystem, fresh: Fresh
) -> None:
    carol, client = f"carol@{DOMAIN}", (fresh.ip, "mx.sender.example")
    text = f"Subject: {fresh.domain}\r\n\r\n: this came from outside\r\n\r\nHello.\r\n".encode()
    sent = send(system.port(), "a@sender.example", [carol], text, client=client)
    assert sent.accepted == (carol,)
    box = system.dovecot.mailbox(carol, system.password(carol))
    word = fresh.domain.encode()
    copy = found(box, word)
    assert copy.count(b"this came from outside") == 1


def test_a_template_that_is_wrong_is_told_and_stops_nothing(system: MailSystem) -> None:
    file = system.site.etc / "texts/team.txt"
    before = file.read_text()
    file.write_text("{{ nam }}")
    try:
        done = system.iems_ends("check")
    finally:
        file.write_text(before)
    assert done.returncode == 78
    assert f"edits.text.team.plain: {file}: it names nam; known: name, ".encode() in (
        done.stdout + done.stderr
    )
    assert b"nothing is wrong" in system.iems("check")
