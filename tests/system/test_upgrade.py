"""Another release of the suite and back again, with mail in the queue and more on its way.

The clone on the machine is changed, so that `make mailserver` makes another release of it. The
tests are steps of one story, in this order. The last one takes the suite away: of all modules this
is the last.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.system import rules
from tests.system.machine import Machine
from tests.system.provision import CLONE, provision, recap
from tests.system.removal import is_taken_away
from tests.system.server import Server
from tests.system.world import CLEAN, ON_DELEGATED
from tests.waiting import eventually

VERSION = 'version = "0.1.0"'
NEWER = 'version = "0.1.1"'
SETTING = "    contact: str = setting("
CONTENT = "return 0 if all(row.ok for row in report.live or ()) else 1"
MOTTO = '    motto: str = setting(read.text, "a word of the site", "")\n'


@dataclass(slots=True)
class Load:
    """Messages that were taken, by the client that sent them; all went to bob and carol."""

    server: Server
    words: dict[int, list[str]] = field(default_factory=lambda: {CLEAN: [], ON_DELEGATED: []})

    def once(self) -> None:
        """One message of each client."""
        for client, words in self.words.items():
            words.append(self.server.deliver(client, ["bob", "carol"]))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Two messages a second meanwhile; whatever is refused fails the test."""
        stop = threading.Event()
        errors: list[BaseException] = []

        def send() -> None:
            try:
                while not stop.wait(1.0):
                    self.once()
            except (AssertionError, OSError) as error:
                errors.append(error)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield
        finally:
            stop.set()
            sender.join()
        assert not errors, errors[0]

    def goes_on(self) -> None:
        """Wait until the next one was taken."""
        count = len(self.words[CLEAN])
        eventually(lambda: len(self.words[CLEAN]) > count, 30, "the load goes on")

    def arrived(self) -> None:
        """Each is there once, where its recipient wants it, for the findings that were signed."""
        self.server.machine.run("postqueue", "-f")
        self.server.wait_for_empty_queue()
        bob = self.server.account("bob")
        boxes = {folder: bob.subjects(folder) for folder in ("INBOX", "Junk")}
        carol = self.server.account("carol").subjects("INBOX")
        for client, folder in ((CLEAN, "INBOX"), (ON_DELEGATED, "Junk")):
            other = {"INBOX": "Junk", "Junk": "INBOX"}[folder]
            words = self.words[client]
            assert {boxes[folder].count(word) for word in words} == {1}
            assert not set(words) & set(boxes[other])
            assert {carol.count(word) for word in words} == {1}


def test_an_upgrade_and_the_way_back_lose_nothing_of_the_queue(server: Server) -> None:
    machine, load = server.machine, Load(server)
    old = current(machine)
    with newer_clone(machine):
        switched(server, load, lambda: provision(machine, log="upgrade"))
        new = current(machine)
        assert new != old
        runs(machine, new)
        load.arrived()

        told = switched(server, load, lambda: rollback(machine))
        assert f"{old} runs now, {new} ran before" in told
        runs(machine, old)
        load.arrived()


def test_twice_goes_forward_and_nobody_waits(server: Server) -> None:
    """With the agent running, no delivery is put off and no client is refused."""
    machine, load = server.machine, Load(server)
    old, new = current(machine), previous(machine)
    logged = len(server.maillog())
    with load.going_on():
        for wanted, before in ((new, old), (old, new)):
            assert f"{wanted} runs now, {before} ran before" in rollback(machine)
            runs(machine, wanted)
            load.goes_on()
    load.arrived()
    assert not [line for line in server.maillog()[logged:] if "status=deferred" in line]


def test_a_release_that_refuses_the_settings_does_not_run(server: Server) -> None:
    """`make mailserver` ends with the release that ran before."""
    machine = server.machine
    old, new = current(machine), previous(machine)
    check = machine.path(f"{CLONE}/cli/check/__init__.py")
    text = check.read_text()
    assert text.count(CONTENT) == 1
    check.write_text(text.replace(CONTENT, "return 78"))
    try:
        told = provision(machine, log="refused", check=False)
    finally:
        check.write_text(text)
    assert recap(told)[1] == 1, told[-2000:]
    assert re.findall(r"^TASK \[(.+?)\]", told, re.MULTILINE)[-1] == "checked : Check iems"
    assert (current(machine), previous(machine)) == (old, new)
    runs(machine, old)


def test_a_release_before_that_refuses_the_settings_does_not_run(server: Server) -> None:
    """Its own check counts: the one that runs is content with them."""
    machine = server.machine
    old, new = current(machine), previous(machine)
    rollback(machine)
    server.settings("zz-motto.toml", 'motto = "only the newer release knows this"\n')
    try:
        assert machine.run("iems", "check", check=False).returncode == 0
        told = rollback(machine, check=False)
        assert "motto" in told
        assert (current(machine), previous(machine)) == (new, old)
        runs(machine, new)
    finally:
        server.settings("zz-motto.toml", "")
    rollback(machine)
    runs(machine, old)


def test_without_a_release_before_there_is_no_way_back(server: Server) -> None:
    machine = server.machine
    only, before = current(machine), previous(machine)
    machine.shell("rm /opt/iems/previous")
    try:
        assert "there is no release before" in rollback(machine, check=False)
        assert current(machine) == only
    finally:
        machine.shell(f"ln -s /opt/iems/{before} /opt/iems/previous")
    runs(machine, only)


def test_an_upgrade_brings_what_rules_need(server: Server) -> None:
    """To a server of a release that knew none; then they are set and done."""
    rules.take_away(server.machine)
    with pytest.raises(AssertionError):
        rules.are_known(server.machine)
    provision(server.machine, log="rules")
    rules.are_known(server.machine)
    rules.with_a_rule(server, "rita")
    rules.moves(server, "rita")


def test_it_is_taken_away(server: Server) -> None:
    """At the very end: no test after this one finds the suite."""
    is_taken_away(server)


def switched(server: Server, load: Load, switch: Callable[[], str]) -> str:
    """Switch with mail of both clients in the queue and more coming; what the command printed."""
    machine = server.machine
    machine.run("systemctl", "stop", "iems-lmtp.socket", "iems-lmtp.service")
    for _message in range(5):
        load.once()
    assert len(server.queue()) >= 10
    with load.going_on():
        return switch()


@contextmanager
def newer_clone(machine: Machine) -> Iterator[None]:
    """The clone has the sources of another release, which knows one more setting."""
    changed = {
        "pyproject.toml": (VERSION, NEWER),
        "iems/settings/schema.py": (SETTING, MOTTO + SETTING),
    }
    texts = {name: machine.path(f"{CLONE}/{name}").read_text() for name in changed}
    for name, (old, new) in changed.items():
        assert texts[name].count(old) == 1, name
        machine.path(f"{CLONE}/{name}").write_text(texts[name].replace(old, new))
    try:
        yield
    finally:
        for name, text in texts.items():
            machine.path(f"{CLONE}/{name}").write_text(text)


def rollback(machine: Machine, *, check: bool = True) -> str:
    """`make rollback`; what it printed."""
    return machine.run(
        "make", "rollback", cwd=CLONE, log="rollback.log", timeout=300, check=check
    ).stdout


def current(machine: Machine) -> str:
    """The name of the current release."""
    return machine.run("readlink", "/opt/iems/current").stdout.strip().rpartition("/")[2]


def previous(machine: Machine) -> str:
    """The name of the one before."""
    return machine.run("readlink", "/opt/iems/previous").stdout.strip().rpartition("/")[2]


def runs(machine: Machine, release: str) -> None:
    """Every process of the daemons is of this release, once the old ones have drained."""
    script = "ps -o args= -u iems-milter -u iems-lmtp -u iems-bayes"

    def others() -> list[str]:
        lines = machine.shell(script).splitlines()
        assert lines
        return [line for line in lines if not line.startswith(f"/opt/iems/{release}/")]

    eventually(lambda: not others(), 60, lambda: f"processes not of {release}: {others()}")
    for daemon in ("iems-milter", "iems-lmtp", "iems-bayes"):
        machine.run("service", daemon, "status")
