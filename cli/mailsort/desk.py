"""What the commands about rules share: a user's rules read, kept, compiled and installed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cli import entries
from iems.directory.admin import Admin
from iems.directory.mailsort import Shelf
from iems.directory.policy import MAX_SENDERS
from iems.directory.tree import canonical
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.settings.mailsort import DOVEADM, MailsortSettings
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from sieve.compiling.site import AfterQueue, Site
from sieve.diagnostic import Diagnostic, Severity
from sieve.installing.compiled import Ready, ready
from sieve.installing.doveadm import Doveadm, extensions
from sieve.installing.installer import Outcome, bring
from sieve.installing.managesieve import Master, opened
from sieve.installing.scripts import RefusedError, Scripts, ServerError
from sieve.mailsort.read import MailsortError, check, read_json
from sieve.mailsort.rule import Mailsort
from sieve.mailsort.write import to_json
from sieve.script.profile import PIGEONHOLE

_SECONDS = 30.0
"""For all that is asked of the server about one user."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one user's script: a word of `Outcome`, `refused` or `unusable`."""

    user: str
    outcome: str
    error: str = ""
    remarks: tuple[Diagnostic, ...] = ()
    changed: bool = False

    @property
    def good(self) -> bool:
        """Whether what runs for him is what his rules say."""
        return self.outcome in {
            Outcome.INSTALLED.word,
            Outcome.REMOVED.word,
            Outcome.UNCHANGED.word,
        }

    @property
    def reasons(self) -> list[str]:
        """Why the server or the compiler takes it not, for its user; empty where they do."""
        if self.outcome not in {"refused", "unusable"}:
            return []
        errors = [str(one) for one in self.remarks if one.severity is Severity.ERROR]
        return [*self.error.splitlines(), *errors] or [self.outcome]

    def row(self) -> dict[str, object]:
        """For programs."""
        remarks = [str(one) for one in self.remarks]
        return {
            "user": self.user,
            "outcome": self.outcome,
            "error": self.error or None,
            "remarks": remarks,
        }


class Desk:
    """The rules of users, for who has been let in."""

    def __init__(self, admin: Admin, settings: Settings) -> None:
        self.shelf = Shelf(admin)
        self.settings = settings

    def rules(self, user: Address) -> Mailsort:
        """The rules of a user; MailsortError where what is stored is none."""
        text = self.shelf.read(user).text
        return read_json(text) if text else Mailsort()

    def unusable(self, user: Address, error: MailsortError) -> int:
        """The exit code where what is stored is no rules, which is told."""
        remark(error.remarks)
        return entries.failed(f"what is stored for {user} is no rules; `iems mailsort set` can")

    def keep(self, user: Address, rules: Mailsort) -> bool:
        """Store these; whether they are others. MailsortError where they cannot be meant."""
        check(rules)
        return self.shelf.write(user, b"" if rules == Mailsort() else to_json(rules).encode())

    def ready(
        self, user: Address, rules: Mailsort, extensions: frozenset[str] | None = None
    ) -> Ready:
        """What is installed of these rules for this user, on a server that knows these extensions.

        Without them: those that Pigeonhole has of itself.
        """
        profile = PIGEONHOLE if extensions is None else replace(PIGEONHOLE, extensions=extensions)
        addresses = (canonical(user), *self.shelf.others(user))
        return ready(rules, profile, replace(site(self.settings), addresses=addresses), MAX_SENDERS)

    @contextmanager
    def scripts(self, user: Address) -> Iterator[Scripts]:
        """The scripts of a user on the server; ServerError, RefusedError."""
        deadline = Deadline.after(_SECONDS)
        if self.settings.mailsort.install == DOVEADM:
            yield Doveadm(user.key, deadline, self._extensions)
        else:
            with opened(master(self.settings.mailsort), user.key, deadline) as scripts:
                yield scripts

    @functools.cached_property
    def _extensions(self) -> frozenset[str]:
        return extensions()

    def install(self, user: Address, *, force: bool = False) -> Result:
        """Bring his script, and whom is refused for him, to what is stored; ServerError."""
        try:
            rules = self.rules(user)
        except MailsortError as error:
            return Result(user.key, "unusable", remarks=error.remarks)
        try:
            with self.scripts(user) as scripts:
                return self._brought(user, rules, scripts, force=force)
        except RefusedError as error:
            return Result(user.key, "refused", str(error))

    def _brought(self, user: Address, rules: Mailsort, scripts: Scripts, *, force: bool) -> Result:
        made = self.ready(user, rules, scripts.extensions)
        if not made.usable:
            return Result(user.key, "unusable", remarks=made.remarks)
        outcome = bring(scripts, made.body, force=force)
        changed = outcome in {Outcome.INSTALLED, Outcome.REMOVED}
        if outcome is not Outcome.EDITED:
            changed |= self.shelf.derive(user, made.refused, facts=made.facts)
        return Result(user.key, outcome.word, "", made.remarks, changed)


def site(settings: Settings) -> Site:
    """What the site has decided about rules; nothing is bounced for who wants it quarantined."""
    bounces = settings.reject_after_queue == AfterQueue.BOUNCE.value
    return Site(
        junk=settings.mailsort.junk,
        trash=settings.mailsort.trash,
        separator=settings.mailsort.separator,
        reject_after_queue=AfterQueue.BOUNCE if bounces else AfterQueue.JUNK,
    )


def master(settings: MailsortSettings) -> Master:
    """Who logs in for users, and where; SettingsError where his password is missing."""
    file = settings.master_password_file
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file}: cannot be read: {error}"]) from None
    host, _colon, port = settings.managesieve.rpartition(":")
    return Master(host.strip("[]"), int(port), settings.master, password)


def tell(result: Result) -> int:
    """Print what became of one user; the exit code for it."""
    remark(result.remarks)
    what = f"rules of {entries.shown(result.user)}"
    if result.good:
        return entries.changed(result.outcome, what)
    return entries.failed(f"{what}: {explained(result)}")


def explained(result: Result) -> str:
    """Why what runs is not what the rules say, on one line."""
    if result.outcome == Outcome.EDITED.word:
        return "not installed: somebody has edited the script; --force writes over it"
    text = " ".join(entries.shown(line) for line in result.error.splitlines())
    if result.outcome == "refused":
        return f"not installed, what was there stays: the server says {text}"
    return f"not installed, what was there stays: {text or 'see the errors above'}"


def remark(remarks: Iterable[Diagnostic]) -> None:
    """Print what there is to say about rules."""
    for one in remarks:
        print(f"iems: {entries.shown(str(one))}", file=sys.stderr)


def unavailable(error: ServerError) -> int:
    """The exit code where there is no server, which is told."""
    return entries.failed(f"Dovecot cannot answer: {entries.shown(str(error))}", entries.TEMPORARY)


@dataclass
class Tally:
    """How many scripts came to what."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """One more."""
        self.counts[result.outcome] = self.counts.get(result.outcome, 0) + 1

    def __str__(self) -> str:
        return ", ".join(f"{count} {word}" for word, count in sorted(self.counts.items()))
