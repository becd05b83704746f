"""`iems backup FILE`: all that this server knows, in one file for root alone, while it runs.

Exit 0 written, 1 refused (there is such a file, the disk is full), 75 slapd, the records or what
users have trained could not be read now, 77 not root, 78 the settings are wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from iems.backup.archive import ArchiveError
from iems.backup.save import save
from iems.backup.site import MAIL, Site, Summary, site
from iems.backup.slapd import SlapdError
from iems.settings.load import load
from iems.store.records import RecordsError
from lmtp.bayes.store import StoreError
from lmtp.saved import Filters

_EVERY = 500
"""Files between two looks at the progress."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and what is not in the settings."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file, such as mail.tar.gz")
    options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write it and say what is in it."""
    return done(arguments, lambda here: save(here, arguments.file, progress()), "saved")


def options(parser: argparse.ArgumentParser) -> None:
    """What backup and restore share."""
    parser.add_argument(
        "--mail", type=Path, default=MAIL, metavar="FOLDER", help="all homes; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def done(arguments: argparse.Namespace, act: Callable[[Site], Summary], verb: str) -> int:
    """Act on this machine and print the summary, or say what went wrong."""
    if os.geteuid() != 0:
        return _failed("only root reads and writes everybody's mail", 77)
    settings = load(arguments.settings)
    filters = Filters(settings.bayes)
    here = site(version("iems"), arguments.settings, settings, arguments.mail, filters, _reload)
    try:
        summary = act(here)
    except (ArchiveError, OSError) as error:
        return _failed(str(error), 1)
    except (SlapdError, RecordsError, StoreError) as error:
        return _failed(str(error), 75)
    numbers = dataclasses.asdict(summary)
    if arguments.json:
        print(json.dumps({"file": str(arguments.file), **numbers}, indent=2))
    else:
        words = ", ".join(f"{value} {name}" for name, value in numbers.items())
        print(f"{verb} {arguments.file}: {words}")
    return 0


def progress() -> Callable[[int, int], None]:
    """Shows on a terminal how far it is, and elsewhere nothing."""

    def show(files: int, size: int) -> None:
        if sys.stderr.isatty() and files % _EVERY == 0:
            print(f"\r{files} files, {size >> 20} MiB", end="\x1b[K\r", file=sys.stderr, flush=True)

    return show


def _reload() -> None:
    """Every daemon; OSError where one did not."""
    for daemon in ("iems-milter", "iems-lmtp", "iems-bayes"):
        told = subprocess.run(
            ["service", daemon, "reload"], capture_output=True, text=True, check=False, timeout=120
        )
        if told.returncode != 0:
            raise OSError(f"restored, but {daemon} was not reloaded: {told.stderr.strip()}")


def _failed(text: str, code: int) -> int:
    print(f"iems: {text}", file=sys.stderr)
    return code
