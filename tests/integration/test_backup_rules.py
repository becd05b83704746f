"""Rules of site and domains in a backup, and on another server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.backup.restore import restore
from iems.backup.save import save
from tests.integration.backedup import DOMAIN, Server, made, nobody
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground

RULES = {"before.toml": "# of the site", f"{DOMAIN}/after.toml": "# of the domain"}
GROUP = 12345
"""That of the daemons, who read the settings."""


@pytest.fixture
def server(ground: Ground, tmp_path: Path) -> Iterator[Server]:
    """One with rules; a restore follows on another machine, which has the same directory."""
    slapd = tree.start(ground)
    try:
        one = made(tmp_path / "site", slapd)
        os.chown(one.site.conf_d, 0, GROUP)
        for name, text in RULES.items():
            (one.site.rules / name).parent.mkdir(parents=True, exist_ok=True)
            (one.site.rules / name).write_text(text)
        yield one
    finally:
        slapd.stop()


def other(server: Server) -> Path:
    """Rules of another machine in the place of those that were saved."""
    shutil.rmtree(server.site.rules)
    server.site.rules.mkdir()
    file = server.site.rules / "after.toml"
    file.write_text("# of this machine")
    return file


def test_they_take_the_place_of_those_there(server: Server, tmp_path: Path) -> None:
    """For root and the daemons to read; what was there is kept beside."""
    assert save(server.site, tmp_path / "a.tar.gz", nobody).rules == len(RULES)
    other(server)
    mask = os.umask(0)
    try:
        assert restore(server.site, tmp_path / "a.tar.gz", nobody).rules == len(RULES)
    finally:
        os.umask(mask)
    rules = server.site.rules
    found = {one: one.stat() for one in (rules, *rules.rglob("*"))}
    texts = {str(one.relative_to(rules)): one.read_text() for one in found if one.is_file()}
    assert texts == RULES
    modes = {(one.is_dir(), state.st_mode & 0o777) for one, state in found.items()}
    assert modes == {(True, 0o750), (False, 0o640)}
    assert {(state.st_uid, state.st_gid) for state in found.values()} == {(0, GROUP)}
    previous = rules.with_name("mailsort.previous")
    assert (previous / "after.toml").read_text() == "# of this machine"


def test_a_backup_without_any_leaves_those_there(server: Server, tmp_path: Path) -> None:
    """As one of an older version is."""
    shutil.rmtree(server.site.rules)
    save(server.site, tmp_path / "a.tar.gz", nobody)
    server.site.rules.mkdir()
    file = other(server)
    assert restore(server.site, tmp_path / "a.tar.gz", nobody).rules == 0
    assert file.read_text() == "# of this machine"
