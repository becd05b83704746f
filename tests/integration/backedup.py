"""A server as far as a backup goes: a slapd, files, and what is looked for on it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from pathlib import Path

import ldap

from iems.backup.site import Site
from iems.backup.slapd import Slapd as Tools
from iems.directory.admin import Admin
from iems.directory.authority import Actor
from iems.model.address import Address
from iems.settings.load import load
from iems.store import keys, records
from iems.store.quarantine import Quarantine
from iems.store.records import Record
from iems.store.signingkeys import DomainKeys, make_folder
from lmtp.bayes.score import Label
from lmtp.bayes.store import Store
from lmtp.bayes.training import Trainer
from lmtp.saved import Filters
from lmtp.trained import connect_store
from tests.bayeskept import CLASSIFIER, lesson, soon
from tests.integration.directory import tree
from tests.integration.stack.slapd import BASE, Slapd

HOST = "mail.a.test"
DOMAIN = "a.test"
BOB = Address("bob", DOMAIN)


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


def made(folder: Path, slapd: Slapd) -> Server:
    """A server as `make mailserver` leaves it: one domain, its postmaster, no mail."""
    for below in (
        "etc/keys",
        "etc/conf.d",
        "etc/texts",
        "lib/milter",
        "lib/lmtp",
        "lib/bayes",
        "vmail",
    ):
        (folder / below).mkdir(parents=True)
    keys.create(folder / "etc/keys/findings.toml", folder.name)
    (folder / "etc/texts/footer.html").write_text(folder.name)
    file = folder / "etc/iems.toml"
    file.write_text(
        f'version = 1\nhostname = "{HOST}"\npostmaster = "postmaster@{DOMAIN}"\n'
        f'milter.state = "{folder}/lib/milter"\nagent.state = "{folder}/lib/lmtp"\n'
        f'keys.findings = "{folder}/etc/keys/findings.toml"\n'
        f'signing.keys = "{folder}/etc/keys/dkim"\nbayes.store = "{folder}/lib/bayes"\n'
    )
    reloads: list[None] = []
    tools = Tools(BASE, slapd.folder / "slapd.d", stop=slapd.stop, start=slapd.start)
    settings, vmail = load(file), folder / "vmail"
    filters = Filters(settings.bayes)
    site = Site("0", file, settings, vmail, tools, filters, lambda: reloads.append(None))
    admin = Admin(tree.store(slapd, "admin"), Actor(), lambda *_told: None, 10.0)
    admin.add_domain(DOMAIN, {})
    return Server(site, slapd, admin, reloads)


def trained(server: Server) -> contextlib.closing[Store]:
    """What users have trained there."""
    return contextlib.closing(connect_store(server.site.settings.bayes))


def train(store: Store, user: str, number: int) -> None:
    """Train one of many messages."""
    one = lesson(store, user, number, Label.SPAM)
    Trainer(store, CLASSIFIER).learn(user, one, soon())


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
