"""`iems jobs list|run`: what a daemon does from time to time, and one of it now, by hand.

It is done in a process of its own, with the rights of the daemon's user and the settings as they
are written, also where the daemon does not run; what goes wrong is told on standard error, as the
daemon tells it in its log. For root.
Exit 0 done, 1 it failed or there is no such job, 75 the daemon is doing it now, 77 not root.
"""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import lmtp.learning.main
import lmtp.main
import milters.main
from cli import entries
from iems.serve.control import Control
from iems.serve.jobs import alone, run_once
from iems.serve.log import Log
from iems.settings.schema import Settings
from lmtp.learning.main import TrainingService
from lmtp.main import AgentService
from milters.main import MilterService

Service: TypeAlias = type[MilterService] | type[AgentService] | type[TrainingService]

SERVICES: Mapping[str, Service] = {
    milters.main.NAME: MilterService,
    lmtp.main.NAME: AgentService,
    lmtp.learning.main.NAME: TrainingService,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list DAEMON`, `run DAEMON NAME`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    every = verbs.add_parser("list", help="print the names of a daemon's jobs, and how often")
    one = verbs.add_parser("run", help="do one of them now")
    for verb in (every, one):
        verb.add_argument("daemon", choices=SERVICES, metavar="DAEMON", help=", ".join(SERVICES))
    one.add_argument("name", metavar="NAME")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says, as the daemon's user from here on."""
    if os.geteuid() != 0:
        return entries.failed("only root does what daemons do", entries.NOT_ALLOWED)
    generation = SERVICES[arguments.daemon](arguments.settings).prepare()
    try:
        _become(_state(arguments.daemon, generation.settings))
    except FileNotFoundError as error:
        return entries.failed(f"{error.filename}: no such folder; {arguments.daemon} never ran")
    log = Log.open(arguments.daemon, foreground=True)
    jobs = {job.name: job for job in generation.jobs(Control(), log)}
    if arguments.verb == "list":
        print("\n".join(f"{name}: every {job.interval:.0f} s" for name, job in jobs.items()))
        return entries.OK
    job = jobs.get(arguments.name)
    if job is None:
        return entries.failed(f"{arguments.daemon} has no such job; it has {', '.join(jobs)}")
    with alone(job, generation.daemon.status.parent) as mine:
        if not mine:
            return entries.failed(f"{arguments.daemon} is doing it now", entries.TEMPORARY)
        return entries.OK if run_once(job, log) else entries.NEGATIVE


def _state(daemon: str, settings: Settings) -> Path:
    """The folder that is the daemon's own."""
    folders = (settings.milter.state, settings.agent.state, settings.bayes.store)
    return dict(zip(SERVICES, folders, strict=True))[daemon]


def _become(folder: Path) -> None:
    """The process has the rights of the folder's owner, and no others any more."""
    user = pwd.getpwuid(folder.stat().st_uid)
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
