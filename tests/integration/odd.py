"""A check and an edit that others wrote, and badly: they do what the subject of a message says.

It is installed beside the daemons by `install`, as pip would do it.
"""

from __future__ import annotations

from pathlib import Path

SECONDS = 100_013
"""What it begins sleeps for so long, as nobody else does."""

_POINTS = """[iems.checks]
odd = iems_odd
helo = iems_odd
[iems.edits]
odd = iems_odd
text = iems_odd
"""
_SOURCE = '''
import ctypes
import os
import signal
import subprocess
import sys
import threading

from iems.codec.header import unfold
from iems.edits.edit import Edit
from iems.model.finding import Finding
from milters.checks.protocol import Stage

BANDS = {"odd": "tag", "temperror": "tag"}
MANY = True


def parse(options, key, where):
    return None


def make(label, settings, tools):
    return (Odd(label),)


def edit(message, person, settings):
    return hang(message) if b"Subject: edit hang" in message else Edit()


class Odd:
    stage = Stage.BODY

    def __init__(self, label):
        self.name = f"odd/{label}"

    def applies(self, view):
        return True

    def start(self, view, deadline):
        return Seen(self.name, view)


class Seen:
    def __init__(self, name, view):
        self.name = name
        self.view = view

    def result(self):
        """A subject is for one of the checks: `hasty hang` for odd/hasty."""
        words = unfold(self.view.header.named(b"subject")[0].value).decode().split()
        if len(words) != 2 or self.name != f"odd/{words[0]}":
            return ()
        return globals()[words[1]](self.view)


def odd(outcome, band="", reason=""):
    return Finding("odd/patient", outcome, band, reason)


def fine(view):
    size = sum(map(len, view.message.body.pieces()))
    others = [one.outcome for one in view.found("iprev")]
    told = (view.client.ip, view.helo, view.envelope_from, view.channel, *others, size)
    return (odd("pass", "", " ".join(map(str, told))),)


def hang(view):
    subprocess.Popen(["sleep", "SECONDS"])
    while True:
        pass


def exits(view):
    os._exit(3)


def dies(view):
    ctypes.string_at(0)


def raises(view):
    raise ValueError("of its own")


def eats(view):
    held = []
    while True:
        held.append(bytes(1 << 20))


def lies(view):
    return (Finding("virus", "fail", "infected"),)


def nonsense(view):
    os.write(int(sys.argv[1]), b"\\xff" * 100)
    return ()


def early(view):
    """Answers once more, as if asked about the next message."""
    def answer():
        os.write(int(sys.argv[1]), b"\\0\\0\\0\\2{}")
    threading.Timer(0.2, answer).start()
    return fine(view)


def flood(view):
    for _number in range(2000):
        os.write(2, b"flooded " * 128 + b"\\n")
    return fine(view)
'''


def install(folder: Path) -> None:
    """Into a folder in which Python looks."""
    folder.mkdir(exist_ok=True)
    (folder / "iems_odd.py").write_text(_SOURCE.replace("SECONDS", str(SECONDS)))
    about = folder / "iems_odd-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: iems-odd\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(_POINTS)
