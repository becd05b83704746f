"""From settings to a generation of workers: what is wrong is found before any of them starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.model.finding import TEMPERROR
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.meter import Meter
from iems.settings.read import SettingsError
from iems.store import keys
from iems.store.records import Recorder, new_reference
from iems.store.spool import Spool
from lmtp.main import AgentService, main
from tests.unit.lmtp.parts import Heard

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@b.test"
directory = {{ kind = "toml", file = "{folder}/directory.toml" }}
keys = {{ findings = "{folder}/findings.toml" }}
agent = {{ state = "{folder}", workers = 3, socket = "{folder}/s" }}
[checks.dnsbl.asked]
mode = "delegate"
zone = "one.bl.test"
[checks.dnsbl.forced]
mode = "enforce"
zone = "two.bl.test"
"""


@pytest.fixture
def service(tmp_path: Path) -> AgentService:
    """A service with settings that are good."""
    (tmp_path / "iems.toml").write_text(SETTINGS.format(folder=tmp_path))
    (tmp_path / "directory.toml").write_text('[domains."b.test"]\n')
    keys.create(tmp_path / "findings.toml", "k1")
    return AgentService(tmp_path / "iems.toml")


def test_a_generation_says_what_the_supervisor_asks(service: AgentService, tmp_path: Path) -> None:
    generation = service.prepare()
    daemon = generation.daemon
    assert (service.name, daemon.workers) == ("iems-lmtp", 3)
    assert (daemon.socket, daemon.socket_group) == (tmp_path / "s", "postfix")
    jobs = [job.name for job in generation.jobs(Control(), Heard())]
    assert jobs == ["backends", "quarantine", "records", "shadow"]


@pytest.mark.parametrize("mode", ["delegate", "off"])
def test_where_there_are_filters_their_store_is_looked_at(
    service: AgentService, tmp_path: Path, mode: str
) -> None:
    with (tmp_path / "iems.toml").open("a") as file:
        file.write(f'[checks.bayes]\nmode = "{mode}"\n[bayes]\nserver = "unix:{tmp_path}/none"\n')
    log = Heard()
    backends = service.prepare().jobs(Control(), log)[0]
    backends.run(Deadline.after(10))
    told = [line for line in log.lines if 'backend="filters"' in line]
    assert len(told) == (1 if mode == "delegate" else 0), log.lines


@pytest.mark.parametrize("name", ["findings.toml", "directory.toml", "iems.toml"])
@pytest.mark.parametrize("text", ["nonsense", None])
def test_what_is_wrong_is_found_in_time(
    service: AgentService, tmp_path: Path, name: str, text: str | None
) -> None:
    (tmp_path / name).unlink()
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=name):
        service.prepare()
    assert main(["--settings", str(service.settings_file), "--foreground-log"]) == 78


def test_only_delegated_checks_are_missed(service: AgentService, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "records.sqlite")
    agent = service.prepare()._agent(recorder, Spool(tmp_path), Heard(), Meter())
    recorder.close(Deadline.after(5))
    assert [(one.check, one.band) for one in agent.origin.missing] == [("dnsbl/asked", TEMPERROR)]


def test_references_differ() -> None:
    made = {new_reference() for _number in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {12}
