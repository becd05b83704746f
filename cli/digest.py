"""`iems digest list|off|on`: who gets no daily digest of what did not reach him.

A user says so himself by a mail to the address at the end of a digest; `on` gives him one again.
They are sent where `digest.send` is set (docs/digest.md). For root.
Exit 0 done, 75 the agent's file cannot be written, 77 not root.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from cli import entries
from cli.owner import as_owner
from iems.directory.authority import Actor, Thing
from iems.directory.connect import audit
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.digest import FILE, DigestError, Digests


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `off USER...`, `on USER...`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("list", help="print who wants none")
    show.add_argument("--json", action="store_true", help="one JSON array")
    off = verbs.add_parser("off", help="send these users none any more")
    on = verbs.add_parser("on", help="send them digests again")
    for verb in (off, on):
        verb.add_argument("users", nargs="+", type=entries.address, metavar="USER")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if os.geteuid() != 0:
        return entries.failed("only root says what is sent to others", entries.NOT_ALLOWED)
    settings = load(arguments.settings)
    try:
        if arguments.verb == "list":
            with _digests(settings) as digests:
                users = digests.refusing()
            rows = [{"address": user} for user in users]
            return entries.listed(map(entries.shown, users), rows, as_json=arguments.json)
        return entries.audited(lambda log: _set(arguments, settings, log))
    except DigestError as error:
        return entries.failed(entries.shown(str(error)), entries.TEMPORARY)


def _set(arguments: argparse.Namespace, settings: Settings, log: Log) -> int:
    tell = audit(log)
    for address in arguments.users:
        with _digests(settings) as digests:
            changed = digests.refuse(address.key, refuses=arguments.verb == "off")
        tell(Actor(login=entries.operator()), "set", Thing("digest", address.key), arguments.verb)
        state = "set" if changed else "unchanged"
        entries.changed(state, f"digest of {entries.shown(address.key)}: {arguments.verb}")
    return entries.OK


@contextmanager
def _digests(settings: Settings) -> Iterator[Digests]:
    """The agent's file, as the user to whom it belongs: root follows nobody's links."""
    folder = settings.agent.state
    with as_owner(folder), closing(Digests(folder / FILE)) as digests:
        yield digests
