"""A check in shadow through the whole system: nothing is done, and all is told of what would be."""

from __future__ import annotations

import email
import email.policy
import time

import pytest

from tests.integration.conftest import BLACKLISTS, Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import send
from tests.waiting import eventually

ZONE = BLACKLISTS[2]
SETTINGS = """
postmaster = "{postmaster}"
[checks.uribl.new]
mode = "shadow"
zone = "{zone}"
default = {{ listed = "reject" }}
"""
DAY = 86400


@pytest.mark.timeout(180)
def test_nothing_is_done_and_what_would_have_been_is_told(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    mailsystem.add_domain(fresh.domain)
    postmaster = mailsystem.add_user(fresh.address("first"))
    alice = mailsystem.add_user(fresh.address("alice"), "dnsbl/delegated listed choice junk")
    domain = f"{fresh.domain.partition('.')[0]}-shadow.example"
    mailsystem.lists.list(ZONE, domain)
    mailsystem.lists.list(DELEGATED, fresh.ip)
    extra = SETTINGS.format(postmaster=fresh.address("postmaster"), zone=ZONE)
    told_at = mailsystem.site.agent_state / "shadow"
    with mailsystem.settings("shadow", extra):
        eventually(told_at.exists, 20)
        began = int(time.time())
        for number, client in enumerate((fresh.ip6, fresh.ip)):
            message = f"Message-ID: <{number}.{fresh.domain}@x.test>\r\n\r\nhttp://a.{domain}/\r\n"
            by = (client, "mx.sender.example")
            sent = send(
                mailsystem.port(), "a@sender.example", [alice.user], message.encode(), client=by
            )
            assert sent.accepted == (alice.user,)
        alice.wait(1)
        alice.wait(1, folder="Junk")
        (row,) = _verdicts(mailsystem, f"<0.{fresh.domain}@x.test>")
        assert row["action"] == "deliver"
        told = mailsystem.iems("why", f"<0.{fresh.domain}@x.test>").decode()
        assert (
            "    shadow, nothing done: uribl/new listed: reject, chosen by site; "
            f"linked host {domain} is listed by new"
        ) in told.splitlines()
        _verdicts(mailsystem, f"<1.{fresh.domain}@x.test>")
        replayed = mailsystem.iems_ends("replay", "--shadow", "--since", "10m")
        assert replayed.returncode == 1
        lines = sorted(line for line in replayed.stdout.decode().splitlines() if alice.user in line)
        assert lines == [
            f"       1  user {alice.user}: {was} -> reject, uribl/new listed"
            for was in ("deliver", "junk")
        ]
        # A day is over for the job of the agent, of which all that is older is told already.
        told_at.write_text(f"{began - DAY}\n")
        mailsystem.reload()
        (text,) = eventually(lambda: _notices(postmaster), 30)
        assert "uribl/new listed: deliver -> reject" in text
        assert "uribl/new listed: junk -> reject" in text
        assert 'and do nothing (mode = "shadow"): uribl/new' in text.splitlines()[0]
    eventually(lambda: not told_at.exists(), 20)


def _notices(postmaster: Mailbox) -> list[str]:
    """Those about shadow; one of a server that an earlier test stopped may come late."""
    parsed = (
        email.message_from_bytes(one, policy=email.policy.default) for one in postmaster.messages()
    )
    texts = [one.get_content() for one in parsed]
    return [one for one in texts if "shadow" in one]


def _verdicts(system: MailSystem, message_id: str) -> list[dict[str, object]]:
    """The records of recipients; one is that of the message."""
    return [row for row in system.why(message_id, 2) if row["recipient"]]
