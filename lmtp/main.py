"""`iems-lmtp`: settings to a supervised daemon.

Nothing is opened before the fork: each worker makes its own directory connections, connections to
the next hops and records writer.
"""

from __future__ import annotations

import functools
import socket as sockets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iems.directory.connect import audit, connect, connect_store, unavailable
from iems.directory.reader import Directory
from iems.notices import digest, outages, passwords, shadow
from iems.notices.postmaster import Postmaster
from iems.notices.shadow import ShadowNotices
from iems.serve.backends import Question, backends
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.serve.program import run
from iems.serve.supervisor import Control, Job
from iems.settings.judging import judging
from iems.settings.load import read_files
from iems.settings.policy import missing_findings
from iems.settings.read import SettingsError
from iems.settings.schema import AgentSettings, Settings
from iems.store import expiry
from iems.store.digest import FILE
from iems.store.keys import Keyring, KeyringError
from iems.store.quarantine import Quarantine
from iems.store.records import Recorder, new_reference
from iems.store.signingkeys import SigningKeyError, files
from iems.store.spool import Spool
from lmtp import trained
from lmtp.agent import Agent
from lmtp.books import Books
from lmtp.bymail import ByMail
from lmtp.dsn import Reports
from lmtp.editing import Editor
from lmtp.forwards import Forwards
from lmtp.judging import Judge
from lmtp.provenance import Origin
from lmtp.release import Releases
from lmtp.server import Server
from lmtp.session import Limits, Session
from lmtp.tracing import Tracing
from lmtp.transaction import Deliver
from lmtp.upstream import Upstream, greeted

NAME = "iems-lmtp"
_GROWTH = 1 << 20
"""Bytes over `max_message`: Postfix and milter add header fields to what the client sent, and a
message that Postfix took must not be bounced for those."""

_CLOSE = 10.0
"""Seconds for the records that are queued when a worker ends."""


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; exit status 78 for wrong settings, 69 if the socket is taken."""
    return run(NAME, "The LMTP agent of IEMS.", AgentService, argv)


@dataclass(frozen=True)
class AgentService:
    """The daemon as its supervisor sees it."""

    settings_file: Path
    name: str = NAME

    def prepare(self) -> AgentGeneration:
        """Load and check all that the workers will need."""
        written = read_files(self.settings_file)
        settings = written.settings
        # Before all else: what changes meanwhile is then another one, and not overlooked.
        fingerprint = written.fingerprint(settings.agent)
        keyring = _keyring(settings)
        generation = AgentGeneration(
            settings, keyring, Editor.of(settings), _tracing(settings, keyring), fingerprint
        )
        generation.directory(lambda _note: None)
        if judging(settings.checks):
            trained.connect_store(settings.bayes)
        return generation


@dataclass(frozen=True)
class AgentGeneration:
    """One set of settings, and what a worker does with it."""

    settings: Settings
    keyring: Keyring
    editor: Editor
    tracing: Tracing
    fingerprint: str

    @property
    def daemon(self) -> AgentSettings:
        """What concerns the supervisor."""
        return self.settings.agent

    def work(self, listener: sockets.socket, control: Control, log: Log) -> None:
        """Serve until told to drain."""
        state = self.settings.agent.state
        folder = state / "spool"
        folder.mkdir(mode=0o750, exist_ok=True)
        spool = Spool(folder)
        limits = Limits(message=self.settings.agent.max_message + _GROWTH)
        recorder = Recorder(state / "records.sqlite")
        agent = self._agent(recorder, spool, log, control.meter)
        releases = Releases(agent, spool, self.keyring.secret)
        secrets = [key.secret for key in self.keyring.keys.values()]
        front: Deliver = ByMail(
            agent, releases, secrets, state / FILE, self._postmaster(), audit(log)
        )
        if self.settings.trains_by_mail:
            trainer = self.settings.bayes.socket
            front = Forwards(front, agent.directory, agent.origin, trainer, log, recorder.add)
        hostname = self.settings.hostname
        control.meter.watch("records_dropped_total", lambda: recorder.dropped)
        server = Server(
            lambda wire: Session(wire, hostname, spool, front, releases.release, log, limits),
            log,
            control.meter,
        )
        server.serve(listener, control)
        recorder.close(Deadline.after(_CLOSE))

    def jobs(self, control: Control, log: Log) -> Sequence[Job]:
        """A look at what it stands on, at what is old or half done, and whom there is to notify."""
        settings = self.settings
        directory = self.directory(lambda note: log.warning("directory entry", note=note))
        questions: dict[str, Question] = {
            "directory": lambda deadline: unavailable(directory, settings.hostname, deadline),
            **{
                f"upstream {channel}": functools.partial(greeted, target, settings.hostname)
                for channel, target in settings.agent.upstreams.items()
            },
        }
        if judging(settings.checks) is not None:
            store = trained.connect_store(settings.bayes)
            questions["filters"] = functools.partial(trained.unavailable, store)
        state, keep = settings.agent.state, settings.keep
        postmaster = replace(self._postmaster(), timeout=outages.TIMEOUT)
        told = outages.Outages(state / "outages.json", postmaster, log)
        return (
            backends(questions, control.meter, log, told.seen),
            expiry.of_quarantine(Quarantine(state / "quarantine"), keep.quarantine, log),
            expiry.of_records(state / "records.sqlite", keep.records, log),
            Job("shadow", shadow.INTERVAL, self._shadow(log).run),
            *self._digest(directory, log),
            *self._passwords(log),
        )

    def _postmaster(self) -> Postmaster:
        settings = self.settings
        return Postmaster(settings.postmaster, settings.hostname, settings.notices.smtp)

    def _shadow(self, log: Log) -> ShadowNotices:
        settings, state = self.settings, self.settings.agent.state
        file, postmaster = state / "shadow", self._postmaster()
        return ShadowNotices(settings.shadows, state / "records.sqlite", file, postmaster, log)

    def _digest(self, directory: Directory, log: Log) -> Sequence[Job]:
        settings, state = self.settings, self.settings.agent.state
        if not settings.digest.send:
            return ()
        job = digest.DigestNotices(
            hour=settings.digest.hour,
            language=settings.digest.language,
            host=settings.hostname,
            file=state / FILE,
            records={
                "iems-lmtp": state / "records.sqlite",
                "iems-milter": settings.milter.state / "records.sqlite",
            },
            quarantine=Quarantine(state / "quarantine"),
            directory=directory,
            keyring=self.keyring,
            sender=self._postmaster(),
            log=log,
        )
        return (Job("digest", digest.INTERVAL, job.run),)

    def _passwords(self, log: Log) -> Sequence[Job]:
        """Passwords end where a directory server verifies them."""
        settings, own = self.settings, self.settings.agent
        if settings.directory.kind != "ldap":
            return ()
        job = passwords.PasswordNotices(
            store=connect_store(settings.directory, own.ldap_dn, own.ldap_password_file),
            file=own.state / "told.sqlite",
            days=settings.notices.password_days,
            how=settings.notices.password_help,
            notifier=self._postmaster(),
            log=log,
        )
        return (Job("passwords", passwords.INTERVAL, job.run),)

    def directory(self, note: Callable[[str], None]) -> Directory:
        """The directory; SettingsError where its file or password cannot be used."""
        own = self.settings.agent
        return connect(self.settings.directory, own.ldap_dn, own.ldap_password_file, note)

    def _agent(self, recorder: Recorder, spool: Spool, log: Log, meter: Meter) -> Agent:
        settings = self.settings
        missing = missing_findings(settings.checks)
        upstreams = {
            channel: Upstream(target, settings.hostname)
            for channel, target in settings.agent.upstreams.items()
        }
        return Agent(
            settings=settings,
            directory=self.directory(lambda note: log.warning("directory entry", note=note)),
            origin=Origin(settings.hostname, self.keyring.secret, missing, new_reference),
            upstreams=upstreams,
            recorder=recorder,
            quarantine=Quarantine(settings.agent.state / "quarantine"),
            reports=Reports(settings.notices.smtp, settings.hostname, log),
            spool=spool,
            editor=self.editor,
            log=log,
            meter=meter,
            tracing=self.tracing,
            judge=Judge.of(settings, log, meter),
            books=self._books(log),
        )

    def _books(self, log: Log) -> Books:
        """Address books stand in a directory server, which is asked on connections of their own."""
        settings, own = self.settings.directory, self.settings.agent
        if settings.kind != "ldap":
            return Books()
        return Books(connect_store(settings, own.ldap_dn, own.ldap_password_file), log)


def _keyring(settings: Settings) -> Keyring:
    try:
        return Keyring.load(settings.keys.findings)
    except KeyringError as error:
        raise SettingsError([str(error)]) from None


def _tracing(settings: Settings, keyring: Keyring) -> Tracing:
    """Marks, where there are keys that could seal: which they are is for the milter alone."""
    try:
        return Tracing(keyring.active if files(settings.signing.keys) else None)
    except SigningKeyError as error:
        raise SettingsError([str(error)]) from None


if __name__ == "__main__":
    sys.exit(main())
