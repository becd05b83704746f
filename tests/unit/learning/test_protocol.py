"""A request over a socket pair: what is asked arrives, whatever its bytes and however cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.serve.deadline import Deadline
from lmtp.learning.protocol import (
    Answer,
    Conversation,
    Input,
    PeerError,
    Request,
    RequestError,
    ask,
    encode,
)

# What Dovecot 2.3.19 sends when its imapsieve runs `execute :pipe "learn" [...]`.
SEEN = (
    b"VERSION\tscript\t4\t0\nenv_USER=alice@x.test\nenv_HOME=/var/vmail\nenv_HOST=vm\n-\n"
    b"move\nalice@x.test\nfrom=inbox\nto=junk\n\n"
)
ALICE = "alice@x.test"
LIMIT = 1 << 20


def heard(*pieces: bytes, limit: int = LIMIT) -> tuple[Request, Input]:
    """What the daemon makes of these writes of a client that then ends its side."""
    with talking(*pieces) as conversation:
        deadline = Deadline.after(60)
        return conversation.request(deadline), conversation.input(limit, deadline)


@contextmanager
def talking(*pieces: bytes) -> Iterator[Conversation]:
    """A conversation with who sends that."""
    here, there = socket.socketpair()

    def send() -> None:
        with there:
            for piece in pieces:
                there.sendall(piece)

    thread = threading.Thread(target=send)
    thread.start()
    with here:
        yield Conversation(here)
    thread.join()


def test_what_dovecot_sends_is_a_request() -> None:
    request, data = heard(SEEN, b"Subject: x\r\n\r\nbody\r\n")
    assert request == Request("move", ALICE, {"from": "inbox", "to": "junk"})
    assert data == Input(b"Subject: x\r\n\r\nbody\r\n", 20)


values = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=25)  # each is a connection with a thread behind it
@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,9}", fullmatch=True), values, max_size=4),
    st.binary(max_size=200),
    st.integers(0, 400),
)
def test_every_request_arrives_as_it_was_made(
    options: dict[str, str], data: bytes, at: int
) -> None:
    request = Request("spam", ALICE, options)
    sent = encode(request) + data
    assert heard(sent[:at], sent[at:]) == (request, Input(data, len(data)))


def test_a_user_is_in_lower_case() -> None:
    assert heard(SEEN.replace(b"alice@x", b"Alice@X"))[0].user == ALICE


def test_of_a_long_input_the_head_is_kept_and_the_rest_counted() -> None:
    got = heard(SEEN, b"a" * 300_000, b"b" * 300_000, limit=300_010)[1]
    assert got == Input(b"a" * 300_000 + b"b" * 10, 600_000)
    assert not got.whole


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"VERSION\tscript\t3\t0\n-\nspam\na@b\n\n", "version"),
        (b"GET / HTTP/1.0\n\n", "version"),
        (b"VERSION\tscript\t4\t0\n\nspam\na@b\n\n", "do not begin"),
        (SEEN.replace(b"move\n", b""), "no verb"),
        (SEEN.replace(b"move\n", b"../move\n"), "no verb"),
        (SEEN.replace(b"alice@x.test\nfrom", b"alice\nfrom"), "no address"),
        (SEEN.replace(b"alice@x.test\nfrom", b"alice@x\x01ntest\nfrom"), "no address"),
        (SEEN.replace(b"alice@x.test\nfrom", b"a" * 400 + b"@x\nfrom"), "no address"),
        (SEEN.replace(b"from=inbox", b"from"), "name=value"),
        (SEEN.replace(b"from=inbox", b"from=\xff"), "UTF-8"),
        (SEEN.replace(b"from=inbox", b"from=" + b"x" * 20_000), "too long"),
        (SEEN.replace(b"from=inbox\n", b"from=inbox\n" * 2000), "too long"),
        (SEEN[:25] + b"x" * 20_000, "too long"),
    ],
    ids=[
        *("version-3", "http", "no-dash", "no-verb", "verb-of-a-path", "no-address", "newline"),
        *("long-address", "no-value", "no-utf-8", "long-argument", "many-arguments", "no-end"),
    ],
)
def test_what_is_no_request_is_told_so(sent: bytes, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        heard(sent)


def test_a_client_that_goes_away_in_its_request_is_gone() -> None:
    with pytest.raises(PeerError, match="went away"):
        heard(SEEN[:40])


def test_a_client_that_is_silent_is_not_waited_for() -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(PeerError, match="silent"):
        Conversation(here).request(Deadline.after(0.01))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that listens."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        yield made


@pytest.mark.parametrize("answer", [Answer(True), Answer(False, "no"), Answer(True, "a\nb")])
def test_the_client_is_told_what_the_daemon_says(
    listener: socket.socket, tmp_path: Path, answer: Answer
) -> None:
    got: list[Request | Input] = []

    def serve() -> None:
        with listener.accept()[0] as connection:
            conversation, deadline = Conversation(connection), Deadline.after(60)
            got.append(conversation.request(deadline))
            got.append(conversation.input(LIMIT, deadline))
            conversation.answer(answer, deadline)

    thread = threading.Thread(target=serve)
    thread.start()
    request = Request("undo", ALICE, {"key": "\t\1\n=x"})
    assert ask(tmp_path / "s", request, b"data" * 100_000, Deadline.after(60)) == answer
    thread.join()
    assert got == [request, Input(b"data" * 100_000, 400_000)]


@pytest.mark.parametrize("told", [b"", b"+", b"learned\n", b"x\ny\n"])
def test_half_an_answer_is_none(listener: socket.socket, tmp_path: Path, told: bytes) -> None:
    def serve() -> None:
        with listener.accept()[0] as connection:
            while connection.recv(1 << 16):
                continue
            connection.sendall(told)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(PeerError, match="no answer"):
        ask(tmp_path / "s", Request("spam", ALICE), b"", Deadline.after(60))
    thread.join()


def test_nobody_who_listens_is_told_with_the_name(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=f"cannot reach {tmp_path}/s: No such file"):
        ask(tmp_path / "s", Request("spam", ALICE), b"", Deadline.after(60))


def test_who_listens_and_says_nothing_is_not_waited_for(
    listener: socket.socket, tmp_path: Path
) -> None:
    assert listener.fileno() > 0
    with pytest.raises(PeerError, match="silent"):
        ask(tmp_path / "s", Request("spam", ALICE), b"", Deadline.after(0.01))
