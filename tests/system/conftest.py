"""The machines of a run, each made once: the world, a bare machine, the mail server.

A host that can boot no machine fails these tests with the reason; it does not skip them.
`.ci/run` asks the probe first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import base, network, probe
from tests.system.machine import Machine, machine, remove_leftovers
from tests.system.network import Bridge
from tests.system.provision import first_run
from tests.system.server import DOMAIN, Server, peopled
from tests.system.world import World, world

PATIENCE = 1200
"""Seconds for one test: the first that asks for a machine waits until it is provisioned."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder boots machines."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture(scope="session")
def logs() -> Path:
    """Where consoles and provisioning write; kept until the next run."""
    folder = base.CACHE / "logs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def bridge() -> Iterator[Bridge]:
    """The bridge of the one run that this host has at a time; nothing is left of a killed one."""
    if reason := probe.obstacle():
        pytest.fail(f"no machine can be booted here: {reason}", pytrace=False)
    try:
        with base.lock("run"):
            remove_leftovers()
            with network.bridge() as made:
                yield made
            remove_leftovers()
    except BlockingIOError:
        pytest.fail(f"another run holds {base.CACHE}/run.lock", pytrace=False)


@pytest.fixture(scope="session")
def outside(bridge: Bridge, logs: Path) -> Iterator[World]:
    """The world on the bridge; it knows the names of the machines."""
    names = ("mail.example.test", "plain.example.test", "bare.example.test")
    addresses = {name: bridge.address(number) for number, name in enumerate(names, start=10)}
    with world(bridge, logs / "world", addresses) as made:
        yield made


@pytest.fixture(scope="session")
def bare(outside: World, logs: Path) -> Iterator[Machine]:
    """A machine as debootstrap left it."""
    with machine(outside.bridge, logs / "bare", number=12, hostname="bare.example.test") as made:
        yield made


@pytest.fixture(scope="session")
def mailserver(outside: World, logs: Path) -> Iterator[Machine]:
    """A machine after README's command, as it is then."""
    name = f"mail.{DOMAIN}"
    with machine(outside.bridge, logs / "mailserver", number=10, hostname=name) as made:
        first_run(made)
        yield made


@pytest.fixture(scope="session")
def server(mailserver: Machine, outside: World) -> Server:
    """The mail server with its blacklists, and three users who want different things."""
    return peopled(mailserver, outside)
