"""The listening socket: found only when it accepts, never taken from another process."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from iems.serve.listener import ListenError, adopt, listen
from iems.serve.notify import notify, passed_socket


def test_it_accepts_as_soon_as_it_is_found_and_goes_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    listener = listen(path, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert [one.name for one in tmp_path.iterdir()] == ["x.sock"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        listener.socket.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.socket.accept()
    listener.remove()
    assert not path.exists()


def test_a_socket_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    first = listen(path, "")
    with pytest.raises(ListenError, match="another process listens"):
        listen(path, "")
    first.remove()


def test_a_stale_socket_and_a_stale_beginning_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    for name in ("x.sock", "x.sock.bind"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
            stale.bind(str(tmp_path / name))
    listen(path, "").remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.write_text("mine")
    with pytest.raises(ListenError, match="is no socket"):
        listen(path, "")
    assert path.read_text() == "mine"


def test_what_cannot_be_made_is_one_error_with_its_name(tmp_path: Path) -> None:
    for path, group in ((tmp_path / "no" / "x.sock", ""), (tmp_path / "x.sock", "no such group")):
        with pytest.raises(ListenError, match=f"cannot listen on {path}"):
            listen(path, group)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_successor_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    first = listen(path, "")
    path.unlink()
    second = listen(path, "")
    first.remove()
    assert path.exists()
    second.remove()


def test_only_a_listening_unix_socket_is_adopted(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf,
        pytest.raises(ListenError, match="no listening unix socket"),
    ):
        adopt(deaf, tmp_path / "x", None)


def test_sockets_for_another_process_are_not_taken() -> None:
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
    assert passed_socket(environment) is None
    assert environment == {}
    assert passed_socket({}) is None


def test_nobody_is_told_where_nobody_asked(tmp_path: Path) -> None:
    notify("READY=1", {})
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
