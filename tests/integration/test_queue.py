"""`iems queue` on two real Postfix instances: what waits is told apart, and moved as chosen."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cli.main import main
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder
from tests.conftest import ROOT
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.smtp import send
from tests.waiting import eventually

MESSAGE = b"Subject: one\r\n\r\ntext\r\n"
HOSTILE = "a\u202eb@sender.example"
"""What turns the direction of writing: Postfix lets it through, unlike ASCII's controls."""


@dataclass(frozen=True)
class Host:
    """A machine with two instances, whose next hop is a closed port, and settings."""

    first: Postfix
    second: Postfix
    settings: Path
    output: pytest.CaptureFixture[str]

    def command(self, *words: str) -> list[str]:
        """`iems queue`, as it is called."""
        call = "import sys; from cli.main import main; sys.exit(main())"
        return [sys.executable, "-c", call, "--settings", str(self.settings), "queue", *words]

    @property
    def environment(self) -> dict[str, str]:
        """In which it runs."""
        return {"PYTHONPATH": str(ROOT), "MAIL_CONFIG": str(self.first.config)}

    def queue(self, *words: str, code: int = 0) -> str:
        """What it says, with its errors where it ends with one."""
        assert main(["--settings", str(self.settings), "queue", *words]) == code
        told = self.output.readouterr()
        return told.out + (told.err if code else "")

    def groups(self, *words: str) -> list[dict[str, object]]:
        """The groups, as a program reads them."""
        found: list[dict[str, object]] = json.loads(self.queue("--json", *words))["groups"]
        return found


@pytest.fixture(scope="module")
def pair(ground: Ground) -> Iterator[tuple[Postfix, Postfix]]:
    """Both run, the first one manages the second one."""
    closed = ground.port()
    made = []
    for _number in range(2):
        own = {"default_transport": f"smtp:[127.0.0.1]:{closed}"}
        own |= {"smtpd_relay_restrictions": "permit_mynetworks,reject"}
        # Each message is tried once: while it is tried again no reason is told, and one that waits
        # for a server that was given up has other words.
        own |= dict.fromkeys(("queue_run_delay", "minimal_backoff_time"), "1h")
        own |= {"maximal_backoff_time": "1h"}
        own |= {"default_destination_concurrency_failed_cohort_limit": "0"}
        made.append(Postfix(ground, main=own, listeners=[Listener("test", ground.port(), {})]))
    first, second = made
    with (first.config / "main.cf").open("a") as file:
        file.write(f"multi_instance_directories = {second.config}\n")
    with (second.config / "main.cf").open("a") as file:
        file.write("multi_instance_name = postfix-short\n")
    with running(first), running(second):
        yield first, second


@pytest.fixture
def host(
    pair: tuple[Postfix, Postfix],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Host]:
    """Four messages in the first queue, and one in the second one."""
    first, second = pair
    settings = tmp_path / "iems.toml"
    settings.write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[milter]\nstate = "{tmp_path}"\n'
    )
    send(first.port("test"), "a@sender.example", ["x@one.test", "y@two.test"], MESSAGE)
    send(first.port("test"), "b@sender.example", ["x@one.test"], MESSAGE)
    first.sendmail("-f", HOSTILE, "x@three.test", message=MESSAGE)
    for one in pair:
        send(one.port("test"), "", ["c@one.test"], MESSAGE)
    for one, count in ((first, 4), (second, 1)):
        eventually(partial(refused, one, count), 20, lambda: str(first.entries()))
    monkeypatch.setenv("MAIL_CONFIG", str(first.config))
    yield Host(first, second, settings, capfd)
    for one in pair:
        one.empty()


def refused(postfix: Postfix, count: int) -> bool:
    """Whether so many messages are there, and each was tried."""
    entries = postfix.entries()
    return len(entries) == count and all("refused" in str(one.reasons) for one in entries)


def where(postfix: Postfix) -> dict[str, str]:
    """In which queue each message is, by its sender."""
    return {one.sender: one.queue for one in postfix.entries()}


def test_what_waits_is_told_by_instance_domain_channel_and_reason(host: Host) -> None:
    [bounce] = [one for one in host.second.entries() if one.sender == "MAILER-DAEMON"]
    recorder = Recorder(host.settings.parent / "records.sqlite")
    told = Record("R", "end-of-message", "accept", queue_id=bounce.queue_id, channel="local")
    recorder.commit([told], Deadline.after(10))
    recorder.close(Deadline.after(10))
    found = {
        (one["instance"], one["channel"], one["domain"], one["messages"])
        for one in host.groups("--by", "instance", "channel", "domain", "reason")
    }
    assert found == {
        ("etc", "-", "one.test", 3),
        ("etc", "-", "two.test", 1),
        ("etc", "-", "three.test", 1),
        ("postfix-short", "local", "one.test", 1),
    }
    assert all("Connection refused" in str(one["reason"]) for one in host.groups())
    assert {one["age"] for one in host.groups()} == {"<1h"}
    assert [one["messages"] for one in host.groups("--by", "instance")] == [4, 1]
    [only] = host.groups("--channel", "local", "--by", "instance")
    assert only == {"messages": 1, "oldest": only["oldest"], "instance": "postfix-short"}
    screen = host.queue()
    assert "postfix-short: 1 messages" in screen
    assert screen.startswith("messages  oldest  instance")


def test_a_filter_means_one_and_the_same_recipient(host: Host) -> None:
    def count(*words: str) -> int:
        return len(host.queue("--each", *words).splitlines())

    assert count() == 5
    assert count("--sender", "<>") == 2
    assert count("--sender", "*@SENDER.example") == 3
    assert count("--domain", "two.test", "--recipient", "x@*") == 0
    assert count("--domain", "two.test", "--recipient", "y@*", "--reason", "REFUSED") == 1
    assert count("--reason", "timed out") == 0
    assert count("--older", "1h") == 0
    assert count("--older", "0s", "--instance", "postfix-short") == 1
    assert count("--queue", "hold") == 0
    assert "no instance other; there is etc, postfix-short" in host.queue(
        "--instance", "other", code=2
    )


def test_what_strangers_write_is_no_command_to_the_terminal(host: Host) -> None:
    assert HOSTILE in where(host.first)
    assert "<a?b@sender.example> to <x@three.test>" in host.queue(
        "--each", "--domain", "three.test"
    )
    [told] = host.queue("--each", "--json", "--domain", "three.test").splitlines()
    assert told.isascii()
    assert json.loads(told)["sender"] == HOSTILE


def test_chosen_messages_are_held_and_released_and_no_others(host: Host) -> None:
    assert host.queue("hold", "--sender", "nobody@*") == "unchanged: no such message\n"
    words = ("hold", "--domain", "one.test", "--sender", "*@*")
    assert "would be: held 2 of 2 messages in etc\n" in host.queue(*words, "--dry-run")
    assert "hold" not in where(host.first).values()
    assert host.queue(*words) == "held 2 of 2 messages in etc\n"
    held = where(host.first)
    assert (held["a@sender.example"], held["b@sender.example"]) == ("hold", "hold")
    assert list(held.values()).count("hold") == 2
    assert "hold" not in where(host.second).values()
    assert host.queue("release", "--sender", "a@*") == "released 1 of 1 message in etc\n"
    # Between the two folders it is in neither of them for who looks at one after the other.
    eventually(lambda: where(host.first).get("a@sender.example", "hold") != "hold")
    assert where(host.first)["b@sender.example"] == "hold"
    told = host.queue("release", "--all", "--json")
    done = {"etc": {"chosen": 1, "released": 1}}
    assert json.loads(told) == {"verb": "release", "dry_run": False, "instances": done}


def test_a_requeued_message_goes_in_anew(host: Host) -> None:
    [before] = [one.queue_id for one in host.first.entries() if one.sender.startswith("b@")]
    told = host.queue("requeue", "--sender", "b@sender.example")
    assert told == "requeued 1 of 1 message in etc\n"

    def again() -> bool:
        ids = [one.queue_id for one in host.first.entries() if one.sender.startswith("b@")]
        return len(ids) == 1 and ids != [before]

    eventually(again, 20, lambda: str(host.first.entries()))


def test_what_is_deleted_is_gone_in_every_instance(host: Host) -> None:
    assert "delete asks, and nobody is there" in host.queue("delete", "--sender", "<>", code=2)
    assert "delete which?" in host.queue("delete", code=2)
    assert "exclude each other" in host.queue("delete", "--all", "--sender", "<>", code=2)
    assert len(host.first.entries()) == 4
    told = host.queue("delete", "--sender", "<>", "--yes")
    assert told == "deleted 1 of 1 message in etc\ndeleted 1 of 1 message in postfix-short\n"
    assert not host.second.entries()
    assert "MAILER-DAEMON" not in where(host.first)
    assert len(host.first.entries()) == 3


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("", 1, 1), ("no", 1, 1)])
def test_deleting_asks(host: Host, answer: str, code: int, left: int) -> None:
    ours, its = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            host.command("delete", "--instance", "postfix-short"),
            env=host.environment,
            stdin=its,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(its)
    assert "delete 1 message for good? [y/N] " in done.stderr
    assert done.returncode == code
    assert len(host.second.entries()) == left
    assert len(host.first.entries()) == 4


def test_an_instance_that_cannot_be_read_hides_no_other(host: Host, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("queue_directory = /nonexistent\n")
    file = host.first.config / "main.cf"
    text = file.read_text()
    file.write_text(text.replace("instance_directories =", f"instance_directories = {tmp_path}"))
    try:
        told = host.queue("--each", code=75)
    finally:
        file.write_text(text)
    assert f"postqueue of {tmp_path.name} ended with" in told
    assert len(re.findall("(?m)^[0-9A-Za-z]+ etc/", told)) == 4
    assert len(re.findall("(?m)^[0-9A-Za-z]+ postfix-short/", told)) == 1


def test_a_requeued_message_keeps_its_findings(mailsystem: MailSystem, fresh: Fresh) -> None:
    mailsystem.add_domain(fresh.domain)
    bob = mailsystem.add_user(fresh.address("bob"), "dnsbl/delegated listed choice junk")
    mailsystem.lists.list(DELEGATED, fresh.ip)
    mailsystem.agent.stop()
    client = (fresh.ip, "mx.sender.example")
    sent = send(mailsystem.port(), "a@sender.example", [bob.user], MESSAGE, client=client)
    assert sent.data is not None
    before = sent.data.text.rpartition(" ")[2]

    def again() -> bool:
        # It is tried again and again: while it is under way it is in no queue for who looks.
        mailsystem.iems("queue", "requeue", "--recipient", bob.user)
        entries = mailsystem.postfix.entries()
        return any(one.queue_id != before for one in entries if one.recipients == (bob.user,))

    eventually(again, 20)
    mailsystem.agent.start()
    [text] = bob.wait(folder="Junk", deadline=30)
    assert b"X-IEMS-Verdict: junk" in text
    assert before.encode() in text  # the queue id that the findings are bound to
    mailsystem.postfix.wait_empty()
