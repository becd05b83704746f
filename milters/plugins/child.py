"""The process of a plug-in: `python -m milters.plugins.child CONNECTION LEASH`, two descriptors.

It is told which module it is, with which options and limits, imports it and makes its checks, or
has its function `edit`; then it answers one message after the other. What a plug-in raises is
told, and the process lives on, but for want of memory or descriptors: nobody knows what is whole
then. When the milter is gone and the leash with it, the kernel kills the process with its group,
whatever it is busy with.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from iems.codec import findings as codec
from iems.codec.header import parse_header
from iems.codec.printable import printable
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.dns.zonefile import ZoneResolver
from iems.edits.edit import Edit
from iems.model.address import Address
from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.model.message import Body
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.settings.read import SettingsError
from iems.store.counterfile import CounterFile
from iems.store.spool import FileBody, MemoryBody, Spooled
from milters.checks.guard import Guard
from milters.checks.protocol import Check, Tools, View
from milters.plugins.wire import MAX_QUESTION, edit_row, exactly, frame, receive

_DESCRIPTORS = 256


def main() -> int:
    """Serve until the milter is gone."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    if not _leashed(int(sys.argv[2])):
        return 0
    for name in [*os.environ]:
        if name.startswith("PYTHON"):
            del os.environ[name]
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # as its own children expect it
    order = receive(connection, MAX_QUESTION, _nothing)
    _limit(order["max_memory"])
    try:
        answers, told = _edit(order) if order.get("edit") else _checks(order)
    except SettingsError as error:
        return _end(connection, {"faults": list(error.faults)})
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises is its milter's to know
        traceback.print_exc()
        key = order["key"]
        why = f"{order['places'][key]}: {key} cannot be made: {_told(error)}"
        return _end(connection, {"faults": [why]})
    _send(connection, told)
    return _serve(connection, answers)


def _leashed(leash: int) -> bool:
    """Have the kernel kill the group when the other end is closed; whether it is not yet."""
    os.set_inheritable(leash, False)
    fcntl.fcntl(leash, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(leash, fcntl.F_SETFL, os.O_ASYNC)
    return not select.select([leash], [], [], 0)[0]


def _serve(connection: socket.socket, answers: Answers) -> int:
    while True:
        try:
            asked = Asked(connection)
        except EOFError:
            return 0
        number = asked.told["number"]
        try:
            _send(connection, {"number": number, **answers(asked)})
        except MemoryError:
            return _end(connection, {"number": number, "error": "MemoryError", "over": True})
        except EOFError:
            return 0
        except Exception as error:  # noqa: BLE001 - the same
            traceback.print_exc()
            told = {"number": number, "error": _told(error)}
            if not _opens(connection):
                return _end(connection, {**told, "over": True})
            _send(connection, told)


def _opens(connection: socket.socket) -> bool:
    """Whether it can still open a file; one that has left too many open never will again."""
    try:
        os.close(os.dup(connection.fileno()))
    except OSError:
        return False
    return True


class Asked:
    """One message that this process is asked about; EOFError where nobody asks any more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # The descriptor of a large body comes with the first byte.
        first, passed, _flags, _from = socket.recv_fds(connection, 1, 1)
        if not first:
            raise EOFError
        self._descriptor = passed[0] if passed else -1
        if passed:
            os.set_inheritable(self._descriptor, False)
        self.told: Mapping[str, Any] = receive(connection, MAX_QUESTION, _nothing)
        sizes = self.told.get("octets", ())
        self._octets = iter([exactly(connection, size, _nothing) for size in sizes])

    def found(self, checks: tuple[Check, ...]) -> tuple[Finding, ...]:
        """What the check finds that is asked."""
        try:
            check, view = checks[self.told["check"]], self._view()
            if not check.applies(view):
                return ()
            pending = check.start(view, Deadline.after(self.told["seconds"]))
            return tuple(pending.result())
        finally:
            if self._descriptor >= 0:
                os.close(self._descriptor)

    def edited(self, edit: Callable[[bytes, Mapping[str, str], Any], Edit], settings: Any) -> Edit:  # noqa: ANN401
        """What is done with the message."""
        return edit(next(self._octets), MappingProxyType(self.told["person"]), settings)

    def _view(self) -> View:
        told = self.told
        header = parse_header(next(self._octets)) if told["header"] else None
        message = Spooled(next(self._octets), self._body()) if told["message"] else None
        return Told(
            client=Client(*told["client"]),
            helo=told["helo"],
            channel=told["channel"],
            authenticated=told["authenticated"],
            sender=Address(*told["sender"]) if told["sender"] else None,
            header=header,
            resolved=told["resolved"],
            envelope_from=told["envelope_from"],
            message=message,
            ask=self._ask,
        )

    def _body(self) -> Body:
        if self._descriptor >= 0:
            return FileBody(self._descriptor, self.told["size"])
        return MemoryBody(next(self._octets))

    def _ask(self, name: str) -> tuple[Finding, ...]:
        _send(self._connection, {"number": self.told["number"], "found": name})
        return codec.of_rows(receive(self._connection, MAX_QUESTION, _nothing)["findings"])


Answers: TypeAlias = Callable[[Asked], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Told(View):
    """What the milter told; what others found it is asked for."""

    ask: Callable[[str], tuple[Finding, ...]] = field(
        default=lambda _name: (), repr=False, compare=False
    )

    def found(self, name: str) -> tuple[Finding, ...]:
        """What the check of this name found."""
        return self.ask(name)


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _read(order: Mapping[str, Any]) -> tuple[Any, Any]:
    """The module, and what it makes of its options."""
    module = importlib.import_module(order["module"])
    places: Mapping[str, str] = order["places"]

    def where(key: str) -> str:
        while key and key not in places:
            key = key.rpartition(".")[0]
        return places.get(key, "settings")

    return module, module.parse(order["options"], order["key"], where)


def _checks(order: Mapping[str, Any]) -> tuple[Answers, Mapping[str, object]]:
    module, settings = _read(order)
    checks: tuple[Check, ...] = tuple(module.make(order["label"], settings, _tools(order)))
    return (
        lambda asked: {"findings": codec.rows_of(asked.found(checks))},
        {"checks": [[one.name, one.stage.name] for one in checks]},
    )


def _edit(order: Mapping[str, Any]) -> tuple[Answers, Mapping[str, object]]:
    module, settings = _read(order)
    edit = module.edit
    return lambda asked: {"edit": edit_row(asked.edited(edit, settings))}, {"edit": True}


def _tools(order: Mapping[str, Any]) -> Tools:
    """Of its own: what this process asks and counts is nobody else's."""
    site = from_table(order["site"])
    zone, state, name = order["zone"], site.milter.state, order["module"]
    resolver = (
        StubResolver(servers(site.dns.servers), site.dns.timeout)
        if zone is None
        else ZoneResolver(zone[0], whole=zone[1])
    )
    counters = CounterFile(state / f"plugin-{name}.sqlite")
    return Tools(site, resolver, Guard(Path("/nonexistent/health.json")), counters)


def _told(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}", 200)


def _send(connection: socket.socket, told: Mapping[str, object]) -> None:
    connection.sendall(b"".join(frame(told)))


def _end(connection: socket.socket, told: Mapping[str, object]) -> int:
    _send(connection, told)
    return 0


def _nothing() -> None:
    """Waits for as long as it takes: who asks ends it."""


if __name__ == "__main__":
    sys.exit(main())
