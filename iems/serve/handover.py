"""What a supervisor hands to its own next image, over exec(2): the socket and the children.

The listening socket travels as systemd passes one (descriptor 3, LISTEN_FDS, LISTEN_PID), the rest
in one variable of the environment: which children there are, and the descriptors of their pipes.
The process id stays, so the children stay children. The same variable tells a program to do nothing
but to check its settings.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from iems.serve.children import Child
from iems.serve.listener import Listener
from iems.serve.notify import FIRST

_VARIABLE = "IEMS_SERVE"
_CHECK = "check"
_SAFE = 10
"""Descriptors that are kept lie from here on, out of the way of those that are passed."""


@dataclass(frozen=True)
class Handover:
    """What came from the image before."""

    generation: int
    path: Path
    inode: tuple[int, int] | None
    children: tuple[Child, ...]


def command() -> list[str]:
    """How this program is started: its script, which names its own interpreter, or as it was.

    A script is run by its name, so that a link to a newer version leads there.
    """
    script = Path(sys.argv[0]).absolute()
    if script.is_file() and os.access(script, os.X_OK):
        return [str(script), *sys.argv[1:]]
    return [sys.executable, *sys.orig_argv[1:]]


def exec_check() -> NoReturn:
    """Become a next image that only checks its settings. OSError when that cannot be."""
    program, *arguments = command()
    os.execve(program, [program, *arguments], {**os.environ, _VARIABLE: _CHECK})  # noqa: S606


def exec_next(listener: Listener, generation: int, children: Iterable[Child]) -> NoReturn:
    """Become the next image of this program. OSError when that cannot be."""
    rows = [
        {
            "pid": child.pid,
            "role": child.role,
            "generation": child.generation,
            "pipe": fcntl.fcntl(child.pipe.fileno(), fcntl.F_DUPFD, _SAFE),
            "end": child.end,
            "born": child.born,
        }
        for child in children
    ]
    state = {
        "generation": generation,
        "path": str(listener.path),
        "inode": listener.inode,
        "children": rows,
    }
    passed = fcntl.fcntl(listener.socket.fileno(), fcntl.F_DUPFD_CLOEXEC, _SAFE)
    os.dup2(passed, FIRST, inheritable=True)
    environment = {
        **os.environ,
        _VARIABLE: json.dumps(state),
        "LISTEN_FDS": "1",
        "LISTEN_PID": str(os.getpid()),
    }
    program, *arguments = command()
    os.execve(program, [program, *arguments], environment)  # noqa: S606


def only_check(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started only to check its settings."""
    return environment.get(_VARIABLE) == _CHECK


def taken_over(environment: MutableMapping[str, str] = os.environ) -> Handover | None:
    """What the image before has left; None at a first start. To be asked once."""
    text = environment.pop(_VARIABLE, "")
    if not text:
        return None
    state = json.loads(text)
    children = []
    for row in state["children"]:
        os.set_inheritable(row["pipe"], False)
        pipe = socket.socket(fileno=row.pop("pipe"))
        children.append(Child(pipe=pipe, **row))
    inode = tuple(state["inode"]) if state["inode"] else None
    return Handover(state["generation"], Path(state["path"]), inode, tuple(children))
