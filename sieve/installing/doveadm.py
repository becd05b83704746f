"""The Sieve scripts of a user by `doveadm sieve`, for root on Dovecot's own host.

Each command is a process of its own, which reads and writes as the user's own system user. A script
is compiled with his settings before it is renamed into its place. Names and texts are measured of
Dovecot 2.3.19 with Pigeonhole 0.5.19.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from iems.serve.deadline import Deadline
from sieve.installing.order import NoDovecotError, configured
from sieve.installing.scripts import RefusedError, ServerError
from sieve.script.profile import PIGEONHOLE

_LARGEST = 16 << 20
"""Bytes of what is printed: a file that stands for a script may be of any size."""

_TOLD = 1 << 16
"""Bytes of what is said of errors."""

_HEAD = b"sieve script:\n"
_NOT_FOUND = 68
_REFUSED = frozenset({os.EX_DATAERR, os.EX_NOUSER, os.EX_CANTCREAT})
"""It does not compile or is active, there is no such user, his quota is full."""

_ERROR = re.compile(r"^.*?\b(?:Error|Fatal): (?:sieve: )?(.*)$", re.MULTILINE)
_MASK = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class Doveadm:
    """The scripts of `user`, on a server with these `extensions`; all by one deadline."""

    user: str
    deadline: Deadline
    extensions: frozenset[str]

    def listed(self) -> Mapping[str, bool]:
        """The names of all scripts, and of each whether it is the active one."""
        try:
            rows = json.loads(self._done("list", form="json"))
            return {row["script"]: row["active"] == "ACTIVE" for row in rows}
        except (ValueError, TypeError, KeyError):
            raise ServerError("the answer of `doveadm sieve list` is no list") from None

    def get(self, name: str) -> bytes | None:
        """A script; None where there is none of this name."""
        try:
            printed = self._done("get", name, form="pager")
        except _NotFoundError:
            return None
        if not printed.startswith(_HEAD):
            raise ServerError("the answer of `doveadm sieve get` is no script")
        return printed.removeprefix(_HEAD)

    def put(self, name: str, script: bytes) -> None:
        """Keep a script in the place of the one of this name, which stays where it is refused."""
        self._done("put", name, script=script)

    def delete(self, name: str) -> None:
        """Take a script away; one that is active is refused."""
        self._done("delete", name)

    def _done(self, verb: str, *names: str, form: str = "flow", script: bytes = b"") -> bytes:
        """What is printed; _NotFoundError, RefusedError, ServerError."""
        if _MASK.search(self.user):
            # It would be done to all users whose names fit.
            raise RefusedError(f"{self.user}: Dovecot takes no such name for a user")
        words = ["doveadm", "-f", form, "sieve", verb, "-u", self.user, *names]
        try:
            code, printed, told = _run(words, script, self.deadline)
        except OSError as error:
            raise ServerError(f"doveadm: {error}") from error
        if code == os.EX_OK:
            return printed
        said = "\n".join(_ERROR.findall(told)) or told.strip() or f"doveadm ended with {code}"
        if code == _NOT_FOUND:
            raise _NotFoundError(said)
        raise RefusedError(said) if code in _REFUSED else ServerError(said)


class _NotFoundError(RefusedError):
    """There is no script of this name."""


def extensions() -> frozenset[str]:
    """What scripts of users may require, by Dovecot's configuration on this host; ServerError.

    Words of `sieve_extensions` add to what Pigeonhole has of itself if any begins with a sign, and
    else are all. What `sieve_global_extensions` names scripts of users have not.
    """
    try:
        settings = configured()
    except NoDovecotError as error:
        raise ServerError(str(error)) from None
    known = PIGEONHOLE.extensions
    if "sieve_extensions" in settings:
        words = settings["sieve_extensions"].split()
        if not any(word[0] in "+-" for word in words):
            known = frozenset()
        known |= {word.removeprefix("+") for word in words if word[0] != "-"}
        known -= {word[1:] for word in words if word[0] == "-"}
    shared = settings.get("sieve_global_extensions", "").split()
    return known - {word.removeprefix("+") for word in shared}


def _run(words: list[str], given: bytes, deadline: Deadline) -> tuple[int, bytes, str]:
    """How it ends, what it prints and says; ServerError where it is too late or too much."""
    with tempfile.TemporaryFile() as script, tempfile.TemporaryFile() as errors:
        # A file, which is whole before it is read: of a pipe that breaks what came would be kept.
        script.write(given)
        script.seek(0)
        with subprocess.Popen(
            words,
            stdin=script,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Who interrupts a run has those finished that were begun.
            start_new_session=True,
        ) as process:
            timer = threading.Timer(deadline.remaining(), process.kill)
            timer.start()
            try:
                printed = process.stdout.read(_LARGEST + 1) if process.stdout else b""
                if len(printed) > _LARGEST:
                    raise ServerError("doveadm says too much")
                code = process.wait()
            finally:
                timer.cancel()
                process.kill()
        if code < 0 and deadline.expired:
            raise ServerError("doveadm gives no answer in time")
        errors.seek(0)
        return code, printed, errors.read(_TOLD).decode("utf-8", "replace")
