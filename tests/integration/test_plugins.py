"""Checks and edits that others wrote, on the real servers: those of the page, and all wrong ones.

The page's code is built, installed, tried and turned on as the page says.
"""

from __future__ import annotations

import datetime
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iems.store.records import search
from iems.store.signingkeys import DomainKeys, make_folder
from tests import shouting
from tests.integration import odd
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import MILTER_USER
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.process import command, parent
from tests.integration.stack.smtp import Client, Reply, send
from tests.integration.test_signing import arrived, passes
from tests.waiting import eventually

SENDER = "a@sender.example"
SETTINGS = """
[checks.shouting]
mode = "delegate"
most = 10
timeout = 20.0
processes = 1

[checks.odd.patient]
mode = "delegate"
timeout = 20.0
max_memory = 268435456
processes = 1

[checks.odd.hasty]
mode = "delegate"
timeout = 5.0
processes = 1

[edits.odd.hasty]
timeout = 5.0
processes = 1
"""
DOMAIN = "plugins.box.test"
FAR = "someone@elsewhere.example"
LOUD = b"From: a@sender.example\r\nSubject: BUY NOW OR NEVER\r\n\r\nBuy.\r\n"


@dataclass
class World:
    """The system with both checks, and what is found out about them."""

    system: MailSystem
    folder: Path

    def processes(self) -> dict[int, int]:
        """The processes of the plug-ins, each with the worker that has begun it."""
        workers = self.system.milter.workers()
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        above = {pid: parent(pid) for pid in pids}
        return {
            pid: worker
            for pid, worker in above.items()
            if worker in workers and "plugins.child" in command(pid)
        }

    def settled(self) -> dict[int, int]:
        """The same as soon as each worker has one of each check and edit."""
        eventually(lambda: len(self.processes()) == 10, 60, lambda: str(self.processes()))
        return self.processes()

    def send(self, message: bytes, fresh: Fresh, *to: str) -> Reply:
        """The answer at the end of the message."""
        client = (fresh.ip, "mx.sender.example")
        sent = send(self.system.port(), SENDER, to, message, client=client)
        assert {one.code for one in sent.recipients.values()} == {250}
        assert sent.data is not None
        return sent.data


def submitted(world: World, subject: str, to: str) -> tuple[str, Reply]:
    """What is answered to a message that alice hands in, and its Message-ID."""
    alice, ident = f"alice@{DOMAIN}", f"<{os.urandom(6).hex()}@plugins>"
    head = f"From: {alice}\r\nSubject: {subject}\r\nMessage-ID: {ident}\r\n\r\n"
    with Client(world.system.port("submission")) as smtp:
        smtp.starttls()
        smtp.login(alice, world.system.password(alice))
        answer = smtp.send(alice, [to], head.encode() + b"text\r\n").data
    assert answer is not None
    return ident, answer


@dataclass
class Box:
    """A user of a domain of the test's own."""

    world: World
    fresh: Fresh
    mailbox: Mailbox

    def told(self, word: str, label: str = "patient", body: bytes = b"text") -> str:
        """What `odd` says of a message that tells it to do this; it is let in."""
        name = f"{word}.{os.urandom(4).hex()}@{self.fresh.domain}"
        head = f"Message-ID: <{name}>\r\nSubject: {label} {word}\r\n\r\n".encode()
        reply = self.world.send(head + body, self.fresh, self.mailbox.user)
        assert reply.code == 250, reply
        file = self.world.system.site.milter_state / "records.sqlite"
        eventually(lambda: search([file], f"<{name}>"), 20)
        [record] = search([file], f"<{name}>")
        found: Any = record.details["findings"]
        [one] = [one for one in found if one["check"] == f"odd/{label}"]
        return f"{one['outcome']} {one['reason']}"


@pytest.fixture(scope="module")
def world(mailsystem: MailSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both are installed, and the settings name them."""
    folder = tmp_path_factory.mktemp("shouting")
    for name, text in shouting.files().items():
        (folder / name).write_text(text)
    target = mailsystem.site.plugins
    words = [str(target) if one == "/usr/local/lib/iems" else one for one in shouting.commands()[0]]
    done = [sys.executable, *words, "--quiet", "--no-index"]
    subprocess.run(done, cwd=folder, check=True, timeout=100)
    odd.install(target)
    keys, now = mailsystem.site.etc / "keys/dkim", datetime.datetime.now(datetime.UTC)
    make_folder(keys)
    DomainKeys(DOMAIN).prepared("ed25519", "", now).activated(now).write(keys)
    mailsystem.add_domain(DOMAIN)
    mailsystem.add_user(f"alice@{DOMAIN}")
    world = World(mailsystem, folder)
    tagging = shouting.turned_on("tagging.toml") + "timeout = 20\nprocesses = 1\n"
    with mailsystem.settings("plugins", SETTINGS + tagging):
        mine = world.settled()
        yield world
        for one in keys.iterdir():
            one.unlink()
    shutil.rmtree(target)  # others look with --strict, and one of these is worth a warning
    eventually(lambda: all(parent(pid) == -1 for pid in mine), 20, lambda: f"left: {mine}")


@pytest.fixture
def box(world: World, fresh: Fresh) -> Box:
    """A user."""
    world.system.add_domain(fresh.domain)
    return Box(world, fresh, world.system.add_user(fresh.address("alice")))


def test_the_page_s_check_is_tried_as_the_page_says(world: World) -> None:
    given = [
        str(world.folder / one) if (world.folder / one).is_file() else one
        for one in shouting.commands()[1]
    ]
    assert len(shouting.files()["iems_shouting.py"].splitlines()) <= 40
    assert len(shouting.files()["iems_tagging.py"].splitlines()) < 25
    told = world.system.iems(*given).decode()
    assert "shouting loud: junk, chosen by site; it shouts: BUY NOW OR NEVER" in told
    assert "shouting loud: deliver, chosen by user bob@example.test" in told


def test_check_names_the_package_and_reads_the_options(world: World) -> None:
    told = world.system.iems_ends("check")
    assert b"plug-in odd of iems-odd 0.1\nplug-in shouting of iems-shouting 1.0\n" in told.stdout
    assert b"plug-in odd of iems-odd 0.1\nplug-in tagging of iems-shouting 1.0\n" in told.stdout
    for ours in (b"helo", b"text"):
        assert b"the plug-in %s of iems-odd 0.1 never runs: one of our own" % ours in told.stderr
    worse = "[checks.shouting]\nmost = 0\ncolour = 1\n[edits.tagging.inside]\nword = 1\n"
    file = world.system.site.write("conf.d/worse.toml", worse)
    try:
        told = world.system.iems_ends("check")
    finally:
        file.unlink()
    assert told.returncode == 78
    fault = f"{file}: checks.shouting.most is 0; expected a whole number from 1 to 998"
    assert fault in told.stderr.decode()
    assert "checks.shouting.colour is no setting" in told.stderr.decode()
    assert f"{file}: edits.tagging.inside.word is 1; expected" in told.stderr.decode()


def test_the_page_s_edit_is_in_what_leaves_below_the_signature(
    world: World, tmp_path: Path
) -> None:
    ident, answer = submitted(world, "hello", FAR)
    assert answer.code == 250
    message = arrived(world.system, ident)
    assert b"\r\nSubject: [example] hello\r\n" in message
    assert passes(world.system, message, tmp_path) == 1
    file = world.system.site.milter_state / "records.sqlite"
    eventually(lambda: search([file], ident), 20)
    [record] = search([file], ident)
    told = ["tagging/outside: edited", "odd/hasty: not edited: it had nothing to do"]
    assert sorted(record.details["notes"][:2]) == sorted(told)  # type: ignore[index]
    ident, answer = submitted(world, "[example] again", FAR)
    assert b"\r\nSubject: [example] again\r\n" in arrived(world.system, ident)


def test_mail_waits_for_an_edit_that_hangs_and_other_mail_does_not(
    world: World, fresh: Fresh
) -> None:
    world.settled()
    before = len(world.system.milter.log())
    _ident, answer = submitted(world, "edit hang", f"nobody-{fresh.ip}@elsewhere.example")
    assert answer.code == 451
    assert "try again later; reference " in answer.text
    reference = answer.text.rpartition("reference ")[2].split()[0]
    why = "odd/hasty temperror: defer, enforced by site; the plug-in gives no answer in time"
    assert why in world.system.iems("why", reference).decode()
    log = world.system.milter.log()[before:]
    assert 'error: a plug-in failed name="edits.odd.hasty"' in log
    assert "odd/hasty: the plug-in gives no answer in time" in log
    for _number in range(3):
        ident, answer = submitted(world, "hello", FAR)
        assert answer.code == 250
        assert b"Subject: [example] hello" in arrived(world.system, ident)
    world.settled()
    eventually(lambda: not begun(), 10)


def test_each_recipient_decides_about_what_it_found(box: Box) -> None:
    system = box.world.system
    bob = system.add_user(box.fresh.address("bob"), "shouting loud choice deliver")
    carol = system.add_user(box.fresh.address("carol"), "shouting loud choice reject")
    assert box.world.send(LOUD, box.fresh, box.mailbox.user, bob.user).code == 250
    assert box.mailbox.wait(folder="Junk")
    assert bob.wait()
    reply = box.world.send(LOUD, box.fresh, carol.user)
    assert reply.code == 550
    assert "it shouts: BUY NOW OR NEVER" in reply.text
    reference = reply.text.rpartition("reference ")[2].split()[0]
    told = system.iems("why", reference).decode()
    assert f"shouting loud: reject, chosen by user {carol.user}; it shouts" in told


def test_it_is_told_what_ours_are_told(box: Box) -> None:
    """The client, the envelope, what others found, and the whole of a message in memory or file."""
    for size in (4, 3_000_000):
        told = box.told("fine", body=b"x" * size)
        assert told == f"pass {box.fresh.ip} client.example {SENDER} internet pass {size + 4}"


WRONGS = {
    "exits": "ended with exit code 3",
    "dies": "died of SIGSEGV",
    "raises": "raised ValueError: of its own",
    "eats": "raised MemoryError",
    "lies": "answers nonsense: a finding of another check",
    "nonsense": "answers nonsense: 4294967295 bytes",
}


def test_what_it_does_wrong_is_temperror_and_it_goes_on(box: Box) -> None:
    """The policy acts on that for each recipient: copies are tagged, by what its BANDS say."""
    box.world.settled()
    for wrong, why in WRONGS.items():
        assert box.told(wrong).startswith(f"temperror the plug-in {why}"), wrong
    told = box.told("hang", "hasty")
    assert told == "temperror the plug-in gives no answer in time"
    for _number in range(4):
        assert box.told("fine").startswith("pass ")
    copies = box.mailbox.wait(len(WRONGS) + 5)
    assert sum(b"X-IEMS-Verdict: tag" in copy for copy in copies) >= len(WRONGS) + 1
    box.world.settled()
    eventually(lambda: not begun(), 10)


def test_what_it_prints_is_in_the_log_as_far_as_it_is_bounded(box: Box) -> None:
    log = box.world.system.milter.log
    assert box.told("flood").startswith("pass ")
    eventually(lambda: "... and more, which is not told" in log("a plug-in says"), 20)
    assert box.told("fine").startswith("pass ")
    assert 0 < log().count('line="flooded') <= 40


def descriptors(process: Path, count: int) -> bool:
    """Whether a process has so many."""
    return len(list((process / "fd").iterdir())) == count


def limited(process: Path) -> bool:
    """Whether a process has its limits."""
    limits = (process / "limits").read_text()
    address_space = r"Max address space +(268435456|536870912) +\1 "
    wanted = (r"Max core file size +0 +0 ", r"Max open files +256 +256 ", address_space)
    return all(re.search(one, limits) for one in wanted)


def test_a_process_has_nothing_of_the_milter(world: World) -> None:
    """Its user, its limits, five descriptors, and an environment of three words."""
    for pid in world.settled():
        folder = Path(f"/proc/{pid}")
        # It may have been begun a moment ago, and read what it imports.
        eventually(functools.partial(limited, folder), 30, (folder / "limits").read_text)
        eventually(functools.partial(descriptors, folder, 5), 30)
        assert folder.owner() == MILTER_USER
        assert "NoNewPrivs:\t1" in (folder / "status").read_text()
        kept = {line.partition("=")[0] for line in (folder / "environ").read_text().split("\0")}
        assert kept <= {"", "PATH", "LC_ALL", "PYTHONPATH"}


def begun() -> set[int]:
    """What there is of processes that `odd` has begun."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid for pid in pids if command(pid).startswith(f"sleep {odd.SECONDS}")}


def test_processes_end_with_a_worker_that_is_killed(box: Box) -> None:
    """Even one that sees nothing of it, as it is busy; who sends is told to come again."""
    before = box.world.settled()
    message = b"Subject: patient hang\r\n\r\nx"
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(box.world.send, message, box.fresh, box.mailbox.user)
        eventually(lambda: begun(), 20)
        for worker in set(before.values()):
            os.kill(worker, signal.SIGKILL)
        assert sent.result(60).code == 451
    eventually(lambda: all(parent(pid) == -1 for pid in before) and not begun(), 10)
    box.world.settled()
