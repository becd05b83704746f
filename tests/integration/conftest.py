"""The private servers of one process of pytest: started when first wanted, one set for its tests.

A test isolates itself with a domain, users and client addresses of its own (`fresh`). After the
run the queue must be empty and no process, port or socket may be left.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.stack import mailsystem as mailsystem_module
from tests.integration.stack.clamd import Clamd
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running, users
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.rbldnsd import Rbldnsd
from tests.integration.stack.slapd import Slapd
from tests.integration.stack.unbound import Unbound

BLACKLISTS = ("enforced.bl.test", "delegated.bl.test", "third.bl.test", "fourth.bl.test")


@dataclass(frozen=True)
class Fresh:
    """Names that no other test of the run has: a domain, IPv4 and IPv6 addresses in it."""

    domain: str
    ip: str
    ip6: str

    def address(self, local: str) -> str:
        """An address of the domain."""
        return f"{local}@{self.domain}"


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """The temporary folder of the run; its end checks that nothing is left."""
    users()
    place = Ground()
    yield place
    place.close()


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def fresh(_numbers: Iterator[int]) -> Fresh:
    """Names of the test's own."""
    number = next(_numbers)
    address = f"198.18.{number // 250}.{number % 250 + 1}"
    return Fresh(f"t{number}.box.test", address, f"2001:db8::{number:x}")


@pytest.fixture(scope="session")
def rbldnsd(ground: Ground) -> Iterator[Rbldnsd]:
    """The blacklists."""
    server = Rbldnsd(ground, BLACKLISTS)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def unbound(ground: Ground, rbldnsd: Rbldnsd) -> Iterator[Unbound]:
    """The resolver, which finds the blacklists at rbldnsd."""
    server = Unbound(ground, stubs=dict.fromkeys(rbldnsd.zones, rbldnsd.port))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def clamd(ground: Ground) -> Iterator[Clamd]:
    """The virus scanner, which knows the samples of the tests, behind a port."""
    server = Clamd(ground, unix=False)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def slapd(ground: Ground) -> Iterator[Slapd]:
    """The directory server, with an empty tree and no schema but the standard ones."""
    server = Slapd(ground)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def dovecot(ground: Ground) -> Iterator[Dovecot]:
    """The mailboxes; users are added by the tests."""
    server = Dovecot(ground)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def postfix(ground: Ground, dovecot: Dovecot) -> Iterator[Postfix]:
    """A Postfix without milter that delivers every domain below box.test to Dovecot by LMTP."""
    server = Postfix(
        ground,
        main={
            "virtual_mailbox_domains": r"regexp:{{/\.box\.test$$/ ok}}",
            "virtual_mailbox_maps": r"regexp:{{!/^unknown/ ok}}",
            "virtual_transport": f"lmtp:inet:127.0.0.1:{dovecot.lmtp_port}",
        },
        listeners=[Listener("internet", ground.port(), {})],
    )
    with running(server):
        yield server
        left = server.entries()
        server.empty()
    assert not left, f"a test left mail in the queue: {left}"


@pytest.fixture(scope="session")
def mailsystem(ground: Ground, rbldnsd: Rbldnsd, unbound: Unbound) -> Iterator[MailSystem]:
    """The whole system."""
    with mailsystem_module.started(ground, rbldnsd, unbound) as system:
        yield system
