"""One slapd with our tree for all tests of the directory, and `iems` on it."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.main import main
from iems.serve.log import Log
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground
from tests.integration.stack.slapd import Slapd

Iems = Callable[..., tuple[int, str, str]]
CLI_DOMAIN = "cli.test"

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
uri = "{uri}"
[admin]
ldap_password_file = "{password}"
[checks.iprev]
mode = "delegate"
allow = {{ mismatch = ["deliver", "tag", "junk"] }}
[checks.dnsbl.open]
zone = "open.bl.test"
mode = "delegate"
default = {{ listed = "junk" }}
[checks.dnsbl.closed]
zone = "closed.bl.test"
mode = "enforce"
default = {{ listed = "reject" }}
"""


@pytest.fixture(scope="session")
def server(ground: Ground) -> Iterator[Slapd]:
    """The server; whoever stops it starts it again."""
    slapd = tree.start(ground)
    yield slapd
    slapd.stop()


@pytest.fixture
def audit() -> list[str]:
    """The lines that syslogd was given."""
    return []


@pytest.fixture
def iems(
    server: Slapd,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    audit: list[str],
) -> Iterator[Iems]:
    """The program: arguments to exit code, output and errors."""
    # The tree under test need not be installed, so its distribution may have no version.
    monkeypatch.setattr("cli.main._version", lambda: "0", raising=False)
    secret = tree.write(tmp_path / "ldap-admin", tree.password("admin") + "\n")
    settings = tree.write(
        tmp_path / "iems.toml", SETTINGS.format(uri=server.ldapi, password=secret)
    )

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["--settings", str(settings), *words])
        told = capsys.readouterr()
        # What was said before this has been read when this is.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"END", str(tmp_path / "log"))
        said.acquire()
        return code, told.out, told.err

    def listen() -> None:
        while (line := syslogd.recv(8192)) != b"":
            if line == b"END":
                said.release()
            else:
                audit.append(line.decode().partition(": ")[2])

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslogd:
        syslogd.bind(str(tmp_path / "log"))
        said = threading.Semaphore(0)
        listener = threading.Thread(target=listen)
        listener.start()
        log = functools.partial(Log.open, path=tmp_path / "log")
        monkeypatch.setattr("cli.entries.Log", SimpleNamespace(open=log))
        yield call
        syslogd.shutdown(socket.SHUT_RD)
        listener.join()


@pytest.fixture
def domain(iems: Iems) -> str:
    """The domain of the command line's tests, with alice in it."""
    iems("domain", "delete", CLI_DOMAIN, "--recursive")
    assert iems("domain", "add", CLI_DOMAIN, "--postmaster", f"alice@{CLI_DOMAIN}")[0] == 0
    assert iems("user", "add", f"alice@{CLI_DOMAIN}")[0] == 0
    return CLI_DOMAIN
