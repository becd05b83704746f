"""The lock files hold every file by its hash, and cover what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

TREE = Path(__file__).parents[3]
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")


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


def test_c_modules_are_built_from_their_sources() -> None:
    """One file each, the sdist: there is no wheel whose hash would be taken."""
    found = locked("requirements.lock")
    assert [len(found[name]) for name in ("pymilter", "python-ldap")] == [1, 1]


def test_server_and_development_have_the_same_versions() -> None:
    server, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: dev.get(name) for name in server} == server
