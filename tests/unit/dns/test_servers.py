"""Which servers are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.dns.servers import Server, servers


def test_settings_name_servers_with_and_without_port(tmp_path: Path) -> None:
    given = ["192.0.2.1", "192.0.2.2:5353", "2001:db8::1", "[2001:db8::2]", "[2001:db8::3]:5353"]
    assert servers(given, tmp_path / "absent") == (
        Server("192.0.2.1"),
        Server("192.0.2.2", 5353),
        Server("2001:db8::1"),
        Server("2001:db8::2"),
        Server("2001:db8::3", 5353),
    )


@pytest.mark.parametrize("text", ["name.test", "192.0.2.1:0", "192.0.2.1:70000", "[::1]:x", ""])
def test_what_is_no_server_is_an_error_that_quotes_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no DNS server; expected"):
        servers([text], tmp_path / "absent")


def test_without_settings_the_system_s_servers_are_asked(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# a comment\nsearch test\nnameserver 192.0.2.7\nnameserver bad\nnameserver 2001:db8::7\n"
        "options edns0\nnameserver 192.0.2.8\nnameserver 192.0.2.9\n"
    )
    assert servers([], file) == (
        Server("192.0.2.7"),
        Server("2001:db8::7"),
        Server("192.0.2.8"),
    )
    assert servers([], tmp_path / "absent") == (Server("127.0.0.1"),)
