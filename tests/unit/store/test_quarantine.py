"""Quarantine: a message is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.store.quarantine import Quarantine


def test_a_message_and_its_description(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    name = quarantine.put([b"Subject: x\r\n", b"\r\nbody"], {"recipient": "a@b.test"})
    assert quarantine.ids() == [name]
    assert quarantine.message(name).read_bytes() == b"Subject: x\r\n\r\nbody"
    assert quarantine.describe(name) == {"id": name, "recipient": "a@b.test"}


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError("no space left on device")

    quarantine = Quarantine(tmp_path / "quarantine")
    with pytest.raises(OSError, match="no space"):
        quarantine.put(broken(), {})
    assert quarantine.ids() == []
    assert list((tmp_path / "quarantine").iterdir()) == []


def test_what_is_removed_leaves_nothing(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    kept, removed = quarantine.put([b"one"], {}), quarantine.put([b"two"], {})
    quarantine.remove(removed)
    quarantine.remove(removed)
    assert quarantine.ids() == [kept]
    assert len(list((tmp_path / "quarantine").iterdir())) == 2
