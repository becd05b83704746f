"""Postfix's configuration as postconf(1) tells it, with what master.cf sets for one service.

It follows MAIL_CONFIG, as every command of Postfix does. What is told is what is written; whether
the processes that run have read it is what `loaded` is for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT = 10.0
_PATH = "/usr/sbin:/usr/bin"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class PostfixError(Exception):
    """There is a Postfix, and its configuration cannot be read; the message has its own words."""


@dataclass(frozen=True)
class Milter:
    """One milter of a list: its address, and what is set for it alone."""

    address: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Postfix:
    """Parameters of main.cf; per service (`smtp/inet`) its program and its own parameters."""

    main: Mapping[str, str]
    programs: Mapping[str, str]
    own: Mapping[tuple[str, str], str]

    def value(self, parameter: str, service: str = "") -> str:
        """What holds for this service; empty for a parameter that there is not."""
        return self.own.get((service, parameter), self.main.get(parameter, ""))

    def yes(self, parameter: str, service: str = "") -> bool:
        """Whether it is switched on."""
        return self.value(parameter, service).lower() == "yes"

    @property
    def listeners(self) -> tuple[str, ...]:
        """The services that take mail by SMTP."""
        return tuple(name for name, program in self.programs.items() if program == "smtpd")

    @property
    def channels(self) -> frozenset[str]:
        """The names that listeners give to their source channel."""
        return frozenset(self.value("milter_macro_daemon_name", one) for one in self.listeners)

    def leads_to(self, address: str, socket: Path) -> bool:
        """Whether `unix:PATH` is this socket; relative, and chrooted, paths are the queue's."""
        kind, _colon, path = address.partition(":")
        queue = Path(self.value("queue_directory"))
        return kind == "unix" and socket in {Path(path), queue / path.lstrip("/")}

    @property
    def directories(self) -> tuple[str, ...]:
        """The tables that stand in a directory server, wherever they are used."""
        values = " ".join((*self.main.values(), *self.own.values()))
        return tuple(dict.fromkeys(re.findall(r"(?:proxy:)?ldap:[^\s,{}]+", values)))

    def transports(self, socket: Path) -> tuple[str, ...]:
        """The services that deliver to this socket, as far as main.cf names them."""
        classes = ("virtual", "mailbox", "local", "relay", "default")
        values = (self.value(f"{name}_transport") for name in classes)
        named = (value.partition(":") for value in values)
        found = (name for name, _colon, to in named if self.leads_to(to, socket))
        return tuple(dict.fromkeys(f"{name}/unix" for name in found))


def read_postfix() -> Postfix | None:
    """The configuration of the Postfix of this host; None where there is none."""
    if shutil.which("postconf", path=_PATH) is None:
        return None
    main = dict(_pairs(_told("-x")))
    services = [line.split() for line in _told("-M")]
    programs = {f"{words[0]}/{words[1]}": words[7] for words in services if len(words) > 7}
    own = {}
    for name, value in _pairs(_told("-Px")):
        service, _slash, parameter = name.rpartition("/")
        own[service, parameter] = value
    return Postfix(main, programs, own)


def loaded(postfix: Postfix) -> float | None:
    """When Postfix last read all of its configuration, in seconds of the epoch; None if it has not.

    That is when its queue manager began: each reload ends it and starts another.
    """
    try:
        master = (Path(postfix.value("queue_directory")) / "pid/master.pid").read_text().strip()
    except OSError:
        return None
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _bracket, rest = file.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        fields = rest.split()
        if name == "qmgr" and fields[1] == master:
            booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
            return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None


def run(
    name: str, *words: str, given: str = "", timeout: float = _TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """One of Postfix's commands, `given` this to read; PostfixError where it misses or hangs.

    What it says keeps its control characters: a line of it ends with a line feed and nothing else.
    """
    try:
        done = subprocess.run(
            [program(name), *words],
            capture_output=True,
            check=False,
            timeout=timeout,
            input=given.encode(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostfixError(f"{name} cannot be asked: {error}") from None
    out, err = (one.decode("utf-8", "replace") for one in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def program(name: str) -> str:
    """Where one of Postfix's commands is: for root alone some are in the PATH."""
    return shutil.which(name, path=_PATH) or name


def milters(value: str) -> Iterator[Milter]:
    """The entries of smtpd_milters; one in braces has options of its own."""
    for inside, plain in re.findall(r"\{([^{}]*)\}|([^\s,{}]+)", value):
        address, *options = re.sub(r"\s*=\s*", "=", inside or plain).replace(",", " ").split()
        yield Milter(address, dict(option.split("=", 1) for option in options if "=" in option))


def seconds(value: str) -> float | None:
    """A time as postconf(5) writes it: a number and its unit, seconds where there is none."""
    digits = value.rstrip("smhdw")
    unit = value.removeprefix(digits) or "s"
    if not digits.isdecimal() or unit not in _UNITS:
        return None
    return float(digits) * _UNITS[unit]


def _told(option: str) -> list[str]:
    done = run("postconf", option)
    if done.returncode:
        raise PostfixError(f"postconf {option}: {done.stderr.strip() or done.returncode}")
    return done.stdout.splitlines()


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _equals, value = line.partition("=")
        yield name.strip(), value.strip()
