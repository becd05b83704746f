"""`iems spf`: the check without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import main

ZONE = """
e.test TXT "v=spf1 ip4:192.0.2.1 include:i.test -all"
i.test TXT "v=spf1 a:slow.test -all"
slow.test A 192.0.2.7
slow.test AAAA TIMEOUT
bad.test TXT "v=spf1 moo; -all"
mail.e.test TXT "v=spf1 +all"
"""


def spf(folder: Path, ip: str, sender: str, *options: str) -> int:
    """The exit code."""
    zone = folder / "zone"
    zone.write_text(ZONE)
    words = ["--ip", ip, "--mail-from", sender, "--helo", "mail.e.test", "--dns", str(zone)]
    return main(["spf", *words, *options])


@pytest.mark.parametrize(
    ("ip", "sender", "outcome", "code"),
    [
        ("192.0.2.1", "joe@e.test", "pass", 0),
        ("192.0.2.7", "<joe@e.test>", "pass", 0),
        ("192.0.2.9", "joe@e.test", "fail", 1),
        ("192.0.2.9", "joe@none.test", "none", 0),
        ("192.0.2.9", "joe@bad.test", "permerror", 1),
        ("2001:db8::1", "joe@e.test", "temperror", 75),
        ("192.0.2.9", "", "pass", 0),
        ("192.0.2.9", "<>", "pass", 0),
    ],
)
def test_the_outcome_and_the_code(
    ip: str,
    sender: str,
    outcome: str,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert spf(tmp_path, ip, sender) == code
    assert capsys.readouterr().out.splitlines()[0] == outcome
    assert spf(tmp_path, ip, sender, "--json") == code
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == outcome
    identity = "smtp.mailfrom" if "@" in sender else "smtp.helo"
    assert identity in told["evidence"]
    assert told["evidence"]["client"] == ip


def test_what_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spf(tmp_path, "192.0.2.9", "joe@e.test")
    assert capsys.readouterr().out.splitlines() == [
        "fail",
        "reason        client 192.0.2.9 is not allowed to send mail of e.test",
        "smtp.mailfrom e.test",
        "client        192.0.2.9",
        "mechanism     -all",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ip", "192.0.2", "--mail-from", "", "--helo", ""], "'192.0.2' is no IP address"),
        (["--ip", "::1", "--mail-from", "", "--helo", "", "--dns", "/none"], "/none: No such file"),
        (["--ip", "::1", "--mail-from", ""], "--helo"),
    ],
)
def test_wrong_arguments(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["spf", *words])
    assert told in capsys.readouterr().err


def test_a_zone_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong").write_text("a.test SRV 1")
    words = ["--ip", "::1", "--mail-from", "", "--helo", "h", "--dns", str(tmp_path / "wrong")]
    with pytest.raises(SystemExit, match="2"):
        main(["spf", *words])
    assert "line 1: 'a.test SRV 1'" in capsys.readouterr().err
