"""`restore`: what a backup holds, onto a machine that `make mailserver` has set up.

Everything is unpacked, held against the manifest and read by who will use it before the first thing
is touched: the settings, the keyring, the records, and the directory, of which a new database is
built. Then each part changes at once: the directory by the swap of two folders, the settings by
renaming, the records in one transaction. Mail and quarantine come file by file, and nothing that is
there is replaced, so that a restore that was cut off is finished by a second one. What the machine
has for itself stays: the service accounts with their passwords, certificates, Postfix's queue.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from iems.backup import slapd
from iems.backup.archive import DIRECTORY, FILTERS, ArchiveError, Manifest, Progress, unpack
from iems.backup.files import Place, homes, identity, inventory, is_message
from iems.backup.site import Site, Summary
from iems.settings.load import load
from iems.settings.read import SettingsError
from iems.store import records
from iems.store.keys import Keyring, KeyringError
from iems.store.records import RecordsError
from iems.store.signingkeys import SigningKeyError, load_all, make_folder

_QUARANTINED = re.compile(r"quarantine/[A-Za-z0-9_-]+\.(eml|json)")
_FIXED = {"keys/findings.toml", "settings/iems.toml", DIRECTORY}
_RECORDS = {"records/milter.sqlite", "records/lmtp.sqlite"}
_SITE = re.compile(
    r"(?:settings/conf\.d|settings/mailsort(?:/[^/]+)?|keys/dkim)/[^/]+\.toml|settings/texts/[^/]+"
)


class OccupiedError(Exception):
    """The machine holds what the backup does not; each line of the message says what."""


def restore(site: Site, archive: Path, progress: Progress, *, force: bool = False) -> Summary:
    """Restore it. ArchiveError and OccupiedError are said before anything was touched."""
    above = site.settings.agent.state.parent
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=above) as name:
        stage = Path(name)
        manifest = unpack(archive, stage, progress)
        _check(site, stage, manifest)
        wanted = slapd.read((stage / DIRECTORY).read_bytes())
        slapd.below_domains(wanted, site.slapd.base)
        present = site.slapd.entries()
        here = inventory(site.mail)
        if not force:
            _check_free(site, manifest, slapd.users(present.keys() - wanted.keys()), here)
        with site.slapd.built((present | wanted).values()) as database:
            site.slapd.swap(database)
        summary = Summary(users=len(slapd.users(wanted)), domains=len(slapd.domains(wanted)))
        _restore_mail(site, stage, manifest, here, summary)
        _restore_quarantine(site, stage, manifest, summary)
        _restore_records(site, stage, summary)
        if FILTERS in manifest.files:
            summary.filters = site.filters.restore(stage / FILTERS)
        summary.rules = _restore_settings(site, stage)
    os.sync()
    site.reload()
    return summary


def _check(site: Site, stage: Path, manifest: Manifest) -> None:
    """ArchiveError unless everything is there and each part is what it has to be."""
    for name in _FIXED - manifest.files.keys():
        raise ArchiveError(f"{name} is missing")
    for name in manifest.files:
        if not (
            name.startswith("mail/")
            or name in _FIXED | _RECORDS | {FILTERS}
            or _QUARANTINED.fullmatch(name)
            or _SITE.fullmatch(name)
        ):
            raise ArchiveError(f"{name!r} is no name of a backup")
    try:
        load(stage / "settings/iems.toml")
        Keyring.load(stage / "keys/findings.toml")
        load_all(stage / "keys/dkim")
        for name in _RECORDS & manifest.files.keys():
            records.count(stage / name)
        if FILTERS in manifest.files:
            site.filters.check(stage / FILTERS)
    except SettingsError as error:
        raise ArchiveError("\n".join(error.faults)) from None
    except (KeyringError, SigningKeyError, RecordsError) as error:
        raise ArchiveError(str(error)) from None


def _check_free(site: Site, manifest: Manifest, users: list[str], here: set[str]) -> None:
    """OccupiedError where another server's backup would be mixed with what is here."""
    told = []
    if manifest.hostname != site.settings.hostname:
        told.append(f"the backup is of {manifest.hostname}, this is {site.settings.hostname}")
    if users:
        told.append(f"users who are not in the backup: {', '.join(users[:10])} ({len(users)})")
    known = {identity(name.removeprefix("mail/")) for name in manifest.files}
    mail = sorted(name for name in here - known if is_message(name))
    if mail:
        told.append(f"mail that is not in the backup: {mail[0]} ({len(mail)})")
    if told:
        raise OccupiedError("\n".join(told))


def _restore_mail(
    site: Site, stage: Path, manifest: Manifest, here: set[str], summary: Summary
) -> None:
    place = Place(site.mail, _owner(site.mail))
    for home in homes(stage / "mail") if (stage / "mail").exists() else []:
        for path, _folders, _files in os.walk(stage / "mail" / home):
            place.make(os.path.relpath(path, stage / "mail"))
    for name in manifest.files:
        below = name.removeprefix("mail/")
        if below == name:
            continue
        if identity(below) in here or not place.put(stage / name, below):
            summary.kept += 1
        elif is_message(below):
            summary.messages += 1
    for name, target in manifest.links.items():
        place.link(name.removeprefix("mail/"), target)


def _restore_quarantine(site: Site, stage: Path, manifest: Manifest, summary: Summary) -> None:
    """The message first: without its description it is not there for anybody."""
    names = sorted(name for name in manifest.files if name.startswith("quarantine/"))
    place = Place(site.quarantine.parent, _owner(site.quarantine.parent))
    for name in names:
        if not place.put(stage / name, name):
            summary.kept += 1
        elif name.endswith(".json"):
            summary.quarantined += 1


def _restore_records(site: Site, stage: Path, summary: Summary) -> None:
    for name, path in site.records.items():
        if (stage / name).exists():
            summary.records += records.count(stage / name)
            records.merge(path, stage / name)


def _restore_settings(site: Site, stage: Path) -> int:
    """What was there stays beside, as `conf.d.previous`, `iems.toml.previous`, `*.previous`.

    How many files of rules there were.
    """
    group = site.conf_d.stat().st_gid
    (stage / "settings/conf.d").mkdir(exist_ok=True)
    for target in (site.texts, site.rules, site.conf_d):
        if (stage / "settings" / target.name).exists():
            _exchange(target, stage / "settings" / target.name, group)
    _replace(site.file, stage / "settings/iems.toml")
    _replace(site.settings.keys.findings, stage / "keys/findings.toml")
    _restore_signing_keys(site.settings.signing.keys, stage / "keys/dkim")
    return sum(1 for _file in (stage / "settings/mailsort").glob("**/*.toml"))


def _exchange(target: Path, source: Path, group: int) -> None:
    """A folder with what is in `source` instead of the one that is there, if there is one."""
    folder = target.with_name(f".{target.name}.restored")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for made in (folder, *folder.rglob("*")):
        os.chown(made, 0, group)
        made.chmod(0o750 if made.is_dir() else 0o640)
    previous = target.with_name(f"{target.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if target.exists():
        target.rename(previous)
    folder.rename(target)


def _restore_signing_keys(folder: Path, stage: Path) -> None:
    """Those of a domain whole; what there was of it stays beside as `*.previous`."""
    for domain, keys in load_all(stage).items():
        make_folder(folder)
        file = folder / f"{domain}.toml"
        if file.exists():
            _replace(file, stage / file.name)
        else:
            keys.write(folder)


def _replace(file: Path, by: Path) -> None:
    """Another content for a file of the same owner and mode, at once."""
    state = file.stat()
    beside = file.with_name(f".{file.name}.restored")
    beside.unlink(missing_ok=True)
    shutil.copyfile(by, beside)
    beside.chmod(state.st_mode & 0o777)
    os.chown(beside, state.st_uid, state.st_gid)
    previous = file.with_name(f"{file.name}.previous")
    previous.unlink(missing_ok=True)
    os.link(file, previous)
    beside.replace(file)


def _owner(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_uid, state.st_gid
