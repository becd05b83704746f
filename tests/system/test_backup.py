"""A backup of a mail server that works, and its restore on another machine.

The second machine has the same names and another address; it is set up by the same command.
"""

from __future__ import annotations

import imaplib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.machine import Machine, machine
from tests.system.mail import Account
from tests.system.provision import changes, provision, recap
from tests.system.server import DOMAIN, Server, message_id
from tests.system.world import CLEAN, ON_DELEGATED
from tests.waiting import eventually

ARCHIVE = "/root/mail.tar.gz"
RENAMED = r"\Answered"
"""The flag that every message gets and loses while the backup runs: its file has another name."""

CAROL = f"carol@{DOMAIN}"
SCRIPT = 'require "fileinto"; if header :contains "subject" "never" { fileinto "Trash"; }\n'


@pytest.fixture
def second(server: Server, logs: Path) -> Iterator[Server]:
    """Another machine of the same name, fresh from the command."""
    name = f"mail.{DOMAIN}"
    with machine(server.world.bridge, logs / "second", number=13, hostname=name) as made:
        provision(made)
        yield Server(made, server.world, server.more_passwords)


def test_a_restored_server_has_all_of_the_old_one(server: Server, second: Server) -> None:
    bob = server.account("bob")
    word = server.deliver(CLEAN, ["bob"])
    bob.wait_for(word)
    flagged(bob, word)
    kept = quarantined(server)
    server.machine.run("doveadm", "sieve", "put", "-a", "-u", bob.address, "own", stdin=SCRIPT)
    with load(server) as during:
        server.iems("backup", ARCHIVE)
    assert server.machine.shell(f"stat -c '%a %U' {ARCHIVE}") == "600 root\n"
    later = server.deliver(CLEAN, ["bob"])
    bob.wait_for(later)

    # On a busy machine it may have told its postmaster already of a server that is slow.
    second.machine.run("doveadm", "expunge", "-u", "postmaster@example.test", "mailbox", "*", "all")
    before = accounts(second.machine)
    second.machine.path(ARCHIVE).write_bytes(server.machine.path(ARCHIVE).read_bytes())
    loaded = settings_of(second)
    told = json.loads(second.iems("restore", ARCHIVE, "--json"))
    assert told["users"] == len(server.iems("user", "list").split())
    eventually(lambda: set(loaded.items()).isdisjoint(settings_of(second).items()), 30)
    assert accounts(second.machine) == before
    assert second.iems("user", "list") == server.iems("user", "list")
    assert second.machine.run("iems", "check", check=False).returncode == 0

    there = Account(second.host, bob.address, bob.password)
    assert details(there, word) == details(bob, word)
    assert sorted(copies(there, during)) == sorted(during)
    assert there.find(later) == []
    scripts = ("doveadm", "sieve")
    assert SCRIPT in second.machine.run(*scripts, "get", "-u", bob.address, "own").stdout
    assert re.search("own.*ACTIVE", second.machine.run(*scripts, "list", "-u", bob.address).stdout)

    assert second.why(message_id(word), "bob") == server.why(message_id(word), "bob")
    [record] = [one for one in second.why(message_id(kept), "carol") if one["recipient"]]
    stored = f"/var/lib/iems/lmtp/quarantine/{record['details']['quarantine']}.eml"
    assert kept in second.machine.run("cat", stored, user="iems-lmtp").stdout

    works(second, there)


def settings_of(server: Server) -> dict[str, float]:
    """When each daemon read its settings."""
    daemons = json.loads(server.iems("status", "--json", check=False))["daemons"]
    return {name: one["settings"] for name, one in daemons.items()}


def works(second: Server, bob: Account) -> None:
    """Mail comes in as before, each has what he chose, and the command finds nothing to do."""
    word = second.deliver(ON_DELEGATED, ["bob"])
    assert bob.wait_for(word)[0] == "Junk"
    refused = second.send(ON_DELEGATED, ["alice"], b"")
    assert refused.recipients[f"alice@{DOMAIN}"].code == 550
    told = provision(second.machine, log="restored")
    assert recap(told) == (0, 0), changes(told)


def test_what_is_no_backup_changes_nothing(server: Server) -> None:
    server.iems("backup", f"{ARCHIVE}.whole")
    whole = server.machine.path(f"{ARCHIVE}.whole").read_bytes()
    server.machine.path(f"{ARCHIVE}.cut").write_bytes(whole[: len(whole) // 2])
    users = server.iems("user", "list")
    done = server.machine.run("iems", "restore", f"{ARCHIVE}.cut", check=False)
    assert done.returncode == 1
    assert f"{ARCHIVE}.cut" in done.stderr
    assert server.iems("user", "list") == users
    for user in ("iems-lmtp", "vmail"):
        done = server.machine.run("iems", "backup", "x.tar.gz", user=user, check=False)
        assert done.returncode == 77, done.stderr


def flagged(account: Account, word: str) -> None:
    """Mark a message in his inbox."""
    with account.imap() as session:
        session.select("INBOX")
        _status, numbers = session.search(None, "SUBJECT", word)
        session.store(numbers[0].decode(), "+FLAGS", r"(\Flagged \Seen)")


def details(account: Account, word: str) -> list[object]:
    """Folder's UIDVALIDITY, and the message's UID, flags, date and content."""
    with account.imap() as session:
        session.select("INBOX", readonly=True)
        validity = session.response("UIDVALIDITY")[1]
        _status, numbers = session.search(None, "SUBJECT", word)
        _status, parts = session.fetch(
            numbers[0].decode(), "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"
        )
    [head, data] = next(part for part in parts if isinstance(part, tuple))
    flags = set(imaplib.ParseFlags(head)) - {rb"\Recent", RENAMED.encode()}
    return [validity, flags, re.sub(rb"^\d+|FLAGS \([^)]*\)", b"", head), data]


def copies(account: Account, words: list[str]) -> list[str]:
    """Which of these are in his inbox, each as often as it is there."""
    return [subject for subject in account.subjects("INBOX") if subject in words]


def quarantined(server: Server) -> str:
    """The marker of a message that carol's choice has put into quarantine."""
    server.iems("policy", "set", CAROL, "dnsbl/delegated", "quarantine")
    try:
        server.reload()  # what the directory said is kept for a minute
        word = server.deliver(ON_DELEGATED, ["carol"])
        assert server.verdict(word, "carol")["action"] == "quarantine"
    finally:
        server.iems("policy", "set", CAROL, "dnsbl/delegated", "deliver")
        server.reload()
    return word


def accounts(made: Machine) -> str:
    """The passwords of the service accounts, and that the directory takes them."""
    for name in ("postfix", "dovecot", "milter", "agent", "admin"):
        made.run(
            *("ldapwhoami", "-x", "-H", "ldapi:///", "-D", f"cn={name},ou=services,o=iems"),
            *("-y", f"/etc/iems/keys/ldap-{name}"),
        )
    return made.shell("cat /etc/iems/keys/ldap-*")


@contextmanager
def load(server: Server) -> Iterator[list[str]]:
    """Mail for bob arrives meanwhile; what was in his mailbox before the context's inside began."""
    before = [server.deliver(CLEAN, ["bob"]) for _message in range(20)]
    server.wait_for_empty_queue()
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.1):
            server.deliver(CLEAN, ["bob"])

    def move() -> None:
        """Bob's program flags everything and takes it back."""
        with server.account("bob").imap() as session:
            session.select("INBOX")
            while not stop.wait(0.1):
                session.store("1:*", "+FLAGS", RENAMED)
                session.store("1:*", "-FLAGS", RENAMED)

    threads = [threading.Thread(target=one) for one in (send, move)]
    for one in threads:
        one.start()
    try:
        yield before
    finally:
        stop.set()
        for one in threads:
            one.join()
    server.wait_for_empty_queue()
