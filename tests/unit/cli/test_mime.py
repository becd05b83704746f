"""`iems mime tree`: the parts of a message without a server."""

from __future__ import annotations

import base64
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from cli.main import main
from tests.unit.archive.test_archives import zipped
from tests.unit.mime.test_block import uuencoded

MESSAGE = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n"
    b'--b\r\nContent-Type: a/b; name="\xc3\xbc.exe"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n\r\n"
)
TREE = """\
0 45 135 multipart/mixed 7bit
  ! no-end at 55
  50 52 55 text/plain 7bit
  62 133 135 a/b base64 "?.exe"
"""


def tree(folder: Path, data: bytes, *options: str) -> int:
    """The exit code."""
    (folder / "message").write_bytes(data)
    return main(["mime", "tree", str(folder / "message"), *options])


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tree(tmp_path, MESSAGE) == 1
    assert capsys.readouterr().out == TREE


def test_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tree(tmp_path, MESSAGE, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["delimiters"] == [[45, 50], [55, 62]]
    assert told["defects"] == [{"defect": "no-end", "at": 55}]
    assert [one["names"] for one in told["parts"]] == [[], ["ü.exe"]]
    assert told["parts"][1]["encoding"] == "base64"
    (one,) = told["parts"][1]["contents"]
    assert one["block"] is None
    assert [file["kind"] for file in one["files"]] == ["empty"]


def test_other_readings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tree(tmp_path, b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["0 40 40 a/b 7bit", "  ! repeated-field at 19", "or", "0 40 40 c/d 7bit"]


ARCHIVE, _mark, _directory = zipped(zipfile.ZIP_STORED, evil_exe=b"MZ").partition(b"PK\1\2")
HOLDS = b"""\
Content-Type: multipart/mixed; boundary=b

--b

see\x20
%s
--b
Content-Type: application/zip; name="a.zip"
Content-Transfer-Encoding: base64

%s
--b--
""" % (uuencoded(b"MZ"), base64.encodebytes(ARCHIVE))


def test_files_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tree(tmp_path, HOLDS) == 1
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "0 43 232 multipart/mixed 7bit",
        "47 48 84 text/plain 7bit",
        '> uuencode 5 36 dos 2 "evil.exe"',
        '89 168 225 application/zip base64 "a.zip"',
        "> zip 40",
        "! broken",
        '> dos 2 "evil.exe"',
    ]
    tree(tmp_path, HOLDS, "--json")
    text, archive = json.loads(capsys.readouterr().out)["parts"]
    assert text["contents"][1]["block"] == {"form": "uuencode", "start": 5, "end": 36}
    (whole, within) = archive["contents"][0]["files"]
    assert (whole["kind"], whole["faults"]) == ("zip", ["broken"])
    assert (within["names"], within["family"]) == (["evil.exe"], "executable")
    assert (within["size"], within["depth"]) == (2, 1)


def test_standard_input_without_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MESSAGE + b"--b--")))
    assert main(["mime", "tree", "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mime", "tree", "/nowhere/message"]) == 2
    assert capsys.readouterr().err == "iems: /nowhere/message: No such file or directory\n"


def test_text_that_could_command_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoding = b"Content-Transfer-Encoding: \x1b[2J\r\n"
    tree(tmp_path, encoding + b'Content-Type: \x1b[2J; name="\x1b]0;x"\r\n\r\n')
    assert "\x1b" not in capsys.readouterr().out
