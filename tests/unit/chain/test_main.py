"""From settings to what the milter's daemon does beside its workers."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

from iems.serve import jobs
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.meter import series
from iems.store import keys
from iems.store.counterfile import CounterFile
from milters.main import MilterService
from tests.contentfilter import ContentFilter, stream
from tests.unit.lmtp.parts import Heard

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@b.test"
directory = {{ kind = "toml", file = "{folder}/directory.toml" }}
keys = {{ findings = "{folder}/findings.toml" }}
milter = {{ state = "{folder}" }}
notices = {{ smtp = "127.0.0.1:{port}" }}
[checks.flow]
mode = "enforce"
[checks.flow.limits.users]
count = "recipients"
per = "user"
limit = 1
window = 60
hold = true
"""


def test_a_mail_server_that_hangs_keeps_no_notice_of_a_hold_for_so_long_that_the_job_is_killed(
    tmp_path: Path,
) -> None:
    counters = CounterFile(tmp_path / "counters.sqlite")
    for user in ("alice", "bob"):
        counters.hold(user, "too many", Deadline.after(60))
    (tmp_path / "directory.toml").write_text('[domains."b.test"]\n')
    keys.create(tmp_path / "findings.toml", "k1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        (tmp_path / "iems.toml").write_text(SETTINGS.format(folder=tmp_path, port=port))
        generation = MilterService(tmp_path / "iems.toml").prepare()
        [held] = [job for job in generation.jobs(Control(), Heard()) if job.name == "held"]
        begun = time.monotonic()
        held.run(Deadline.after(0.5))
        assert time.monotonic() - begun < 0.5 + jobs._GRACE
    assert [one.told for one in counters.held(Deadline.after(60))] == [False, False]
    counters.close()


VIRUS = """
[checks.virus]
mode = "enforce"
engines = {{ clamav = {{ kind = "clamd", server = "{server}" }} }}
"""


def test_virus_scanners_and_their_signatures_are_looked_after(tmp_path: Path) -> None:
    """The notice of old signatures is owed, for there is no mail server."""

    def serve(link: socket.socket, _over: threading.Event) -> None:
        stream(link)
        link.sendall(b"ClamAV 1.4.6/20000/Fri Jan  2 10:00:00 2026\0")

    (tmp_path / "directory.toml").write_text('[domains."b.test"]\n')
    keys.create(tmp_path / "findings.toml", "k1")
    control = Control()
    with ContentFilter(serve) as clamd:
        text = SETTINGS.format(folder=tmp_path, port=1) + VIRUS.format(server=clamd.address)
        (tmp_path / "iems.toml").write_text(f'dns = {{ servers = ["127.0.0.1:1"] }}\n{text}')
        generation = MilterService(tmp_path / "iems.toml").prepare()
        found = {job.name: job for job in generation.jobs(control, Heard())}
        found["backends"].run(Deadline.after(15))
        for _look in range(2):
            found["signatures"].run(Deadline.after(15))
    levels = control.meter.snapshot().levels
    assert levels[series("backend_up", {"backend": "virus/clamav"})] == 1.0
    assert levels[series("signatures_age_seconds", {"backend": "virus/clamav"})] > 0.0
    owed = json.loads((tmp_path / "signatures.json").read_text())["owed"]
    assert owed["virus/clamav"].startswith("signatures of ")
