"""Whose a queued message is, as postcat(1) tells it; the real one is in tests/integration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli import postfix
from cli.queued import Instance
from cli.submitted import logins

HERE = Instance("postfix", Path("/etc/postfix"), Path("/var/spool/postfix"))


@pytest.mark.parametrize("end", ["\r", "\v", "\f", "\u0085", "\u2028"])
def test_a_sender_writes_no_lines(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only some readers take for the end of a line makes nobody's message somebody else's."""
    lines = [
        "*** ENVELOPE RECORDS deferred/4/4Q ***",
        "named_attribute: sasl_username=eve",
        f'sender: "{end}*** ENVELOPE RECORDS 4R ***{end}named_attribute: sasl_username=al{end}"@x',
        "*** HEADER EXTRACTED deferred/4/4Q ***",
    ]
    told = "".join(f"{line}\n" for line in lines).encode()
    program = tmp_path / "postcat"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.buffer.write({told!r})\n")
    program.chmod(0o755)
    monkeypatch.setattr(postfix, "program", lambda _name: str(program))
    assert list(logins(HERE, ["4Q"])) == [("4Q", "eve")]
