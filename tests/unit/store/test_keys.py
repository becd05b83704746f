"""The keyring: one key signs, all verify, no secret is ever shown."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from iems.store.keys import Keyring, KeyringError, create

SECRET = base64.b64encode(b"x" * 32).decode()
SHORT = base64.b64encode(b"x" * 31).decode()
KEY_B = f'\n[[key]]\nid = "b"\nsecret = "{SECRET}"\nstate = "active"\n'


def test_a_new_keyring_is_loaded_and_readable_by_its_group_alone(tmp_path: Path) -> None:
    create(tmp_path / "keys.toml", "k1")
    keyring = Keyring.load(tmp_path / "keys.toml")
    assert keyring.secret("k1") == keyring.active.secret
    assert keyring.secret("k2") is None
    assert stat.S_IMODE((tmp_path / "keys.toml").stat().st_mode) & 0o027 == 0
    assert len(keyring.active.secret) == 32
    assert repr(keyring.active) == "Key(id='k1')"
    assert repr(keyring.active.secret) not in repr(keyring)
    with pytest.raises(FileExistsError):
        create(tmp_path / "keys.toml", "k1")


def test_a_retiring_key_still_verifies(tmp_path: Path) -> None:
    rows = [("k1", "retiring"), ("k2", "active")]
    text = "".join(
        f'[[key]]\nid = "{name}"\nsecret = "{SECRET}"\nstate = "{state}"\n' for name, state in rows
    )
    (tmp_path / "keys.toml").write_text(text)
    keyring = Keyring.load(tmp_path / "keys.toml")
    assert keyring.active.id == "k2"
    assert keyring.active.secret == b"x" * 32
    assert keyring.secret("k1") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[key]]",
        '[[key]]\nid = "a"\nsecret = "AAAA"\nstate = "active"',
        f'[[key]]\nid = "a;"\nsecret = "{SECRET}"\nstate = "active"',
        f'[[key]]\nid = "a"\nsecret = "{SECRET}"\nstate = "retiring"',
        f'[[key]]\nid = "a"\nsecret = "{SECRET}!"\nstate = "active"',
        f'[[key]]\nid = "\u00e9"\nsecret = "{SECRET}"\nstate = "active"',
        f'[[key]]\nid = "a"\nsecret = "{SHORT}"\nstate = "active"',
        f'[[key]]\nid = "a"\nsecret = "{SECRET}"\nstate = "Active"',
        f'[[key]]\nid = "a"\nsecret = "{SECRET}"\nstate = "retired"' + KEY_B,
        f'[[key]]\nid = "b"\nsecret = "{SECRET}"\nstate = "retiring"' + KEY_B,
        KEY_B.replace('"b"', '"c"') + KEY_B,
        KEY_B.replace("[[key]]", "[key]"),
        "key = 1",
        "\x00",
    ],
)
def test_a_faulty_file_is_told_without_its_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.toml").write_text(text)
    with pytest.raises(KeyringError) as caught:
        Keyring.load(tmp_path / "keys.toml")
    assert SECRET not in str(caught.value)
    assert SHORT not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys.toml").write_bytes(content)
    with pytest.raises(KeyringError, match=r"keys\.toml: cannot be read"):
        Keyring.load(tmp_path / "keys.toml")


def test_each_new_key_is_another(tmp_path: Path) -> None:
    create(tmp_path / "a", "k1")
    create(tmp_path / "b", "k1")
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()
