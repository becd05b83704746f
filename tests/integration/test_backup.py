"""A backup of one server and its restore on another: a slapd for each, the rest as files.

`tests/system/test_backup.py` does it on two machines, by the commands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iems.backup.archive import ArchiveError, Writer
from iems.backup.files import ACTIVE
from iems.backup.restore import OccupiedError, restore
from iems.backup.save import save
from iems.backup.site import Summary
from iems.backup.slapd import SlapdError
from iems.directory.tree import LOCKED
from iems.model.address import Address
from iems.model.policy import Action, Kind, Subject
from iems.serve.deadline import Deadline
from iems.store import records
from iems.store.quarantine import Quarantine
from iems.store.records import Recorder
from lmtp.bayes.store import StoreError
from lmtp.saved import Filters
from tests.bayeskept import soon
from tests.integration.backedup import (
    BOB,
    DOMAIN,
    Server,
    found,
    made,
    nobody,
    record,
    signing_keys,
    train,
    trained,
)
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground
from tests.integration.stack.slapd import BASE

MAILDIR = f"{DOMAIN}/bob/Maildir"
LISTS = '[checks.dnsbl.own]\nmode = "delegate"\nzone = "own.test"\n'


@pytest.fixture
def server(ground: Ground, tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Makes servers as `make mailserver` leaves them: one domain, its postmaster, no mail."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Server:
            slapd = tree.start(ground)
            stack.callback(slapd.stop)
            return made(tmp_path / name, slapd)

        yield make


@pytest.fixture
def old(server: Callable[[str], Server]) -> Server:
    """A server that was in use."""
    one = server("old")
    one.admin.add_user(BOB, "bob's password")
    one.admin.set_choice(Subject(Kind.USER, BOB.key), "dnsbl/own", "listed", Action.JUNK)
    one.slapd.add(tree.book(str(BOB)) + tree.contact(str(BOB), "friend", "friend@x.test"))
    for folder in ("cur", "new", "tmp"):
        (one.site.mail / MAILDIR / folder).mkdir(parents=True)
    (one.site.mail / MAILDIR / "cur/1.M1.old:2,S").write_bytes(b"old mail\r\n")
    (one.site.mail / MAILDIR / "dovecot-uidlist").write_bytes(b"3 V1 N2\n1 :1.M1.old\n")
    home = one.site.mail / DOMAIN / "bob"
    (home / "sieve").mkdir()
    (home / "sieve/own.sieve").write_text("keep;\n")
    (home / ACTIVE).symlink_to("sieve/own.sieve")
    (one.site.conf_d / "lists.toml").write_text(LISTS)
    signing_keys(one, DOMAIN)
    recorder = Recorder(one.site.settings.agent.state / "records.sqlite")
    recorder.commit([record("old")], Deadline.after(10))
    recorder.close(Deadline.after(10))
    Quarantine(one.site.quarantine).put([b"quarantined\r\n"], {"why": "test"})
    with trained(one) as store:
        train(store, str(BOB), 1)
    return one


@pytest.fixture
def archive(old: Server, tmp_path: Path) -> Path:
    """Its backup."""
    path = tmp_path / "a.tar.gz"
    told = save(old.site, path, nobody)
    assert told == Summary(domains=1, users=1, records=1, filters=1, quarantined=1, messages=1)
    return path


def test_a_restore_brings_everything_onto_another_server(
    old: Server, archive: Path, server: Callable[[str], Server]
) -> None:
    new = server("new")
    new.admin.add_user(BOB, "another password")
    own = (ring := new.site.settings.keys.findings).read_bytes()
    theirs, kept = signing_keys(new, DOMAIN).read_bytes(), signing_keys(new, "elsewhere.test")
    other = kept.read_bytes()
    told = restore(new.site, archive, nobody)
    assert told == Summary(domains=1, users=1, records=1, filters=1, quarantined=1, messages=1)
    assert new.login(BOB, "bob's password")
    assert not new.login(BOB, "another password")
    assert new.admin.user(BOB).attributes["iemsPolicy"] == [b"dnsbl/own listed choice junk"]
    friend = f"cn=friend,{tree.book_dn(str(BOB))}"
    assert new.site.slapd.entries()[friend] == old.site.slapd.entries()[friend]
    assert new.mail() == old.mail()
    assert (new.site.mail / DOMAIN / "bob" / ACTIVE).read_text() == "keep;\n"
    assert (new.site.conf_d / "lists.toml").read_text() == LISTS
    texts = new.site.file.parent.glob("texts*/*")
    assert [one.read_text() for one in sorted(texts)] == ["old", "new"]
    assert ring.read_bytes() == old.site.settings.keys.findings.read_bytes() != own
    folder, name = new.site.settings.signing.keys, f"{DOMAIN}.toml"
    assert (folder / name).read_bytes() == (old.site.settings.signing.keys / name).read_bytes()
    assert [(folder / f"{name}.previous").read_bytes(), kept.read_bytes()] == [theirs, other]
    assert [one.reply for one in found(new.site.records["records/lmtp.sqlite"])] == ["old"]
    [name] = (held := Quarantine(new.site.quarantine)).ids()
    assert held.message(name).read_bytes() == b"quarantined\r\n"
    with trained(old) as before, trained(new) as after:
        assert after.load(str(BOB), soon()).state == before.load(str(BOB), soon()).state
        assert after.journal(str(BOB), soon()) == before.journal(str(BOB), soon()) != []
    assert len(new.reloads) == 1


def test_whoever_trains_here_already_keeps_that(
    archive: Path, server: Callable[[str], Server]
) -> None:
    new = server("new")
    with trained(new) as store:
        train(store, str(BOB), 2)
        train(store, "eve@a.test", 3)
        before = store.load(str(BOB), soon())
        assert restore(new.site, archive, nobody).filters == 0
        assert store.load(str(BOB), soon()) == before
        assert store.users(soon()) == [str(BOB), "eve@a.test"]


def test_what_cannot_be_read_or_restored_of_it_is_told_before_anything_is_touched(
    old: Server, archive: Path, tmp_path: Path, server: Callable[[str], Server]
) -> None:
    new = server("new")
    before = new.state()
    new.site.settings.bayes.store.rmdir()
    with pytest.raises(StoreError, match="No such file"):
        restore(new.site, archive, nobody)
    assert new.state() == before
    with sqlite3.connect(old.site.settings.bayes.store / "bayes.sqlite") as file:
        file.execute("PRAGMA user_version = 9")
    file.close()
    with pytest.raises(StoreError, match="is of version 9"):
        save(old.site, tmp_path / "b.tar.gz", nobody)
    assert not (tmp_path / "b.tar.gz").exists()


def test_who_is_locked_out_stays_so(
    old: Server, tmp_path: Path, server: Callable[[str], Server]
) -> None:
    """slapd keeps that in attributes of its own, which no LDAP client could add again."""
    old.admin.set_user(BOB, {LOCKED: [b"000001010000Z"]})
    assert not old.login(BOB, "bob's password")
    save(old.site, tmp_path / "a.tar.gz", nobody)
    new = server("new")
    restore(new.site, tmp_path / "a.tar.gz", nobody)
    assert not new.login(BOB, "bob's password")
    new.admin.set_user(BOB, {LOCKED: []})
    assert new.login(BOB, "bob's password")


def test_a_second_restore_changes_nothing(archive: Path, server: Callable[[str], Server]) -> None:
    new = server("new")
    restore(new.site, archive, nobody)
    before = new.state()
    (new.site.mail / MAILDIR / "cur/1.M1.old:2,S").rename(
        new.site.mail / MAILDIR / "cur/1.M1.old:2,ST"
    )
    told = restore(new.site, archive, nobody)
    assert (told.messages, told.quarantined, told.kept) == (0, 0, 5)
    after = new.state()
    for part in ("directory", "records", "quarantine"):
        assert after[part] == before[part], part
    assert list(new.mail()) == [f"{MAILDIR}/cur/1.M1.old:2,ST"]


def test_the_service_accounts_stay_those_of_the_machine(
    archive: Path, server: Callable[[str], Server]
) -> None:
    new = server("new")
    before = new.site.slapd.entries()
    restore(new.site, archive, nobody)
    after = new.site.slapd.entries()
    services = [name for name in before if ",ou=services," in name]
    assert len(services) == 5
    assert {name: after[name] for name in services} == {name: before[name] for name in services}


def test_mail_and_users_that_are_here_are_in_the_way(
    archive: Path, server: Callable[[str], Server]
) -> None:
    new = server("new")
    eve = Address("eve", DOMAIN)
    new.admin.add_user(eve, "eve's password")
    for folder in ("cur", "new", "tmp"):
        (new.site.mail / MAILDIR / folder).mkdir(parents=True)
    (new.site.mail / MAILDIR / "new/5.M5.new").write_bytes(b"new mail\r\n")
    before = new.state()
    with pytest.raises(OccupiedError, match=r"eve@a\.test[^$]*5\.M5\.new"):
        restore(new.site, archive, nobody)
    assert new.state() == before
    restore(new.site, archive, nobody, force=True)
    assert new.login(eve, "eve's password")
    assert new.login(BOB, "bob's password")
    assert sorted(new.mail().values()) == [b"new mail\r\n", b"old mail\r\n"]


def test_another_host_is_in_the_way(archive: Path, server: Callable[[str], Server]) -> None:
    new = server("new")
    other = dataclasses.replace(new.site.settings, hostname="mail.b.test")
    with pytest.raises(OccupiedError, match=r"of mail\.a\.test, this is mail\.b\.test"):
        restore(dataclasses.replace(new.site, settings=other), archive, nobody)


@pytest.mark.parametrize(
    ("part", "content", "told"),
    [
        ("settings/iems.toml", b"colour = 3\n", "colour"),
        ("settings/conf.d/lists.toml", b"[", "cannot be read"),
        ("keys/findings.toml", b"key = 1\n", "expected"),
        ("keys/dkim/a.test.toml", b"key = 1\n", "expected"),
        ("keys/dkim/a.test.key", b"", "no name of a backup"),
        ("records/lmtp.sqlite", b"no database", "no records"),
        ("filters/bayes.sqlite", b"no database", "no file of what users have trained"),
        ("directory.ldif", b"dn: cn=admin,ou=services,o=iems\ncn: admin\n", "is not below"),
        ("directory.ldif", b"dn: ou=domains,o=iems\nou:< file:///etc/shadow\n", "no value"),
        ("directory.ldif", b"include: file:///etc/shadow\n", "without a name"),
        ("settings/conf.d/x/y.toml", b"", "no name of a backup"),
        ("settings/mailsort/x/y/z.toml", b"", "no name of a backup"),
        ("settings/mailsort/x.sieve", b"", "no name of a backup"),
        ("quarantine/../x", b"", "no name of a backup"),
        ("quarantine/run.sh", b"", "no name of a backup"),
        ("keys/ldap-admin", b"", "no name of a backup"),
    ],
)
def test_a_part_that_is_wrong_is_told_before_anything_is_touched(
    old: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    content: bytes,
    told: str,
) -> None:
    path = _with(old, tmp_path, monkeypatch, part, content)
    before = old.state()
    with pytest.raises(ArchiveError, match=re.escape(told)):
        restore(old.site, path, nobody, force=True)
    assert old.state() == before
    assert not list(tmp_path.rglob(".restore-*"))


def test_what_slapd_would_not_take_is_told_before_anything_is_touched(
    old: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = f"dn: ou=domains,{BASE}\nobjectClass: noSuchClass\nou: domains\n".encode()
    path = _with(old, tmp_path, monkeypatch, "directory.ldif", entry)
    before = old.state()
    with pytest.raises(SlapdError, match="noSuchClass"):
        restore(old.site, path, nobody, force=True)
    assert old.state() == before
    assert [one.name for one in old.slapd.folder.iterdir() if one.name.startswith(".")] == []


def test_a_slapd_that_does_not_start_has_its_old_database_again(
    archive: Path, server: Callable[[str], Server]
) -> None:
    new = server("new")
    before = new.state()
    starts: list[None] = []

    def start() -> None:
        starts.append(None)
        if len(starts) == 1:
            raise SlapdError("it does not start")
        new.slapd.start()

    site = dataclasses.replace(new.site, slapd=dataclasses.replace(new.site.slapd, start=start))
    with pytest.raises(SlapdError, match="does not start"):
        restore(site, archive, nobody)
    assert len(starts) == 2
    assert new.state() == before


def test_a_backup_is_for_root_alone_and_replaces_no_other(
    old: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied for it, too: it is beside the file, and what one left that was killed goes."""
    path = tmp_path / "a.tar.gz"
    left = tmp_path / ".a.tar.gz.partial"
    left.mkdir()
    (left / "filters.sqlite").write_text("left")
    copied: list[tuple[Path, int, int]] = []
    kept = Filters.save

    def seen(filters: Filters, file: Path) -> int:
        found = kept(filters, file)
        folder = file.parent.stat()
        copied.append((file.parent.parent, folder.st_mode & 0o777, folder.st_uid))
        return found

    monkeypatch.setattr(Filters, "save", seen)
    mask = os.umask(0)
    try:
        save(old.site, path, nobody)
    finally:
        os.umask(mask)
    assert copied == [(tmp_path, 0o700, 0)]
    assert not left.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        save(old.site, path, nobody)
    assert path.read_bytes() == content


def test_a_backup_that_fails_leaves_no_file(old: Server, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    broken = dataclasses.replace(old.site, mail=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        save(broken, folder / "a.tar.gz", nobody)
    assert not list(folder.iterdir())


def test_records_are_consistent_while_the_daemon_writes(old: Server, tmp_path: Path) -> None:
    """Half of a transaction is in no backup."""
    path = old.site.records["records/lmtp.sqlite"]
    recorder = Recorder(path)
    try:
        recorder.commit([record(str(number)) for number in range(1000)], Deadline.after(30))
        for number in range(5):
            for other in range(200):
                recorder.add(record(f"{number} {other}"))
            records.snapshot(path, tmp_path / str(number))
            assert records.count(tmp_path / str(number)) >= 1001
    finally:
        recorder.close(Deadline.after(30))


def _with(
    old: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, content: bytes
) -> Path:
    """A whole backup of which one part is another one, or one more."""
    path = tmp_path / "a.tar.gz"
    add_bytes, add, finish = Writer.add_bytes, Writer.add, Writer.finish
    written = []

    def replaced(writer: Writer, name: str, given: bytes) -> None:
        written.append(name)
        add_bytes(writer, name, content if name == part else given)

    def streamed(writer: Writer, name: str, source: object) -> None:
        if name == part:
            written.append(name)
            add_bytes(writer, name, content)
        else:
            add(writer, name, source)  # type: ignore[arg-type]

    def finished(writer: Writer, hostname: str, version: str) -> object:
        if part not in written:
            add_bytes(writer, part, content)
        return finish(writer, hostname, version)

    monkeypatch.setattr(Writer, "add_bytes", replaced)
    monkeypatch.setattr(Writer, "add", streamed)
    monkeypatch.setattr(Writer, "finish", finished)
    save(old.site, path, nobody)
    return path
