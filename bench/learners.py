"""Filters of others that learn, from Debian: bogofilter, CRM114 and SpamAssassin's Bayes.

Each is asked about one message and told what it was before the next, in the quickest way it has:
bogofilter takes a process for each question and each lesson, the other two stay. All have the
settings that they come with. A program that says something else than expected ends the run.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from bench.suite import REPOSITORY
from lmtp.bayes.score import Label, Verdict

_BENCH = REPOSITORY / "bench"
_EXIT = (Verdict.SPAM, Verdict.HAM, Verdict.UNSURE)
"""bogofilter's verdict by its exit code."""

_THICK = 10.0
"""What comes nearer to the border than so many pR is learned: mailtrainer.crm's word for OSB."""

_SURE = 0.95
"""From where SpamAssassin's Bayes counts as saying spam (BAYES_95), and its opposite as ham."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a filter says of a message: the higher the score, the more it is spam."""

    score: float
    verdict: Verdict


class Learner(ABC):
    """A filter, empty at first, with what it has learned in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @abstractmethod
    def judge(self, file: Path) -> Said:
        """What it says of a message."""

    @abstractmethod
    def learn(self, file: Path, label: Label, said: Said) -> None:
        """Tell it what the message was, of which it `said` something before."""

    @abstractmethod
    def close(self) -> None:
        """End what runs."""

    def size(self) -> int:
        """Bytes of all that it has learned, as they stand on the disk."""
        return sum(one.stat().st_blocks * 512 for one in self._folder.rglob("*") if one.is_file())


class Bogofilter(Learner):
    """Trains with every message; a process a time."""

    def judge(self, file: Path) -> Said:
        """The score with sixteen digits; the verdict is the exit code. Empty, it only complains."""
        if not (self._folder / "wordlist.db").exists():
            return Said(0.5, Verdict.UNSURE)
        done = self._run("-TT", file)
        return Said(float(done.stdout), _EXIT[done.returncode])

    def learn(self, file: Path, label: Label, said: Said) -> None:  # noqa: ARG002 - whatever it said
        """Register it."""
        self._run("-s" if label is Label.SPAM else "-n", file)

    def close(self) -> None:
        """Nothing runs on."""

    def _run(self, option: str, file: Path) -> subprocess.CompletedProcess[bytes]:
        command = ["bogofilter", "-C", option, "-d", str(self._folder), "-I", str(file)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode not in (0, 1, 2):
            raise RuntimeError(f"bogofilter {option} {file}: {done.stderr.decode()}")
        return done


class BogofilterOnError(Bogofilter):
    """Trains where it was wrong or unsure."""

    def learn(self, file: Path, label: Label, said: Said) -> None:
        """Register it if need be."""
        if said.verdict.value != label.value:
            super().learn(file, label, said)


class _Staying(Learner):
    """A program that takes orders from its standard input, and answers each."""

    def __init__(self, folder: Path, *command: str) -> None:
        super().__init__(folder)
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """It ends with its input."""
        self._process.communicate()

    def _told(self, verb: str, file: Path) -> str:
        """The first line of the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {file}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        return line.rstrip("\n")


class Crm114(_Staying):
    """OSB, thick training on error."""

    def __init__(self, folder: Path) -> None:
        for name in ("ham.css", "spam.css"):
            made = ["cssutil", "-b", "-r", "-q", name]
            subprocess.run(made, cwd=folder, check=True, capture_output=True)
        super().__init__(folder, "crm", str(_BENCH / "osb.crm"))

    def judge(self, file: Path) -> Said:
        """By pR, which has no bound; it says spam from 0 on."""
        line = self._told("judge", file)
        self._rest()
        score = float(line.rpartition("pR:")[2])
        return Said(score, Verdict.SPAM if score >= 0 else Verdict.HAM)

    def learn(self, file: Path, label: Label, said: Said) -> None:
        """Where it was wrong, or right by less than the thickness."""
        if said.verdict.value != label.value or abs(said.score) < _THICK:
            self._told(label.value, file)
            self._rest()

    def _rest(self) -> None:
        while self._line() != "---":
            pass


class SpamAssassin(_Staying):
    """Its Bayes alone, trained with every message; silent before 200 of each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "perl", str(_BENCH / "bayes.pl"), str(folder))

    def judge(self, file: Path) -> Said:
        """The probability; a message about which it is silent is in the middle."""
        line = self._told("judge", file)
        score = 0.5 if line == "none" else float(line)
        unsure = Verdict.UNSURE if score > 1 - _SURE else Verdict.HAM
        return Said(score, Verdict.SPAM if score >= _SURE else unsure)

    def learn(self, file: Path, label: Label, said: Said) -> None:  # noqa: ARG002 - whatever it said
        """Learn it."""
        self._told(label.value, file)
