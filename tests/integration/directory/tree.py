"""A slapd with our schema, rights and settings as `docs/directory.md` says them, and entries in it.

What the page shows as settings is what the tests run with, so that it cannot be wrong unnoticed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import ldap
from ldap.ldapobject import SimpleLDAPObject

from iems.directory.ldap import Account, LdapStore
from iems.directory.rights import access_rules, read_rights
from tests.conftest import ROOT
from tests.integration.stack import deployed
from tests.integration.stack.ground import Ground
from tests.integration.stack.slapd import BASE, ROOT_DN, Slapd

SERVICES = ("postfix", "dovecot", "milter", "agent", "admin")
TEMPLATES = ROOT / "templates/openldap"
RIGHTS = read_rights((TEMPLATES / "rights.toml").read_text())

_OVERLAY = "olcOverlay={0}ppolicy,olcDatabase={1}mdb,cn=config"

_SERVICE = """
dn: {dn}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: {name}
userPassword: {password}
pwdPolicySubentry: cn=services,ou=passwords,o=iems
"""


@functools.cache
def block(name: str) -> str:
    """The fenced block of docs/directory.md whose first line is the comment `# NAME`."""
    page = (ROOT / "docs/directory.md").read_text()
    found = re.search(rf"^```\w+\n# {re.escape(name)}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found, f"no block {name!r} in docs/directory.md"
    return found.group(1)


def settings() -> dict[str, str]:
    """Postfix's settings of the page."""
    rows = (line.partition("=") for line in block("main.cf").splitlines())
    return {name.strip(): value.strip() for name, _equals, value in rows}


def on(server: Slapd, text: str, service: str) -> str:
    """A deployed file with which this service asks `server`."""
    return text.replace("ldapi:///", server.ldapi).replace("SECRET", password(service))


def logins() -> str:
    """What the deployed Dovecot takes for a login."""
    lines = deployed.text("dovecot/dovecot.conf").splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("auth_"))


def service_dn(name: str) -> str:
    """Whom a service binds as."""
    return f"cn={name},ou=services,{BASE}"


def password(name: str) -> str:
    """The password of a service, or of a user by his local part."""
    return f"secret of {name}"


def top() -> str:
    """The top of the tree as the role plants it."""
    text = (TEMPLATES / "tree.ldif.j2").read_text().replace("{{ ldap_base }}", BASE)
    return re.sub(r"o: \{\{.*\}\}", "o: iems", text)


def start(ground: Ground, log: str = "stats") -> Slapd:
    """A running slapd with the top of the tree and the services in it, and nobody else."""
    rules = "\n".join(f"olcAccess: {rule}" for rule in access_rules(RIGHTS))
    services = "".join(
        _SERVICE.format(dn=service_dn(name), name=name, password=password(name))
        for name in SERVICES
    )
    server = Slapd(
        ground,
        schemas=(TEMPLATES / "iems-schema.ldif",),
        modules=tuple(block("modules (olcModuleLoad), after back_mdb").split()),
        database=block("the database o=iems").replace(f"olcRootDN: {ROOT_DN}\n", "")
        + f"{rules}\n\ndn: {_OVERLAY}\n"
        + block(_OVERLAY),
        data=top() + services,
        log=log,
    )
    server.start()
    frontend = "olcDatabase={-1}frontend,cn=config"
    attribute, _colon, value = block(frontend).strip().partition(": ")
    server.configure(
        f"dn: {frontend}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"
    )
    return server


def store(server: Slapd, name: str, size: int = 4) -> LdapStore:
    """The server as the service `name` uses it."""
    return LdapStore(Account(server.ldapi, BASE, service_dn(name), password(name)), size)


def bound(server: Slapd, dn: str, secret: str) -> SimpleLDAPObject:
    """A connection of python-ldap itself, bound; anonymous with an empty `dn`."""
    connection = ldap.initialize(server.ldapi)
    if dn:
        connection.simple_bind_s(dn, secret)
    return connection


def domain(name: str, *lines: str) -> str:
    """A domain's entry as LDIF."""
    extra = "".join(f"{line}\n" for line in lines)
    return (
        f"\ndn: iemsDomainName={name},ou=domains,{BASE}\nobjectClass: iemsDomain\n"
        f"iemsDomainName: {name}\n{extra}"
    )


def user(address: str, *lines: str) -> str:
    """A user's entry as LDIF, with the password of his local part."""
    local, _at, name = address.partition("@")
    extra = "".join(f"{line}\n" for line in (f"userPassword: {_hash(password(local))}", *lines))
    return (
        f"\ndn: {user_dn(address)}\nobjectClass: inetOrgPerson\nobjectClass: iemsUser\n"
        f"uid: {local}\ncn: {local}\nsn: {local}\niemsAddress: {local}@{name}\n{extra}"
    )


def _hash(secret: str) -> str:
    """A hash that costs nothing, unlike slapd's own; tests make many users."""
    digest = hashlib.sha1(secret.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def user_dn(address: str) -> str:
    """The name of a user's entry."""
    local, _at, name = address.partition("@")
    return f"uid={local},iemsDomainName={name},ou=domains,{BASE}"


def book_dn(address: str) -> str:
    """The name of a user's address book."""
    return f"ou={address},ou=contacts,{BASE}"


def book(address: str, *lines: str) -> str:
    """His address book as LDIF."""
    extra = "".join(f"{line}\n" for line in lines)
    return f"\ndn: {book_dn(address)}\nobjectClass: organizationalUnit\nou: {address}\n{extra}"


def contact(address: str, name: str, mail: str, *lines: str) -> str:
    """Somebody in it as LDIF, as mail programs write it."""
    extra = "".join(f"{line}\n" for line in lines)
    return (
        f"\ndn: cn={name},{book_dn(address)}\nobjectClass: inetOrgPerson\n"
        f"cn: {name}\nsn: {name}\nmail: {mail}\n{extra}"
    )


def among_contacts(owner: str, *addresses: str) -> str:
    """What nobody can write into an address book: their domain, and them as users and aliases."""
    entries = domain(owner.rpartition("@")[2]) + "".join(
        user(one, "iemsForward: far@evil.test") + alias(one, "far@evil.test") for one in addresses
    )
    return entries.replace(f"ou=domains,{BASE}", book_dn(owner))


def alias(address: str, *targets: str, more: Iterable[str] = ()) -> str:
    """An alias's entry as LDIF, with `more` lines of it."""
    name = address.rpartition("@")[2]
    lines = "".join(f"iemsTarget: {target}\n" for target in targets)
    lines += "".join(f"{line}\n" for line in more)
    return (
        f"\ndn: iemsAddress={address},iemsDomainName={name},ou=domains,{BASE}\n"
        f"objectClass: iemsAlias\niemsAddress: {address}\n{lines}"
    )


def write(path: Path, text: str) -> Path:
    """A file with this text."""
    path.write_text(text)
    return path
