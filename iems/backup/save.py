"""`save`: everything that cannot be made anew, from a server that runs, into one file.

Each part is as it was at one moment (directory and records each by their own server's means, what
a user has trained for himself), and
the parts are some seconds to minutes apart; the mail comes last and is the youngest. What is copied
for that lies in a folder for root alone beside the file, where there has to be room for a backup.
The file gets its name when it is whole; a backup that fails leaves none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from iems.backup import files, slapd
from iems.backup.archive import DIRECTORY, FILTERS, Progress, Writer
from iems.backup.site import Site, Summary
from iems.store import records
from iems.store.quarantine import Quarantine


def save(site: Site, target: Path, progress: Progress) -> Summary:
    """Write a backup; FileExistsError where there is one, else the errors of who was asked."""
    if target.exists():
        raise FileExistsError(f"{target} exists")
    with _beside(target) as folder:
        partial = folder / target.name
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with Writer(file, progress) as writer:
                summary = _write(site, writer, folder)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, target)
    return summary


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder for root alone, which goes; that of a backup that was killed goes before."""
    folder = target.with_name(f".{target.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _write(site: Site, writer: Writer, folder: Path) -> Summary:
    summary = Summary()
    writer.add_bytes("keys/findings.toml", site.settings.keys.findings.read_bytes())
    for file in sorted(site.settings.signing.keys.glob("*.toml")):
        writer.add_bytes(f"keys/dkim/{file.name}", file.read_bytes())
    writer.add_bytes("settings/iems.toml", site.file.read_bytes())
    for file in sorted(site.conf_d.glob("*.toml")):
        writer.add_bytes(f"settings/conf.d/{file.name}", file.read_bytes())
    for file in sorted(site.texts.glob("*")):
        if file.is_file():
            writer.add_bytes(f"settings/texts/{file.name}", file.read_bytes())
    for file in sorted((*site.rules.glob("*.toml"), *site.rules.glob("*/*.toml"))):
        writer.add_bytes(f"settings/mailsort/{file.relative_to(site.rules)}", file.read_bytes())
        summary.rules += 1
    entries = site.slapd.domains()
    summary.users, summary.domains = len(slapd.users(entries)), len(slapd.domains(entries))
    writer.add_bytes(DIRECTORY, slapd.ldif(entries.values()))
    summary.records = _records(site, writer, folder / "records.sqlite")
    summary.filters = _filters(site, writer, folder / "filters.sqlite")
    summary.quarantined = _quarantine(site.quarantine, writer)
    summary.messages = files.save_mail(site.mail, writer)
    writer.finish(site.settings.hostname, site.version)
    return summary


def _records(site: Site, writer: Writer, copy: Path) -> int:
    total = 0
    for name, path in site.records.items():
        if not path.exists():
            continue
        records.snapshot(path, copy)
        total += records.count(copy)
        with copy.open("rb") as source:
            writer.add(name, source)
        copy.unlink()
    return total


def _filters(site: Site, writer: Writer, copy: Path) -> int:
    if count := site.filters.save(copy):
        with copy.open("rb") as source:
            writer.add(FILTERS, source)
        copy.unlink()
    return count


def _quarantine(folder: Path, writer: Writer) -> int:
    names = Quarantine(folder).ids()
    if not names:
        return 0
    count = 0
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            message = files.opened(f"{name}.eml", descriptor)
            description = files.opened(f"{name}.json", descriptor)
            if message is None or description is None:
                continue  # somebody has released it meanwhile
            with message, description:
                writer.add(f"quarantine/{name}.eml", message)
                writer.add(f"quarantine/{name}.json", description)
            count += 1
    finally:
        os.close(descriptor)
    return count
