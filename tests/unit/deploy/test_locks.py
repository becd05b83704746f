"""The lock files hold every file by its hash, and cover what pyproject.toml asks for."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[3]
LOCKS = (
    "requirements.lock",
    "requirements-build.lock",
    "requirements-dev.lock",
    "requirements-fuzz.lock",
)

_TOY = {
    "toy.py": "",
    "toy-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
    "toy-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    "toy-1.0.dist-info/RECORD": "",
}
"""A wheel."""


def locked(lock: str) -> dict[str, list[str]]:
    """Name -> hashes; the name in the form of PEP 503."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=\S)", (TREE / lock).read_text()):
        if pinned := re.match(r"([A-Za-z0-9._-]+)==\S+", block):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", block)
            found[normal(pinned[1])] = hashes
        else:
            assert block.startswith("#"), block
    return found


def normal(name: str) -> str:
    """The name that packaging compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_held_by_hashes(lock: str) -> None:
    assert locked(lock)
    assert [name for name, hashes in locked(lock).items() if not hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_a_place(lock: str) -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links", (TREE / lock).read_text())


def test_locks_cover_what_is_asked_for() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        found = [re.match(r"[A-Za-z0-9._-]+", one) for one in requirements]
        return {normal(one[0]) for one in found if one}

    runtime = names(project["dependencies"])
    dev = names(project["optional-dependencies"]["dev"])
    assert runtime <= set(locked("requirements.lock"))
    assert runtime | dev <= set(locked("requirements-dev.lock"))
    fuzz = names(project["optional-dependencies"]["fuzz"])
    assert runtime | fuzz <= set(locked("requirements-fuzz.lock"))


def test_c_modules_are_built_from_their_sources() -> None:
    """One file each, the sdist: there is no wheel whose hash would be taken."""
    found = locked("requirements.lock")
    assert [len(found[name]) for name in ("pymilter", "python-ldap")] == [1, 1]


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-fuzz.lock"])
def test_server_and_development_have_the_same_versions(lock: str) -> None:
    server, other = locked("requirements.lock"), locked(lock)
    assert {name: other.get(name) for name in server} == server


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_nothing_is_installed_but_by_its_hash(lock: str, tmp_path: Path) -> None:
    """scripts/install-locked with pip itself, in an environment of its own, from a file."""
    venv.create(tmp_path / "venv", with_pip=True)
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(TREE / "scripts/install-locked", tmp_path / "scripts")
    for name in ("requirements.lock", "requirements-build.lock"):
        (tmp_path / name).write_text("# nothing\n")
    wheel = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in _TOY.items():
            file.writestr(name, text)
    python = tmp_path / "venv/bin/python"

    def installs(hashes: str) -> bool:
        (tmp_path / lock).write_text(f"toy @ file://{wheel}{hashes}\n")
        words = [script, python, tmp_path / "requirements.lock"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0 or "hash" in done.stderr.lower(), done.stderr
        found = subprocess.run([python, "-c", "import toy"], capture_output=True, check=False)
        assert (found.returncode == 0) == (done.returncode == 0)
        return done.returncode == 0

    assert not installs("")
    assert not installs(f" --hash=sha256:{'0' * 64}")
    assert installs(f" --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
