"""The keys that sign for domains: each waits, signs and retires, and none is ever shown."""

from __future__ import annotations

import base64
import datetime
import os
import stat
from pathlib import Path

import pytest

from iems.codec.keypair import new_private
from iems.store.keys import RETIRED
from iems.store.signingkeys import (
    DomainKeys,
    SigningKeyError,
    load_all,
    load_one,
    make_folder,
    selector_name,
)

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
LATER = NOW + RETIRED
PEM = new_private("ed25519").pem


def row(selector: str = "s", state: str = "active", private: str = PEM) -> str:
    return (
        f'[[key]]\nselector = "{selector}"\nstate = "{state}"\n'
        f'since = 2026-11-27T00:00:00Z\nprivate = """\n{private}"""\n'
    )


def states(keys: DomainKeys) -> list[tuple[str, str]]:
    return [(key.selector, key.state) for key in keys.keys]


def test_a_key_waits_signs_and_retires() -> None:
    both = DomainKeys("a.test").prepared("ed25519", "", NOW).prepared("rsa", "own", NOW)
    assert states(both) == [("e20261127", "waiting"), ("own", "waiting")]
    signing = both.activated(NOW)
    assert {key.selector for key in signing.of("active")} == {"e20261127", "own"}
    next_one = signing.prepared("ed25519", "", NOW)
    assert states(next_one)[2] == ("e20261127a", "waiting")
    turned = next_one.activated(NOW)
    assert states(turned) == [
        ("e20261127", "retiring"),
        ("own", "active"),
        ("e20261127a", "active"),
    ]
    assert turned.swept(LATER - datetime.timedelta(seconds=1)) == turned
    assert states(turned.swept(LATER)) == states(turned)[1:]
    # A key that signs is not gone however old it is.
    assert states(signing.swept(LATER)) == states(signing)


def test_no_two_keys_are_taken_for_each_other() -> None:
    one = DomainKeys("a.test").prepared("ed25519", "s", NOW)
    with pytest.raises(ValueError, match="waits already"):
        one.prepared("ed25519", "t", NOW)
    with pytest.raises(ValueError, match="selector s"):
        one.activated(NOW).prepared("ed25519", "s", NOW)


def test_what_is_written_is_read_by_its_group_alone(tmp_path: Path) -> None:
    folder = tmp_path / "dkim"
    assert load_all(folder) == {}
    keys = load_one(folder, "a.test").prepared("rsa", "", NOW).prepared("ed25519", "", NOW)
    tmp_path.chmod(0o755)
    before = os.umask(0o077)  # that of a careful root
    try:
        make_folder(folder)
        file = keys.write(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    [again] = load_all(folder).values()
    assert states(again) == states(keys)
    assert [key.record for key in again.keys] == [key.record for key in keys.keys]
    assert [one.name for one in folder.iterdir()] == ["a.test.toml"]
    private = keys.keys[1].private.pem.splitlines()[1]
    assert private in file.read_text()
    assert private not in repr(again)


def test_a_record_is_cut_into_strings() -> None:
    (key,) = DomainKeys("a.test").prepared("rsa", "", NOW).keys
    assert "".join(key.strings) == key.record
    assert [len(one) for one in key.strings] == [255, len(key.record) - 255]
    assert base64.b64decode(key.record.partition("p=")[2]) == key.private.public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[key]]",
        row(state="Active"),
        row(selector="a_b"),
        row(private="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        row("a") + row("b"),
        row("a") + row("a", "retiring"),
        row().replace("Z", ""),
        row().replace("since", "other"),
        "key = 1",
        "[",
    ],
)
def test_a_faulty_file_is_told_without_a_key(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.test.toml"
    file.write_text(text)
    with pytest.raises(SigningKeyError, match=r"a\.test\.toml") as caught:
        load_all(tmp_path)
    assert PEM.splitlines()[1] not in str(caught.value)
    file.rename(tmp_path / "no domain.toml")
    with pytest.raises(SigningKeyError):
        load_all(tmp_path)


@pytest.mark.parametrize("name", ["A.test", "b\u00fccher.test", "a.test.", "[192.0.2.1]"])
def test_a_file_is_named_as_its_domain_is_looked_up(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text(row())
    with pytest.raises(SigningKeyError, match="its name is not that of a domain"):
        load_all(tmp_path)


@pytest.mark.parametrize("text", ["", "-a", "a.b", "a_b", "a" * 64, "ä"])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        selector_name(text)
