"""`iems bayes train`, and `export` and `import`: mail of every form, told to a daemon that runs."""

from __future__ import annotations

import io
import json
import mailbox
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.bayes.desk import Desk
from cli.bayes.mailbox import Mail, count, messages
from cli.bayes.train import in_turns
from iems.serve.deadline import Deadline
from lmtp.bayes import exchange
from lmtp.bayes.score import Label
from lmtp.bayes.tokens import MAX_MESSAGE, key
from lmtp.learning.protocol import Answer
from tests.unit.cli.test_bayes import ALICE, BOB, HAM, SPAM, Site, serving, site
from tests.unit.learning.test_worker import message, soon

__all__ = ["serving", "site"]


def read(path: Path) -> list[bytes]:
    """All messages there; none may be unread."""
    unread: list[str] = []
    found = list(messages(path, unread.append))
    assert unread == []
    assert count(path) == len(found)
    return [one.data for one in found]


def maildir(folder: Path, *numbers: int) -> Path:
    """A Maildir with these messages, and others in a folder below it."""
    made = mailbox.Maildir(folder)
    for number in numbers:
        made.add(message(number))
    made.add_folder("Junk").add(message(999))
    return folder


def mbox(file: Path, *numbers: int) -> Path:
    """An mbox with these messages."""
    file.write_bytes(
        b"".join(b"From a@b Thu Nov 27 09:00:00 2026\n%b\n" % message(n) for n in numbers)
    )
    return file


def test_a_file_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(message(1))
    assert read(tmp_path / "m") == [message(1)]
    (tmp_path / "m").write_bytes(bytes(MAX_MESSAGE + 9))
    with (tmp_path / "large").open("wb") as file:
        file.write(b"a: b\n" * MAX_MESSAGE)
    assert [len(one) for one in read(tmp_path / "large")] == [MAX_MESSAGE]


def test_a_maildir_is_read_without_the_folders_below_it(tmp_path: Path) -> None:
    folder = maildir(tmp_path / "m", 1, 2)
    (new,) = [one for one in (folder / "new").iterdir() if message(2) == one.read_bytes()]
    new.rename(folder / "cur" / f"{new.name}:2,S")
    assert sorted(read(folder)) == [message(1), message(2)]


def test_an_mbox_is_taken_apart(tmp_path: Path) -> None:
    file = mbox(tmp_path / "box", 1, 2)
    assert [key(one) for one in read(file)] == [key(message(1)), key(message(2))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"From a\nX: 1\n\nFrom b\nX: 2\n", [b"X: 1\n\n", b"X: 2\n"]),
        (b"From a\nX: 1\n\nhi\nFrom b\n\n", [b"X: 1\n\nhi\nFrom b\n\n"]),
        (b"From a\nX: 1\n\n>From b\n>>From c\n", [b"X: 1\n\nFrom b\n>From c\n"]),
        (b"From a\r\nX: 1\r\n\r\nFrom b\r\nX: 2\r\n", [b"X: 1\r\n\r\n", b"X: 2\r\n"]),
        (b"From a\nX: 1", [b"X: 1"]),
        (b"From a\n\n" + b"x" * 70_000 + b"From b", [b"\n" + b"x" * 70_000 + b"From b"]),
        (b"From a\n\n" + b"x" * 65_535 + b"\n\nFrom b\ny", [b"\n" + b"x" * 65_535 + b"\n\n", b"y"]),
        (b"From a\n\n" + b"x" * 65_536 + b"\nFrom b\n", [b"\n" + b"x" * 65_536 + b"\nFrom b\n"]),
    ],
    ids=["after an empty line", "after none", "quoted", "CRLF", "no end", "a long line",
         "a line and its end as long as a piece", "a line as long as a piece"],
)  # fmt: skip
def test_where_a_message_of_an_mbox_begins(tmp_path: Path, text: bytes, found: list[bytes]) -> None:
    (tmp_path / "box").write_bytes(text)
    assert read(tmp_path / "box") == found


def test_a_long_message_in_an_mbox_is_cut(tmp_path: Path) -> None:
    text = b"From a\n" + b"line of text\n" * 90_000 + b"\nFrom b\nX: 2\n"
    (tmp_path / "box").write_bytes(text)
    assert [len(one) for one in read(tmp_path / "box")] == [MAX_MESSAGE, 5]


def test_ham_and_spam_come_in_turns() -> None:
    def mail(name: str, number: int) -> Iterator[Mail]:
        return (Mail(f"{name}{at}", b"") for at in range(number))

    def order(ham: int, spam: int, told_ham: int | None = None) -> list[str]:
        sizes = {HAM: ham if told_ham is None else told_ham, SPAM: spam}
        shown = in_turns({HAM: mail("h", ham), SPAM: mail("s", spam)}, sizes)
        return [one.name for _label, one in shown]

    assert order(2, 6) == ["s0", "s1", "h0", "s2", "s3", "h1", "s4", "s5"]
    assert order(3, 0) == ["h0", "h1", "h2"]
    assert order(0, 0) == []
    assert sorted(order(3, 4, told_ham=1)) == ["h0", "h1", "h2", "s0", "s1", "s2", "s3"]


def test_all_of_it_is_trained_and_again_is_known(serving: Site, tmp_path: Path) -> None:
    ham = maildir(tmp_path / "ham", 1, 2, 3)
    spam = [mbox(tmp_path / "spam", 11, 12), serving.file(13)]
    words: list[str | Path] = ["train", ALICE, "--ham", ham, "--spam", *spam]
    assert serving.run(*words) == 0, serving.err
    assert serving.out.startswith(f"trained bayes of {ALICE}: 6 of 6 messages (")
    assert serving.out.endswith("/s): 6 learned\n")
    journal = serving.daemon.store.journal(ALICE, soon())
    labels = {one.key: (one.label, one.source) for one in journal}
    assert labels == {
        **{key(message(number)): (HAM, "command") for number in (1, 2, 3)},
        **{key(message(number)): (SPAM, "command") for number in (11, 12, 13)},
    }
    assert serving.run(*words) == 0
    assert serving.out.endswith("/s): 6 known already\n")
    assert serving.run("train", ALICE, "--spam", serving.file(1)) == 0
    assert serving.out.endswith("/s): 1 turned round\n")


def test_a_message_on_standard_input(serving: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(message(1))))
    assert serving.run("train", ALICE, "--spam", "-") == 0
    assert serving.daemon.journal(ALICE) == [(key(message(1)), SPAM, "command")]


def test_what_cannot_be_read_is_told_before_anything_is_trained(
    serving: Site, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for name, why in (("missing", "No such file"), ("folder", "no Maildir")):
        bad = tmp_path / name
        assert serving.run("train", ALICE, "--ham", serving.file(1), "--spam", bad) == 2
        assert f"iems: {bad}: {why}" in serving.err
    assert serving.run("train", ALICE) == 2
    assert serving.daemon.journal(ALICE) == []


def test_what_turns_out_to_be_no_message_keeps_no_other_from_being_trained(
    serving: Site, tmp_path: Path
) -> None:
    folder = maildir(tmp_path / "m", 1)
    (folder / "cur" / "link").symlink_to("/etc/passwd")
    (tmp_path / "empty").write_bytes(b"\n")
    assert serving.run("train", ALICE, "--ham", folder, tmp_path / "empty") == 1
    assert "1 of 3 messages" in serving.out
    assert f"{folder}/cur/link: " in serving.err
    assert f"{tmp_path}/empty: no message" in serving.err
    assert len(serving.daemon.journal(ALICE)) == 1


def test_a_filter_that_is_off_is_told_once(site: Site, tmp_path: Path) -> None:
    object.__setattr__(site.daemon.learner, "wanted", lambda _user, _deadline: False)
    with site.daemon.serving():
        assert site.run("train", BOB, "--ham", maildir(tmp_path / "m", *range(30))) == 1
    assert site.err.splitlines()[0] == f"iems: {BOB}: not trained: off"
    assert site.err.count("not trained") == 1


def test_without_the_daemon_nothing_is_trained(site: Site) -> None:
    assert site.run("train", ALICE, "--ham", site.file(1)) == 75
    assert f"cannot reach {site.folder}/s" in site.err


def test_a_daemon_that_goes_away_is_told_and_the_rest_is_trained_by_the_same_call(
    serving: Site, tmp_path: Path
) -> None:
    folder = maildir(tmp_path / "m", *range(40))
    away, socket = tmp_path / "away", serving.daemon.path
    asked = list[str]()

    def until_it_is_gone(user: str, _deadline: Deadline) -> bool:
        asked.append(user)
        if len(asked) == 20:
            socket.rename(away)
        return True

    object.__setattr__(serving.daemon.learner, "wanted", until_it_is_gone)
    assert serving.run("train", ALICE, "--ham", folder) == 75
    assert f"cannot reach {socket}" in serving.err
    found = re.search(r"the same again with --skip (\d+) goes on", serving.err)
    assert found is not None
    assert f"trained bayes of {ALICE}: {found[1]} of 40 messages" in serving.out
    assert len(serving.daemon.journal(ALICE)) >= int(found[1]) > 0
    away.rename(socket)
    assert serving.run("train", ALICE, "--ham", folder, "--skip", found[1]) == 0
    assert f"trained bayes of {ALICE}: 40 of 40 messages" in serving.out
    assert len(serving.daemon.journal(ALICE)) == 40
    assert serving.daemon.store.load(ALICE, soon()).ham == 40


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that runs tests in the background has them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_who_stops_it_is_told_how_it_goes_on(serving: Site, tmp_path: Path) -> None:
    folder = maildir(tmp_path / "m", *range(40))
    asked = list[str]()

    def until_he_has_enough(user: str, _deadline: Deadline) -> bool:
        asked.append(user)
        if len(asked) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return True

    object.__setattr__(serving.daemon.learner, "wanted", until_he_has_enough)
    assert serving.run("train", ALICE, "--ham", folder) == 130
    found = re.search(r"iems: stopped; the same again with --skip (\d+) goes on", serving.err)
    assert found is not None
    assert f"trained bayes of {ALICE}: {found[1]} of 40 messages" in serving.out
    assert serving.run("train", ALICE, "--ham", folder, "--skip", found[1]) == 0
    assert len(serving.daemon.journal(ALICE)) == 40


def test_of_a_file_that_is_no_export_not_more_is_read_than_shows_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = list[int]()

    def ask(_desk: Desk, _verb: str, data: bytes) -> Answer:
        sizes.append(len(data))
        return Answer(False, "too large")

    monkeypatch.setattr(Desk, "ask", ask)
    with (site.folder / "large").open("wb") as file:
        file.truncate(2 * exchange.LARGEST)
    assert site.run("import", ALICE, site.folder / "large") == 1
    assert sizes == [exchange.LARGEST + 1]


@pytest.fixture
def exported(site: Site) -> Callable[[], dict[str, Any]]:
    """What alice exports."""
    site.train(*((number, (HAM, SPAM)[number % 2], 0.5) for number in range(6)))

    def export() -> dict[str, Any]:
        assert site.run("export", ALICE) == 0
        found: dict[str, Any] = json.loads(site.out)
        return found

    return export


def test_what_is_exported_can_be_imported(
    site: Site, exported: Callable[[], dict[str, Any]]
) -> None:
    file = site.folder / "export"
    file.write_text(json.dumps(exported()))
    before = site.daemon.store.load(ALICE, soon())
    site.train((50, SPAM, None), user=BOB)
    with site.daemon.serving():
        assert site.run("import", BOB, file) == 0
        assert site.out == f"imported bayes of {BOB}: 3 ham, 3 spam\n"
        after = site.daemon.store.load(BOB, soon())
        assert (after.state, after.salt, after.time) == (before.state, before.salt, before.time)
        journals = [site.daemon.store.journal(user, soon()) for user in (ALICE, BOB)]
        assert journals[0] == journals[1]
        assert site.run("undo", BOB, key(message(1)).hex()) == 0
    assert site.daemon.store.load(BOB, soon()).spam == 2


def test_an_import_mends_what_is_damaged(
    site: Site, exported: Callable[[], dict[str, Any]]
) -> None:
    file = site.folder / "export"
    file.write_text(json.dumps(exported()))
    with site.daemon.store._file.transaction(soon()) as connection:
        connection.execute("UPDATE user SET ham = 7")
    with site.daemon.serving():
        assert site.run("import", ALICE, file) == 0
    assert site.daemon.store.load(ALICE, soon()).ham == 3


def test_who_has_trained_nothing_exports_nothing(site: Site) -> None:
    assert site.run("export", ALICE) == 1
    assert site.out == ""


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda found: found.pop(name)


def _with(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda found: found.update({name: value})


def _row(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda found: found["journal"][1].update({name: value})


BROKEN = {
    "another format": _with("format", "x"),
    "a later version": _with("version", 2),
    "no state": _without("state"),
    "a state of another": _with("classifier", "x"),
    "another count": _with("ham", 4),
    "half a state": lambda found: found.update(state=found["state"][:-400]),
    "no base64": _with("salt", "%%%"),
    "a short salt": _with("salt", "AAAA"),
    "a short salt and no journal": lambda found: found.update(salt="AAAA", journal=[]),
    "a large state": _with("state", "A" * 1_000_000),
    "no number": _with("time", "NaN"),
    "a number too large": _with("ham", 1e999),
    "a journal that is none": _with("journal", 7),
    "a label that is none": _row("label", "maybe"),
    "features that are none": _row("features", "AAAA"),
    "a large entry": _row("change", "A" * 100_000),
    "a score that is none": _row("score", "Infinity"),
    "a key that is none": _row("key", "xyz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_was_not_exported_is_refused(
    exported: Callable[[], dict[str, Any]], name: str
) -> None:
    found = exported()
    BROKEN[name](found)
    with pytest.raises(ValueError, match=r"."):
        exchange.read(json.dumps(found).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"\xff", b"[" * 100_000], ids=range(5))
def test_what_is_no_object_is_refused(serving: Site, text: bytes) -> None:
    file = serving.folder / "export"
    file.write_bytes(text)
    serving.train((1, HAM, None))
    assert serving.run("import", ALICE, file) == 1
    assert serving.err.startswith(f"iems: {file}: ")
    assert serving.daemon.store.load(ALICE, soon()).ham == 1


def test_an_export_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.train(*((number, Label.HAM, None) for number in range(9)))
    kept = site.daemon.store.load(ALICE, soon())
    journal = site.daemon.store.journal(ALICE, soon())
    whole = exchange.exported(ALICE, kept, journal)
    monkeypatch.setattr(exchange, "LARGEST", len(whole) - 500)
    text = exchange.exported(ALICE, kept, journal)
    assert len(text) <= exchange.LARGEST
    _kept, entries = exchange.read(text)
    assert entries == journal[9 - len(entries) :]
    assert 6 <= len(entries) < 9
