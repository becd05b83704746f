"""The exit codes of `iems` that hang on the directory, from the program itself and a real slapd."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.directory import tree
from tests.integration.stack.slapd import Slapd

_SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
uri = "{uri}"
timeout = 1.0
[admin]
ldap_password_file = "{folder}/password"
"""
_CALL = "import sys; from cli.main import main; sys.exit(main())"
Iems = Callable[..., int]

ASKING = (
    ("domain", "list"),
    ("domain", "add", "codes.test", "--postmaster", "first@codes.test"),
    ("user", "list"),
    ("user", "add", "first@codes.test"),
    ("alias", "delete", "abuse@codes.test"),
    ("policy", "show", "first@codes.test"),
)


@pytest.fixture
def iems(server: Slapd, tmp_path: Path) -> Iems:
    """The program as a process of its own: arguments to exit code."""
    tree.write(tmp_path / "password", tree.password("admin"))
    settings = tree.write(
        tmp_path / "iems.toml", _SETTINGS.format(uri=server.ldapi, folder=tmp_path)
    )

    def call(*words: str, user: str | None = None) -> int:
        return subprocess.run(
            [sys.executable, "-c", _CALL, "--settings", str(settings), *words],
            cwd=ROOT,
            user=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            timeout=110,
            check=False,
        ).returncode

    return call


def test_done_and_refused(iems: Iems) -> None:
    assert iems("domain", "list") == 0
    assert iems("user", "delete", "nobody@codes.test") == 1


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_a_directory_that_is_down(server: Slapd, iems: Iems, words: tuple[str, ...]) -> None:
    server.stop()
    try:
        assert iems(*words) == 75
    finally:
        server.start()


def test_a_directory_that_hangs(server: Slapd, iems: Iems) -> None:
    server.pause()
    try:
        assert iems("domain", "list") == 75
    finally:
        server.resume()


def test_who_may_not_read_the_settings(iems: Iems, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert iems("domain", "list", user="nobody") == 77


def test_usage_and_settings_that_are_wrong(iems: Iems, tmp_path: Path) -> None:
    assert iems("domain", "paint") == 2
    tree.write(tmp_path / "iems.toml", "version = 1\n")
    assert iems("domain", "list") == 78
