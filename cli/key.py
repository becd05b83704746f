"""`iems key`: the keyring of X-IEMS-Findings, made and turned over while mail is queued.

A key is turned over in two steps, because a daemon that does not know the key that another signs
with takes findings for forged: `prepare` adds one that waits, both daemons are reloaded, `activate`
makes it sign. The one before still verifies for 30 days, longer than mail is in the queue.
Exit 0 done, 1 refused (it exists, one waits, none waits, a daemon does not know it yet).
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from iems.serve.status import StatusError, published
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.keys import RETIRED, WAITING, Key, Keyring, KeyringError, create


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create FILE`, `list`, `prepare`, `activate`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = verbs.add_parser("create", help="write a new keyring; an existing file is left alone")
    made.add_argument("file", type=Path)
    every = verbs.add_parser("list", help="the keys and their states, without the secrets")
    every.add_argument("--json", action="store_true", help="one JSON array")
    verbs.add_parser("prepare", help="add a key that waits until the daemons know it")
    activate = verbs.add_parser("activate", help="let the key that waits sign from now on")
    activate.add_argument(
        "--force", action="store_true", help="although a daemon may not know it yet"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.verb == "create":
        return _create(arguments.file)
    settings = load(arguments.settings)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    try:
        keyring = Keyring.load(settings.keys.findings)
        if arguments.verb == "list":
            return _list(keyring, as_json=arguments.json)
        if arguments.verb == "prepare":
            return _prepare(keyring.prepared(now), settings.keys.findings)
        ignorant = list(_ignorant(settings, keyring.waiting)) if not arguments.force else []
        if ignorant:
            return _refused(f"{' and '.join(ignorant)}; reload, or say --force")
        return _activate(keyring.activated(now), settings.keys.findings)
    except (KeyringError, ValueError) as error:
        return _refused(str(error))


def _create(file: Path) -> int:
    try:
        create(file, time.strftime("k%Y%m%d", time.gmtime()))
    except FileExistsError:
        return _refused(f"{file} exists")
    print(f"wrote {file}")
    return 0


def _list(keyring: Keyring, *, as_json: bool) -> int:
    keys = keyring.keys.values()
    rows = [
        {"id": key.id, "state": key.state, "since": key.since.isoformat() if key.since else None}
        for key in keys
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        since = f" since {row['since']}" if row["since"] else ""
        print(f"{row['id']} {row['state']}{since}")
    return 0


def _prepare(keyring: Keyring, file: Path) -> int:
    keyring.write(file)
    [added] = (key.id for key in keyring.keys.values() if key.state == WAITING)
    print(f"added key {added}, which waits")
    print("next: reload iems-lmtp and iems-milter, then `iems key activate`")
    return 0


def _activate(keyring: Keyring, file: Path) -> int:
    keyring.write(file)
    print(f"key {keyring.active.id} signs from the next reload of iems-milter on")
    print(f"the one before still verifies for {RETIRED.days} days")
    return 0


def _ignorant(settings: Settings, key: Key | None) -> Iterator[str]:
    """The daemons that have not read the keyring since the key was added, in words."""
    for name, file in (
        ("iems-milter", settings.milter.status),
        ("iems-lmtp", settings.agent.status),
    ):
        try:
            status = published(file)
        except StatusError:
            continue  # it does not run, and reads the keyring when it is started
        if key and key.since and status.settings < key.since.timestamp():
            yield f"{name} has not been reloaded since key {key.id} was added"


def _refused(why: str) -> int:
    print(f"iems: {why}", file=sys.stderr)
    return 1
