"""From settings to what the milter's daemon does beside its workers."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from iems.serve import jobs
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.store import keys
from iems.store.counterfile import CounterFile
from milters.main import MilterService
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
