"""The supervisor with real processes, under a user that is not root: root would hide faults."""

from __future__ import annotations

import contextlib
import grp
import os
import signal
import socket
import stat
from collections.abc import Iterator

import pytest

from iems.serve.meter import series
from iems.serve.status import Status, StatusError, published
from tests.integration.serve.daemon import HUNG_SOON, Activated, Daemon, Load, Program, running
from tests.integration.stack.ground import GROUP, Ground, accepts_unix
from tests.waiting import eventually


@pytest.fixture
def daemon(ground: Ground) -> Iterator[Daemon]:
    """A running daemon with two workers."""
    with running(Daemon(ground)) as one:
        eventually((one.folder / "status.json").exists, 15, one.server.tail)
        yield one


def test_the_socket_is_for_daemon_and_group_only(ground: Ground) -> None:
    with running(Daemon(ground, group=GROUP)) as daemon:
        found = daemon.socket.stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert grp.getgrgid(found.st_gid).gr_name == GROUP
        assert list(daemon.folder.glob("*.bind")) == []
        assert int(daemon.pid_file.read_text()) == daemon.server.pid


def test_every_worker_gets_connections_and_there_is_one_for_jobs(daemon: Daemon) -> None:
    eventually(lambda: len({daemon.ask()[1] for _ in range(10)}) == 2, 15)
    daemon.complete()


def test_ten_reloads_under_twenty_sessions_lose_nothing(daemon: Daemon) -> None:
    with Load(daemon) as load:
        for number in range(10):
            daemon.write(word=f"reload{number}")
            daemon.server.signal(signal.SIGHUP)
            daemon.worker_answers(f"reload{number}")
        load.more()
    assert load.failures == []
    daemon.complete()


def test_another_socket_takes_effect_with_a_restart_alone(ground: Ground) -> None:
    daemon = Daemon(ground)
    other = daemon.socket.with_name("other.sock")
    with running(daemon):
        daemon.write(path=str(other), group=GROUP, word="two")
        daemon.server.signal(signal.SIGHUP)
        daemon.worker_answers("two")
        assert daemon.log("another socket needs a restart")
        assert not other.exists()
        assert grp.getgrgid(daemon.socket.stat().st_gid).gr_name != GROUP
    daemon.socket = other
    with running(daemon):
        assert daemon.ask()[0] == "two"
        assert grp.getgrgid(other.stat().st_gid).gr_name == GROUP


def test_a_reload_during_a_reload_is_not_forgotten(daemon: Daemon) -> None:
    for word in ("two", "three", "four"):
        daemon.write(word=word)
        daemon.server.signal(signal.SIGHUP)
    daemon.worker_answers("four")
    daemon.complete()


def test_an_open_session_outlives_a_reload(daemon: Daemon) -> None:
    with daemon.connect() as session:
        before = session.ask("x")
        daemon.write(word="two")
        daemon.server.signal(signal.SIGHUP)
        daemon.worker_answers("two")
        assert session.ask("y") == [*before[:2], "y"]
    eventually(lambda: int(before[1]) not in daemon.children())


def test_a_session_that_outlives_the_drain_is_cut(ground: Ground) -> None:
    with running(Daemon(ground, times={"drain": 1.0})) as daemon, daemon.connect() as session:
        old = int(session.ask("x")[1])
        daemon.server.signal(signal.SIGHUP)
        eventually(lambda: old not in daemon.children(), 15, daemon.server.tail)
        with pytest.raises(ConnectionError):
            session.ask("y")


def test_a_killed_worker_is_replaced_and_the_other_sessions_live(daemon: Daemon) -> None:
    sessions = [daemon.connect() for _ in range(20)]
    pids = [int(session.ask("x")[1]) for session in sessions]
    victim = pids[0]
    os.kill(victim, signal.SIGKILL)
    for session, pid in zip(sessions, pids, strict=True):
        if pid != victim:
            assert session.ask("y")[1:] == [str(pid), "y"]
    eventually(lambda: len(daemon.children() - {victim}) == 3, 10, daemon.server.tail)
    for session in sessions:
        session.__exit__()
    assert daemon.log(f'pid="{victim}" status="-9"')


def test_a_hung_worker_is_replaced(ground: Ground) -> None:
    with running(Daemon(ground, times=HUNG_SOON)) as daemon:
        victim = int(daemon.ask()[1])
        os.kill(victim, signal.SIGSTOP)
        eventually(lambda: victim not in daemon.children(), 10, daemon.server.tail)
        daemon.complete()
        assert daemon.log("it hangs")


def test_a_worker_that_fails_tells_why_and_is_replaced(daemon: Daemon) -> None:
    for _number in range(3):
        before = len(daemon.log("told to fail"))
        daemon.ask("fail")
        eventually(lambda: len(daemon.log("told to fail")) > before)  # noqa: B023 - waited for here
        daemon.complete()
    assert all("Traceback" in line for line in daemon.log("told to fail"))


def test_a_worker_that_does_not_end_is_killed(ground: Ground) -> None:
    with running(Daemon(ground, times={"drain": 1.0})) as daemon:
        old = int(daemon.ask("stay")[1])
        daemon.server.signal(signal.SIGHUP)
        eventually(lambda: old not in daemon.children(), 15, daemon.server.tail)
        assert daemon.log("its time to drain is over")


@pytest.mark.parametrize(
    ("text", "told", "end"),
    [
        ("{", "no JSON", "no reload, the workers stay as they are"),
        ('{"deadly": true}', "no reload", 'status="-9"'),
        ('{"path": "/x", "word": "bad", "broken": true}', "do not work", "the old ones stay"),
    ],
    ids=["settings that cannot be read", "settings that kill", "workers that cannot live"],
)
def test_bad_settings_leave_the_old_workers(daemon: Daemon, text: str, told: str, end: str) -> None:
    before = daemon.children()
    daemon.settings.write_text(text)
    with Load(daemon, 5) as load:
        daemon.server.signal(signal.SIGHUP)
        eventually(lambda: daemon.log(told) and daemon.log(end), 10, daemon.server.tail)
        eventually(lambda: daemon.children() == before, 10, daemon.server.tail)
        load.more()
        daemon.write(word="good")
        daemon.server.signal(signal.SIGHUP)
        daemon.worker_answers("good")
    assert load.failures == []


def test_a_new_image_takes_over_under_load(daemon: Daemon) -> None:
    pid = daemon.server.pid
    with Load(daemon) as load, daemon.connect() as session:
        old = session.ask("x")
        for number in range(3):
            daemon.write(word=f"image{number}")
            daemon.server.signal(signal.SIGUSR2)
            daemon.worker_answers(f"image{number}")
        load.more()
        assert session.ask("y") == [*old[:2], "y"]
    assert load.failures == []
    assert daemon.server.pid == pid
    assert int(daemon.pid_file.read_text()) == pid
    assert len(daemon.log("becoming the next image")) == 3
    daemon.complete()


def test_no_new_image_with_bad_settings(daemon: Daemon) -> None:
    before = daemon.children()
    daemon.settings.write_text("{")
    daemon.server.signal(signal.SIGUSR2)
    eventually(lambda: daemon.log("no JSON"), 10, daemon.server.tail)
    eventually(lambda: daemon.log("no reload"), 10, daemon.server.tail)
    assert daemon.children() == before
    assert daemon.log("becoming") == []


def test_a_stop_ends_sessions_in_order_and_leaves_nothing(ground: Ground) -> None:
    daemon = Daemon(ground)
    daemon.start()
    with daemon.connect() as session:
        session.ask("x")
        daemon.server.signal(signal.SIGTERM)
        eventually(lambda: not daemon.socket.exists())
        assert session.ask("y")[2] == "y"
        assert daemon.server.running
    eventually(lambda: not daemon.server.running, 10, daemon.server.tail)
    assert daemon.server.status == 0
    assert daemon.children() == set()
    assert not daemon.pid_file.exists()


def test_a_second_start_is_refused(daemon: Daemon) -> None:
    second = Program(daemon)
    second.start()
    eventually(lambda: not second.running)
    assert second.status == 69
    assert daemon.log(f"another process listens on {daemon.socket}")
    assert daemon.ask()[2] == "x"


def test_a_start_with_wrong_settings_says_why(ground: Ground) -> None:
    daemon = Daemon(ground)
    daemon.settings.write_text("{")
    daemon.server.start()
    eventually(lambda: not daemon.server.running)
    assert daemon.server.status == 78
    assert daemon.log(f"echo: {daemon.settings}: no JSON")
    assert not daemon.socket.exists()


def test_a_socket_that_nobody_listens_on_is_replaced(ground: Ground) -> None:
    daemon = Daemon(ground)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(daemon.socket))
    with running(daemon):
        assert daemon.ask()[2] == "x"


def test_the_workers_end_with_their_supervisor(daemon: Daemon) -> None:
    os.kill(daemon.server.pid, signal.SIGKILL)
    daemon.server.gone()
    assert not accepts_unix(daemon.socket)


def test_a_stray_signal_to_a_worker_does_nothing(daemon: Daemon) -> None:
    with daemon.connect() as session:
        pid = int(session.ask("x")[1])
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            os.kill(pid, number)
        assert session.ask("y")[1:] == [str(pid), "y"]


def test_jobs_that_fail_or_hang_keep_no_other_from_running(ground: Ground) -> None:
    daemon = Daemon(ground, times=HUNG_SOON)
    runs = daemon.folder / "runs"
    daemon.write(jobs_log=str(runs))

    def ran(name: str) -> list[str]:
        return [line for line in runs.read_text().splitlines() if line.startswith(name)]

    with running(daemon):
        eventually(lambda: runs.exists() and len(ran("works")) > 5 and len(ran("fails")) > 5)
        assert len(ran("hangs")) == 1
        assert daemon.log("a job that fails")
        (hung,) = {int(line.split()[1]) for line in ran("hangs")}
        eventually(lambda: hung not in daemon.children(), 20, daemon.server.tail)
        eventually(lambda: len(ran("hangs")) == 2, 10, daemon.server.tail)
        assert daemon.log('job overdue, the jobs are started anew job="hangs"')


def test_systemd_gives_the_socket_and_hears_of_the_state(ground: Ground) -> None:
    daemon = Daemon(ground)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
    ):
        listener.bind(str(daemon.socket))
        listener.listen()
        notices.bind(str(daemon.folder / "notify"))
        notices.settimeout(60)
        for path in (daemon.socket, daemon.folder / "notify"):
            path.chmod(0o666)
        daemon.server = Activated(daemon, listener)

        def told() -> str:
            return notices.recv(1024).decode().split("\n")[0]

        daemon.start()
        assert told() == "READY=1"
        daemon.server.signal(signal.SIGHUP)
        assert [told(), told()] == ["RELOADING=1", "READY=1"]
        daemon.stop()
        assert told() == "STOPPING=1"
        assert daemon.socket.exists()
        waiting = daemon.connect()
        daemon.server = Activated(daemon, listener)
        daemon.start()
        assert waiting.ask("x")[2] == "x"
        waiting.__exit__()
        daemon.stop()


LINES = series("lines_total", {})


def status(daemon: Daemon) -> Status:
    """What the supervisor says of itself."""
    return published(daemon.socket.with_name("status.json"))


def lines(daemon: Daemon) -> float:
    """How many lines all processes together have echoed."""
    return status(daemon).seen.counters.get(LINES, 0.0)


def test_the_status_adds_up_what_all_processes_did(daemon: Daemon) -> None:
    asked: set[int] = set()

    def both() -> bool:
        asked.update(int(daemon.ask()[1]) for _ in range(10))
        return len(asked) == 2

    eventually(both, 15)
    eventually(lambda: lines(daemon) == daemon.asked, 15, lambda: str(status(daemon)))
    told = status(daemon)
    assert (told.daemon, told.pid, told.generation) == ("echo", daemon.server.pid, 1)
    assert {one.pid for one in told.processes if one.role == "worker"} == asked
    assert min(one.memory for one in told.processes) > 1 << 20
    assert told.restarts == {"worker": 0, "jobs": 0}
    assert not told.stale


def test_what_a_worker_counted_outlives_it(daemon: Daemon) -> None:
    for _ in range(10):
        daemon.ask()
    eventually(lambda: lines(daemon) == 10, 15)
    daemon.write(word="two")
    daemon.server.signal(signal.SIGHUP)
    daemon.worker_answers("two")
    eventually(lambda: len(status(daemon).processes) == 3, 15, daemon.server.tail)
    victim = int(daemon.ask()[1])
    eventually(lambda: lines(daemon) == daemon.asked, 15)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: status(daemon).restarts["worker"] == 1, 15)
    assert lines(daemon) == daemon.asked > 20
    assert "a process ended" in status(daemon).seen.errors[-1].text


def test_an_error_of_a_worker_is_among_the_last_errors(daemon: Daemon) -> None:
    eventually(lambda: status(daemon).processes, 15)
    daemon.ask("complain")
    eventually(lambda: status(daemon).seen.errors, 15)
    assert [one.text for one in status(daemon).seen.errors] == ["told to complain"]
    assert status(daemon).seen.counters[series("errors_total", {})] == 1


def test_a_worker_that_holds_too_much_memory_is_replaced(ground: Ground) -> None:
    """64 MiB are allowed; the one that takes 100 more is drained, its sessions live on."""
    with running(Daemon(ground, max_memory=64 << 20)) as daemon, daemon.connect() as session:
        greedy = int(session.ask(f"hold {100 << 20}")[1])
        eventually(lambda: daemon.log("holds too much memory"), 15, daemon.server.tail)
        assert session.ask("still there")[1] == str(greedy)
        eventually(lambda: len(daemon.children() - {greedy}) == 3, 15, daemon.server.tail)
        session.__exit__()
        eventually(lambda: greedy not in daemon.children(), 15, daemon.server.tail)
        assert status(daemon).restarts["worker"] == 1


def test_a_worker_that_goes_on_growing_while_it_drains_is_killed(ground: Ground) -> None:
    with running(Daemon(ground, max_memory=64 << 20)) as daemon, daemon.connect() as session:
        greedy = int(session.ask(f"hold {80 << 20}")[1])
        eventually(lambda: daemon.log("holds too much memory"), 15, daemon.server.tail)
        with contextlib.suppress(ConnectionError):  # it may be killed before it answers
            session.ask(f"hold {120 << 20}")
        eventually(lambda: greedy not in daemon.children(), 15, daemon.server.tail)
        assert daemon.log("twice the memory")
        with pytest.raises(ConnectionError):
            session.ask("still there")
        daemon.complete()


def test_the_status_tells_the_settings_in_force(daemon: Daemon) -> None:
    def told() -> tuple[int, str]:
        try:
            seen = status(daemon)
        except StatusError:
            return 0, ""
        return seen.generation, seen.fingerprint

    eventually(lambda: told() == (1, "one"), 15, lambda: str(told()))
    daemon.write(word="two")
    daemon.server.signal(signal.SIGHUP)
    eventually(lambda: told() == (2, "two"), 15, lambda: str(told()))
    daemon.write(word="bad", broken=True)
    daemon.server.signal(signal.SIGHUP)
    eventually(lambda: daemon.log("the old ones stay"), 15, daemon.server.tail)
    assert told() == (2, "two")
    daemon.write(word="three")
    daemon.server.signal(signal.SIGUSR2)
    eventually(lambda: told() == (3, "three"), 15, lambda: str(told()))


def test_the_status_goes_with_the_daemon(daemon: Daemon) -> None:
    eventually(lambda: status(daemon).pid, 15)
    daemon.stop()
    with pytest.raises(StatusError, match="does not run"):
        status(daemon)
