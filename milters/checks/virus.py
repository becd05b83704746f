"""`virus`: does a message carry a virus, by any of the scanners that look at it?

All mail is scanned, whoever sends it. `clean` has no band. `infected` is what a scanner names;
`encrypted` an archive that none can look into; `unscanned` what is larger or more involved than is
looked at, and so never clean; a scanner that gives no answer in time, or none that can be trusted,
is `temperror`. Of several scanners any hit counts, and what one of them cannot say is then no
matter. What is done is the site's affair alone (`iems.settings.matrix`).

A few threads carry the messages to the scanners, one message and scanner each. None is ever stuck:
all that it waits for ends by the deadline, and a message whose turn does not come is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from iems.codec.printable import printable
from iems.model.finding import TEMPERROR, VIRUS, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.matrix import INFECTED, REMOVED
from iems.settings.read import Table, Where, join, read_table, setting, somewhere
from iems.store.spool import Spooled
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.engines import kinds
from milters.engines.engine import EngineError
from milters.engines.kinds import Kind
from milters.engines.readings import TooManyError, others, whole
from milters.engines.scanner import Octets, Scanned, Scanner, Verdict

NAME = VIRUS
_GRACE = 1.0
"""Seconds that a thread has to notice that its time is over: it may be reading the message, which
is closed when nobody waits any more."""

T = TypeVar("T")

_REASONS = {
    Verdict.INFECTED.value: "the message carries a virus",
    Verdict.ENCRYPTED.value: "the message carries an encrypted archive",
    Verdict.UNSCANNED.value: "the message cannot be scanned for viruses",
    TEMPERROR: "no virus scanner has looked at the message",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`[checks.virus]` beside mode and default."""

    engines: Mapping[str, Kind] = setting(
        read.elsewhere("table: name to table"),
        "the scanners, each with `kind` (`clamd`, `icap` or `command`) and what that kind wants "
        "(docs/checks/virus.md)",
        example='{ clamav = { kind = "clamd", server = "unix:/run/clamav/clamd.ctl" } }',
    )
    matrix: Table = setting(
        read.elsewhere("table: source channel to table: destination to table: band to action"),
        "what is done by where mail comes from and where it goes (docs/checks/virus.md); without "
        "it `default` is for all mail",
        {},
        example='{ "*" = { local = { infected = "quarantine" }, '
        'internet = { infected = "reject" } } }',
    )
    notify: tuple[str, ...] = setting(
        read.elsewhere("list of `postmaster`, `recipient`, `sender`"),
        "who is told of viruses by mail, where no cell of the matrix has a `notify` of its own; a "
        "sender only if he is ours (docs/checks/virus.md)",
        (),
        example='["postmaster"]',
    )
    max_size: int = setting(
        read.integer(1024, 1 << 30),
        "larger messages are `unscanned`; no more than the scanners take",
        25 << 20,
        "bytes",
    )
    signature_days: int = setting(
        read.integer(0, 365),
        "postmaster is told of a clamd whose signatures are older; 0: he is not",
        3,
        "days",
    )
    timeout: float = setting(
        read.number(0.1, 240),
        "bound on one message, waiting for its turn included; `content_timeout` of `[milter]` "
        "bounds it, too",
        45.0,
        "s",
    )
    connections: int = setting(
        read.integer(1, 64), "messages that each process has with the scanners at once", 5
    )


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.virus]`; SettingsError names file, key, value, expected."""
    settings = read_table(Settings, options, key, where)
    given: object = settings.engines
    return replace(settings, engines=kinds.parse(given, join(key, "engines"), where))


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check."""
    threads = ThreadPoolExecutor(settings.connections, NAME)
    folder = tools.site.milter.state / "spool"
    scanners = {name: one.made(folder) for name, one in settings.engines.items()}
    return (Virus(settings, scanners, threads),)


@dataclass(frozen=True, slots=True)
class Virus:
    """The check; `scanners` by the names that the settings give them."""

    settings: Settings
    scanners: Mapping[str, Scanner]
    threads: ThreadPoolExecutor

    @property
    def name(self) -> str:
        """`virus`."""
        return NAME

    @property
    def stage(self) -> Stage:
        """The whole message is scanned."""
        return Stage.BODY

    def applies(self, view: View) -> bool:  # noqa: ARG002 - the protocol's
        """Always: a virus may come from anybody."""
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Hand the message to the threads."""
        if view.message is None:
            # In shadow a message goes on that could not be kept whole.
            return Known((_finding(TEMPERROR, {"": "it could not be kept"}),))
        return self.scan(view.message, deadline)

    def scan(self, message: Spooled, deadline: Deadline) -> Pending:
        """The same for a message that is here."""
        size, most = message.size, self.settings.max_size
        if size > most:
            why = f"{size} bytes, and max_size is {most}"
            return Known((_finding(Verdict.UNSCANNED.value, {"": why}),))
        due = deadline.sooner(self.settings.timeout)
        under_way: dict[str, Future[Seen]] = {}
        for name, scanner in self.scanners.items():
            try:
                under_way[name] = self.threads.submit(seen_by, scanner, message, due)
            except RuntimeError:
                why = "cannot be asked: no thread could be started"
                under_way[name] = Future()
                under_way[name].set_exception(EngineError(why))
        return Scan(self, under_way, due)


Seen = Mapping[Verdict, str]
"""What a scanner said of one message, and of what; clean is not among it."""


def seen_by(scanner: Scanner, message: Spooled, deadline: Deadline) -> Seen:
    """What it says of the message in all readings, up to the first hit; EngineError."""
    seen: dict[Verdict, str] = {}
    try:
        for octets in _all(message):
            said: Scanned = scanner.scan(octets, deadline)
            if said.verdict is Verdict.INFECTED:
                return {said.verdict: said.name}
            if said.verdict is not Verdict.CLEAN:
                seen.setdefault(said.verdict, said.name)
    except TooManyError as error:
        seen.setdefault(Verdict.UNSCANNED, str(error))
    except OSError as error:
        raise EngineError(f"cannot be given the message: {error.strerror}") from None
    return seen


def _all(message: Spooled) -> Iterator[Octets]:
    yield whole(message)
    yield from others(message)


class Scan:
    """One message at the scanners; collected by one thread at a time."""

    def __init__(
        self, check: Virus, under_way: Mapping[str, Future[Seen]], deadline: Deadline
    ) -> None:
        self.check = check
        self.deadline = deadline
        self._under_way = under_way
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The findings; what they were at first they stay."""
        if self._findings is None:
            self._findings = tuple(self._found())
        return self._findings

    def more(self, work: Callable[[], T]) -> T:
        """More work on the message, by one of the threads; EngineError where it has no time."""
        try:
            future = self.check.threads.submit(work)
        except RuntimeError:
            raise EngineError("no thread could be started") from None
        try:
            return future.result(self.deadline.remaining() + _GRACE)
        except TimeoutError:
            future.cancel()
            raise EngineError("there was no time for it") from None

    def _found(self) -> Iterator[Finding]:
        """One finding of a virus, or one of each thing that keeps the message from being clean."""
        told: dict[str, dict[str, str]] = {}
        for name, future in self._under_way.items():
            for band, what in self._said(future).items():
                told.setdefault(band, {})[name] = what
        if Verdict.INFECTED.value in told:
            told = {Verdict.INFECTED.value: told[Verdict.INFECTED.value]}
        for band, by in told.items():
            yield _finding(band, by)
        if not told:
            engines = (("engines", printable(",".join(self._under_way))),)
            yield Finding(NAME, Verdict.CLEAN.value, evidence=engines)

    def _said(self, future: Future[Seen]) -> dict[str, str]:
        try:
            seen = future.result(self.deadline.remaining() + _GRACE)
        except EngineError as error:
            return {TEMPERROR: str(error)}
        except TimeoutError:
            future.cancel()
            return {TEMPERROR: "had no time for the message"}
        return {verdict.value: what for verdict, what in seen.items()}


def removed(found: Finding) -> Finding:
    """Instead of a finding of a virus that is no more in the message."""
    reason = found.reason.replace(_REASONS[INFECTED], "a virus was removed from the message", 1)
    return replace(found, outcome=REMOVED, band="", reason=reason)


def unremoved(found: Finding, why: str) -> Finding:
    """The finding of a virus that could not be removed."""
    return replace(found, reason=f"{found.reason}; not removed: {printable(why)}")


def _finding(band: str, by: Mapping[str, str]) -> Finding:
    """What the scanners of these names say, each its own."""
    told = {name: printable(what, 100) for name, what in by.items()}
    words = ", ".join(f"{name}: {what}" if name else what for name, what in told.items())
    evidence = tuple((name or "size", what) for name, what in told.items())
    return Finding(NAME, band, band, f"{_REASONS[band]} ({words})", None, evidence)
