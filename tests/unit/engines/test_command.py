"""A command as a scanner: its input, its exit codes, and its end by the deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from milters.engines.command import Command
from milters.engines.engine import EngineError
from milters.engines.scanner import EICAR, Octets, Scanned, Verdict
from tests.waiting import eventually

CODES = {
    0: Verdict.CLEAN,
    1: Verdict.INFECTED,
    2: Verdict.ENCRYPTED,
    3: Verdict.UNSCANNED,
}
FINDS = 'if grep -q EICAR-STANDARD "$0"; then exit 1; fi'


def shell(folder: Path, script: str, *arguments: str) -> Command:
    return Command(("/bin/sh", "-c", script, *arguments), CODES, folder)


def scan(folder: Path, script: str, data: bytes = b"x", seconds: float = 20) -> Scanned:
    return shell(folder, script, "/dev/stdin").scan(Octets.of(data), Deadline.after(seconds))


def test_exit_codes_are_verdicts(tmp_path: Path) -> None:
    assert scan(tmp_path, "exit 0") == Scanned(Verdict.CLEAN)
    assert scan(tmp_path, "exit 1") == Scanned(Verdict.INFECTED, "exit code 1")
    assert scan(tmp_path, "exit 2").verdict is Verdict.ENCRYPTED
    assert scan(tmp_path, "exit 3").verdict is Verdict.UNSCANNED


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 7", "exit code 7"), ("kill -9 $$", "exit code -9"), ("/no/program", "exit code 127")],
)
def test_any_other_end_is_no_verdict(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(EngineError, match=f"ends with {why}$"):
        scan(tmp_path, script)


def test_the_octets_are_its_input_and_a_file(tmp_path: Path) -> None:
    """Read from the start, twice, and by the path that it is told; nothing is left behind."""
    data = bytes(range(256)) * 5000
    same = f'test "$(cat | cksum)" = "$(cksum < /dev/stdin)" && test $(wc -c < "$0") = {len(data)}'
    assert scan(tmp_path, f"{same} && exit 2", data).verdict is Verdict.ENCRYPTED
    assert scan(tmp_path, FINDS, EICAR).verdict is Verdict.INFECTED
    assert scan(tmp_path, FINDS, b"harmless").verdict is Verdict.CLEAN
    assert list(tmp_path.iterdir()) == []


def test_it_has_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment, no descriptor, no way to more rights."""
    monkeypatch.setenv("SECRET", "of the daemon")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    script = f"""
test -z "$SECRET" || exit 1
test ! -e /proc/self/fd/{descriptor} || exit 2
grep -q 'NoNewPrivs:.1' /proc/self/status || exit 3
test "$PWD" = /
"""
    try:
        assert scan(tmp_path, script).verdict is Verdict.CLEAN
    finally:
        os.close(descriptor)


def test_at_the_deadline_it_ends_with_all_of_its_group(tmp_path: Path) -> None:
    """So does what it leaves running when it ends in time."""
    began = time.monotonic()
    told = tmp_path / "pids"
    leaves = "sleep 60 & echo $! >> $0"
    with pytest.raises(EngineError, match="gives no answer in time"):
        shell(tmp_path, f"{leaves}; wait", str(told)).scan(Octets.of(b"x"), Deadline.after(2))
    ends = shell(tmp_path, leaves, str(told)).scan(Octets.of(b"x"), Deadline.after(20))
    assert ends.verdict is Verdict.CLEAN
    assert time.monotonic() - began < 25
    pids = [int(word) for word in told.read_text().split()]
    assert pids, "of the first one it may be the shell alone that had begun"
    eventually(lambda: not any(_runs(pid) for pid in pids))


def test_without_time_nothing_is_run(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="gives no answer in time"):
        scan(tmp_path, f"touch {tmp_path}/ran", seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_or_read_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be run: No such file or directory"):
        scan(tmp_path / "missing", "exit 0")

    def broken() -> Iterator[bytes]:
        raise OSError(5, "Input/output error")

    with pytest.raises(EngineError, match="cannot be run: Input/output error"):
        shell(tmp_path, "exit 0").scan(Octets(1, broken), Deadline.after(5))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
