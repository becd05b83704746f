"""The directory that the settings name: nothing is opened early, and what is wrong is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.directory.connect import connect, connect_store
from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.settings.schema import DirectorySettings

NOWHERE = "ldapi://%2Fnonexistent%2Fldapi"


def ignored(_text: str) -> None:
    """No note is expected."""


def test_toml(tmp_path: Path) -> None:
    """Read at once; it is no place to write."""
    file = tmp_path / "directory.toml"
    file.write_text('[domains."example.test"]')
    settings = DirectorySettings(kind="toml", file=file)
    assert isinstance(connect(settings, "", tmp_path / "none", ignored), TomlDirectory)
    with pytest.raises(SettingsError, match="expected ldap"):
        connect_store(settings, "", tmp_path / "none")


def test_ldap_is_opened_when_it_is_asked(tmp_path: Path) -> None:
    """So a program may make it before it forks, and start while the server is down."""
    (tmp_path / "password").write_text("secret\n")
    settings = DirectorySettings(uri=NOWHERE)
    directory = connect(settings, "cn=milter", tmp_path / "password", ignored)
    with pytest.raises(DirectoryUnavailable):
        directory.find([Address("alice", "example.test")], Deadline.after(5))


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_password_file(tmp_path: Path, content: bytes | None) -> None:
    """Without a password there is no directory; the file is named."""
    file = tmp_path / "ldap-milter"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="ldap-milter"):
        connect_store(DirectorySettings(uri=NOWHERE), "cn=milter", file)
