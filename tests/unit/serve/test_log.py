"""The log: nothing from outside breaks a line, nothing makes it wait, nothing is lost unseen."""

from __future__ import annotations

import ast
import io
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iems.serve.log import VALUE_LIMIT, Log, pairs, quoted

_ANY = st.text(st.characters(), max_size=200)
"""Any text: line ends, quotes, lone surrogates, which are bytes that were no UTF-8."""


@given(_ANY)
@example('a" action="deliver')
@example("back\\slash\\")
@example("two\r\nlines")
@example("\udc80 \u2028")
def test_a_quoted_value_is_one_printable_word_that_reads_back(text: str) -> None:
    value = quoted(text)
    assert value.isascii()
    assert value.isprintable()
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', value)
    assert ast.literal_eval(value) == text


@given(st.integers(0, 3 * VALUE_LIMIT))
def test_a_long_value_is_cut(length: int) -> None:
    assert len(quoted("x" * length)) <= VALUE_LIMIT + 2


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), _ANY, max_size=5))
def test_fields_read_back(fields: dict[str, str]) -> None:
    text = pairs(dict(fields))
    found = re.findall(r' ([a-z_]+)=("(?:[^"\\]|\\.)*")', text)
    assert {key: ast.literal_eval(value) for key, value in found} == fields
    assert "".join(f" {key}={value}" for key, value in found) == text


@contextmanager
def syslogd(path: Path) -> Iterator[socket.socket]:
    """Something that listens as syslogd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(5)
        yield server
    path.unlink()


def _text(server: socket.socket) -> str:
    line = server.recv(65536).decode("ascii")
    found = re.fullmatch(r"(<\d+>)[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (\S+)\[\d+\]: (.*)", line)
    assert found, line
    return f"{found[1]}{found[2]}: {found[3]}"


def test_lines_have_facility_mail_and_their_severity(tmp_path: Path) -> None:
    log = Log.open("iems-test", path=tmp_path / "log")
    with syslogd(tmp_path / "log") as server:
        log.event("AbCdEfGhIjKl", "", action="reject", sender='a"b\n@example.test')
        log.event("AbCdEfGhIjKl", "4Xyz")
        log.warning("careful", number=1)
        log.error("broken")
        assert [_text(server) for _ in range(4)] == [
            '<22>iems-test: AbCdEfGhIjKl NOQUEUE action="reject" sender="a\\"b\\n@example.test"',
            "<22>iems-test: AbCdEfGhIjKl 4Xyz",
            '<20>iems-test: warning: careful number="1"',
            "<19>iems-test: error: broken",
        ]
    log.close()


def test_an_error_is_told_with_the_end_of_its_traceback(tmp_path: Path) -> None:
    log = Log.open("iems-test", path=tmp_path / "log")
    with syslogd(tmp_path / "log") as server:
        error = ValueError("x" * 2 * VALUE_LIMIT + " the end")
        log.failure("unexpected", error, reference="R")
        line = _text(server)
    assert line.startswith('<19>iems-test: error: unexpected reference="R" traceback="')
    assert line.endswith(' the end\\n"')
    log.close()


def test_a_syslogd_that_does_not_read_makes_nobody_wait(tmp_path: Path) -> None:
    log = Log.open("iems-test", path=tmp_path / "log")
    with syslogd(tmp_path / "log") as server:
        for number in range(2000):
            log.info("line", number=number)
        lost = log.dropped
        assert lost > 0
        told = [_text(server) for _ in range(2000 - lost)]
        assert told[-1].endswith(f'number="{1999 - lost}"')
        log.info("again")
        assert _text(server) == f"<20>iems-test: warning: {lost} log lines lost"
        assert _text(server) == "<22>iems-test: again"
        assert log.dropped == 0
    log.close()


def test_who_has_time_waits_for_a_syslogd_that_is_slow_and_not_for_one_that_hangs(
    tmp_path: Path,
) -> None:
    log = Log.open("iems-test", path=tmp_path / "log", wait=30.0)
    with syslogd(tmp_path / "log") as server:
        reader = threading.Thread(target=lambda: [_text(server) for _ in range(2000)])
        reader.start()
        for number in range(2000):
            log.info("line", number=number)
        reader.join()
        assert log.dropped == 0
    log.close()
    log = Log.open("iems-test", path=tmp_path / "log", wait=0.2)
    begun = time.monotonic()
    with syslogd(tmp_path / "log"):
        for number in range(2000):
            log.info("line", number=number)
    assert log.dropped > 0
    assert time.monotonic() - begun < 5
    log.close()


def test_a_syslogd_that_was_restarted_gets_the_next_line(tmp_path: Path) -> None:
    log = Log.open("iems-test", path=tmp_path / "log")
    for number in range(2):
        with syslogd(tmp_path / "log") as server:
            log.info("line", number=number)
            assert _text(server) == f'<22>iems-test: line number="{number}"'
    log.close()


def test_without_syslogd_lines_are_counted(tmp_path: Path) -> None:
    log = Log.open("iems-test", path=tmp_path / "log")
    for _ in range(3):
        log.info("nobody hears")
    assert log.dropped == 3


def test_a_line_is_never_longer_than_syslogd_takes(tmp_path: Path) -> None:
    log = Log.open("iems-test", path=tmp_path / "log")
    with syslogd(tmp_path / "log") as server:
        log.event("R", "Q", **{f"key{number}": "\n" * 1900 for number in range(5)})
        assert len(server.recv(65536)) <= 8192
    log.close()


def test_in_the_foreground_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Log.open("iems-test", foreground=True).event("R", "Q", text="a\u0301\x07")
    told = capsys.readouterr().err
    assert re.fullmatch(r'iems-test\[\d+\]: R Q text="a\\u0301\\x07"\n', told)


def test_a_line_in_the_foreground_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Terminal())
    Log.open("iems-test", foreground=True).info("text", key="value")
    assert writes == [f'iems-test[{os.getpid()}]: text key="value"\n']
