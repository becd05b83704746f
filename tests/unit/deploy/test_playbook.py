"""The playbook as text: it parses, tells the truth about changes and leaves no template unused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parents[3]
PLAYS = ("site.yml", "uninstall.yml")


def tasks() -> list[Path]:
    """Every file of tasks and handlers."""
    found = sorted((TREE / "ansible").rglob("*.yml"))
    assert found
    return found


@pytest.mark.parametrize("play", PLAYS)
def test_it_parses(play: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "ansible/inventories/local",
            "--syntax-check",
            f"ansible/{play}",
        ],
        cwd=TREE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ANSIBLE_CONFIG": "ansible/ansible.cfg",
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_what_leaves_nothing_behind_says_that_it_changes_nothing() -> None:
    """Each `changed_when: false` is a command's, with the reason beside it."""
    for path in tasks():
        for task in re.split(r"\n(?=\s*- name:)", path.read_text()):
            if found := re.search(r"changed_when: false(.*)", task):
                assert "ansible.builtin.command:" in task, f"{path}: {task}"
                assert re.search(r"# .*(reads|takes away)", found[1]), f"{path}: {task}"


def test_no_secret_is_logged() -> None:
    """What handles a password says no_log, and none stands among a command's words."""
    for path in tasks():
        for task in re.split(r"\n(?=\s*- name:)", path.read_text()):
            if (
                "builtin.password'" in task
                or "slappasswd" in task
                or "accounts_password }}" in task
            ):
                assert "no_log: true" in task or "stdin:" in task, f"{path}: {task}"
            argv = re.search(r"argv:(.*?)(\n\s{0,6}\w|\Z)", task, re.DOTALL)
            assert not argv or "accounts_password" not in argv[1], f"{path}: {task}"


def test_every_template_is_used() -> None:
    text = "\n".join(path.read_text() for path in tasks())
    for path in sorted((TREE / "templates").rglob("*")):
        if path.is_file():
            name = path.name.removesuffix(".j2")
            daemon = re.fullmatch(r"iems-(milter|lmtp)(\.service|\.socket)?", name)
            assert daemon or name in text, path


def test_every_role_is_used() -> None:
    text = "\n".join(path.read_text() for path in tasks())
    for role in sorted((TREE / "ansible/roles").iterdir()):
        assert re.search(rf"(- |name: ){role.name}\b", text), role.name
