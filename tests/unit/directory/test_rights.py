"""The table of rights as text for slapd; what slapd makes of it is tested on a slapd."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.directory.rights import RightsError, access_rules, main, read_rights
from tests.conftest import ROOT

TABLE = """
version = 1
[actors]
root = "dn=root"
anonymous = "anonymous"
self = "self"
[[object]]
name = "password"
what = "attrs=userPassword"
anonymous = "login"
self = "change"
[[object]]
name = "everything else"
what = "*"
"""


def test_rules() -> None:
    """In the order of the table; who is not named gets nothing, root everything."""
    assert access_rules(read_rights(TABLE)) == (
        "{0}to * by dn=root manage by * break",
        "{1}to attrs=userPassword by anonymous auth by self =xw by * none",
        "{2}to * by * none",
    )


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("version = 1", "version = 2", "version is 2; expected 1"),
        ("root =", "boot =", "expected root among them"),
        ('"login"', '"enter"', "expected one of"),
        ('self = "change"', 'me = "change"', "names 'me'; expected one of"),
        ('what = "*"', "", "expected two strings"),
        ("[actors]", "[actors", "cannot be read"),
    ],
)
def test_fault(was: str, becomes: str, fault: str) -> None:
    """Each fault says what is expected."""
    with pytest.raises(RightsError, match=fault):
        read_rights(TABLE.replace(was, becomes))


def test_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints lines of LDIF; of a table that is wrong, none."""
    assert main([str(ROOT / "templates/openldap/rights.toml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f"olcAccess: {{{n}}}to ") for n, line in enumerate(lines))
    wrong = tmp_path / "rights.toml"
    wrong.write_text(TABLE.replace("version = 1", ""))
    assert main([str(wrong)]) == 1
    assert main([]) == 2
    assert capsys.readouterr().out == ""
