"""The running milter and an MTA that says anything, in the milter protocol and beside it."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakemta.milter import MilterFilter
from tests.fakemta.session import Session
from tests.fuzz.chain import holds
from tests.fuzz.targets import CORPUS
from tests.integration.stack.daemons import KEY_ID, SECRET
from tests.integration.stack.mailsystem import ENFORCED, MailSystem

DOMAIN = "milter.box.test"
SEEDS = [seed.read_bytes() for seed in sorted((CORPUS / "chain").iterdir())]
SEEDS = [seed.replace(b"example.test", DOMAIN.encode()) for seed in SEEDS]
SEEDS += [
    f"cm\nma@b.example\nr%n%s%%@{DOMAIN}\n.".encode(),
    f"m\xe9\xff@b.example\nr\xff@{DOMAIN}\nralice@{DOMAIN}\n.".encode("latin-1"),
]
AGAIN = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
lines = (
    st.sampled_from(b"cemrh.x")
    .map(lambda letter: bytes([letter]))
    .flatmap(
        lambda verb: (st.binary(max_size=80) | st.text(max_size=40).map(str.encode)).map(
            verb.__add__
        )
    )
)
scripts = st.lists(lines | st.sampled_from([line for seed in SEEDS for line in seed.split(b"\n")]))


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> MailSystem:
    """With users whom the seeds know, and a client of theirs on the enforced list."""
    mailsystem.lists.list(ENFORCED, "192.0.2.99")
    mailsystem.add_domain(DOMAIN)
    for name in ("alice", "bob"):
        mailsystem.add_user(f"{name}@{DOMAIN}")
    return mailsystem


@AGAIN
@given(scripts.map(b"\n".join) | st.sampled_from(SEEDS))
def test_whatever_an_mta_says_is_answered_and_checked(system: MailSystem, data: bytes) -> None:
    workers, began = system.milter.workers(), len(system.milter.log())
    holds(Session(lambda: MilterFilter(str(system.milter.socket))), data, {KEY_ID: SECRET}.get)
    assert system.milter.workers() == workers
    assert "the chain failed" not in system.milter.log()[began:]


packets = st.builds(
    lambda letter, rest: (len(rest) + 1).to_bytes(4, "big") + bytes([letter]) + rest,
    st.sampled_from(b"OCHMRTLNBEDAQUK"),
    st.binary(max_size=60),
)


@AGAIN
@given(st.lists(st.binary(max_size=200) | packets, max_size=6).map(b"".join))
def test_what_is_no_milter_protocol_ends_its_connection_alone(
    system: MailSystem, data: bytes
) -> None:
    workers, began = system.milter.workers(), len(system.milter.log())
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(5)
        connection.connect(str(system.milter.socket))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            continue
    holds(Session(lambda: MilterFilter(str(system.milter.socket))), SEEDS[0], {KEY_ID: SECRET}.get)
    assert system.milter.workers() == workers
    assert "the chain failed" not in system.milter.log()[began:]
