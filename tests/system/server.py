"""The mail server that `make mailserver` made, with the people who use it and the one who runs it.

Questions go through the doors that a person has: SMTP, IMAP, `iems`, Postfix's own commands and the
mail log. Settings are changed as an administrator would: a file in conf.d and a reload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.system import mail, world
from tests.system.machine import Machine
from tests.system.mail import Account, Outcome
from tests.system.world import World
from tests.waiting import eventually

DOMAIN = "example.test"
PASSWORDS = "/root/iems-passwords"
QUIET = 30.0
"""Seconds until the queue has to be empty."""

Record = dict[str, Any]
"""One record, as `iems why --json` prints it."""


@dataclass(slots=True)
class Server:
    """The machine as a mail server."""

    machine: Machine
    world: World
    more_passwords: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Its address."""
        return self.machine.address

    def account(self, local: str) -> Account:
        """A user's account, with the password that the machine keeps for him."""
        address = f"{local}@{DOMAIN}"
        lines = self.machine.run("cat", PASSWORDS).stdout.splitlines()
        known = dict(line.split() for line in lines if line.strip())
        return Account(self.host, address, (known | self.more_passwords)[address])

    def administrator(self) -> Account:
        """Whom mail for root, postmaster and abuse reaches."""
        return self.account("postmaster")

    def add_user(self, local: str) -> None:
        """Make a user with `iems user add` and remember his password."""
        address = f"{local}@{DOMAIN}"
        self.more_passwords[address] = password = f"the secret of {local}"
        self.iems("user", "add", address, "--password-file", "-", stdin=f"{password}\n")

    def iems(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run `iems`; what it printed."""
        return self.machine.run("iems", *words, stdin=stdin, check=check).stdout

    def why(self, word: str, recipient: str = "") -> list[Record]:
        """The records of a message, by reference, queue id or Message-ID; waits for the first."""
        whom = ["--recipient", f"{recipient}@{DOMAIN}"] if recipient else []

        def ask() -> list[Record]:
            told = self.iems("why", word, *whom, "--json", check=False)
            found: list[Record] = json.loads(told) if told.startswith("[") else []
            return found

        return eventually(ask, 10, lambda: f"no record of {word}")

    def verdict(self, word: str, recipient: str) -> Record:
        """The record of the delivery of this message to this user."""

        def ask() -> list[Record]:
            return [one for one in self.why(message_id(word), recipient) if one["recipient"]]

        found = eventually(ask, 10, lambda: f"no verdict on {word} for {recipient}")
        assert len(found) == 1, found
        return found[0]

    def send(
        self, client: int, recipients: Sequence[str], data: bytes, sender: str = ""
    ) -> Outcome:
        """One transaction on port 25 from this client to users of the domain."""
        addresses = [f"{local}@{DOMAIN}" for local in recipients]
        source = self.world.client(client)
        return mail.send(self.host, source, sender or SENDER, addresses, data)

    def deliver(self, client: int, recipients: Sequence[str], *, extra: Sequence[str] = ()) -> str:
        """Send a message that has to be accepted for all; its marker."""
        word = mail.marker()
        data = mail.message(word, sender=SENDER, to=f"list@{DOMAIN}", extra=extra)
        outcome = self.send(client, recipients, data)
        assert outcome.data is not None, outcome
        assert outcome.data.code == 250, outcome
        refused = {who: told for who, told in outcome.recipients.items() if told.code != 250}
        assert not refused, refused
        return word

    def queue(self) -> list[str]:
        """What is in Postfix's queue, a line of JSON a message."""
        return self.machine.run("postqueue", "-j").stdout.splitlines()

    def wait_for_empty_queue(self) -> None:
        """Until nothing is under way."""
        eventually(lambda: not self.queue(), QUIET, lambda: f"in the queue: {self.queue()}")

    def maillog(self, pattern: str = "") -> list[str]:
        """The lines of the mail log in which the pattern is found."""
        lines = self.machine.run("cat", "/var/log/mail.log").stdout.splitlines()
        return [line for line in lines if re.search(pattern, line)]

    def settings(self, name: str, text: str) -> None:
        """Put a file into conf.d, or take it away if the text is empty; nothing is reloaded."""
        path = self.machine.path(f"/etc/iems/conf.d/{name}")
        if text:
            path.write_text(text)
            self.machine.shell(f"chgrp iems {CONF}/{name} && chmod 640 {CONF}/{name}")
        else:
            path.unlink(missing_ok=True)

    def reload(self) -> None:
        """Have all daemons take over the settings."""
        for daemon in ("iems-milter", "iems-lmtp", "iems-bayes"):
            self.machine.run("service", daemon, "reload")


CONF = "/etc/iems/conf.d"
SENDER = f"sender@{world.WORLD}"

LISTS = f"""\
[checks.iprev]
mode = "delegate"

[checks.dnsbl.enforced]
zone = "{world.ENFORCED}"
mode = "enforce"
default = {{ listed = "reject" }}
contact = "https://enforced.test/help"

[checks.dnsbl.delegated]
zone = "{world.DELEGATED}"
mode = "delegate"
default = {{ listed = "tag" }}
"""
"""The default of the delegated list is nobody's choice, so that each outcome is somebody's own."""


def peopled(machine: Machine, outside: World) -> Server:
    """The mail server with its blacklists, and three users who want different things."""
    made = Server(machine, outside)
    made.settings("test-lists.toml", LISTS)
    made.reload()
    made.add_user("carol")
    made.iems("alias", "add", f"both@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}")
    for who, action in (("alice", "reject"), ("bob", "junk"), ("carol", "deliver")):
        made.iems("policy", "set", f"{who}@{DOMAIN}", "dnsbl/delegated", action)
    return made


def message_id(word: str) -> str:
    """The Message-ID of the message with this marker."""
    return f"<{word}@{world.WORLD}>"


def reference(text: str) -> str:
    """The reference in a refusal."""
    found = re.search(r"reference (\w{12})\b", text)
    assert found, f"no reference in {text!r}"
    return found[1]
