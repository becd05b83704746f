"""What users forward to spam@ and ham@: through Postfix, milter and agent, to what trains."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cli.owner import as_owner
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.settings.load import load
from lmtp.bayes.score import Label
from lmtp.bayes.tokens import key
from lmtp.learning.mailbox import opened
from lmtp.learning.people import filtered
from lmtp.trained import connect_store
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack import daemons, master
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.ground import running
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import Client, Sent, send
from tests.waiting import eventually

ON = '[checks.bayes]\nmode = "delegate"\n'
MESSAGE = (
    "Message-ID: <{name}@spam.example>\r\nFrom: a@spam.example\r\nSubject: {name}\r\n\r\nbuy\r\n"
)


@dataclass(frozen=True)
class Site:
    """The mail system with a training daemon, a domain with spam@ and ham@, and two users."""

    system: MailSystem
    trainer: Daemon
    fresh: Fresh
    alice: Mailbox
    bob: Mailbox

    def message(self, name: str) -> bytes:
        """One that no other test has."""
        return MESSAGE.format(name=f"{name}.{self.fresh.domain}").encode()

    def forward(self, *messages: bytes) -> bytes:
        """These, attached."""
        parts = (b"--=b\r\nContent-Type: message/rfc822\r\n\r\n" + one for one in messages)
        head = (
            f"Message-ID: <{self.fresh.domain}@forward.example>\r\nSubject: Fwd\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=b"\r\n'
        ).encode()
        text = b"--=b\r\n\r\nsee below\r\n"
        return head + b"\r\n" + text + b"\r\n".join(parts) + b"\r\n--=b--\r\n"

    def submit(self, box: Mailbox, to: str, message: bytes, sender: str = "") -> Sent:
        """He sends it, logged in."""
        with Client(self.system.port("submission")) as smtp:
            smtp.starttls()
            smtp.login(box.user, self.system.password(box.user))
            return smtp.send(sender or box.user, [self.fresh.address(to)], message)

    def label(self, box: Mailbox, message: bytes) -> Label | None:
        """As what he has trained it."""
        settings = load(self.system.site.settings)
        with as_owner(settings.bayes.store):
            entry = connect_store(settings.bayes).entry(box.user, key(message), Deadline.after(10))
        return entry.label if entry else None


@pytest.fixture(scope="module")
def trainer(mailsystem: MailSystem) -> Iterator[Daemon]:
    """The training daemon, and milter and agent that know of the filter."""
    daemon = daemons.trainer(mailsystem.site)
    with mailsystem.settings("bayes", ON), running(daemon):
        yield daemon


@pytest.fixture
def site(mailsystem: MailSystem, trainer: Daemon, fresh: Fresh) -> Site:
    """A domain of the test's own."""
    mailsystem.add_domain(fresh.domain)
    alice, bob = (mailsystem.add_user(fresh.address(name)) for name in ("alice", "bob"))
    for name in ("spam", "ham"):
        mailsystem.add_alias(fresh.address(name), fresh.address(name))
    return Site(mailsystem, trainer, fresh, alice, bob)


def test_what_a_user_forwards_trains_his_filter_and_nobody_elses(site: Site) -> None:
    one, two, three = (site.message(name) for name in ("one", "two", "three"))
    assert site.submit(site.alice, "spam", site.forward(one, two)).accepted
    assert site.submit(site.alice, "HAM", site.forward(three)).accepted
    eventually(lambda: site.label(site.alice, three) is Label.HAM, 30)
    assert [site.label(site.alice, each) for each in (one, two)] == [Label.SPAM] * 2
    assert [site.label(site.bob, each) for each in (one, two, three)] == [None] * 3
    site.system.postfix.wait_empty()
    assert not site.alice.messages()


def test_whose_filter_it_is_says_the_login_and_no_address(site: Site) -> None:
    """Both may send as office@, and one of them does."""
    office = site.fresh.address("office")
    site.system.add_alias(office, site.alice.user, site.bob.user)
    one = site.message("one")
    assert site.submit(site.bob, "spam", site.forward(one), sender=office).accepted
    eventually(lambda: site.label(site.bob, one) is Label.SPAM, 30)
    assert site.label(site.alice, one) is None
    word = f"<{site.fresh.domain}@forward.example>"

    def told() -> list[dict[str, object]]:
        return [row for row in site.system.why(word) if row["stage"] == "training"]

    [row] = eventually(told, 20)
    assert (row["subject"], row["sender"]) == (f"user {site.bob.user}", office)


def test_from_outside_it_is_no_address_and_trains_nothing_behind_a_list(site: Site) -> None:
    one, team = site.message("one"), site.fresh.address("team")
    site.system.add_alias(team, site.alice.user, site.fresh.address("spam"))
    forward, port = site.forward(one), site.system.port()
    refused = send(port, site.alice.user, [site.fresh.address("spam")], forward)
    assert str(refused.recipients[site.fresh.address("spam")]).startswith("550 5.1.1")
    sent = len(site.system.sent_out())
    assert send(port, site.alice.user, [team], forward).accepted
    site.alice.wait()
    site.system.postfix.wait_empty()
    assert site.label(site.alice, one) is None
    assert len(site.system.sent_out()) == sent
    assert len(site.alice.messages()) == 1


def test_without_the_daemon_it_waits_in_the_queue(site: Site) -> None:
    one = site.message("one")
    site.trainer.stop()
    try:
        assert site.submit(site.alice, "spam", site.forward(one)).accepted
        eventually(lambda: "Cannot be trained now" in str(site.system.postfix.entries()), 60)
    finally:
        site.trainer.start()
    site.system.postfix.flush()
    eventually(lambda: site.label(site.alice, one) is Label.SPAM, 60)
    site.system.postfix.wait_empty()


def test_who_attached_nothing_is_told_so(site: Site) -> None:
    assert site.submit(site.alice, "spam", b"Subject: Fwd: offer\r\n\r\n> buy\r\n").accepted
    [bounce] = site.alice.wait(deadline=60)
    assert b"forward what is to be trained as attachment" in b" ".join(bounce.split())
    site.system.postfix.wait_empty()


def test_the_sweep_goes_to_all_who_have_a_filter_and_may_enter(site: Site) -> None:
    """By the directory; an account that is disabled lets the master user in, and nobody else."""
    for box, line in ((site.alice, "iemsBayes: off"), (site.bob, "iemsDisabled: the server's own")):
        change = (
            f"dn: {tree.user_dn(box.user)}\nchangetype: modify\nadd: {line.partition(':')[0]}\n"
        )
        site.system.slapd.modify(f"{change}{line}\n")
    settings = load(site.system.site.settings)
    found = {str(one) for one in filtered(settings)(Deadline.after(60))}
    ours = {one for one in found if one.endswith(f"@{site.fresh.domain}")}
    assert ours == {site.bob.user}
    who = master.master(site.system.dovecot)
    with opened(who, Address.parse(site.bob.user), Deadline.after(60)) as mailbox:
        assert b"INBOX" in {one.name for one in mailbox.folders()}
    with pytest.raises(imaplib.IMAP4.error):
        site.bob.messages()
