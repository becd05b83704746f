"""In which order Dovecot runs the scripts of a user, by its own configuration on this host.

`sieve_before`, `sieve_before2` and so on come before the user's own script, `sieve_after` and its
like behind it, up to the first number that is not there (Pigeonhole 0.5). A script of which there
is no file is passed over.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sieve.installing.sealed import NAME

OWN, OURS = "own", "ours"

_SECONDS = 20.0
_ROW = re.compile(r"^\s*(sieve\w*) = (.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"%L?([udn%])")


@dataclass(frozen=True, slots=True)
class Turn:
    """One script in its turn: `path` of a file, or `ours`, or whichever is the user's `own`."""

    path: str

    @property
    def shared(self) -> bool:
        """Whether it is one of the site's."""
        return self.path not in {OWN, OURS}


class NoDovecotError(Exception):
    """Its configuration cannot be asked here; the message says why."""


def turns(user: str) -> tuple[Turn, ...]:
    """The scripts for a user in their order; NoDovecotError."""
    return tuple(ordered(configured(), user))


def configured() -> Mapping[str, str]:
    """What stands under `plugin` in its configuration about Sieve; NoDovecotError."""
    try:
        done = subprocess.run(
            ["doveconf", "plugin"], capture_output=True, text=True, check=True, timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoDovecotError(str(error)) from None
    return dict(_ROW.findall(done.stdout))


def ordered(settings: Mapping[str, str], user: str) -> Iterator[Turn]:
    """The same, of what stands under `plugin`."""
    yield from _numbered(settings, "sieve_before", user)
    yield Turn(OWN)
    yield from _numbered(settings, "sieve_after", user)


def _numbered(settings: Mapping[str, str], name: str, user: str) -> Iterator[Turn]:
    for number in itertools.count(1):
        value = settings.get(name if number == 1 else f"{name}{number}")
        if value is None:
            return
        path = value.partition(";")[0].removeprefix("file:")
        if path.startswith("~/") and path.endswith(f"/{NAME}.sieve"):
            yield Turn(OURS)
        else:
            yield Turn(_expanded(path, user))


def _expanded(path: str, user: str) -> str:
    local, _at, domain = user.partition("@")
    values = {"u": user, "n": local, "d": domain, "%": "%"}
    return _VARIABLE.sub(lambda found: values[found[1]], path)
