"""The whole system as it is deployed, for the length of a run: private servers, and our daemons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.stack import mailsystem
from tests.integration.stack.ground import Ground, running, users
from tests.integration.stack.mailsystem import DELEGATED, ENFORCED, MailSystem
from tests.integration.stack.rbldnsd import Rbldnsd
from tests.integration.stack.unbound import Unbound


@contextmanager
def deployed() -> Iterator[tuple[MailSystem, Rbldnsd, Ground]]:
    """The system, its blacklists, and the ground for further servers; all gone afterwards."""
    users()
    ground = Ground()
    try:
        lists = Rbldnsd(ground, (ENFORCED, DELEGATED))
        with running(lists):
            resolver = Unbound(ground, stubs=dict.fromkeys(lists.zones, lists.port))
            with running(resolver), mailsystem.started(ground, lists, resolver) as system:
                yield system, lists, ground
    finally:
        ground.close()
