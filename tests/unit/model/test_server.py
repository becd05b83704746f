"""Addresses of servers: what is read is written the same way again."""

from __future__ import annotations

import pytest

from iems.model.server import NOWHERE, Server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("unix:/run/spamd.sock", Server(path="/run/spamd.sock")),
        ("inet:127.0.0.1:783", Server(ip="127.0.0.1", port=783)),
        ("inet:[::1]:783", Server(ip="::1", port=783)),
        ("inet:::1:783", Server(ip="::1", port=783)),
    ],
)
def test_addresses(text: str, server: Server) -> None:
    assert Server.parse(text) == server == Server.parse(str(server))


@pytest.mark.parametrize(
    "text",
    [
        *("", "unix:", "unix:run/x", "inet:", "inet:127.0.0.1", "inet:127.0.0.1:", "127.0.0.1:783"),
        *("inet:localhost:783", "inet:127.0.0.1:0", "inet:127.0.0.1:65536", "inet:127.0.0.1:-1"),
        *("inet:127.0.0.1:\u0661", "inet:127.0.0.1:" + "1" * 5000, "tcp:127.0.0.1:783"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|address"):
        Server.parse(text)


def test_nowhere_is_empty() -> None:
    assert str(NOWHERE) == ""
