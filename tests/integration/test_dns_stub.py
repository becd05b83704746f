"""The stub resolver against servers that answer, lie, fail and stay silent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import dns.flags

from iems.dns import channel
from iems.dns.resolver import Answer, Status
from iems.dns.servers import Server
from iems.dns.stub import StubResolver
from iems.serve.deadline import Deadline
from tests.held import threads_since
from tests.integration.dns_fake import FakeDns, Reply, answering, fake, nobody, silent
from tests.waiting import eventually

TRUE = answering("@ 60 A 127.0.0.2")
NAME = "2.0.0.127.list.test"


@contextlib.contextmanager
def stub(
    *servers: Server | FakeDns, timeout: float = 2.0, cache: int = 100
) -> Iterator[StubResolver]:
    """A resolver for the length of a test; afterwards none of its threads is left."""
    before = set(threading.enumerate())
    resolver = StubResolver(
        [one.server if isinstance(one, FakeDns) else one for one in servers], timeout, cache
    )
    try:
        yield resolver
    finally:
        resolver.close()
        eventually(lambda: not threads_since(before), 5, "a thread is left")


def asked(resolver: StubResolver, name: str = NAME) -> Answer:
    """The answer, and at least the wait that the resolver itself allows."""
    return resolver.ask(name, "A").result(Deadline.after(20))


def test_an_answer_comes_and_is_asked_for_once_in_its_time_to_live() -> None:
    with fake(TRUE) as server, stub(server) as resolver:
        assert asked(resolver) == Answer(Status.FOUND, ("127.0.0.2",), 60)
        assert asked(resolver) == Answer(Status.FOUND, ("127.0.0.2",), 60)
        assert len(server.seen) == 1
        assert asked(resolver, "other.test").status is Status.FOUND
        assert len(server.seen) == 2


def test_nothing_is_opened_before_the_first_question() -> None:
    before = set(threading.enumerate())
    with fake(TRUE) as server:
        running = set(threading.enumerate())
        with stub(server) as resolver:
            assert threads_since(running) == 0
            asked(resolver)
            assert threads_since(running) == 1
    assert threads_since(before) == 0


def test_the_listener_hears_the_answer_before_it_is_collected() -> None:
    heard: list[Answer] = []
    with fake(TRUE) as server, stub(server) as resolver:
        question = resolver.ask(NAME, "A", heard.append)
        eventually(lambda: heard, 5)
        assert question.result(Deadline.after(0)) == heard[0]
        resolver.ask(NAME, "A", heard.append)
        assert heard[1] == heard[0]
        server.reply = silent
        resolver.ask("silent.test", "A", heard.append).result(Deadline.after(0.1))
        assert len(heard) == 2


def test_silence_is_a_timeout_after_two_questions() -> None:
    with fake(silent) as server, stub(server, timeout=1.0) as resolver:
        start = time.monotonic()
        question = resolver.ask(NAME, "A")
        assert question.result(Deadline.after(20)).status is Status.TIMEOUT
        assert 0.95 < time.monotonic() - start < 8
        eventually(lambda: len(server.seen) >= 2)
        assert len(server.seen) == 2
        assert server.seen[0][:2] != server.seen[1][:2]


def test_a_deadline_ends_the_wait_and_a_later_look_finds_the_answer() -> None:
    go = threading.Event()

    def late(query: bytes) -> list[bytes]:
        go.wait(10)
        return TRUE(query)

    with fake(late) as server, stub(server, timeout=20) as resolver:
        question = resolver.ask(NAME, "A")
        start = time.monotonic()
        assert question.result(Deadline.after(0.1)).status is Status.TIMEOUT
        assert time.monotonic() - start < 2
        go.set()
        assert question.result(Deadline.after(10)).records == ("127.0.0.2",)


def test_a_lost_question_is_asked_again_at_half_of_the_time() -> None:
    lost: list[bytes] = []

    def second_time(query: bytes) -> list[bytes]:
        lost.append(query)
        return TRUE(query) if len(lost) == 2 else []

    with fake(second_time) as server, stub(server, timeout=3.0) as resolver:
        start = time.monotonic()
        assert asked(resolver).status is Status.FOUND
        assert 1.45 < time.monotonic() - start < 2.95


def test_a_question_that_nobody_waited_for_has_its_second_try_too() -> None:
    lost: list[bytes] = []

    def second_time(query: bytes) -> list[bytes]:
        lost.append(query)
        return TRUE(query) if len(lost) == 2 else []

    with fake(second_time) as server, stub(server, timeout=2.0) as resolver:
        question = resolver.ask(NAME, "A")
        passed = Deadline.after(2.1)
        eventually(lambda: passed.expired, 5)
        assert question.result(Deadline.after(5)).status is Status.FOUND


def test_the_next_server_answers_for_a_silent_one_and_is_asked_first_from_then_on() -> None:
    with fake(silent) as first, fake(TRUE) as second:
        with stub(first, second, timeout=3.0, cache=0) as resolver:
            start = time.monotonic()
            assert asked(resolver).status is Status.FOUND
            assert 1.45 < time.monotonic() - start < 2.95
            start = time.monotonic()
            assert asked(resolver).status is Status.FOUND
            assert time.monotonic() - start < 1.4
        assert len(first.seen) == 1


def test_the_next_server_is_asked_at_once_where_the_first_is_not_there_or_fails() -> None:
    failing = [answering(rcode="SERVFAIL"), answering(rcode="REFUSED")]
    with fake(TRUE) as second:
        for reply in failing:
            with fake(reply) as first, stub(first, second, timeout=20) as resolver:
                assert_quick(resolver)
        with nobody() as absent, stub(absent, second, timeout=20) as resolver:
            assert_quick(resolver)


def assert_quick(resolver: StubResolver) -> None:
    """The answer comes long before half of the time."""
    start = time.monotonic()
    assert asked(resolver).status is Status.FOUND
    assert time.monotonic() - start < 3


def test_the_failure_of_all_servers_is_told() -> None:
    refused = answering(rcode="REFUSED")
    with fake(refused) as first, fake(answering(rcode="SERVFAIL")) as second:
        with stub(first, timeout=20) as resolver:
            assert asked(resolver).status is Status.REFUSED
        with stub(first, second, timeout=20) as resolver:
            assert asked(resolver).status is Status.SERVFAIL
    with nobody() as one, nobody() as other, stub(one, other, timeout=0.4) as resolver:
        assert asked(resolver).status is Status.TIMEOUT


def test_many_questions_to_a_server_that_is_not_there_go_to_the_next_at_once() -> None:
    with (
        fake(TRUE) as second,
        nobody() as absent,
        stub(absent, second, timeout=40, cache=0) as resolver,
    ):
        start = time.monotonic()
        questions = [resolver.ask(f"{number}.test", "A") for number in range(200)]
        answers = {one.result(Deadline.after(50)).status for one in questions}
        assert answers == {Status.FOUND}
        assert time.monotonic() - start < 20, "half of the time of one"


def test_a_server_that_starts_late_is_still_heard() -> None:
    with nobody() as first, stub(first, timeout=5.0) as resolver:
        answers: list[Answer] = []
        waiting = threading.Thread(target=lambda: answers.append(asked(resolver)))
        waiting.start()
        starting = Deadline.after(0.3)
        eventually(lambda: starting.expired, 5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind((first.address, first.port))
            late.settimeout(20)
            query, client = late.recvfrom(4096)
            late.sendto(TRUE(query)[0], client)
            waiting.join(20)
    assert answers[0].status is Status.FOUND


def _wrong_id(query: bytes) -> list[bytes]:
    lie = answering("@ 60 A 127.0.0.9")(query)[0]
    return [bytes([lie[0] ^ 1, *lie[1:]])]


def _wrong_question(query: bytes) -> list[bytes]:
    lie = answering("@ 60 A 127.0.0.9")(query)[0]
    return [lie.replace(b"\x04list", b"\x04lost")]


def _no_response(query: bytes) -> list[bytes]:
    return [query]


def _cut(query: bytes) -> list[bytes]:
    return [answering("@ 60 A 127.0.0.9")(query)[0][:20], b"", b"\0"]


def _first(lie: Reply) -> Reply:
    return lambda query: [*lie(query), *TRUE(query)]


def test_a_lie_is_dropped_and_the_truth_after_it_is_believed() -> None:
    lies: Sequence[Reply] = (_wrong_id, _wrong_question, _no_response, _cut)
    for lie in lies:
        with fake(_first(lie)) as server, stub(server) as resolver:
            assert asked(resolver).records == ("127.0.0.2",), lie
        with fake(lie) as server, stub(server, timeout=0.3) as resolver:
            assert asked(resolver).status is Status.TIMEOUT, lie


def test_an_answer_from_another_port_or_address_is_not_heard() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        with stub(Server(*server.getsockname()), timeout=20) as resolver:
            question = resolver.ask(NAME, "A")
            query, client = server.recvfrom(4096)
            for address in ("127.0.0.1", "127.0.0.9"):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
                    liar.bind((address, 0))
                    liar.sendto(answering("@ 60 A 127.0.0.9")(query)[0], client)
            assert question.result(Deadline.after(0.2)).status is Status.TIMEOUT
            server.sendto(TRUE(query)[0], client)
            assert question.result(Deadline.after(5)).records == ("127.0.0.2",)


def test_an_answer_that_cannot_be_read_is_a_failure_of_the_server() -> None:
    def broken(query: bytes) -> list[bytes]:
        return [TRUE(query)[0][:-3]]

    with fake(broken) as server, stub(server, timeout=20) as resolver:
        assert asked(resolver).status is Status.SERVFAIL
    with fake(broken) as first, fake(TRUE) as second, stub(first, second, timeout=20) as resolver:
        assert asked(resolver).records == ("127.0.0.2",)


def test_a_truncated_answer_is_asked_for_by_tcp() -> None:
    short = answering(flags=dns.flags.TC)
    whole = answering(*(f"@ 60 A 127.0.0.{last}" for last in range(2, 60)))
    with fake(short, tcp=whole) as server, stub(server) as resolver:
        assert len(asked(resolver).records) == 58
        assert len(asked(resolver).records) == 58
        assert len(server.seen) == 1
    with fake(short, tcp=lambda query: [TRUE(query)[0][:-3]]) as server, stub(server) as resolver:
        assert asked(resolver).status is Status.SERVFAIL
    with fake(short) as server, stub(server) as resolver:
        assert asked(resolver).status is Status.SERVFAIL


def test_many_threads_get_each_its_own_answer() -> None:
    def echo(query: bytes) -> list[bytes]:
        number = int(query[13 : 13 + query[12]])
        return answering(f"@ 60 A 127.{number >> 16}.{number >> 8 & 255}.{number & 255}")(query)

    wrong: list[tuple[int, Answer]] = []

    def work(resolver: StubResolver, thread: int) -> None:
        for turn in range(20):
            numbers = range(thread * 1000 + turn * 4, thread * 1000 + turn * 4 + 4)
            questions = [(number, resolver.ask(f"{number}.test", "A")) for number in numbers]
            for number, question in questions:
                answer = question.result(Deadline.after(20))
                expected = (f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}",)
                if answer.records != expected:
                    wrong.append((number, answer))

    with fake(echo) as server, stub(server, timeout=10) as resolver:
        threads = [threading.Thread(target=work, args=(resolver, one)) for one in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not wrong


def test_hostile_mail_of_one_client_leaves_room_for_the_others() -> None:
    """50 connections, each with a message that asks 300 questions nobody answers."""
    with fake(silent) as server, stub(server, timeout=20, cache=0) as resolver:
        start = time.thread_time()
        for number in range(50 * 300):
            resolver.ask(f"{number}.test", "A")
        assert time.thread_time() - start < 5
        server.reply = TRUE
        eventually(lambda: asked(resolver).status is Status.FOUND, 5)


def test_what_nobody_collects_is_bounded_and_forgotten() -> None:
    with fake(silent) as server, stub(server, timeout=0.2, cache=0) as resolver:
        for number in range(channel.OPEN):
            resolver.ask(f"{number}.test", "A")
        start = time.monotonic()
        assert asked(resolver).status is Status.TIMEOUT
        server.reply = TRUE
        eventually(lambda: asked(resolver).status is Status.FOUND, 5)
        assert time.monotonic() - start < 5
