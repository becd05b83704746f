"""Quarantine: a message is there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from iems.store.quarantine import Quarantine
from tests.held import open_below


def test_a_message_and_its_description(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    name = quarantine.put([b"Subject: x\r\n", b"\r\nbody"], {"recipient": "a@b.test"})
    assert quarantine.ids() == [name]
    assert stat.S_IMODE((tmp_path / "quarantine").stat().st_mode) & 0o027 == 0
    assert quarantine.message(name).read_bytes() == b"Subject: x\r\n\r\nbody"
    assert quarantine.describe(name) == {"id": name, "recipient": "a@b.test"}


def test_no_id_is_taken_for_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["-ptionAbCdEf", "AbCdEfGh0_-1"])
    monkeypatch.setattr("secrets.token_urlsafe", lambda _size: next(drawn))
    assert Quarantine(tmp_path).put([b"x"], {}) == "AbCdEfGh0_-1"


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


def test_more_messages_are_told_in_the_order_of_their_ids(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    names = [quarantine.put([b"x"], {}) for _ in range(5)]
    assert quarantine.ids() == sorted(names)
    assert {stat.S_IMODE(file.stat().st_mode) & 0o027 for file in tmp_path.iterdir()} == {0}


def test_nothing_has_its_name_before_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is synced with all its bytes, then renamed, then the folder is synced."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        state = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(state.st_mode) else f"{state.st_size} bytes")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append(f"rename {self.suffix}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    name = Quarantine(tmp_path).put([b"12345"], {})
    size = (tmp_path / f"{name}.json").stat().st_size
    assert steps == ["5 bytes", f"{size} bytes", "rename .eml", "rename .json", "folder"]
    assert open_below(tmp_path) == 0


def test_a_rename_that_fails_leaves_neither_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".json":
            raise OSError("input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="input/output"):
        Quarantine(tmp_path).put([b"12345"], {})
    assert list(tmp_path.iterdir()) == []


def test_what_was_left_half_done_goes_when_it_is_old(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    assert Quarantine(tmp_path / "none").sweep(0.0) == 0
    whole, headless = quarantine.put([b"one"], {}), quarantine.put([b"two"], {})
    (tmp_path / f"{headless}.json").unlink()
    for name in (".half.eml", ".half.json"):
        (tmp_path / name).write_bytes(b"half")
    written = max(file.stat().st_mtime for file in tmp_path.iterdir())
    # A writer may still be at it.
    assert quarantine.sweep(written + 3600) == 0
    assert len(list(tmp_path.iterdir())) == 5
    assert quarantine.sweep(written + 24 * 3600) == 3
    assert {file.name for file in tmp_path.iterdir()} == {f"{whole}.eml", f"{whole}.json"}


def test_a_file_that_is_finished_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / ".half.eml"
    monkeypatch.setattr(Path, "glob", lambda *_words: iter([gone]))
    assert Quarantine(tmp_path).sweep(0.0) == 0


def test_old_messages_go_and_nothing_else(tmp_path: Path) -> None:
    """Neither what is younger, nor what is no message, nor what a link leads to."""
    folder, outside = tmp_path / "quarantine", tmp_path / "outside.json"
    quarantine = Quarantine(folder)
    assert quarantine.expire(1e12) == 0
    old, young, linked = (quarantine.put([b"x"], {}) for _ in range(3))
    outside.write_text("{}")
    (folder / f"{linked}.json").unlink()
    (folder / f"{linked}.json").symlink_to(outside)
    (folder / "folder.json").mkdir()
    for name in ("a b.json", "..json", ".hidden.json", "line\nend.json", "é.json", "notes.txt"):
        (folder / name).write_text("x")
    for file in (*folder.iterdir(), outside):
        os.utime(file, (1000, 1000), follow_symlinks=False)
    for suffix in ("json", "eml"):
        os.utime(folder / f"{young}.{suffix}", (3000, 3000))
    before = {file.name for file in folder.iterdir()}
    assert quarantine.expire(1000) == 0
    assert quarantine.expire(2000) == 1
    assert before - {file.name for file in folder.iterdir()} == {f"{old}.eml", f"{old}.json"}
    assert outside.exists()
    assert quarantine.expire(3001) == 1
    # And a folder in a strange place hinders nobody.
    (folder / ".half").mkdir()
    assert quarantine.sweep(1e12) > 0


def test_so_many_are_removed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iems.store.quarantine._MOST", 2)
    quarantine = Quarantine(tmp_path)
    for _number in range(3):
        quarantine.put([b"x"], {})
    assert [quarantine.expire(1e12) for _run in range(3)] == [2, 1, 0]


def test_the_oldest_come_first_between_two_times(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    assert Quarantine(tmp_path / "none").oldest_first() == []
    names = [quarantine.put([b"x"], {}) for _ in range(4)]
    for age, name in enumerate(reversed(names)):
        os.utime(tmp_path / f"{name}.json", (1000 + age, 1000 + age))
    for other in (".half.json", "a b.json", "x.eml", "notes.txt"):
        (tmp_path / other).write_text("x")
    assert quarantine.oldest_first() == names[::-1]
    assert quarantine.oldest_first(since=1001) == names[2::-1]
    assert quarantine.oldest_first(before=1002) == [names[3], names[2]]


def test_only_one_claims_a_message(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    name = quarantine.put([b"text"], {"recipients": [{"address": "a@b.test"}]})
    with quarantine.claimed(name) as file:
        assert file.read() == b"text"
        with pytest.raises(BlockingIOError), quarantine.claimed(name):
            pass
        assert quarantine.expire(1e12) == 0
    with quarantine.claimed(name):
        quarantine.drop(name, {"a@b.test"})
        with pytest.raises(FileNotFoundError), quarantine.claimed(name):
            pass
    assert list(tmp_path.iterdir()) == []
    assert open_below(tmp_path) == 0


def test_who_opened_it_before_it_went_claims_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine = Quarantine(tmp_path)
    name = quarantine.put([b"text"], {})
    flock = fcntl.flock

    def late(file: BinaryIO, how: int) -> None:
        quarantine.remove(name)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(FileNotFoundError), quarantine.claimed(name):
        pass


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_damaged_description_is_a_value_error(tmp_path: Path, text: bytes) -> None:
    quarantine = Quarantine(tmp_path)
    name = quarantine.put([b"x"], {})
    (tmp_path / f"{name}.json").write_bytes(text)
    with pytest.raises(ValueError, match="description"):
        quarantine.describe(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a.b", "x\n", "/etc/passwd", "\0"])
def test_a_name_is_one_that_we_gave(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    quarantine = Quarantine(tmp_path / "a")
    quarantine.put([b"x"], {})
    for suffix in (".eml", ".json"):
        (tmp_path / f"x{suffix}").write_text("{}")
    for read in (quarantine.opened, quarantine.describe):
        with pytest.raises(FileNotFoundError):
            read(name)


def test_nothing_is_read_through_a_link(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    name = quarantine.put([b"x"], {})
    outside = tmp_path / "outside"
    outside.write_text("{}")
    for suffix, read in ((".eml", quarantine.opened), (".json", quarantine.describe)):
        file = tmp_path / "quarantine" / f"{name}{suffix}"
        file.unlink()
        file.symlink_to(outside)
        with pytest.raises(FileNotFoundError):
            read(name)
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(FileNotFoundError):
            read(name)
