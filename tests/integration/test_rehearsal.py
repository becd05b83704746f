"""What `iems try` and `iems replay` foretell is what the whole system does."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from iems.codec.header import parse_header, split_message
from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, ENFORCED, MailSystem
from tests.integration.stack.smtp import send
from tests.waiting import eventually

SENDER = "a@sender.example"
NAME = "mx.sender.example"
CHOICES = ("", "deliver", "tag", "junk", "reject")
ON_THE_WAY = frozenset(
    {b"return-path", b"delivered-to", b"received", b"authentication-results", b"x-iems-verdict"}
)
"""Fields that name a time, a queue id or a reference, or are the next hop's."""

MESSAGE = (
    b"Message-ID: <%s@sender.example>\r\nSubject: =?utf-8?q?h=C3=A9?=\r\n folded\r\n"
    b"X-IEMS-Verdict: deliver\r\nX-IEMS-Findings: forged\r\nX-Empty:\r\n\r\n"
    b"text \xe4\r\n\r\n.dot\r\n"
)


@pytest.fixture
def users(mailsystem: MailSystem, fresh: Fresh) -> dict[str, Mailbox]:
    """A user of each choice, the first one of none."""
    mailsystem.add_domain(fresh.domain)
    return {
        choice: mailsystem.add_user(
            fresh.address(choice or "first"),
            *([f"dnsbl/delegated listed choice {choice}"] if choice else []),
        )
        for choice in CHOICES
    }


def kept(raw: bytes) -> tuple[list[bytes], bytes]:
    """What of a copy depends on nothing but message and recipient."""
    header, body = split_message(raw)
    fields = parse_header(header).fields
    return [one.raw for one in fields if one.key not in ON_THE_WAY], body


def verdict(raw: bytes) -> bytes:
    fields = parse_header(split_message(raw)[0]).named(b"X-IEMS-Verdict")
    return fields[0].value.partition(b";")[0].strip() if fields else b""


def tried(
    mailsystem: MailSystem, ip: str, recipients: list[str], message: Path, out: Path
) -> dict[str, Any]:
    done = mailsystem.iems_ends(
        *("try", str(message), "--client", ip, "--name", NAME, "--helo", NAME),
        *("--mail-from", SENDER, "--json", "--output", str(out), "--rcpt", *recipients),
    )
    assert not done.stderr, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_trial_tells_replies_verdicts_and_bytes(
    mailsystem: MailSystem, users: dict[str, Mailbox], fresh: Fresh, tmp_path: Path
) -> None:
    mailsystem.lists.list(DELEGATED, fresh.ip)
    recipients = [box.user for box in users.values()]
    file = tmp_path / "message.eml"
    file.write_bytes(MESSAGE % fresh.domain.encode())
    told = tried(mailsystem, fresh.ip, recipients, file, tmp_path / "out")
    sent = send(mailsystem.port(), SENDER, recipients, file.read_bytes(), client=(fresh.ip, NAME))
    assert {whom: answer[:9] for whom, answer in told["replies"]} == {
        whom: f"{reply.code} {reply.text}"[:9] for whom, reply in sent.recipients.items()
    }
    copies = {one["recipient"]: Path(one["file"]).read_bytes() for one in told["copies"]}
    assert copies.keys() == {box.user for choice, box in users.items() if choice != "reject"}
    for choice, box in users.items():
        if choice == "reject":
            continue
        (text,) = box.wait(folder="Junk" if choice == "junk" else "INBOX")
        assert kept(text) == kept(copies[box.user])
        assert verdict(text) == verdict(copies[box.user])
    mailsystem.postfix.wait_empty()


def test_a_trial_leaves_nothing(
    mailsystem: MailSystem, users: dict[str, Mailbox], fresh: Fresh, tmp_path: Path
) -> None:
    mailsystem.lists.list(ENFORCED, fresh.ip)
    file = tmp_path / "message.eml"
    file.write_bytes(MESSAGE % fresh.domain.encode())
    told = tried(mailsystem, fresh.ip, [users[""].user], file, tmp_path / "out")
    assert told["replies"][0][1].startswith("550")
    assert not told["copies"]
    assert mailsystem.iems_ends("why", told["reference"]).returncode == 1


def replayed(mailsystem: MailSystem, since: str, *words: str) -> dict[str, Any]:
    done = mailsystem.iems_ends("replay", "--json", "--since", since, *words)
    assert not done.stderr, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if told["differences"] else 0)
    return told


def recorded(mailsystem: MailSystem, domain: str) -> int:
    """How many verdicts on recipients of the domain are in the records of both daemons."""
    site, number = mailsystem.site, 0
    for state in (site.milter_state, site.agent_state):
        with closing(sqlite3.connect(state / "records.sqlite")) as records:
            wanted = "SELECT count(*) FROM record WHERE recipient LIKE ?"
            [[found]] = records.execute(wanted, (f"%{domain}",))
            number += found
    return number


def test_a_replay_finds_every_seeded_change_and_no_other(
    mailsystem: MailSystem, users: dict[str, Mailbox], fresh: Fresh
) -> None:
    drawn = random.Random(4)
    mailsystem.lists.list(DELEGATED, fresh.ip)
    recipients = [box.user for box in users.values()]
    expected: dict[str, int] = dict.fromkeys(recipients, 0)
    verdicts = 0
    for number in range(20):
        some = drawn.sample(recipients, drawn.randint(1, len(recipients)))
        client = fresh.ip if number % 2 else fresh.ip6
        message = MESSAGE % f"{number}.{fresh.domain}".encode()
        send(mailsystem.port(), SENDER, some, message, client=(client, NAME))
        verdicts += len(some)
        for one in some if number % 2 else ():
            expected[one] += 1
    mailsystem.postfix.wait_empty()
    own = f"@{fresh.domain}"

    def mine(told: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in told["differences"] if one["recipient"].endswith(own)]

    # With the policy of then nothing differs, in all that this and other tests have sent; only
    # users who are gone or have changed their minds since may.
    eventually(lambda: recorded(mailsystem, own) == verdicts, 15)
    assert mine(replayed(mailsystem, "5m")) == []
    for choice, box in users.items():
        change = ("--set", box.user, "dnsbl/delegated", "quarantine")
        found = mine(replayed(mailsystem, "5m", *change))
        assert [one["recipient"] for one in found] == [box.user] * expected[box.user]
        assert {(one["was"], one["now"]) for one in found} <= {(choice or "deliver", "quarantine")}
    # What was tried becomes true: the directory itself now says it.
    box = users["tag"]
    mailsystem.iems("policy", "set", box.user, "dnsbl/delegated", "junk")
    found = mine(replayed(mailsystem, "5m"))
    assert [(one["recipient"], one["now"]) for one in found] == [(box.user, "junk")] * expected[
        box.user
    ]


def state(maildir: Path) -> dict[str, tuple[int, ...]]:
    """Every file and folder with what a reader could change of it."""
    found = {str(file): file.stat() for file in (maildir, *maildir.rglob("*"))}
    return {
        name: (one.st_ino, one.st_mode, one.st_size, one.st_mtime_ns, one.st_atime_ns)
        for name, one in found.items()
    }


def test_a_replay_over_maildirs_finds_every_seeded_change_and_no_other(
    mailsystem: MailSystem, users: dict[str, Mailbox], fresh: Fresh, tmp_path: Path
) -> None:
    """By the records of their delivery, and as well where there are none any more."""
    drawn = random.Random(5)
    mailsystem.lists.list(DELEGATED, fresh.ip)
    kept = {choice: box for choice, box in users.items() if choice != "reject"}
    team = mailsystem.add_alias(fresh.address("team"), *(box.user for box in kept.values()))
    total, listed = dict.fromkeys(kept, 0), dict.fromkeys(kept, 0)
    for number in range(12):
        reached = sorted(kept) if number % 4 == 3 else [drawn.choice(sorted(kept))]
        to = team if len(reached) > 1 else kept[reached[0]].user
        client = (fresh.ip, fresh.ip6)[number // 2 % 2]
        message = MESSAGE % f"mail{number}.{fresh.domain}".encode()
        send(mailsystem.port(), SENDER, [to], message, client=(client, NAME))
        for choice in reached:
            total[choice] += 1
            listed[choice] += client == fresh.ip
    mailsystem.postfix.wait_empty()
    mail = mailsystem.dovecot.folder / "mail" / fresh.domain
    maildirs = [mail / box.user.partition("@")[0] / "Maildir" for box in kept.values()]
    before = [state(maildir) for maildir in maildirs]
    words = ("--maildir", *map(str, maildirs))
    changes = [("--set", box.user, "dnsbl/delegated", "quarantine") for box in kept.values()]
    count = sum(total.values())
    told: dict[str, Any] = {}

    def recorded() -> bool:
        told.update(replayed(mailsystem, "5m", *words))
        return bool(told["judged"] == {"record": count})

    eventually(recorded, 20, lambda: str(told))
    for how, files in (("record", ()), ("checks", ("--records", str(tmp_path / "none")))):
        told = replayed(mailsystem, "5m", *words, *files)
        assert (told["differences"], told["unjudged"]) == ([], {})
        assert told["judged"] == {how: count}
        found = replayed(mailsystem, "5m", *words, *files, *itertools.chain(*changes))
        assert sorted(
            (one["recipient"], one["was"], one["now"], one["judged_by"])
            for one in found["differences"]
        ) == sorted(
            (kept[choice].user, choice or "deliver", "quarantine", how)
            for choice, number in listed.items()
            for _one in range(number)
        )
    assert [state(maildir) for maildir in maildirs] == before


def test_root_reads_a_maildir_with_the_rights_of_its_owner(
    mailsystem: MailSystem, users: dict[str, Mailbox], fresh: Fresh, tmp_path: Path
) -> None:
    """A user who puts a name of somebody else's file there learns nothing of it."""
    box = users[""]
    send(mailsystem.port(), SENDER, [box.user], MESSAGE % fresh.domain.encode(), client=None)
    (text,) = box.wait()
    local, _at, domain = box.user.partition("@")
    maildir = mailsystem.dovecot.folder / "mail" / domain / local / "Maildir"
    secret = tmp_path / "secret"
    secret.write_bytes(text)
    secret.chmod(0o600)
    (maildir / "cur/link").symlink_to(secret)
    (maildir / "cur/roots").write_bytes(text)
    (maildir / "cur/roots").chmod(0o600)
    try:
        done = mailsystem.iems_ends("replay", "--json", "--maildir", str(maildir))
    finally:
        (maildir / "cur/link").unlink()
        (maildir / "cur/roots").unlink()
    told = json.loads(done.stdout)
    assert (sum(told["judged"].values()), told["unjudged"]) == (1, {"not read": 2})
    assert f"{maildir}/cur/roots: Permission denied" in done.stderr.decode()
