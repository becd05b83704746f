"""What Postfix says of a client's name is what our own questions would find: no need to ask."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from milters.checks import iprev

ROOT = Path(__file__).resolve().parents[2]

OUTCOMES = {
    "127.0.0.5": "pass",
    "127.0.0.6": "fail",
    "127.0.0.7": "permerror",
    "127.0.0.8": "temperror",
    "127.0.0.9": "fail",
    "127.0.0.10": "temperror",
    "127.0.0.11": "pass",
}


def test_postfix_tells_the_same_as_the_dns() -> None:
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.integration.dns_postfix_probe"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["asked"] == OUTCOMES
    told = {client: iprev.MTA[found["told"][client]["resolved"]] for client in OUTCOMES}
    assert told == OUTCOMES
    names = {client: found["told"][client]["name"] for client in OUTCOMES}
    assert {client: name for client, name in names.items() if name} == {
        "127.0.0.5": "good.probe.test",
        "127.0.0.11": "two.probe.test",
    }
