"""What a real clamd says of a message."""

from __future__ import annotations

from iems.codec.header import split_message
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.store.spool import MemoryBody, Spooled
from milters.checks.virus import seen_by
from milters.engines.clamd import Clamd as Client
from milters.engines.readings import whole
from milters.engines.scanner import Verdict
from tests import samples
from tests.integration.stack.clamd import Clamd

LOCKED = samples.mixed(samples.TEXT, samples.part(samples.encrypted(b"x" * 100)))


def spooled(message: bytes) -> Spooled:
    header, body = split_message(message)
    return Spooled(header, MemoryBody(body))


def alone(clamd: Clamd, message: bytes) -> Verdict:
    """What clamd says of the message as it is, whatever other readers would find."""
    one = Client(Server.parse(clamd.address))
    return one.scan(whole(spooled(message)), Deadline.after(20)).verdict


def together(clamd: Clamd, message: bytes) -> dict[Verdict, str]:
    """What it says of all readings."""
    one = Client(Server.parse(clamd.address))
    return dict(seen_by(one, spooled(message), Deadline.after(20)))
