"""The keyring: one key signs, all verify, no secret is ever shown."""

from __future__ import annotations

import base64
import datetime
import stat
from pathlib import Path

import pytest

from iems.store.keys import RETIRED, Keyring, KeyringError, create

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


NOW = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.UTC)


def test_a_key_is_turned_over_in_two_steps(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    create(file, "k20260101")
    file.chmod(0o640)
    first = Keyring.load(file)
    first.prepared(NOW).write(file)
    prepared = Keyring.load(file)
    assert prepared.active == first.active
    assert prepared.waiting
    assert prepared.waiting.id == "k20261126"
    assert prepared.secret("k20261126") == prepared.waiting.secret != first.active.secret
    with pytest.raises(ValueError, match="k20261126 waits already"):
        prepared.prepared(NOW)
    prepared.activated(NOW).write(file)
    activated = Keyring.load(file)
    assert activated.active.secret == prepared.waiting.secret
    assert activated.secret("k20260101") == first.active.secret
    assert activated.waiting is None
    with pytest.raises(ValueError, match="no key waits"):
        activated.activated(NOW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["keys.toml"]


def test_a_retired_key_goes_after_thirty_days_and_not_before(tmp_path: Path) -> None:
    create(tmp_path / "keys.toml", "k1")
    ring = Keyring.load(tmp_path / "keys.toml").prepared(NOW).activated(NOW)
    almost = NOW + RETIRED - datetime.timedelta(seconds=1)
    assert ring.prepared(almost).activated(almost).secret("k1")
    then = NOW + RETIRED
    after = ring.prepared(then).activated(then)
    assert after.secret("k1") is None
    assert set(after.keys) == {"k20261126", "k20261226"}


def test_two_keys_of_a_day_have_two_names(tmp_path: Path) -> None:
    create(tmp_path / "keys.toml", "k20261126")
    ring = Keyring.load(tmp_path / "keys.toml").prepared(NOW)
    assert ring.waiting
    assert ring.waiting.id == "k20261126a"


@pytest.mark.parametrize("since", ['"now"', "3", "2026-11-26", "2026-11-26T12:00:00"])
def test_a_time_that_is_none_is_a_fault(tmp_path: Path, since: str) -> None:
    (tmp_path / "keys.toml").write_text(KEY_B + f"since = {since}\n")
    with pytest.raises(KeyringError):
        Keyring.load(tmp_path / "keys.toml")
