"""Scripts that Dovecot runs for everybody, or for everybody of a domain: files that it reads.

`before.toml` and `after.toml` of a folder are the site's rules, those in `DOMAIN/` a domain's. Of
each is made a script of the same name in another folder, with its binary beside it, since users run
it and cannot write there. What does not compile leaves the former one; with the rules the script
goes, too.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sieve.compiling.site import Site
from sieve.diagnostic import Diagnostic
from sieve.installing.compiled import ready
from sieve.installing.installer import Outcome
from sieve.installing.sealed import sealed
from sieve.mailsort.read import MailsortError, read_toml
from sieve.script.profile import Profile

PLACES = ("before", "after")
_MOST = 4 << 20
"""Bytes of a file that are read: more than the reader takes, and it says how much that is."""

_SECONDS = 60
"""For one script; the largest that Pigeonhole takes needs less than one."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What became of one script: `outcome`, or in its place why the former one stays.

    `facts` is whether it asks what the agent has to tell scripts.
    """

    rules: Path
    outcome: Outcome | None
    error: str = ""
    remarks: tuple[Diagnostic, ...] = ()
    facts: bool = False


def install_shared(rules: Path, scripts: Path, profile: Profile, site: Site) -> Iterator[Shared]:
    """Bring all of them to what the rules say; OSError."""
    for file in sorted(_files(rules, ".toml") | _at(rules, _files(scripts, ".sieve"), scripts)):
        script = (scripts / file.relative_to(rules)).with_suffix(".sieve")
        # Nobody is known yet for whom somebody could be refused at RCPT.
        yield _installed(file, script, profile, replace(site, rcpt=False))


def _installed(file: Path, script: Path, profile: Profile, site: Site) -> Shared:
    try:
        with file.open("rb") as stream:
            made = ready(read_toml(stream.read(_MOST)), profile, site, 0)
    except FileNotFoundError:
        for one in (script, script.with_suffix(".svbin")):
            one.unlink(missing_ok=True)
        return Shared(file, Outcome.REMOVED)
    except MailsortError as error:
        return Shared(file, None, "these are no rules", error.remarks)
    told = Shared(file, None, "it cannot be compiled", made.remarks, made.facts)
    if not made.usable:
        return told
    wanted = sealed(made.body or "")
    with contextlib.suppress(FileNotFoundError):
        if script.read_bytes() == wanted and script.with_suffix(".svbin").exists():
            return replace(told, outcome=Outcome.UNCHANGED, error="")
    script.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=script.parent, prefix=".draft-") as folder:
        draft = Path(folder) / script.name
        draft.write_bytes(wanted)
        draft.chmod(0o644)
        refused = _compiled(draft)
        if refused:
            return replace(told, error=refused)
        draft.replace(script)
    return replace(told, outcome=Outcome.INSTALLED, error=_compiled(script))


def _compiled(script: Path) -> str:
    """Have Dovecot's compiler write the binary beside it; what it says where it does not."""
    try:
        done = subprocess.run(
            ["sievec", script], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"sievec gave no answer in {_SECONDS} s"
    return (done.stderr or f"sievec ended with {done.returncode}") if done.returncode else ""


def _files(folder: Path, suffix: str) -> set[Path]:
    names = [f"{place}{suffix}" for place in PLACES]
    return {path for name in names for path in (*folder.glob(name), *folder.glob(f"*/{name}"))}


def _at(rules: Path, scripts: set[Path], below: Path) -> set[Path]:
    """The rules of which these scripts were made, there or not."""
    return {(rules / one.relative_to(below)).with_suffix(".toml") for one in scripts}
