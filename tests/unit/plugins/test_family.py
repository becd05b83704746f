"""Checks of others in their processes, which are real ones: how they are made, asked and ended."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.dns.zonefile import ZoneResolver
from iems.model.address import Address
from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.settings.read import SettingsError
from milters.assembly import build_checks
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.plugins import host, process
from milters.plugins.family import PluginCheck, running
from tests.integration.stack.process import command, parent
from tests.waiting import eventually

SOURCE = """
import os
import sys
import time

from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks.protocol import Known, Stage

BANDS = {"odd": "tag", "temperror": "deliver"}
HELD = []


def parse(options, key, where):
    if "wrong" in options:
        raise SettingsError([f"{where(key + '.wrong')}: {key}.wrong is wrong"])
    if "raises" in options:
        raise RuntimeError("of its own")
    if "ends" in options:
        sys.exit(5)
    if "dies" in options:
        os.kill(os.getpid(), options["dies"])
    if "says" in options:
        text = options["says"].encode()
        os.write(int(sys.argv[1]), len(text).to_bytes(4, "big") + text)
    return options


def make(label, options, tools):
    stage = Stage[options.get("stage", "MAIL")]
    name = options.get("name", "probe")
    return tuple(Probe(name, stage, options, tools) for _number in range(options.get("count", 1)))


class Probe:
    def __init__(self, name, stage, options, tools):
        self.name, self.stage, self.options, self.tools = name, stage, options, tools

    def applies(self, view):
        return not view.authenticated

    def start(self, view, deadline):
        if self.options.get("do") == "end":
            os._exit(4)
        while self.options.get("do") == "leak":
            HELD.append(os.open("/dev/null", os.O_RDONLY))
        return Seen(view, self.tools)


class Seen:
    def __init__(self, view, tools):
        self.view, self.tools = view, tools

    def result(self):
        asked = self.tools.resolver.ask("a.test", "TXT").result(Deadline.after(1))
        others = ",".join(one.outcome for one in self.view.found("other"))
        told = (self.view.sender, self.tools.site.hostname, *asked.records, others, os.geteuid())
        return (Finding("probe", "pass", "odd", " ".join(map(str, told))),)
"""
NOW = Deadline.after(0)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where Python finds the module; others can read it, for root's processes are nobody's."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        about = place / "probe-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[iems.checks]\nprobe = probe_module\n")
        (place / "probe_module.py").write_text(SOURCE)
        yield place


@pytest.fixture(autouse=True)
def _found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))


def made(**options: object) -> tuple[Check, ...]:
    site = from_table(
        {
            "version": 1,
            "hostname": "mail.example.test",
            "postmaster": "postmaster@example.test",
            "checks": {"probe": {"mode": "delegate", "processes": 1, "timeout": 20, **options}},
        }
    )
    return build_checks(Tools.within(site, ZoneResolver("a.test TXT zone"), Path("/nonexistent")))


@contextmanager
def one(**options: object) -> Iterator[PluginCheck]:
    """The check, with its process."""
    checks = made(**options)
    with running(checks, None):
        [check] = checks
        assert isinstance(check, PluginCheck)
        yield check


@dataclass
class Chain:
    """What is under way of a message, as the chain has it."""

    pairs: list[tuple[Check, Pending]] = field(default_factory=list)

    def view(self, **more: object) -> View:
        client = Client("192.0.2.1", "mx.sender.example")
        sender = Address("a", "sender.example")
        known = View(client, "helo", "internet", "", sender, None, running=lambda: self.pairs)
        return replace(known, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Other:
    """A check of ours, which was started before."""

    name: str = "other"
    stage: Stage = Stage.CONNECT

    def start(self, view: View, deadline: Deadline) -> Pending:
        del view, deadline
        return Known()

    def applies(self, view: View) -> bool:
        del view
        return True


def test_it_is_asked_what_it_may_ask_is_answered_and_its_finding_stays() -> None:
    with one() as check:
        chain = Chain([(Other(), Known((Finding("other", "seen"),)))])
        pending = check.start(chain.view(), NOW)
        chain.pairs.append((check, pending))
        assert check.applies(chain.view())
        found = pending.result()
        user = 65534 if os.geteuid() == 0 else os.geteuid()
        reason = f"a@sender.example mail.example.test zone seen {user}"
        assert found == (Finding("probe", "pass", "odd", reason),)
        assert pending.result() is found


def test_whether_it_applies_is_asked_with_what_is_known_later() -> None:
    """At CONNECT nobody has logged in."""
    with one(stage="CONNECT") as check:
        chain = Chain()
        pending = check.start(chain.view(sender=None), NOW)
        chain.pairs.append((check, pending))
        assert check.applies(chain.view(authenticated="alice"))
        assert pending.result() == ()


def test_one_that_ended_between_two_messages_is_replaced_before_the_next() -> None:
    with one() as check:
        first = check.start(Chain().view(), NOW).result()
        assert first[0].band == "odd"
        end_the_process()
        assert check.start(Chain().view(), NOW).result() == first


def children() -> list[int]:
    """The processes of plug-ins that this one has begun, and that live."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    mine = [pid for pid in pids if parent(pid) == os.getpid()]
    return [pid for pid in mine if "milters.plugins.child" in command(pid)]


def end_the_process() -> None:
    """It is over with all that it had open; that it has no command line any more comes before."""
    [pid] = children()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_one_that_is_another_than_it_was_answers_nothing(folder: Path) -> None:
    """A package that was updated: its checks may be others than those that the settings named."""
    source = folder / "probe_module.py"
    with one() as check:
        assert check.start(Chain().view(), NOW).result()[0].band == "odd"
        source.write_text(SOURCE.replace('"MAIL"', '"CONNECT"'))
        try:
            end_the_process()
            [found] = check.start(Chain().view(), NOW).result()
        finally:
            source.write_text(SOURCE)
    assert found.band == "temperror"
    assert "cannot be made any more" in found.reason


def test_settings_are_read_without_a_thread_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor forks afterwards."""
    before, listen = threading.enumerate(), process._listen

    def late(descriptor: int, echo: process.Echo, lines: process.Lines) -> None:
        listen(descriptor, echo, lines)
        threading.Event().wait(0.2)

    monkeypatch.setattr(process, "_listen", late)
    made()
    assert set(threading.enumerate()) <= set(before)


def test_what_its_processes_write_is_bounded_for_all_of_them() -> None:
    """Each message may begin another one."""
    told: list[str] = []
    lines = process.Lines()
    for number in range(3):
        reading, writing = os.pipe()
        os.write(writing, b"%d\n" % number * 15 + b"no line end")
        os.close(writing)
        process._listen(reading, told.append, lines)
    assert told == ["0"] * 15 + ["no line end"] + ["1"] * 4 + ["... and more, which is not told"]


def test_what_ends_with_each_message_leaves_no_process_and_no_descriptor() -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with one(do="end") as check:
        for _number in range(3):
            [finding] = check.start(Chain().view(), NOW).result()
            assert finding.reason == "the plug-in ended with exit code 4"
            assert (finding.outcome, finding.band) == ("temperror", "temperror")
    eventually(lambda: not children(), message="one that was just begun anew ends, too")
    eventually(lambda: len(list(descriptors.iterdir())) <= before)


def test_one_that_leaves_files_open_is_replaced_when_it_can_open_none() -> None:
    with one(do="leak") as check:
        eventually(children)
        [pid] = children()
        [finding] = check.start(Chain().view(), NOW).result()
        assert finding.reason.startswith("the plug-in raised OSError: [Errno 24]")
        eventually(lambda: children() not in ([], [pid]))


def test_one_that_cannot_be_started_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = made()
    monkeypatch.setattr(process, "guard", lambda: ("/usr/bin/setpriv-that-is-not-there",))
    with running(checks, None):
        [finding] = checks[0].start(Chain().view(), NOW).result()
    assert finding.reason.startswith("the plug-in cannot be started: [Errno 2]")


def test_it_waits_its_turn_no_longer_than_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.Host, "submit", lambda _host, _job: None)
    checks = made(timeout=0.1)
    [finding] = checks[0].start(Chain().view(), NOW).result()
    assert finding.reason == "the plug-in had no time for the message"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"wrong": 1}, "settings: checks.probe.wrong is wrong (probe 1)"),
        (
            {"raises": 1},
            "settings: checks.probe cannot be made: RuntimeError: of its own (probe 1)",
        ),
        ({"ends": 1}, "settings: checks.probe: the plug-in of probe 1 ended with exit code 5"),
        ({"dies": 9}, "the plug-in of probe 1 died of SIGKILL"),
        ({"dies": 40}, "the plug-in of probe 1 died of signal 40"),
        ({"says": '{"faults": 1}'}, "the plug-in of probe 1 makes no checks"),
        ({"says": '{"checks": 1}'}, "the plug-in of probe 1 makes no checks"),
        ({"count": 0}, "makes none; expected checks of the name probe"),
        ({"count": 7}, "makes probe, probe, "),
        ({"name": "virus"}, "makes virus; expected checks of the name probe"),
        ({"timeout": 0}, "checks.probe.timeout is 0; expected a number from 0.1 to 20"),
        ({"processes": 0}, "checks.probe.processes is 0; expected a whole number"),
        ({"max_memory": 1}, "checks.probe.max_memory is 1; expected a whole number"),
        ({"at": NOW}, "checks.probe holds a time, which no plug-in gets"),
    ],
)
def test_what_cannot_be_made_is_a_fault_of_the_settings(
    options: dict[str, object], told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        made(**options)
    [fault] = caught.value.faults
    assert told in fault
    assert not children()
