"""What runs, held against what is written: one row for each thing that was asked.

Daemons tell what they run (`iems.serve.status`) and are spoken to on their sockets; the directory
is asked as each account, the lists about their test entries, and the servers behind the agent about
a user that there is not. Nothing is sent and nothing is changed. Every question has a deadline.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from cli.check import judged
from cli.check.row import Row, row
from cli.postfix import Postfix, PostfixError, loaded, run
from iems.codec.printable import printable
from iems.directory.connect import connect
from iems.directory.reader import DirectoryUnavailable
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.model.finding import BAYES
from iems.serve.deadline import Deadline
from iems.serve.status import StatusError, published, resident
from iems.settings.bayes import BayesSettings
from iems.settings.load import Written
from iems.settings.read import SettingsError
from iems.settings.schema import AdminSettings, AgentSettings, MilterSettings, Settings
from iems.store.counting import connect_server
from lmtp import trained
from lmtp.dialogue import BrokenError, Dialogue
from lmtp.learning.protocol import PeerError, Request, ask
from milters.assembly import lists
from milters.checks.health import tested

_PATIENCE = 5.0
"""Seconds for one server; a healthy one needs none of them."""

_BLUR = 0.1
"""Seconds by which the start of a process is inexact; the kernel counts it in hundredths."""

_NEGOTIATION = struct.pack(">IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)
"""What Postfix says first to a milter: version 6, all actions, all steps."""


def rows(written: Written, postfix: Postfix | PostfixError | None) -> list[Row]:
    """The answers to all questions, which are asked at the same time."""
    settings = written.settings
    milter, agent = settings.milter, settings.agent
    questions: list[Callable[[], Iterable[Row]]] = [
        lambda: [running("iems-milter", written, milter), _milter(milter.socket)],
        lambda: [running("iems-lmtp", written, agent), _agent(settings)],
        lambda: trainer(written),
        lambda: _lists(settings),
        lambda: _counters(settings),
        lambda: _filters(settings),
        *(partial(_directory, settings, one) for one in (milter, agent, settings.admin)),
        *(partial(_upstream, settings, *one) for one in agent.upstreams.items()),
    ]
    if isinstance(postfix, Postfix):
        # Asked once and alone: who asks holds the lock that the next one would take for Postfix's.
        master = _master(postfix)
        questions.append(lambda: [master, *_postfix(settings, postfix)])
        tables = postfix.directories if master.ok else ()
        questions += [partial(_table, settings, one) for one in tables]
    elif postfix is not None:
        unread = Row("postfix", ok=False, text=str(postfix))
        questions.append(lambda: [unread])
    with ThreadPoolExecutor(len(questions)) as pool:
        return [one for answer in pool.map(lambda ask: list(ask()), questions) for one in answer]


def running(
    name: str, written: Written, program: MilterSettings | AgentSettings | BayesSettings
) -> Row:
    """Whether this daemon runs what is written, by what it publishes."""
    title = f"{name} settings"
    try:
        found = published(program.status)
    except StatusError as error:
        return Row(title, ok=False, text=f"{error}; start {name}")
    if found.stale or not resident(found.pid):
        text = f"{name} hangs or was killed, its process {found.pid}; restart it"
        return Row(title, ok=False, text=text)
    release = Path(sys.prefix).name
    if found.release != release:
        text = f"{name} is of the release {found.release}, and this is {release}; restart it"
        return Row(title, ok=False, text=text)
    read = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.settings))
    return row(
        title,
        found.fingerprint == written.fingerprint(program),
        f"{name} runs what is written, read at {read}",
        f"{name} runs what it read at {read}, and what is written is other; reload it",
    )


def _milter(path: Path) -> Row:
    """Whether a worker answers: the socket alone may be systemd's."""
    name = "iems-milter answers"
    deadline = Deadline.after(_PATIENCE)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline.remaining())
            connection.connect(str(path))
            connection.sendall(_NEGOTIATION)
            answer = connection.recv(5)
            connection.sendall(struct.pack(">Ic", 1, b"Q"))
    except OSError as error:
        return Row(name, ok=False, text=f"{path}: {error.strerror or error}; start iems-milter")
    return row(
        name,
        answer[4:] == b"O",
        f"iems-milter negotiates on {path}",
        f"{path}: what answers there is no milter",
    )


def _agent(settings: Settings) -> Row:
    path = settings.agent.socket
    try:
        _greeted(f"unix:{path}", settings.hostname, Deadline.after(_PATIENCE)).close()
    except BrokenError as error:
        return Row("iems-lmtp answers", ok=False, text=f"{path}: {error}; start iems-lmtp")
    return Row("iems-lmtp answers", ok=True, text=f"iems-lmtp greets on {path}")


def trainer(written: Written) -> Iterator[Row]:
    """Whether what users train is taken, where there is a filter."""
    settings = written.settings
    if all(check.family != BAYES for check in settings.checks):
        return
    name, path = "iems-bayes", settings.bayes.socket
    yield running(name, written, settings.bayes)
    nobody = Request("hello", f"iems-check@{settings.hostname}")
    try:
        answer = ask(path, nobody, b"", Deadline.after(_PATIENCE))
    except PeerError as error:
        yield Row(f"{name} answers", ok=False, text=f"{error}; start {name}")
        return
    yield row(
        f"{name} answers",
        answer.done,
        f"{name} takes requests on {path}",
        f"{name} takes no requests: {printable(answer.text)}",
    )


def _greeted(target: str, hostname: str, deadline: Deadline) -> Dialogue:
    """A session that has been greeted; BrokenError with what was said instead."""
    dialogue = Dialogue.open(target, deadline)
    try:
        answer = dialogue.reply(_PATIENCE, deadline)
        if answer.positive:
            (answer,) = dialogue.ask([f"LHLO {hostname}"], deadline, together=False)
    except BrokenError:
        dialogue.close()
        raise
    if not answer.positive:
        dialogue.close()
        raise BrokenError(answer)
    return dialogue


def _upstream(settings: Settings, channel: str, target: str) -> Iterator[Row]:
    """A user that there is not is refused for good by a server whose own directory answers."""
    name, deadline = f"upstream {channel}", Deadline.after(_PATIENCE)
    nobody = f"RCPT TO:<iems-check@{settings.hostname}>"
    try:
        dialogue = _greeted(target, settings.hostname, deadline)
        try:
            sender, answer = dialogue.ask(["MAIL FROM:<>", nobody], deadline, together=False)
        finally:
            dialogue.close()
    except BrokenError as error:
        yield Row(name, ok=False, text=f"{target}: {printable(str(error))}; start its server")
        return
    yield row(
        name,
        sender.positive and not answer.temporary,
        f"{target} takes mail, and its directory answers",
        f"{target} takes no mail: {printable(str(answer if sender.positive else sender))}",
    )


def _directory(
    settings: Settings, program: MilterSettings | AgentSettings | AdminSettings
) -> Iterator[Row]:
    """Whether this account may ask."""
    ldap = settings.directory.kind == "ldap"
    where = settings.directory.uri if ldap else str(settings.directory.file)
    name = f"directory {program.ldap_dn}" if ldap else f"directory {where}"
    deadline = Deadline.after(min(settings.directory.timeout, _PATIENCE))
    try:
        directory = connect(
            settings.directory, program.ldap_dn, program.ldap_password_file, lambda _note: None
        )
        directory.domains([settings.hostname], deadline)
    except (SettingsError, DirectoryUnavailable) as error:
        yield Row(name, ok=False, text=str(error))
    else:
        yield Row(name, ok=True, text=f"{where} answers")


def _lists(settings: Settings) -> Iterator[Row]:
    try:
        found = lists(settings)
        resolver = StubResolver(servers(settings.dns.servers), settings.dns.timeout, cache=0)
    except (SettingsError, ValueError) as error:
        yield Row("lists", ok=False, text=str(error))
        return
    for one in tested(found, resolver, Deadline.after(_PATIENCE)):
        yield row(
            f"list {one.label} {one.family}",
            not one.wrong,
            f"{one.label} answers about {one.family} as its test wants",
            f"{one.label} is not asked about {one.family} while this is so: {one.wrong}",
        )
    resolver.close()


def _counters(settings: Settings) -> Iterator[Row]:
    """Whether the server counts, if there is one."""
    server = str(settings.counters.server)
    if not settings.counters.shared:
        return
    try:
        with closing(connect_server(settings.counters)) as counters:
            why = counters.unavailable(Deadline.after(_PATIENCE))
    except SettingsError as error:
        why = str(error)
    yield row("counters", not why, f"{server} counts", f"nothing is counted: {why}")


def _filters(settings: Settings) -> Iterator[Row]:
    """Whether the server keeps what users have trained, if there is one."""
    server = str(settings.bayes.server)
    if not settings.bayes.shared:
        return
    try:
        with closing(trained.connect_store(settings.bayes)) as store:
            why = trained.unavailable(store, Deadline.after(_PATIENCE))
    except SettingsError as error:
        why = str(error)
    yield row("filters", not why, f"{server} answers", f"no filter of a user says anything: {why}")


def _postfix(settings: Settings, postfix: Postfix) -> Iterator[Row]:
    yield _reloaded(postfix)
    yield from judged.connected(settings, postfix)
    yield from judged.rows(settings, postfix)
    for folder in postfix.value("multi_instance_directories").replace(",", " ").split():
        yield _master(postfix, folder)


def _table(settings: Settings, table: str) -> Iterator[Row]:
    """Whether Postfix, as it runs, gets an answer about an address that there is not."""
    name = f"postfix {table}"
    try:
        done = run("postmap", "-q", f"iems-check@{settings.hostname}", table)
    except PostfixError as error:
        yield Row(name, ok=False, text=str(error))
        return
    _before, fatal, why = done.stderr.partition("fatal: ")
    yield row(
        name,
        not fatal,
        f"{table} answers",
        f"Postfix gets no answer, and mail waits: {printable(why.strip())}",
    )


def _reloaded(postfix: Postfix) -> Row:
    """Whether Postfix has read its configuration as it stands now."""
    folder, read = Path(postfix.value("config_directory")), loaded(postfix)
    files = (folder / "main.cf", folder / "master.cf")
    return row(
        "postfix reload",
        read is not None and max(file.stat().st_mtime for file in files) <= read + _BLUR,
        "Postfix has read what is written",
        "main.cf or master.cf was written since Postfix has read them; run postfix reload",
    )


def _master(postfix: Postfix, folder: str = "") -> Row:
    """Postfix's own question whether it runs, without its script around it (master(8)).

    `folder` is that of another Postfix, which this one manages.
    """
    where, name = (("-c", folder), f"postfix {folder}") if folder else ((), "postfix")
    try:
        done = run(f"{postfix.value('daemon_directory')}/master", *where, "-t")
    except PostfixError as error:
        return Row(name, ok=False, text=str(error))
    whose = f"Postfix of {folder}" if folder else "Postfix"
    good, wrong = f"{whose} runs", f"{whose} does not run; start it"
    return row(name, done.returncode == 1, good, wrong)
