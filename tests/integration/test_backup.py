"""A backup of one server and its restore on another: a slapd for each, the rest as files.

`tests/system/test_backup.py` does it on two machines, by the commands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import ldap
import pytest

from iems.backup.archive import ArchiveError, Writer
from iems.backup.files import ACTIVE
from iems.backup.restore import OccupiedError, restore
from iems.backup.save import save
from iems.backup.site import Site, Summary
from iems.backup.slapd import Slapd as Tools
from iems.backup.slapd import SlapdError
from iems.directory.admin import Admin
from iems.directory.authority import Actor
from iems.directory.tree import LOCKED
from iems.model.address import Address
from iems.model.policy import Action, Kind, Subject
from iems.serve.deadline import Deadline
from iems.settings.load import load
from iems.store import keys, records
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder
from iems.store.signingkeys import DomainKeys, make_folder
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground
from tests.integration.stack.slapd import BASE, Slapd

HOST = "mail.a.test"
DOMAIN = "a.test"
BOB = Address("bob", DOMAIN)
MAILDIR = f"{DOMAIN}/bob/Maildir"
LISTS = '[checks.dnsbl.own]\nmode = "delegate"\nzone = "own.test"\n'


@dataclasses.dataclass
class Server:
    """A server as far as a backup goes."""

    site: Site
    slapd: Slapd
    admin: Admin
    reloads: list[None]

    def mail(self) -> dict[str, bytes]:
        """All messages by their paths."""
        root = self.site.mail
        found = (one for one in root.rglob("*") if one.parent.name in {"cur", "new"})
        return {str(one.relative_to(root)): one.read_bytes() for one in found}

    def login(self, address: Address, password: str) -> bool:
        """Whether the user gets in with it."""
        try:
            tree.bound(self.slapd, tree.user_dn(str(address)), password)
        except ldap.INVALID_CREDENTIALS:
            return False
        return True

    def state(self) -> dict[str, object]:
        """All there is, to be compared."""
        files = [one for one in self.site.file.parent.rglob("*") if one.is_file()]
        return {
            "directory": self.site.slapd.entries(),
            "mail": self.mail(),
            "files": {str(one): one.read_bytes() for one in files},
            "records": {name: found(path) for name, path in self.site.records.items()},
            "quarantine": Quarantine(self.site.quarantine).ids(),
            "reloads": len(self.reloads),
        }


def found(path: Path) -> list[Record]:
    """The records of the one reference of these tests."""
    return records.search([path], "REFERENCE") if path.exists() else []


@pytest.fixture
def server(ground: Ground, tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Makes servers as `make mailserver` leaves them: one domain, its postmaster, no mail."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Server:
            slapd = tree.start(ground)
            stack.callback(slapd.stop)
            return _made(tmp_path / name, slapd)

        yield make


def _made(folder: Path, slapd: Slapd) -> Server:
    for below in ("etc/keys", "etc/conf.d", "etc/texts", "lib/milter", "lib/lmtp", "vmail"):
        (folder / below).mkdir(parents=True)
    keys.create(folder / "etc/keys/findings.toml", folder.name)
    (folder / "etc/texts/footer.html").write_text(folder.name)
    file = folder / "etc/iems.toml"
    file.write_text(
        f'version = 1\nhostname = "{HOST}"\npostmaster = "postmaster@{DOMAIN}"\n'
        f'milter.state = "{folder}/lib/milter"\nagent.state = "{folder}/lib/lmtp"\n'
        f'keys.findings = "{folder}/etc/keys/findings.toml"\n'
        f'signing.keys = "{folder}/etc/keys/dkim"\n'
    )
    reloads: list[None] = []
    tools = Tools(BASE, slapd.folder / "slapd.d", stop=slapd.stop, start=slapd.start)
    site = Site("0", file, load(file), folder / "vmail", tools, lambda: reloads.append(None))
    admin = Admin(tree.store(slapd, "admin"), Actor(), lambda *_told: None, 10.0)
    admin.add_domain(DOMAIN, Address("postmaster", DOMAIN))
    return Server(site, slapd, admin, reloads)


@pytest.fixture
def old(server: Callable[[str], Server]) -> Server:
    """A server that was in use."""
    one = server("old")
    one.admin.add_user(BOB, "bob's password")
    one.admin.set_choice(Subject(Kind.USER, BOB.key), "dnsbl/own", "listed", Action.JUNK)
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
    return one


def record(text: str) -> Record:
    """A record that is found again."""
    return Record("REFERENCE", "delivery", "deliver", reply=text, recipient=str(BOB))


def signing_keys(server: Server, domain: str) -> Path:
    """The file with a new key of this domain."""
    make_folder(folder := server.site.settings.signing.keys)
    now = datetime.datetime.now(datetime.UTC)
    return DomainKeys(domain).prepared("ed25519", "", now).write(folder)


def nobody(_files: int, _bytes: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def archive(old: Server, tmp_path: Path) -> Path:
    """Its backup."""
    path = tmp_path / "a.tar.gz"
    told = save(old.site, path, nobody)
    assert told == Summary(domains=1, users=1, records=1, quarantined=1, messages=1)
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
    assert told == Summary(domains=1, users=1, records=1, quarantined=1, messages=1)
    assert new.login(BOB, "bob's password")
    assert not new.login(BOB, "another password")
    assert new.admin.user(BOB).attributes["iemsPolicy"] == [b"dnsbl/own listed choice junk"]
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
    assert len(new.reloads) == 1


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
        ("directory.ldif", b"dn: cn=admin,ou=services,o=iems\ncn: admin\n", "is not below"),
        ("directory.ldif", b"dn: ou=domains,o=iems\nou:< file:///etc/shadow\n", "no value"),
        ("directory.ldif", b"include: file:///etc/shadow\n", "without a name"),
        ("settings/conf.d/x/y.toml", b"", "no name of a backup"),
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


def test_a_backup_is_for_root_alone_and_replaces_no_other(old: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    mask = os.umask(0)
    try:
        save(old.site, path, nobody)
    finally:
        os.umask(mask)
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
