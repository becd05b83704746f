"""roles/checked: what fails its check never takes the place of what works.

The role runs for real, with a checker of ours and folders below a temporary one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(450)  # of three runs of Ansible
TREE = Path(__file__).parents[2]
CHECKER = '! grep -H "wrong" "$1/server.conf" "$1/maps/one.cf"'
"""Fails, and says where, if a staged file has the word in it."""


@dataclass(frozen=True, slots=True)
class Site:
    """A machine in a folder."""

    folder: Path

    def write(self, server: str, one: str = "map") -> None:
        """What the templates say."""
        (self.folder / "templates/toy/maps").mkdir(parents=True, exist_ok=True)
        (self.folder / "templates/toy/server.conf.j2").write_text(f"{server} {{{{ 1 + 1 }}}}\n")
        (self.folder / "templates/toy/maps/map.j2").write_text(f"{one} {{{{ item.key }}}}\n")

    def play(self) -> tuple[dict[str, int], str]:
        """Run the role: the counts of its recap, and all that was printed."""
        playbook = self.folder / "play.yml"
        role = {
            "checked_name": "toy",
            "checked_target": str(self.folder / "etc"),
            "checked_notify": "follow",
            "checked_files": [
                {"path": "server.conf", "mode": "0640"},
                {"path": "maps/one.cf", "template": "maps/map.j2", "key": "k"},
            ],
            "checked_commands": [["sh", "-c", CHECKER, "sh", str(self.folder / "staged/toy")]],
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "templates": str(self.folder / "templates"),
                "staged": str(self.folder / "staged"),
            },
            "tasks": [{"include_role": {"name": "checked"}, "vars": role}],
            "handlers": [
                {"name": "follow", "command": f"touch {self.folder / 'followed'}"},
            ],
        }
        playbook.write_text(json.dumps([play]))
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", "-c", "local", str(playbook)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "ANSIBLE_CONFIG": str(TREE / "ansible/ansible.cfg"),
            },
            capture_output=True,
            text=True,
            timeout=140,
            check=False,
        )
        counts = dict(re.findall(r"(changed|failed)=(\d+)", done.stdout))
        assert counts, done.stdout + done.stderr
        return {word: int(count) for word, count in counts.items()}, done.stdout

    def running(self) -> tuple[str, str]:
        """The two files that a server would read."""
        etc = self.folder / "etc"
        return (etc / "server.conf").read_text(), (etc / "maps/one.cf").read_text()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A machine on which a first configuration runs."""
    made = Site(tmp_path)
    made.write("good")
    counts, told = made.play()
    assert counts["failed"] == 0, told
    return made


def test_a_good_configuration_is_put_in_place_and_kept_there(site: Site) -> None:
    assert site.running() == ("good 2\n", "map k\n")
    assert (site.folder / "etc/server.conf").stat().st_mode & 0o777 == 0o640
    assert (site.folder / "followed").exists()
    assert site.play()[0] == {"changed": 0, "failed": 0}
    (site.folder / "etc/maps/one.cf").write_text("by hand\n")
    assert site.play()[0] == {"changed": 2, "failed": 0}
    assert site.running() == ("good 2\n", "map k\n")


def test_a_failing_check_leaves_everything_and_says_why(site: Site) -> None:
    (site.folder / "followed").unlink()
    site.write("better", one="wrong map")
    counts, told = site.play()
    assert counts["failed"] == 1
    assert "maps/one.cf:wrong map k" in " ".join(told.split()), told
    assert site.running() == ("good 2\n", "map k\n")
    assert not (site.folder / "followed").exists()
    site.write("better")
    assert site.play()[0]["failed"] == 0
    assert site.running() == ("better 2\n", "map k\n")
