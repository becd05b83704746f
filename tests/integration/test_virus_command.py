"""A scanner that is a command, run by the milter as the milter's user, in the whole system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import samples
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import MILTER_USER, Ground
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.process import parent
from tests.integration.stack.smtp import Reply, send
from tests.waiting import eventually

SCRIPT = """\
#!/bin/sh
# What it runs as and has, what it finds, and how it ends.
cd {folder}
id -un > user
env > environment
grep NoNewPrivs /proc/self/status > rights
grep -q EICAR-STANDARD /dev/stdin && exit 1
grep -q X-Odd /dev/stdin && exit 7
grep -q X-Hang /dev/stdin || exit 0
sleep 600 &
echo $! >> left
wait
"""
SETTINGS = """
[checks.virus]
mode = "enforce"
timeout = 10.0
default = {{ infected = "reject" }}
engines = {{ other = {{ kind = "command", command = ["{script}"] }} }}
"""


@pytest.fixture
def folder(mailsystem: MailSystem, ground: Ground) -> Iterator[Path]:
    """Where the command writes what it sees."""
    place = ground.place("scanner")
    place.chmod(0o777)
    script = place / "scan"
    script.write_text(SCRIPT.format(folder=place))
    script.chmod(0o755)
    with mailsystem.settings("virus", SETTINGS.format(script=script)):
        yield place


def test_a_command_scans_as_the_user_of_the_milter(
    mailsystem: MailSystem, fresh: Fresh, folder: Path
) -> None:
    mailsystem.add_domain(fresh.domain)
    alice = mailsystem.add_user(fresh.address("alice"))

    def answer(message: bytes) -> Reply:
        client = (fresh.ip, "mx.sender.example")
        sent = send(mailsystem.port(), "a@sender.example", [alice.user], message, client=client)
        assert sent.data is not None
        return sent.data

    infected = answer(samples.PLAIN["plain"])
    assert infected.code == 550
    assert "the message carries a virus (other: exit code 1)" in infected.text
    assert (folder / "user").read_text() == f"{MILTER_USER}\n"
    assert (folder / "rights").read_text().split() == ["NoNewPrivs:", "1"]
    names = {line.partition("=")[0] for line in (folder / "environment").read_text().splitlines()}
    assert names <= {"PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"}
    odd = answer(b"X-Odd: 1\r\n" + samples.mixed(samples.TEXT))
    assert odd.code == 450
    assert "(other: ends with exit code 7)" in odd.text
    hangs = answer(b"X-Hang: 1\r\n" + samples.mixed(samples.TEXT))
    assert hangs.code == 450
    assert "(other: gives no answer in time)" in hangs.text
    left = [int(pid) for pid in (folder / "left").read_text().split()]
    assert left
    eventually(lambda: all(parent(pid) == -1 for pid in left), 10)
    assert answer(samples.mixed(samples.TEXT)).code == 250
    assert b"hello" in alice.wait()[0]
    mailsystem.postfix.wait_empty()
    assert list((mailsystem.site.milter_state / "spool").iterdir()) == []
