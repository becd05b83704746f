"""What Pigeonhole would do with a message: its sieve-test run, and what it says read.

It sends nothing, and stores in a folder of its own that is gone afterwards. The script runs as
`nobody` where we are root, for Dovecot wants a user who is not. Strings that the program would
repeat over several lines are put aside before: nothing in a rule or a message can pass for a line
of its report.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from sieve.main import UNAVAILABLE, Failure
from sieve.script.printer import to_text
from sieve.script.profile import Profile
from sieve.script.tree import Argument, Command, Script, Tag, Text, texts

_SETTINGS = """\
mail_home = {folder}
mail_location = maildir:{folder}/mail
log_path = /dev/stderr
ssl = no
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
namespace inbox {{
  inbox = yes
  separator = {separator}
}}
plugin {{
  sieve_max_script_size = {profile.octets}
  sieve_max_actions = {profile.actions}
  sieve_max_redirects = {profile.redirects}
  sieve_variables_max_value_size = {profile.value}
}}
"""
_SECONDS = 60
_ACTION = re.compile(r"^ \* ", re.MULTILINE)
_FLAGS = re.compile(r"^ +\+ add IMAP flags: (.*)$", re.MULTILINE)
_TO = re.compile(r"^ +\+ To: (.*)$", re.MULTILINE)
_UNSENT = re.compile(r"vacation action: (discard.*)$", re.MULTILINE)
_REASON = re.compile(r"^(?:script: (?:line \d+: )?error|error: msgid=[^:]*): (.*)$", re.MULTILINE)
_SUCCESS = re.compile(r"^sieve-test: Info: final result: success$", re.MULTILINE)
_SENT = re.compile(r"^sieve-test: .*vacation action: sent vacation response to ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Filed:
    """A folder that gets the message, and with which flags."""

    folder: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message; INBOX is a folder as any.

    `reply` is the text that the sender is answered with, `unanswered` why he is not though a rule
    says so. `rejected` is the text of the refusal. `failed` is why the script was given up: then
    the message is in INBOX, if the script could run at all.
    """

    filed: tuple[Filed, ...] = ()
    forwarded: tuple[str, ...] = ()
    reply: str | None = None
    unanswered: str = ""
    notified: tuple[str, ...] = ()
    rejected: str | None = None
    failed: str = ""

    @property
    def lost(self) -> bool:
        """Whether nobody has the message."""
        return not (self.filed or self.forwarded or self.rejected is not None or self.failed)


def outcome(
    script: Script,
    message: bytes,
    profile: Profile,
    *,
    separator: str = "/",
    sender: str = "",
    recipient: str = "",
) -> Outcome:
    """Run a script on a message; sender and recipient are those of the envelope.

    Where they are empty they are those of the header; the null sender cannot be tried. Failure
    without Pigeonhole.
    """
    rehearsal = _Rehearsal()
    script = replace(script, commands=rehearsal.prepared(script.commands))
    with tempfile.TemporaryDirectory(prefix="iems-sieve-") as name:
        folder = Path(name)
        uid, gid = os.geteuid(), os.getegid()
        if uid == 0:
            uid, gid = pwd.getpwnam("nobody")[2:4]
            os.chown(folder, uid, gid)
        settings = _SETTINGS.format(
            folder=folder, profile=profile, separator=separator, uid=uid, gid=gid
        )
        files = {"dovecot.conf": settings.encode(), "message": message}
        files["script.sieve"] = to_text(script).encode()
        for file, content in files.items():
            (folder / file).write_bytes(content)
            (folder / file).chmod(0o644)
        words = ["-x", " ".join(sorted(profile.extensions | {"mailbox"}))]
        words += ["-f", sender] if sender else []
        words += ["-r", recipient, "-a", recipient] if recipient else []
        # What it would do, and then whether that can be done: the first says what, the second if.
        said, log = _run(folder, words)
        planned = Outcome()
        if _SUCCESS.search(log):
            planned = _read(said, rehearsal)
            log = _run(folder, ["-e", *words])[1]
        if not _SUCCESS.search(log):
            reasons = _REASON.findall(log) or [log.strip().rpartition("\n")[2]]
            kept = (Filed("INBOX"),) if "implicit keep" in log else ()
            return Outcome(kept, failed=reasons[0])
        if planned.reply is None or _SENT.search(log):
            return planned
        unsent = _UNSENT.search(log)
        return replace(planned, reply=None, unanswered=unsent[1] if unsent else "it is not sent")


def _run(folder: Path, words: list[str]) -> tuple[str, str]:
    # With a USER each line that it logs begins otherwise.
    environment = {name: value for name, value in os.environ.items() if name != "USER"}
    try:
        done = subprocess.run(
            [
                *("sieve-test", "-C", "-c", str(folder / "dovecot.conf"), *words),
                *(str(folder / "script.sieve"), str(folder / "message")),
            ],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            cwd="/",
            env=environment,
        )
    except FileNotFoundError:
        raise Failure(
            UNAVAILABLE, "there is no sieve-test here: install Pigeonhole (dovecot-sieve)"
        ) from None
    except subprocess.TimeoutExpired:
        raise Failure(UNAVAILABLE, f"sieve-test gave no answer in {_SECONDS} s") from None
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


class _Rehearsal:
    """The script as it is run: texts of several lines have a word in their place, folders exist."""

    def __init__(self) -> None:
        self.marker = secrets.token_hex(8)
        self.texts: dict[str, str] = {}

    def prepared(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        return tuple(self._one(command) for command in commands)

    def meant(self, word: str) -> str:
        """The text in whose place it stands, or itself."""
        return self.texts.get(word, word)

    def _one(self, one: Command) -> Command:
        if one.block is not None:
            return replace(one, block=self.prepared(one.block))
        match one.name:
            case "fileinto" if Tag("create") not in one.arguments:
                return replace(one, arguments=(Tag("create"), *one.arguments))
            case "vacation":
                *tags, text = one.arguments
                return replace(one, arguments=(*map(_flat, tags), self._aside(text)))
            case "reject" if any("\n" in text.value for text in texts(one)):
                return replace(one, arguments=tuple(map(self._aside, one.arguments)))
            case "notify":
                return replace(one, arguments=tuple(map(_flat, one.arguments)))
        return one

    def _aside(self, argument: Argument) -> Argument:
        if not isinstance(argument, Text):
            return argument
        word = f"{self.marker}-{len(self.texts)}"
        self.texts[word] = argument.value
        return Text(word)


def _flat(argument: Argument) -> Argument:
    if isinstance(argument, Text):
        return replace(argument, value=" ".join(argument.value.split()))
    return argument


def _read(said: str, rehearsal: _Rehearsal) -> Outcome:
    """The report; what is filed a second time is dropped, as it is when it is stored."""
    filed: dict[str, Filed] = {}
    forwarded: list[str] = []
    notified: list[str] = []
    reply = rejected = None
    for action in _ACTION.split(said)[1:]:
        head, _, details = action.partition("\n")
        what, _, value = head.partition(": ")
        if what == "store message in folder":
            flags = _FLAGS.search(details)
            filed.setdefault(value, Filed(value, tuple(flags[1].split() if flags else ())))
        elif what == "redirect message to":
            forwarded.append(value[1:-1])
        elif head.startswith("send vacation message"):
            text = details.partition("START MESSAGE\n")[2].partition("\nEND MESSAGE\n")[0]
            reply = rehearsal.meant(text.removesuffix("\n"))
        elif what == "reject message with reason":
            rejected = rehearsal.meant(value)
        elif what.startswith("send notification"):
            notified += _TO.findall(details)
    return Outcome(
        tuple(filed.values()),
        tuple(dict.fromkeys(forwarded)),
        reply,
        "",
        tuple(dict.fromkeys(notified)),
        rejected,
    )
