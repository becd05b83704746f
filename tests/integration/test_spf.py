"""`iems spf` over the network: it asks the servers of the settings, as long as they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import main
from tests.integration.stack.nameserver import NameServer

ZONE = """
e.test TXT "v=spf1 include:i.test mx -all"
i.test TXT "v=spf1 a:a.i.test ~all"
a.i.test A 192.0.2.7
e.test MX 10 m.e.test
m.e.test A 192.0.2.1
lost.test TXT SERVFAIL
silent.test TXT TIMEOUT
"""


@pytest.mark.parametrize(
    ("ip", "sender", "outcome", "code"),
    [
        ("192.0.2.7", "joe@e.test", "pass", 0),
        ("192.0.2.1", "joe@e.test", "pass", 0),
        ("192.0.2.9", "joe@e.test", "fail", 1),
        ("192.0.2.9", "joe@lost.test", "temperror", 75),
        ("192.0.2.9", "joe@silent.test", "temperror", 75),
    ],
)
def test_the_servers_of_the_settings_are_asked(
    ip: str,
    sender: str,
    outcome: str,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with NameServer(ZONE) as names:
        settings = tmp_path / "iems.toml"
        settings.write_text(f"""
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
dns = {{ servers = ["127.0.0.1:{names.port}"], timeout = {0.5 if "silent" in sender else 10.0} }}
""")
        words = ["--ip", ip, "--mail-from", sender, "--helo", "mail.e.test"]
        assert main(["--settings", str(settings), "spf", *words]) == code
        assert capsys.readouterr().out.splitlines()[0] == outcome
        assert names.unexpected == []
