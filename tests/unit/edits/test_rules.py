"""Which files a rule is about, and rules that cannot be meant."""

from __future__ import annotations

import pytest

from iems.archive.kind import Kind
from iems.archive.member import Fault
from iems.edits.rules import Rule
from iems.edits.strip import Removal
from iems.mime.inside import File

PE, PDF = Kind("pe", "executable"), Kind("pdf", "document")
ZIP = frozenset({Fault.ENCRYPTED})
EXE = File(("evil.exe",), 100, PE)


@pytest.mark.parametrize(
    ("table", "file", "matches"),
    [
        ({"name": ["*.exe"]}, EXE, True),
        ({"name": "*.exe"}, EXE, True),
        ({"name": ["*.EXE"]}, File(("Evil\uff0e\u0435xe.",), 1, PE), True),
        ({"name": ["*.\u0435x\u0435"]}, EXE, True),
        ({"name": ["ev?l.exe"]}, EXE, True),
        ({"name": ["evil.exe"]}, File(("a/evil.exe",), 1, PE), True),
        ({"name": ["vil.exe"]}, EXE, False),
        ({"name": ["evil.ex"]}, EXE, False),
        ({"name": ["evil?exe"]}, EXE, True),
        ({"name": ["e[v]il.exe"]}, EXE, False),
        ({"name": ["*.exe"]}, File(("a.txt", "evil.exe"), 1, PE), True),
        ({"name": ["*"]}, File((), 1, PE), False),
        ({"pattern": ["^evil\\.(exe|com)$"]}, EXE, True),
        ({"pattern": ["v.l"]}, EXE, True),
        ({"pattern": ["\u202e"]}, File(("cod\u202efdp.exe",), 1, PE), True),
        ({"pattern": ["codfdp"]}, File(("cod\u202efdp.exe",), 1, PE), True),
        ({"extension": ["com", "exe"]}, EXE, True),
        ({"extension": [".EXE"]}, EXE, True),
        ({"extension": ["tar.gz"]}, File(("a.b.tar.gz",), 1, PE), True),
        ({"extension": ["tar.gz"]}, File(("a.gz", "tar.gz"), 1, PE), False),
        ({"extension": ["exe"]}, File(("exe",), 1, PE), False),
        ({"extension": ["exe"]}, File(("a.exe.txt",), 1, PE), False),
        ({"double-extension": True}, File(("a.pdf.exe",), 1, PE), True),
        ({"double-extension": True}, EXE, False),
        ({"type": ["application/*"]}, EXE, True),
        ({"type": ["text/*"]}, EXE, False),
        ({"content": ["pe"]}, EXE, True),
        ({"content": ["executable"]}, EXE, True),
        ({"content": ["document"]}, EXE, False),
        ({"fault": ["encrypted"]}, File(("a",), 1, PDF, ZIP), True),
        ({"fault": ["broken"]}, File(("a",), 1, PDF, ZIP), False),
        ({"larger": 99}, EXE, True),
        ({"larger": 100}, EXE, False),
        ({"larger": 0}, File(("a",), None, PDF), False),
        ({"name": ["*.exe"], "content": ["executable"]}, EXE, True),
        ({"name": ["*.exe"], "content": ["document"]}, EXE, False),
        ({"name": ["*.exe"], "extension": ["txt"]}, File(("a.exe", "a.txt"), 1, PE), False),
    ],
)
def test_matches(table: dict[str, object], file: File, matches: bool) -> None:
    assert Rule.of("x", table).matches(file, "application/x") is matches


@pytest.mark.parametrize(
    ("label", "table", "fault"),
    [
        ("A", {"name": ["x"]}, "rule 'A': expected letters a to z, digits, and - between"),
        ("x", {}, "rule x: expected one of name, pattern"),
        ("x", {"names": ["x"]}, "rule x: 'names' is none of name, pattern"),
        ("x", {"name": [1]}, r"rule x: name = \[1\]: expected texts"),
        ("x", {"name": []}, r"rule x: name = \[\]: expected texts"),
        ("x", {"name": [""]}, "expected texts"),
        ("x", {"pattern": ["("]}, r"rule x: '\(' is no pattern: missing \)"),
        ("x", {"extension": ["*.exe"]}, r"rule x: extension = '\*.exe': expected letters"),
        ("x", {"extension": ["."]}, r"rule x: extension = '\.': expected letters, as in 'exe'"),
        ("x", {"type": ["Image"]}, r"rule x: type = 'Image': expected both .*, as in 'Image/\*'"),
        ("x", {"content": ["exe"]}, "rule x: content = 'exe': expected one of 7z, ace,"),
        ("x", {"fault": ["bad"]}, "rule x: fault = 'bad': expected one of broken, encrypted,"),
        ("x", {"larger": "1"}, "rule x: larger = '1': expected a number of bytes"),
        ("x", {"larger": True}, "rule x: larger = True: expected a number of bytes"),
        ("x", {"larger": -1}, "rule x: larger = -1: expected a number of bytes"),
        ("x", {"double-extension": False}, "rule x: double-extension = False: expected true"),
    ],
)
def test_rules_that_cannot_be_meant(label: str, table: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Rule.of(label, table)


RULE = Rule.of("x", {"name": ["*.exe"]})


@pytest.mark.parametrize("notice", ["", " ", "$nam", "$", "100 $"])
def test_notices_that_cannot_be_meant(notice: str) -> None:
    with pytest.raises(ValueError, match=r"^the notice: expected a text with \$name, \$rule"):
        Removal((RULE,), notice)


def test_a_removal_has_rules() -> None:
    with pytest.raises(ValueError, match="there is no rule"):
        Removal(())
