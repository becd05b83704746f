"""One slapd with our tree for all tests of the directory; each test uses domains of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.directory import tree
from tests.integration.stack.ground import Ground
from tests.integration.stack.slapd import Slapd


@pytest.fixture(scope="session")
def server(ground: Ground) -> Iterator[Slapd]:
    """The server; whoever stops it starts it again."""
    slapd = tree.start(ground)
    yield slapd
    slapd.stop()
