"""`iems check` on a real system: it has nothing to say of one that is right, and sees faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.stack.ground import Ground
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.unbound import Unbound


@pytest.fixture
def servers(mailsystem: MailSystem) -> Iterator[str]:
    """The file of the settings that a test may change, as it was at first and is again."""
    file = mailsystem.site.etc / "conf.d/servers.toml"
    before = file.read_text()
    yield before
    file.write_text(before)


def check(system: MailSystem, *options: str) -> dict[str, Any]:
    """What `iems check` found."""
    found: dict[str, Any] = json.loads(system.iems("check", "--json", *options))
    return found


def test_nothing_is_said_of_a_system_that_is_right(mailsystem: MailSystem) -> None:
    found = check(mailsystem, "--strict")
    assert found["faults"] == []
    assert found["warnings"] == []


def test_resolvers_that_do_not_answer(
    mailsystem: MailSystem, servers: str, ground: Ground, unbound: Unbound
) -> None:
    file, port = mailsystem.site.etc / "conf.d/servers.toml", ground.port()
    right, dead = f'"127.0.0.1:{unbound.port}"', f'"127.0.0.1:{port}"'
    assert right in servers
    file.write_text(servers.replace(right, f"{right}, {dead}"))
    (one,) = check(mailsystem)["warnings"]
    assert one.startswith(f"{file}: dns.servers names 127.0.0.1 port {port}, which gives no answer")
    assert "the others are asked" in one
    file.write_text(servers.replace(right, dead))
    (one,) = check(mailsystem)["warnings"]
    assert "no list can be asked" in one
    file.write_text(servers)
    unbound.pause()
    try:
        (one,) = check(mailsystem)["warnings"]
    finally:
        unbound.resume()
    assert f"port {unbound.port}, which gives no answer (timeout)" in one
    assert check(mailsystem)["warnings"] == []
