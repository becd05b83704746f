"""A Maildir is read whole, without a trace, and nothing in it leads out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.maildir import NoMaildirError, messages
from iems.store.spool import HEADER_LIMIT, PIECE

SMALL = b"Subject: a\n\ntext\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for folder in ("", ".Junk", ".Sent.2026"):
        for part in ("cur", "new", "tmp"):
            (tmp_path / "m" / folder / part).mkdir(parents=True)
    return tmp_path / "m"


def read(maildir: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Files below the Maildir by folder, and what was not read, with the reason."""
    told: dict[str, str] = {}
    found = {}
    for one in messages(maildir, told.__setitem__):
        name = str(Path(one.file).relative_to(maildir))
        assert name not in found
        found[name] = one.folder
    return found, {str(Path(name).relative_to(maildir)): why for name, why in told.items()}


def test_all_folders_new_and_old_and_nothing_under_way(maildir: Path) -> None:
    for name in (
        "cur/1:2,S",
        "new/2",
        "tmp/3",
        ".Junk/cur/4:2,",
        ".Sent.2026/new/5",
        "subscriptions",
    ):
        (maildir / name).write_bytes(SMALL)
    (maildir / ".dovecot.lock").write_bytes(b"")
    (maildir / "cur/.hidden").write_bytes(b"")
    assert read(maildir) == (
        {"new/2": "", "cur/1:2,S": "", ".Junk/cur/4:2,": "Junk", ".Sent.2026/new/5": "Sent.2026"},
        {},
    )


def test_what_is_read_meanwhile_is_met_once(maildir: Path) -> None:
    (maildir / "new/1").write_bytes(SMALL)
    (maildir / "cur/2").write_bytes(SMALL)
    seen = []
    for one in messages(maildir, dict[str, str]().__setitem__):
        seen.append(Path(one.file).name)
        if len(seen) == 1:
            (maildir / "new/1").rename(maildir / "cur/1:2,S")
    assert seen == ["1", "2"]


def test_what_vanishes_is_told(maildir: Path) -> None:
    for name in ("1", "2"):
        (maildir / "cur" / name).write_bytes(SMALL)
    told: dict[str, str] = {}
    for _one in messages(maildir, told.__setitem__):
        (maildir / "cur/2").unlink()
    assert told == {str(maildir / "cur/2"): "No such file or directory"}


def test_no_link_is_followed_and_no_pipe_waited_for(maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SMALL)
    other = tmp_path / "other"
    (other / "cur").mkdir(parents=True)
    (other / "cur/1").write_bytes(SMALL)
    (maildir / "cur/file").symlink_to(tmp_path / "secret")
    (maildir / ".Linked").symlink_to(other)
    (maildir / ".Junk/cur").rmdir()
    (maildir / ".Junk/cur").symlink_to(other / "cur")
    os.mkfifo(maildir / "cur/pipe")
    found, told = read(maildir)
    assert found == {}
    assert told.keys() == {"cur/file", ".Linked", ".Junk/cur", "cur/pipe"}
    assert told[".Linked"] == "it is a link"
    assert told["cur/pipe"] == "it is no file"


def test_a_folder_without_mail_in_it_is_told(maildir: Path) -> None:
    (maildir / ".Broken").mkdir()
    found, told = read(maildir)
    assert not found
    assert told.keys() == {".Broken/new", ".Broken/cur"}


def test_no_time_of_access_moves(maildir: Path) -> None:
    file = maildir / "cur/1"
    file.write_bytes(SMALL)
    places = (file, file.parent, maildir, maildir / ".Junk", maildir / ".Junk/cur")
    for place in places:
        os.utime(place, ns=(1, 2))  # so old that even relatime would move it
    for one in messages(maildir, dict[str, str]().__setitem__):
        assert one.header() == b"Subject: a\n"
        assert b"".join(one.body(11)) == b"text\r\n"
    assert {place.stat().st_atime_ns for place in places} == {1}


def test_every_descriptor_is_closed_also_where_nobody_reads_to_the_end(maildir: Path) -> None:
    for name in ("1", "2"):
        (maildir / "cur" / name).write_bytes(SMALL)
    read(maildir)
    reading = messages(maildir, dict[str, str]().__setitem__)
    next(reading)
    assert held(maildir)
    reading.close()  # type: ignore[attr-defined]
    assert not held(maildir)


def held(maildir: Path) -> list[Path]:
    """What this process holds open below the Maildir."""
    links = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return [link for link in links if link.is_relative_to(maildir)]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"\nline\n.\n", b"line\r\n.\r\n"),
        (b"\r\nline\r\n\n", b"line\r\n\r\n"),
        (b"\n" + b"x" * (PIECE - 1) + b"\r\nend", b"x" * (PIECE - 1) + b"\r\nend"),
        (b"\n" + b"x" * (PIECE - 1) + b"\rend", b"x" * (PIECE - 1) + b"\rend"),
        (b"\n", b""),
        (b"", b""),
    ],
)
def test_a_body_has_the_line_ends_of_smtp(maildir: Path, body: bytes, sent: bytes) -> None:
    (maildir / "cur/1").write_bytes(b"Subject: a\n" + body)
    for one in messages(maildir, dict[str, str]().__setitem__):
        header = one.header()
        assert header is not None
        assert b"".join(one.body(len(header))) == sent


def test_a_header_without_end_is_none(maildir: Path) -> None:
    (maildir / "cur/1").write_bytes(b"X: " + b"x" * HEADER_LIMIT)
    assert [one.header() for one in messages(maildir, dict[str, str]().__setitem__)] == [None]


def test_what_is_no_maildir(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path, tmp_path / "file", tmp_path / "none"):
        with pytest.raises(NoMaildirError, match=str(place)):
            next(messages(place, dict[str, str]().__setitem__))
