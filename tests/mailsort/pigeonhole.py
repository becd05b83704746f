"""What Pigeonhole says that it does with a message: `sieve-test` of Dovecot, and its words read."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sieve.mailsort.rule import Book
from tests.mailsort.meaning import Facts

_SETTINGS = """
mail_location = maildir:{folder}/mail
mail_uid = nobody
mail_gid = nogroup
namespace inbox {{
  inbox = yes
  separator = /
}}
import_environment = TZ LD_PRELOAD FAKETIME FAKETIME_SHARED
ssl = no
"""
_ACTION = re.compile(r"^ \* ", re.MULTILINE)


class RefusedError(AssertionError):
    """The script does not compile, or failed as it ran: with what the program says."""


@dataclass(frozen=True)
class Done:
    """Folders with flags; `reply` is its handle, `notified` are addresses.

    Flags and addresses that it is sent on to are in small letters.
    """

    files: Mapping[str, frozenset[str]] = field(default_factory=dict)
    forwards: frozenset[str] = frozenset()
    reply: str | None = None
    notified: frozenset[str] = frozenset()
    rejected: str | None = None


@contextmanager
def pigeonhole() -> Iterator[Pigeonhole]:
    """In a folder of its own; as root Dovecot wants a user that is not."""
    with tempfile.TemporaryDirectory(prefix="iems-sieve-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        settings = folder / "dovecot.conf"
        settings.write_text(_SETTINGS.format(folder=folder))
        yield Pigeonhole(folder, settings)


@dataclass(frozen=True)
class Pigeonhole:
    """One `sieve-test` a message."""

    folder: Path
    settings: Path

    def done(self, script: str, message: bytes, facts: Facts) -> Done:
        """What it does with a message that has been delivered with these facts."""
        said = self.run(script, message, facts)
        done = _read(said)
        if done.reply is None:
            return done
        sent = "sent vacation response" in self.run(script, message, facts, "-e")
        return Done(
            done.files,
            done.forwards,
            done.reply if sent else None,
            done.notified,
            done.rejected,
        )

    def compiles(self, script: str) -> None:
        """Has `sievec` take it, without a warning; RefusedError if it does not."""
        rules = self.folder / "script.sieve"
        rules.write_text(script)
        # It puts a file into the place of what it writes to: a device would be gone.
        command = ["sievec", "-c", str(self.settings), str(rules), str(rules.with_suffix(".svbin"))]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if ran.returncode or ran.stderr:
            raise RefusedError(f"{ran.stderr}\n{script}")

    def run(self, script: str, message: bytes, facts: Facts, *options: str) -> str:
        """All that it says; RefusedError if it gave the script up."""
        rules, mail = self.folder / "script.sieve", self.folder / "message"
        rules.write_text(script)
        mail.write_bytes(message)
        ran = subprocess.run(
            [
                *("faketime", "-f", f"@{facts.now:%Y-%m-%d %H:%M:%S}"),
                *("sieve-test", "-C", "-c", str(self.settings), *options),
                *("-f", facts.sender, "-r", facts.recipient, "-a", facts.recipient),
                *(str(rules), str(mail)),
            ],
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        )
        said, errors = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        if ran.returncode or "final result: success" not in errors:
            raise RefusedError(f"{errors}\n{said}\n{script}")
        return f"{said}\n{errors}"


def with_facts(message: bytes, facts: Facts) -> bytes:
    """The message as the agent delivers it: with fields that say what Sieve cannot know."""
    known = [f"{check}={band}" for check, band in facts.findings.items()]
    known += [f"known={book.value}" for book in Book if book in facts.known]
    fields = [("X-IEMS-Fact", one) for one in known]
    fields += [("X-IEMS-Verdict", f"{facts.verdict}; ref=K7")] if facts.verdict else []
    fields += [("X-IEMS-Score", str(facts.score))] if facts.score is not None else []
    fields += [("X-Original-To", facts.original)] if facts.original else []
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return head.encode() + message


def _read(said: str) -> Done:
    """The list of actions; a second one for a folder is dropped, as it is when it is stored."""
    files: dict[str, frozenset[str]] = {}
    forwards, notified = set[str](), set[str]()
    reply = rejected = None
    said = said.partition("Performed actions:")[2]
    said = re.sub(r"START MESSAGE\n.*?\nEND MESSAGE\n", "", said, flags=re.DOTALL)
    said, _, keep = said.partition("\nImplicit keep:\n")
    for action in _ACTION.split(said)[1:] + _ACTION.split(keep)[1:]:
        head, _, details = action.partition("\n")
        what, _, value = head.partition(": ")
        match what:
            case "store message in folder":
                flags = re.search(r"\+ add IMAP flags:(.*)", details)
                files.setdefault(value, frozenset(flags[1].lower().split() if flags else ()))
            case "redirect message to":
                forwards.add(value[1:-1].lower())
            case "send vacation message:":
                found = re.search(r"=> handle +: (.*)", details)
                reply = found[1] if found else ""
            case "reject message with reason":
                rejected = value
            case "discard":
                pass
            case _ if what.startswith("send notification"):
                notified |= set(re.findall(r"\+ To: (.*)", details))
            case _:
                raise AssertionError(f"an action that is not known: {action}")
    return Done(files, frozenset(forwards), reply, frozenset(notified), rejected)
