"""`iems edit text`: a filter of messages without a server."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from cli.main import main

MESSAGE = b"Subject: s\r\n\r\nHello.\r\n"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A file with a text."""
    file = tmp_path / "plain"
    file.write_bytes(b"\xef\xbb\xbf-- \r\nExample Ltd.\r\n")
    return file


def text(monkeypatch: pytest.MonkeyPatch, data: bytes, *options: object) -> int:
    """The exit code for this message."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["--settings", "/nowhere", "edit", "text", *map(str, options)])


def test_the_message_with_the_text(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert text(monkeypatch, MESSAGE, "--plain", plain) == 0
    told = capsysbinary.readouterr()
    assert told.out == MESSAGE + b"\r\n-- \r\nExample Ltd.\r\n"
    assert told.err == b""


def test_html_place_and_marker(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    html = plain.with_name("html")
    html.write_text("<b>Example</b>")
    data = b"Content-Type: text/html\n\n<body>Hello."
    options = ("--plain", plain, "--html", html, "--place", "top", "--marker", "legal-1")
    assert text(monkeypatch, data, *options) == 0
    put = b'<!-- iems-text legal-1 --><div style="clear:both"><b>Example</b></div>'
    put += b"<!-- /iems-text legal-1 -->\n"
    assert capsysbinary.readouterr().out == data.replace(b"<body>", b"<body>" + put)


def test_what_is_left_alone_comes_out(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = b"Content-Type: text/calendar\r\n\r\n\xff\r\n"
    assert text(monkeypatch, data, "--plain", plain) == 0
    told = capsysbinary.readouterr()
    assert told.out == data
    assert told.err == b"iems: left as it is: it is an invitation\n"


def test_what_is_rejected_does_not(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b--\r\n"
    assert text(monkeypatch, data, "--plain", plain, "--signed", "reject") == 1
    told = capsysbinary.readouterr()
    assert told.out == b""
    assert told.err == b"iems: rejected: it is signed\n"
    assert text(monkeypatch, data, "--plain", plain, "--signed", "wrap", "--renew") == 0
    assert b"multipart/mixed" in capsysbinary.readouterr().out


def test_what_cannot_be_put_in(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    latin = plain.with_name("latin")
    latin.write_bytes(b"Gr\xfc\xdfe")
    faults = {
        ("--plain", "/nowhere/text"): "iems: /nowhere/text: No such file or directory\n",
        ("--plain", latin): f"iems: {latin}: expected UTF-8, but byte 2 is none\n",
        ("--plain", plain, "--marker", "-"): (
            "iems: marker '-': expected letters, digits, and - or . between\n"
        ),
    }
    for options, fault in faults.items():
        assert text(monkeypatch, MESSAGE, *options) == 2
        told = capsysbinary.readouterr()
        assert (told.out, told.err.decode()) == (b"", fault)
