"""What was kept long enough goes by itself, from the daemons under their own users."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, search
from tests.integration.stack import daemons
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.ground import AGENT_USER, MILTER_USER, Ground, owned, running
from tests.waiting import eventually

DAY = 86400
SETTINGS = """\
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
kind = "toml"
file = "{file}"
"""


@pytest.fixture
def site(ground: Ground) -> Site:
    """Settings and state, as they were left by daemons that do not run."""
    site = Site(ground, owned(ground.place("sockets"), "root", "postfix", 0o2770), "")
    file = site.write("directory.toml", "")
    site.write("iems.toml", SETTINGS.format(file=file))
    return site


def kept(state: Path, user: str) -> Path:
    """Records of 91 and of 89 days ago, as the daemon of this user left them."""
    path = state / "records.sqlite"
    recorder = Recorder(path)
    for days in (91, 89):
        then = time.time() - days * DAY
        record = Record(f"REF{days}", "delivery", "deliver", time=then)
        recorder.commit([record], Deadline.after(10))
    recorder.close(Deadline.after(10))
    for file in state.glob("records.sqlite*"):
        owned(file, user, user, 0o640)
    return path


def runs_and_deletes(daemon: Daemon, path: Path) -> None:
    """The old record goes and is told of, the other one stays."""
    with running(daemon):
        eventually(lambda: not search([path], "REF91"), 30)
        assert len(search([path], "REF89")) == 1
        eventually(lambda: daemon.log("old records deleted"))


def test_records_of_the_milter_go_after_ninety_days(site: Site) -> None:
    runs_and_deletes(daemons.milter(site), kept(site.milter_state, MILTER_USER))


def test_records_of_the_agent_go_after_ninety_days(site: Site) -> None:
    runs_and_deletes(daemons.agent(site), kept(site.agent_state, AGENT_USER))


def test_with_no_days_everything_stays(site: Site) -> None:
    """Here quarantine is kept for ever and records are not: so both were looked at."""
    site.write("conf.d/keep.toml", "[keep]\nquarantine = 0\n")
    quarantine, names = quarantined(site)
    path = kept(site.agent_state, AGENT_USER)
    (site.agent_state / "quarantine/.half.eml").touch()
    os.utime(site.agent_state / "quarantine/.half.eml", (0, 0))
    daemon = daemons.agent(site)
    with running(daemon):
        eventually(lambda: daemon.log("half-written files removed"), 30)
        eventually(lambda: not search([path], "REF91"), 30)
    assert quarantine.ids() == sorted(names)


def test_quarantine_goes_after_thirty_days(site: Site) -> None:
    quarantine, (old, young) = quarantined(site)
    daemon = daemons.agent(site)
    with running(daemon):
        eventually(lambda: old not in quarantine.ids(), 30)
        eventually(lambda: daemon.log("old messages removed"))
        assert quarantine.ids() == [young]


def quarantined(site: Site) -> tuple[Quarantine, tuple[str, str]]:
    """Messages of 31 and of 29 days ago."""
    folder = site.agent_state / "quarantine"
    quarantine = Quarantine(folder)
    old, young = quarantine.put([b"x"], {}), quarantine.put([b"x"], {})
    owned(folder, AGENT_USER, AGENT_USER, 0o750)
    for name, days in ((old, 31), (young, 29)):
        for file in folder.glob(f"{name}.*"):
            owned(file, AGENT_USER, AGENT_USER, 0o640)
            os.utime(file, (time.time() - days * DAY,) * 2)
    return quarantine, (old, young)
