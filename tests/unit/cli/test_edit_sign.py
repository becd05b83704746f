"""`iems edit sign`: a filter that signs messages, without a server."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from cli.main import main
from iems.codec.keypair import PrivateKey
from tests.signing import SigningKey, ed25519_key, key, second_opinion

MESSAGE = (
    b"From: alice@sender.example\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n"
)


def sign(monkeypatch: pytest.MonkeyPatch, folder: Path, signer: SigningKey, data: bytes) -> int:
    """The exit code for this message."""
    file = folder / "key.pem"
    file.write_text(PrivateKey(signer.kind, signer.private).pem)
    words = ("--key", str(file), "--domain", signer.domain, "--selector", signer.selector)
    return edit(monkeypatch, data, *words)


def edit(monkeypatch: pytest.MonkeyPatch, data: bytes, *words: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["--settings", "/nowhere", "edit", "sign", *words])


@pytest.mark.parametrize("signer", [key(1024), ed25519_key()], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_the_message_is_signed_whatever_its_line_ends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    signer: SigningKey,
    end: bytes,
) -> None:
    assert sign(monkeypatch, tmp_path, signer, MESSAGE.replace(b"\r\n", end)) == 0
    told = capsysbinary.readouterr()
    assert told.err == b""
    assert told.out.count(end) == told.out.count(b"\n")
    result = told.out.replace(end, b"\r\n")
    assert second_opinion(result, signer.record)
    rest = result[result.index(b"\r\nFrom: ") + 2 :]
    assert rest == MESSAGE.replace(b"8bit", b"base64").replace(
        b"gr\xc3\xbc\xc3\x9fe\r\n", b"Z3LDvMOfZQ0K\r\n"
    )


def test_what_cannot_be_signed_comes_out_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    long = b"\r\n--b\r\n\r\n" + b"y" * 999 + b"\r\n--b--\r\n"
    kind = b'Content-Type: multipart/signed; boundary="b"\r\n'
    for data, why in (
        (b"Subject: s\r\n\r\nHello.\r\n", b"it has no From"),
        (b"From: alice@sender.example\r\n" + kind + long, b"multipart/signed"),
    ):
        assert sign(monkeypatch, tmp_path, ed25519_key(), data) == 0
        told = capsysbinary.readouterr()
        assert told.out == data
        assert why in told.err


def test_a_key_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = ("--domain", "sender.example", "--selector", "s")
    file = tmp_path / "key"
    assert edit(monkeypatch, MESSAGE, "--key", str(file), *words) == 2
    file.write_text("secret\n")
    assert edit(monkeypatch, MESSAGE, "--key", str(file), *words) == 2
    told = capsysbinary.readouterr()
    assert told.out == b""
    assert b"No such file" in told.err
    assert b"it is no private key in PEM" in told.err
    assert b"secret" not in told.err
