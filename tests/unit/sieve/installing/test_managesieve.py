"""What a server answers, read from the wire as it may come: whole, in pieces, hostile."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.serve.deadline import Deadline
from sieve.installing.managesieve import Connection, Master, _Wire, opened
from sieve.installing.scripts import RefusedError, ServerError

GREETING = b'"IMPLEMENTATION" "x"\r\n"SIEVE" "fileinto copy"\r\n"VERSION" "1.0"\r\nOK "ready"\r\n'
MASTER = ("master@localhost", "secret")


@contextlib.contextmanager
def said(*answers: bytes, greeting: bytes = GREETING, seconds: float = 5) -> Iterator[Connection]:
    """The scripts on a server that gives these answers, one a command, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            link, _address = listener.accept()
            with link, contextlib.suppress(OSError):
                link.sendall(greeting)
                for answer in (b"OK\r\n", *answers):
                    if not link.recv(1 << 16):
                        return
                    link.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        master = Master("127.0.0.1", listener.getsockname()[1], *MASTER)
        done = False
        try:
            with opened(master, "alice@example.test", Deadline.after(seconds)) as scripts:
                yield scripts
                done = True
        except ServerError:
            # Nobody answers to LOGOUT here.
            if not done:
                raise
        finally:
            server.join()


def test_what_the_server_knows() -> None:
    with said() as scripts:
        assert scripts.extensions == {"fileinto", "copy"}


def test_scripts_are_read_as_they_are() -> None:
    text = b'keep; # "OK" {5}\r\nOK "no end"\r\n\xff'
    listed = b'"one \\"two\\"" ACTIVE\r\n{4}\r\nfour\r\nOK "done"\r\n'
    answers = (
        *(listed, b"{%d}\r\n%b\r\nOK\r\n" % (len(text), text)),
        listed,
        *(listed, b'NO (NONEXISTENT) "there is none any more"\r\n'),
        listed,
    )
    with said(*answers) as scripts:
        assert scripts.get("four") == text
        assert scripts.get("five") is None
        assert scripts.get("four") is None
        assert scripts.listed() == {'one "two"': True, "four": False}


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (b'NO "bad"\r\n', "", "bad"),
        (b'no (quota/maxsize) "big"\r\n', "QUOTA/MAXSIZE", "big"),
        (b'NO (TAG "x") {6}\r\na\r\nb c\r\n', "TAG", "x a\r\nb c"),
        (b'BYE "gone"\r\n', "", "gone"),
        (b"NO\r\n", "", ""),
    ],
)
def test_a_refusal_says_why(answer: bytes, code: str, text: str) -> None:
    with said(answer) as scripts, pytest.raises(RefusedError) as refused:
        scripts.put("a", b"keep;")
    assert (refused.value.code, str(refused.value)) == (code, text)


@pytest.mark.parametrize(
    "greeting",
    [b"", b"* OK IMAP\r\n", b'OK "who?"\r\n', b"x" * (1 << 17), b'"SIEVE" {999999999}\r\n'],
)
def test_what_is_no_server_is_told(greeting: bytes) -> None:
    with pytest.raises(ServerError), said(greeting=greeting, seconds=0.2):
        pass


def test_a_server_that_is_silent_costs_no_more_than_the_time_there_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        master = Master("127.0.0.1", listener.getsockname()[1], *MASTER)
        with (
            pytest.raises(ServerError),
            opened(master, "a@example.test", Deadline.after(0.05)),
        ):
            pass


def test_lines_without_anything_are_too_much_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sieve.installing.managesieve._LARGEST", 1000)
    with said(b"\r\n" * 1000 + b"OK\r\n") as scripts, pytest.raises(ServerError, match="too much"):
        scripts.put("a", b"keep;")


@given(st.binary(max_size=200))
def test_no_answer_does_anything_else(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(answer)
        theirs.close()
        with contextlib.suppress(ServerError, RefusedError):
            _Wire(ours, Deadline.after(5)).answer()
