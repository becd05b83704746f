"""The queue of the training daemon: what was put is there, in its order, and within bounds."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from lmtp.learning.protocol import Input, Request
from lmtp.learning.queue import TRIES, Entry, FullError, Kept, Queue

NOW = 1_800_000_000.0
DATA = Input(b"Subject: x\n\n\xff\0", 14)


def request(user: str = "alice@x.test") -> Request:
    """A request of this user."""
    return Request("move", user, {"from": "other", "to": "junk"})


def put(queue: Queue, user: str = "alice@x.test", data: Input = DATA, now: float = NOW) -> Entry:
    """Keep a request."""
    entry = queue.place(user, now)
    queue.put(entry, request(user), data, now)
    return entry


def test_a_request_is_there_as_it_was_put_and_for_another_process_too(tmp_path: Path) -> None:
    entry = put(Queue(tmp_path))
    other = Queue(tmp_path)
    assert other.entries() == [entry]
    assert other.read(entry) == Kept(request(), DATA, NOW)
    assert stat.S_IMODE((tmp_path / entry.file).stat().st_mode) == 0o600


def test_requests_keep_their_order_although_a_clock_goes_back(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    entries = [put(queue, f"u{number}@x.test", now=NOW - number) for number in range(5)]
    assert queue.entries() == entries


def test_they_keep_it_over_a_restart_too(tmp_path: Path) -> None:
    """In which a machine's clock may be set right."""
    entries = [put(Queue(tmp_path)), put(Queue(tmp_path), now=NOW - 3600)]
    assert Queue(tmp_path).entries() == entries


def test_the_requests_of_a_user_have_a_word_in_common(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    alice, bob, again = put(queue), put(queue, "bob@x.test"), put(queue)
    assert alice.whose == again.whose != bob.whose


def test_how_often_it_was_begun_is_known_to_the_next_process(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    entry = put(queue)
    begun = queue.begin(queue.begin(entry))
    assert Queue(tmp_path).entries() == [begun] == [Entry(entry.order, 2)]
    assert queue.later(begun) == Entry(entry.order, 1)
    assert TRIES > 2


def test_what_is_done_is_gone_and_makes_room(tmp_path: Path) -> None:
    queue = Queue(tmp_path, most=1)
    queue.done(put(queue))
    assert (queue.entries(), queue.size) == ([], (0, 0))
    put(queue)


@pytest.mark.parametrize("bound", [{"most": 2}, {"most_bytes": 400}], ids=["number", "bytes"])
def test_what_is_beyond_the_bounds_is_not_taken(tmp_path: Path, bound: dict[str, int]) -> None:
    queue = Queue(tmp_path, **bound)
    entries = [put(queue), put(queue)]
    with pytest.raises(FullError, match="full: 2 requests"):
        put(queue)
    assert queue.entries() == Queue(tmp_path).entries() == entries


def test_a_disk_that_takes_nothing_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FullError, match="No space left"):
        put(queue)
    assert (queue.entries(), queue.size) == ([], (0, 0))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["aside"]


def test_what_was_set_aside_is_kept_until_it_is_old(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    entry = put(queue)
    queue.set_aside(entry)
    assert (queue.entries(), queue.size) == ([], (0, 0))
    assert (tmp_path / "aside" / entry.order).exists()
    assert (queue.expire(NOW - 1), queue.expire(NOW + 1)) == (0, 1)


def test_of_what_was_set_aside_a_hundred_are_kept(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    old = [f"{number:020d}-00000000" for number in range(100)]
    for name in old:
        (tmp_path / "aside" / name).touch()
    entries = [put(queue) for _ in range(3)]
    for entry in entries:
        queue.set_aside(entry)
    kept = sorted(one.name for one in (tmp_path / "aside").iterdir())
    assert kept == [*old[3:], *(entry.order for entry in entries)]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x\n",
        b"[]\n",
        b'{"version": 2}\n',
        b'{"version": 1, "verb": "x"}\n',
        b'{"version": 1, "verb": "x", "user": "a@x", "options": {}, "time": 0, "size": 1e999}\n',
        b"[" * 20_000,
    ],
    ids=["nothing", "no-json", "a-list", "version-2", "half", "endless", "deep"],
)
def test_what_is_no_request_is_told_so(tmp_path: Path, text: bytes) -> None:
    queue = Queue(tmp_path)
    entry = put(queue)
    (tmp_path / entry.file).write_bytes(text)
    with pytest.raises(ValueError, match=r"\w"):
        queue.read(entry)


def test_a_request_is_set_aside_although_somebody_has_removed_the_folder(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    entry = put(queue)
    (tmp_path / "aside").rmdir()
    assert queue.expire(NOW) == 0
    queue.set_aside(entry)
    assert not queue.entries()
    assert stat.S_IMODE((tmp_path / "aside").stat().st_mode) == 0o700


def test_one_process_works_at_a_time(tmp_path: Path) -> None:
    first, second = Queue(tmp_path), Queue(tmp_path)
    with first.working() as one, second.working() as other:
        assert (one, other) == (True, False)
    with second.working() as now:
        assert now


def test_half_a_request_is_removed_when_nobody_can_be_writing_it_any_more(tmp_path: Path) -> None:
    entry = put(Queue(tmp_path))
    old, fresh = tmp_path / f".{entry.order}.0", tmp_path / f".{entry.order}.1"
    for one in (old, fresh):
        one.write_bytes(b"{")
    os.utime(old, (0, 0))
    assert Queue(tmp_path).entries() == [entry]
    assert (old.exists(), fresh.exists()) == (False, True)


def test_many_threads_put_as_one(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    threads = [threading.Thread(target=lambda: [put(queue) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(queue.entries()) == 80
