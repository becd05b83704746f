"""`iems-milter`: settings to a supervised daemon.

Nothing is opened before the fork: each worker makes its own directory connections, DNS sockets and
records writer.
"""

from __future__ import annotations

import socket as sockets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iems.directory.connect import connect, unavailable
from iems.directory.reader import Directory
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.editing.assembly import Plan, build_edits
from iems.notices import holds, outages, viruses
from iems.notices.holds import HoldNotices
from iems.notices.postmaster import Postmaster
from iems.notices.removed import Removals
from iems.notices.viruses import VirusNotices
from iems.serve.backends import backends
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.program import run
from iems.serve.supervisor import Control, Job
from iems.settings.load import read_files
from iems.settings.read import SettingsError
from iems.settings.schema import MilterSettings, Settings
from iems.store import counting, expiry, owed
from iems.store.counters import Counters
from iems.store.keys import Keyring, KeyringError
from iems.store.records import Recorder, new_reference
from iems.store.signingkeys import DomainKeys, SigningKeyError, load_all
from iems.store.spool import Spool
from milters import adapter
from milters.account import Account
from milters.assembly import build_checks, content_engine, lists, scanners, signature_days
from milters.chain import Chain, Runtime
from milters.checks import flow
from milters.checks.guard import Guard
from milters.checks.health import HealthTest
from milters.checks.protocol import Tools
from milters.engines.age import ages
from milters.engines.clamd import Clamd
from milters.plugins import edits
from milters.plugins.family import running

NAME = "iems-milter"
_HEALTH_INTERVAL = 60.0
"""Seconds between two tests of all lists: a dead list is noticed by the workers' own breaker within
three questions, a lying one within a minute."""

_CLOSE_SECONDS = 10.0


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; exit status 78 for wrong settings, 69 if the socket is taken."""
    return run(NAME, "The milter of IEMS.", MilterService, argv)


@dataclass(frozen=True)
class MilterService:
    """The daemon as its supervisor sees it."""

    settings_file: Path
    name: str = NAME

    def prepare(self) -> MilterGeneration:
        """Load and check all that the workers will need."""
        written = read_files(self.settings_file)
        settings = written.settings
        # Before all else: what changes meanwhile is then another one, and not overlooked.
        fingerprint = written.fingerprint(settings.milter)
        try:
            dns_servers = servers(settings.dns.servers)
            keyring = Keyring.load(settings.keys.findings)
            signing_keys = load_all(settings.signing.keys)
        except (ValueError, KeyringError, SigningKeyError) as error:
            raise SettingsError([str(error)]) from None
        build_checks(Tools.within(settings, StubResolver(dns_servers, 0.0), settings.milter.state))
        plan = build_edits(settings, edits.make)
        removals = Removals.of(settings)
        generation = MilterGeneration(settings, keyring, signing_keys, plan, removals, fingerprint)
        generation.directory(lambda _note: None)
        generation.counters()
        return generation


@dataclass(frozen=True)
class MilterGeneration:
    """One set of settings, and what a worker does with it."""

    settings: Settings
    keyring: Keyring
    signing_keys: Mapping[str, DomainKeys]
    plan: Plan
    removals: Removals
    fingerprint: str

    @property
    def daemon(self) -> MilterSettings:
        """What concerns the supervisor."""
        return self.settings.milter

    def work(self, listener: sockets.socket, control: Control, log: Log) -> None:
        """Serve until told to drain."""
        settings = self.settings
        resolver = StubResolver(servers(settings.dns.servers), settings.dns.timeout)
        folder = settings.milter.state / "spool"
        folder.mkdir(mode=0o750, exist_ok=True)
        records = settings.milter.state / "records.sqlite"
        recorder = Recorder(records)
        records.chmod(0o640)  # the agent is in our group, and tells users what was refused to them
        counters = self.counters(lambda why: log.error("nothing can be counted", why=why))
        checks = build_checks(Tools(settings, resolver, Guard(_health_file(settings)), counters))
        runtime = Runtime(
            settings=settings,
            checks=checks,
            directory=self.directory(lambda note: log.warning("directory entry", note=note)),
            keyring=self.keyring,
            spool=Spool(folder),
            account=Account(recorder, log, control.meter, time.time),
            counters=counters,
            new_reference=new_reference,
            signing_keys=self.signing_keys,
            plan=self.plan,
            removals=self.removals,
        )
        control.meter.watch("records_dropped_total", lambda: recorder.dropped)
        with running(checks, log, self.plan):
            adapter.serve(lambda: Chain(runtime), listener, control, log)
        recorder.close(Deadline.after(_CLOSE_SECONDS))
        counters.close()

    def jobs(self, control: Control, log: Log) -> Sequence[Job]:
        """The health of the lists and backends, and old records; a cache would hide a dead list."""
        settings = self.settings
        resolver = StubResolver(servers(settings.dns.servers), settings.dns.timeout, cache=0)
        postmaster = Postmaster(settings.postmaster, settings.hostname, settings.notices.smtp)
        test = HealthTest(lists(settings), resolver, _health_file(settings), postmaster, log)
        directory = self.directory(lambda note: log.warning("directory entry", note=note))
        questions = {
            "directory": lambda deadline: unavailable(directory, settings.hostname, deadline),
            "resolver": lambda deadline: _silent(resolver, settings.hostname, deadline),
        }
        engine = content_engine(settings)
        if engine is not None:
            questions["content"] = engine.ping
        found = scanners(settings)
        questions.update({name: one.ping for name, one in found.items()})
        if settings.counters.shared:
            questions["counters"] = counting.connect_server(settings.counters).unavailable
        health = Job("health", _HEALTH_INTERVAL, test.run)
        old = expiry.of_records(
            settings.milter.state / "records.sqlite", settings.keep.records, log
        )
        told = outages.Outages(
            settings.milter.state / "outages.json",
            replace(postmaster, timeout=outages.TIMEOUT),
            log,
        )
        jobs = [health, backends(questions, control.meter, log, told.seen), old]
        clamds = {name: one for name, one in found.items() if isinstance(one, Clamd)}
        if clamds:
            stale = outages.Outages(
                settings.milter.state / "signatures.json",
                replace(postmaster, timeout=outages.TIMEOUT),
                log,
                notice="signatures-old",
            )
            jobs.append(ages(clamds, signature_days(settings), control.meter, stale.seen))
        if found:
            notices = VirusNotices(
                settings.milter.state / owed.FILE,
                settings.postmaster,
                settings.digest.language,
                settings.hostname,
                directory,
                replace(postmaster, timeout=viruses.TIMEOUT),
                log,
            )
            jobs.append(Job(viruses.NOTICE, viruses.INTERVAL, notices.run))
        if any(check.family == flow.NAME for check in settings.checks):
            state = settings.milter.state
            notifier = replace(postmaster, timeout=holds.TIMEOUT)
            job = HoldNotices(self.counters(), state / "held", notifier, log)
            jobs.append(Job("held", holds.INTERVAL, job.run))
        return jobs

    def directory(self, note: Callable[[str], None]) -> Directory:
        """The directory; SettingsError where its file or password cannot be used."""
        own = self.settings.milter
        return connect(self.settings.directory, own.ldap_dn, own.ldap_password_file, note)

    def counters(self, note: Callable[[str], None] = lambda _why: None) -> Counters:
        """The counters; SettingsError where the password of their server cannot be used."""
        return counting.connect(self.settings.counters, self.settings.milter.state, note)


def _silent(resolver: StubResolver, name: str, deadline: Deadline) -> str:
    """Why the resolver does not answer; that there is no such name is an answer."""
    status = resolver.ask(name, "A").result(deadline).status
    return "" if status.definite else status.value


def _health_file(settings: Settings) -> Path:
    return settings.milter.state / "health.json"


if __name__ == "__main__":
    sys.exit(main())
