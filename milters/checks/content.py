"""`content`: what score does a content filter give the message, SpamAssassin's spamd or rspamd?

The score becomes a word: `ham`, without a band, and the bands `unsure`, `spam` and `certain`, each
from its own threshold on. `large` says that the message was not scanned, for it is larger than
`max_size`; it has no band, for a filter that does not look has nothing to act on. A filter that
gives no verdict in time, or none that can be read, is `temperror`.

A few threads carry the messages to the filter, so that it works while other checks do. They start
with the first message that is scanned. None is ever stuck: all that it waits for ends by the
deadline, and a message whose turn does not come by then is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

from iems.codec.printable import LIMIT, printable
from iems.model.finding import TEMPERROR, Finding
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import SettingsError, Table, Where, join, setting, somewhere
from iems.store.spool import Spooled
from milters.checks.clients import Clients, ClientSettings, clients
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.engines.engine import Engine, EngineError, Mail, Verdict
from milters.engines.rspamd import Rspamd
from milters.engines.spamd import Spamd

NAME = "content"
ENGINES: Mapping[str, type[Spamd | Rspamd]] = MappingProxyType({"spamd": Spamd, "rspamd": Rspamd})
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "": "",
        "unsure": "the content filter is not sure about the message",
        "spam": "the content filter takes the message for spam",
        "certain": "the content filter is certain that the message is spam",
    }
)
"""What a refused sender reads: no score and no rule, which would tell a spammer how near he is."""

_GRACE = 1.0
"""Seconds that a thread has to notice that its time is over: it may be reading the message, which
is closed when nobody waits any more."""

_RULES, _RULE = 50, 100
"""Rules that are evidence, and characters of the name of each."""


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.content]` beside mode, default and allow."""

    engine: str = setting(read.one_of(*ENGINES), "which filter it is", example='"spamd"')
    server: Server = setting(
        read.server, "where it listens; a host by its address", example='"inet:127.0.0.1:783"'
    )
    unsure: float = setting(read.number(-1000, 1000), "score from which mail is `unsure`", 2.5)
    spam: float = setting(read.number(-1000, 1000), "score from which it is `spam`", 5.0)
    certain: float = setting(read.number(-1000, 1000), "score from which it is `certain`", 10.0)
    max_size: int = setting(
        read.integer(1024, 1 << 30), "larger messages are not scanned", 512 << 10, "bytes"
    )
    timeout: float = setting(
        read.number(0.1, 240),
        "bound on one message, waiting for its turn included; `content_timeout` of `[milter]` "
        "bounds it, too",
        30.0,
        "s",
    )
    connections: int = setting(
        read.integer(1, 64), "messages that each process has with the filter at once", 5
    )

    def made(self) -> Engine:
        """The engine; opens nothing."""
        return ENGINES[self.engine](self.server)


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.content]`; SettingsError names file, key, value, expected."""
    settings = read.read_table(Settings, options, key, where)
    faults = []
    for lower, upper in (("unsure", "spam"), ("spam", "certain")):
        least, most = getattr(settings, lower), getattr(settings, upper)
        if least > most:
            path = join(key, lower)
            faults.append(f"{where(path)}: {path} is {least}; expected at most {upper}, {most}")
    if faults:
        raise SettingsError(faults)
    return settings


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check."""
    rule = clients(tools.site, settings)
    threads = ThreadPoolExecutor(settings.connections, "content")
    return (Content(rule, settings, settings.made(), threads, tools.site.hostname),)


@dataclass(frozen=True, slots=True)
class Content:
    """The check; `host` is our own name."""

    clients: Clients
    settings: Settings
    engine: Engine
    threads: ThreadPoolExecutor
    host: str

    @property
    def name(self) -> str:
        """`content`."""
        return NAME

    @property
    def stage(self) -> Stage:
        """The whole message is scanned."""
        return Stage.BODY

    def applies(self, view: View) -> bool:
        """Whether this client's mail is scanned."""
        return self.clients.outside(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Hand the message to a thread."""
        if view.message is None or not self.applies(view):
            return Known()
        size, most = view.message.size, self.settings.max_size
        if size > most:
            reason = f"the message of {size} bytes is not scanned: max_size is {most}"
            return Known((Finding(NAME, "large", "", reason),))
        due = deadline.sooner(self.settings.timeout)
        mail = self._mail(view, view.message)
        try:
            under_way = self.threads.submit(self.engine.scan, mail, due)
        except RuntimeError:
            return Known((self.unknown("cannot be asked: no thread could be started"),))
        return Scan(self, under_way, due)

    def finding(self, verdict: Verdict) -> Finding:
        """What the score says."""
        settings = self.settings
        bands = {"certain": settings.certain, "spam": settings.spam, "unsure": settings.unsure}
        band = next((one for one, least in bands.items() if verdict.score >= least), "")
        least = bands[band or "unsure"]
        evidence = [("engine", settings.engine), ("score", f"{verdict.score:g}")]
        evidence.append(("threshold", f"{least:g}"))
        if verdict.rules:
            evidence.append(("rules", evidence_of(verdict.rules)))
        return Finding(NAME, band or "ham", band, REASONS[band], verdict.score, tuple(evidence))

    def unknown(self, why: str) -> Finding:
        """There is no verdict."""
        evidence = (("engine", self.settings.engine),)
        return Finding(NAME, TEMPERROR, TEMPERROR, f"the content filter {why}", None, evidence)

    def _mail(self, view: View, message: Spooled) -> Mail:
        """The message, and the client that is judged: of a trusted relay, the one before it."""
        hop = self.clients.hop(view, Stage.HEADERS)
        ip, name, helo = view.client.ip or "", view.client.name, view.helo
        if hop is not None:
            ip, name, helo = str(hop.address), "", hop.helo
        return Mail(message, self.host, ip, name, helo, view.envelope_from, view.authenticated)


class Scan:
    """One message at the filter; collected by one thread at a time."""

    def __init__(self, check: Content, under_way: Future[Verdict], deadline: Deadline) -> None:
        self._check = check
        self._under_way = under_way
        self._deadline = deadline
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            self._findings = (self._finding(),)
        return self._findings

    def _finding(self) -> Finding:
        try:
            verdict = self._under_way.result(self._deadline.remaining() + _GRACE)
        except EngineError as error:
            return self._check.unknown(str(error))
        except TimeoutError:
            self._under_way.cancel()
            return self._check.unknown("had no time for the message")
        return self._check.finding(verdict)


def evidence_of(rules: tuple[str, ...]) -> str:
    """As many names as fit, whole, and dots where there are more."""
    names = [printable(rule, _RULE) for rule in rules[:_RULES]]
    while len(text := ",".join(names)) > LIMIT - 4:
        del names[-1]
    return text if len(names) == len(rules) else f"{text},..."
