"""Mail of users in and out of an archive: nothing is followed, replaced or missed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from iems.backup.archive import Writer, unpack
from iems.backup.files import Place, identity, inventory, is_message, save_mail

OWNER = (os.getuid(), os.getgid())


def nobody(_files: int, _bytes: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A mailbox with one message, a script, and what Dovecot keeps beside."""
    home = tmp_path / "vmail/a.test/bob"
    for folder in ("cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"):
        (home / "Maildir" / folder).mkdir(parents=True)
    (home / "Maildir/cur/1.M1.host:2,S").write_bytes(b"one")
    (home / "Maildir/dovecot-uidlist").write_bytes(b"3 V1")
    (home / "sieve").mkdir()
    (home / "sieve/own.sieve").write_bytes(b"keep;")
    (home / ".dovecot.sieve").symlink_to("sieve/own.sieve")
    return tmp_path / "vmail"


def saved(root: Path, tmp_path: Path) -> tuple[int, Path, dict[str, str]]:
    """How many messages were saved, where the archive of them is unpacked, and its links."""
    with (tmp_path / "a").open("wb") as file, Writer(file, nobody) as writer:
        count = save_mail(root, writer)
        writer.finish("mail.a.test", "0")
    into = tmp_path / "into"
    into.mkdir()
    return count, into, dict(unpack(tmp_path / "a", into, nobody).links)


def names(root: Path) -> set[str]:
    """Every file below, by its path."""
    return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}


def test_a_home_is_saved_with_its_folders_and_its_active_script(root: Path, tmp_path: Path) -> None:
    count, into, links = saved(root, tmp_path)
    assert count == 1
    assert names(into / "mail") == {
        "a.test/bob/Maildir/cur/1.M1.host:2,S",
        "a.test/bob/Maildir/dovecot-uidlist",
        "a.test/bob/sieve/own.sieve",
    }
    assert (into / "mail/a.test/bob/Maildir/.Sent/new").is_dir()
    assert links == {"mail/a.test/bob/.dovecot.sieve": "sieve/own.sieve"}


def test_what_dovecot_makes_anew_is_left_out(root: Path, tmp_path: Path) -> None:
    maildir = root / "a.test/bob/Maildir"
    for name in ("dovecot.index.log", "dovecot.list.index", "dovecot-uidlist.lock", "tmp/4.M4"):
        (maildir / name).write_bytes(b"x")
    (root / "a.test/bob/.dovecot.svbin").write_bytes(b"x")
    before = names(root)
    _count, into, _links = saved(root, tmp_path)
    assert len(before - names(into / "mail")) == 6, "five of these, and the link"


@pytest.mark.parametrize("place", ["cur/2.M2", "/domain", "/home", "sieve/x.sieve", "folder"])
def test_no_link_is_followed(root: Path, tmp_path: Path, place: str) -> None:
    """Whose mail it is may lay one to a file that he may not read."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_bytes(b"secret")
    (secret / "eve").mkdir()
    (secret / "eve/file").write_bytes(b"secret")
    link = root / "a.test/bob/Maildir" / place
    if place == "/home":
        link = root / "a.test/eve"
    elif place == "/domain":
        link = root / "b.test"
    elif place == "sieve/x.sieve":
        link = root / "a.test/bob/.dovecot.sieve"
        link.unlink()
    link.symlink_to(secret / "file" if "." in place else secret)
    _count, into, links = saved(root, tmp_path)
    assert not [one for one in names(into) if (into / one).read_bytes() == b"secret"]
    assert not [target for target in links.values() if "secret" in target]


def test_neither_a_pipe_nor_a_socket_is_read(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "a.test/bob/Maildir/cur/5.M5")
    assert saved(root, tmp_path)[0] == 1


class Busy(Writer):
    """Somebody works in the mailbox: a message is renamed when a folder has just been listed."""

    def __init__(self, file: BinaryIO, maildir: Path, when: str, old: str, new: str) -> None:
        super().__init__(file, nobody)
        self._maildir = maildir
        self._when = when
        self._old, self._new = old, new

    def add_folder(self, name: str) -> None:
        """Once, when it is this folder's turn."""
        super().add_folder(name)
        if name == f"mail/a.test/bob/Maildir/{self._when}":
            (self._maildir / self._old).rename(self._maildir / self._new)


@pytest.mark.parametrize(
    ("when", "old", "new"),
    [
        ("new", "new/7.M7", "cur/7.M7:2,"),
        ("cur", "cur/1.M1.host:2,S", "cur/1.M1.host:2,ST"),
        ("new", "cur/1.M1.host:2,S", "cur/1.M1.host:2,ST"),
        ("cur", "cur/1.M1.host:2,S", ".Sent/cur/9.M9:2,S"),
        (".Sent/cur", ".Sent/cur/8.M8:2,S", "cur/9.M9:2,S"),
    ],
)
def test_what_is_renamed_or_moved_meanwhile_is_not_missed(
    root: Path, tmp_path: Path, when: str, old: str, new: str
) -> None:
    maildir = root / "a.test/bob/Maildir"
    (maildir / "new/7.M7").write_bytes(b"seven")
    (maildir / ".Sent/cur/8.M8:2,S").write_bytes(b"eight")
    with (tmp_path / "a").open("wb") as file, Busy(file, maildir, when, old, new) as writer:
        save_mail(root, writer)
        writer.finish("mail.a.test", "0")
    assert (maildir / new).exists()
    into = tmp_path / "into"
    into.mkdir()
    unpack(tmp_path / "a", into, nobody)
    contents = {(into / one).read_bytes() for one in names(into)}
    assert {b"one", b"seven", b"eight"} <= contents
    name = Path(new).name.partition(":")[0]
    assert len([one for one in names(into) if Path(one).name.partition(":")[0] == name]) == 1


def test_a_message_is_the_same_whatever_its_flags() -> None:
    assert identity("a/b/cur/1.M1:2,S") == identity("a/b/new/1.M1") == "a/b/cur/1.M1"
    assert identity("a/b/dovecot-uidlist") == "a/b/dovecot-uidlist"
    assert is_message("a/b/new/1")
    assert not is_message("a/b/subscriptions")


def test_the_inventory_knows_all(root: Path) -> None:
    assert "a.test/bob/Maildir/cur/1.M1.host" in inventory(root)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_file_gets_its_place_and_replaces_none(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    if elsewhere:
        link = os.link

        def far(source: object, target: object, **options: object) -> None:
            """As link(2) from another file system."""
            if isinstance(source, Path):
                raise OSError(errno.EXDEV, "another file system")
            link(source, target, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "link", far)
    place = Place(root, OWNER)
    source = tmp_path / "message"
    source.write_bytes(b"restored")
    os.utime(source, (1e9, 1e9))
    assert place.put(source, "b.test/eve/Maildir/cur/3.M3:2,")
    there = root / "b.test/eve/Maildir/cur/3.M3:2,"
    assert (there.read_bytes(), there.stat().st_mtime) == (b"restored", 1e9)
    assert not place.put(source, "a.test/bob/Maildir/cur/1.M1.host:2,S")
    assert (root / "a.test/bob/Maildir/cur/1.M1.host:2,S").read_bytes() == b"one"
    assert not list(root.rglob("*.restore"))


def test_no_place_is_found_over_a_link(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "a.test/eve").symlink_to(outside)
    source = tmp_path / "message"
    source.write_bytes(b"x")
    place = Place(root, OWNER)
    with pytest.raises(OSError, match="Not a directory"):
        place.put(source, "a.test/eve/Maildir/cur/1")
    with pytest.raises(OSError, match="Not a directory"):
        place.link("a.test/eve/.dovecot.sieve", "sieve/own.sieve")
    assert not list(outside.iterdir())
