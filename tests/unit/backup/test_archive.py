"""The archive: what is written comes back, and nothing that only looks like one gets out of it."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from iems.backup import archive
from iems.backup.archive import ArchiveError, Manifest, Writer, unpack

MESSAGE = "mail/a.test/bob/Maildir/cur/1.M1.host:2,S"
ODD = "mail/a.test/bob/Maildir/.\udce4\u4f8b/cur/2.M2:2,"
"""A folder's name that is no UTF-8, beside letters that are."""


def nobody(_files: int, _bytes: int) -> None:
    """Nobody looks at the progress."""


def written(path: Path, fill: Callable[[Writer], None] = lambda _writer: None) -> Path:
    """An archive with two messages and whatever `fill` adds."""
    with path.open("wb") as file, Writer(file, nobody) as writer:
        writer.add_bytes(MESSAGE, b"one\r\n")
        writer.add_bytes(ODD, b"")
        writer.add_folder("mail/a.test/bob/Maildir/new")
        writer.add_link("mail/a.test/bob/.dovecot.sieve", "sieve/own.sieve")
        fill(writer)
        writer.finish("mail.a.test", "0.1.0")
    return path


def made(
    path: Path,
    members: list[tuple[tarfile.TarInfo, bytes]],
    **said: object,
) -> Path:
    """An archive that a stranger made: these members, then a manifest of what he says."""
    manifest = {
        "format": archive.FORMAT,
        "hostname": "mail.a.test",
        "version": "0.1.0",
        "created": 0,
        "files": {},
        "links": {},
    } | said
    text = json.dumps(manifest).encode()
    end = tarfile.TarInfo(archive.MANIFEST)
    end.size = len(text)
    with tarfile.open(path, "w:gz") as tar:
        for member, content in [*members, (end, text)]:
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """One member of a stranger's archive."""
    one = tarfile.TarInfo(name)
    one.type, one.linkname = kind, target
    return one


def unpacked(path: Path, tmp_path: Path) -> Manifest:
    """Unpack it into a folder of its own."""
    into = tmp_path / "around/into"
    into.mkdir(parents=True, exist_ok=True)
    return unpack(path, into, nobody)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    manifest = unpacked(written(tmp_path / "a.tar.gz"), tmp_path)
    into = tmp_path / "around/into"
    assert (into / MESSAGE).read_bytes() == b"one\r\n"
    assert (into / ODD).read_bytes() == b""
    assert (into / "mail/a.test/bob/Maildir/new").is_dir()
    assert (into / MESSAGE).stat().st_mode & 0o777 == 0o600
    assert manifest.hostname == "mail.a.test"
    assert manifest.links == {"mail/a.test/bob/.dovecot.sieve": "sieve/own.sieve"}
    assert manifest.files[MESSAGE][0] == 5


def test_the_time_of_a_message_stays(tmp_path: Path) -> None:
    """It is the date at which IMAP says that it came."""
    message = tmp_path / "message"
    message.write_bytes(b"x")
    os.utime(message, (1e9, 1e9))

    def fill(writer: Writer) -> None:
        with message.open("rb") as source:
            writer.add("mail/a.test/bob/Maildir/cur/3", source)

    unpacked(written(tmp_path / "a.tar.gz", fill), tmp_path)
    there = tmp_path / "around/into/mail/a.test/bob/Maildir/cur/3"
    assert there.stat().st_mtime == 1e9


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "mail/../../out",
        "mail/./x",
        "mail//x",
        "../mail",
        "..",
        "etc/passwd",
        "settings",
        "mail/" + "d/" * 2100 + "x",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    path = made(tmp_path / "a.tar.gz", [(member(name), b"")])
    with pytest.raises(ArchiveError):
        unpacked(path, tmp_path)
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = made(tmp_path / "a.tar.gz", [(member("mail/a.test/x", kind, "/etc"), b"")])
    with pytest.raises(ArchiveError, match=r"neither a file nor a folder|gz: "):
        unpacked(path, tmp_path)
    assert not (tmp_path / "around/into/mail").exists()


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    twice = [(member("mail/a.test/x"), b""), (member("mail/a.test/x"), b"")]
    with pytest.raises(ArchiveError, match="that no backup has"):
        unpacked(made(tmp_path / "a.tar.gz", twice), tmp_path)
    below = [(member("mail/x"), b""), (member("mail/x/y"), b"")]
    with pytest.raises(ArchiveError, match="that no backup has"):
        unpacked(made(tmp_path / "b.tar.gz", below), tmp_path / "second")


EMPTY = (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"mail/x": EMPTY, "mail/y": EMPTY},
        {"mail/x": (1, EMPTY[1])},
        {"mail/x": (0, "0" * 64)},
    ],
)
def test_what_the_manifest_does_not_say_is_refused(
    files: Mapping[str, tuple[int, str]], tmp_path: Path
) -> None:
    path = made(tmp_path / "a.tar.gz", [(member("mail/x"), b"")], files=files)
    with pytest.raises(ArchiveError, match=r"manifest alone|not as its manifest has it"):
        unpacked(path, tmp_path)


def test_the_same_with_a_true_manifest_is_none_of_these(tmp_path: Path) -> None:
    path = made(tmp_path / "a.tar.gz", [(member("mail/x"), b"")], files={"mail/x": EMPTY})
    assert unpacked(path, tmp_path).files == {"mail/x": EMPTY}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("mail/a.test/bob/.dovecot.sieve", "/etc/passwd"),
        ("mail/a.test/bob/.dovecot.sieve", "sieve/../../x"),
        ("mail/a.test/bob/.dovecot.sieve", "sieve/.."),
        ("mail/a.test/bob/.dovecot.sieve", "other/x.sieve"),
        ("mail/a.test/bob/Maildir", "sieve/own.sieve"),
        ("mail/../../.dovecot.sieve", "sieve/own.sieve"),
        ("/etc/x/y/.dovecot.sieve", "sieve/own.sieve"),
        ("mail/.dovecot.sieve", "sieve/own.sieve"),
    ],
)
def test_a_link_that_is_no_active_script_is_refused(name: str, target: str, tmp_path: Path) -> None:
    path = made(tmp_path / "a.tar.gz", [], links={name: target})
    with pytest.raises(ArchiveError, match=r"no active script|leads to"):
        unpacked(path, tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": archive.FORMAT + 1},
        {"format": None},
        {"files": []},
        {"files": {"mail/x": 3}},
        {"links": None},
        {"created": "yesterday"},
    ],
)
def test_a_manifest_of_another_form_is_refused(
    manifest: Mapping[str, object], tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError):
        unpacked(made(tmp_path / "a.tar.gz", [], **manifest), tmp_path)


def test_an_archive_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").read_bytes()
    for length in [*range(0, len(whole), 7), *range(len(whole) - 40, len(whole))]:
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:length])
        into = tmp_path / str(length)
        into.mkdir(exist_ok=True)
        with pytest.raises(ArchiveError):
            unpack(cut, into, nobody)


def test_an_archive_without_a_manifest_is_refused(tmp_path: Path) -> None:
    """A backup that ended early, and was closed all the same."""
    path = tmp_path / "a.tar.gz"
    with path.open("wb") as file, Writer(file, nobody) as writer:
        writer.add_bytes(MESSAGE, b"one")
    with pytest.raises(ArchiveError, match="no manifest"):
        unpacked(path, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no tar", mtime=0), b"\x1f\x8b\x08"]
)
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        unpacked(path, tmp_path)


def test_without_room_nothing_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_ROOM", 1 << 62)
    with pytest.raises(ArchiveError, match="no room"):
        unpacked(written(tmp_path / "a.tar.gz"), tmp_path)
