"""procmail and maildrop, run on a message as a mail server runs them: where it went."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_PATH = {"PATH": "/usr/bin:/bin"}
_SENDMAIL = '#!/bin/sh\ncat > /dev/null\nfor one; do echo "$one" >> "{sent}"; done\n'
_ROOTS = ("Maildir/", "Mail/", "mail/")


@dataclass(frozen=True)
class Went:
    """Folders, INBOX among them, and addresses."""

    folders: frozenset[str]
    forwards: frozenset[str]


Original: TypeAlias = Callable[[bytes, bytes, str], Went]
"""Rules, a message with bare line feeds and its envelope sender."""


def procmail(rules: bytes, message: bytes, sender: str) -> Went:
    """By procmail in the mode in which the rules are all that it reads."""
    with tempfile.TemporaryDirectory(prefix="iems-procmail-") as name:
        home = _home(Path(name), rules)
        (home / "Mail").mkdir()
        _run_procmail(home, message, sender)
        return _went(home)


def conditions_of_procmail(conditions: list[str], message: bytes, sender: str) -> set[int]:
    """Which of these conditions hold, by their places: a log says it, since files take seconds."""
    with tempfile.TemporaryDirectory(prefix="iems-procmail-") as name:
        recipes = (f':0\n* {one}\n{{ LOG="{at} " }}\n' for at, one in enumerate(conditions))
        rules = f"LOGFILE={name}/log\nLOGABSTRACT=no\n{''.join(recipes)}:0\n/dev/null\n"
        home = _home(Path(name), rules.encode())
        _run_procmail(home, message, sender)
        return set(map(int, (home / "log").read_text().split()))


def _run_procmail(home: Path, message: bytes, sender: str) -> None:
    subprocess.run(
        [
            *("procmail", "-m", f"HOME={home}", f"MAILDIR={home}", f"DEFAULT={home}/Maildir/"),
            *(f"ORGMAIL={home}/Maildir/", f"SENDMAIL={home}/sendmail", f"{home}/rules"),
        ],
        input=f"From {sender}  Fri Nov 27 12:00:00 2026\n".encode() + message,
        check=True,
        capture_output=True,
        cwd=home,
        env=_PATH,
    )


def maildrop(rules: bytes, message: bytes, sender: str) -> Went:
    """By maildrop with a Maildir as DEFAULT."""
    with tempfile.TemporaryDirectory(prefix="iems-maildrop-") as name:
        begin = f'HOME="{name}"\nDEFAULT="{name}/Maildir"\nSENDMAIL="{name}/sendmail"\n'
        home = _home(Path(name), begin.encode() + rules)
        (home / "Mail").mkdir()
        for folder in ("Maildir", *_named(rules)):
            subprocess.run(["maildirmake.maildrop", str(home / folder)], check=True)
        subprocess.run(
            ["maildrop", "-f", sender, f"{home}/rules"],
            input=message,
            check=True,
            capture_output=True,
            cwd=home,
            env={**_PATH, "HOME": str(home)},
        )
        return _went(home)


def _named(rules: bytes) -> list[str]:
    """Maildirs that rules for maildrop name in a comment: it makes none itself."""
    (first,) = [line for line in rules.decode().split("\n") if line.startswith("# Maildirs: ")]
    return first.removeprefix("# Maildirs: ").split()


def _home(home: Path, rules: bytes) -> Path:
    (home / "rules").write_bytes(rules)
    (home / "rules").chmod(0o600)
    (home / "sendmail").write_text(_SENDMAIL.format(sent=home / "sent"))
    (home / "sendmail").chmod(0o755)
    return home


def _went(home: Path) -> Went:
    sent = home / "sent"
    words = sent.read_text().split("\n") if sent.exists() else []
    return Went(frozenset(_folders(home)), frozenset(one for one in words if "@" in one))


def _folders(home: Path) -> Iterator[str]:
    for place, _inner, files in os.walk(home):
        path = Path(place).relative_to(home)
        if path.name == "new" and files:
            yield _folder(f"{path.parent}/")
        elif path.name not in {"new", "cur", "tmp"}:
            names = (path / one for one in files if (Path(place) / one).stat().st_size)
            yield from (_folder(str(one)) for one in names if one.name not in _OURS)


_OURS = {"rules", "sendmail", "sent", "log", "maildirfolder"}


def _folder(path: str) -> str:
    if path in {"INBOX", "Maildir/"}:
        return "INBOX"
    for root in _ROOTS:
        path = path.removeprefix(root)
    return path[1:-1].replace(".", "/") if path.startswith(".") else path.rstrip("/")
