"""Writing the directory: each change is authorised by one function, and leaves an audit line.

`authorise` decides who may do what before the server is asked; slapd's own access rights
(`templates/openldap/rights.toml`) hold besides. Errors of the store (`EntryExistsError`,
`NoEntryError`, `WriteRefusedError`, `DirectoryUnavailable`) are the caller's to tell. Nothing here
is repeated or rolled back, but for a new user who cannot be given a password.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from iems.directory.policy import policy_values
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.directory.store import EntryExistsError, Name, NoEntryError, Row, Store, WriteRefusedError
from iems.directory.tree import (
    ADDRESS,
    ALIAS,
    ATTRIBUTES,
    CLASS,
    DOMAIN,
    DOMAIN_NAME,
    DOMAINS,
    POLICY,
    TARGET,
    USER,
    TreeDirectory,
    alias_entry,
    canonical,
    domain_entry,
    user_entry,
)
from iems.model.address import ROLES, Address
from iems.model.policy import Action, Kind, Layer, Rule, Subject
from iems.serve.deadline import Deadline

_LOGIN = re.compile(r"[a-z0-9_][a-z0-9._-]*")
"""Local parts of users: what Dovecot's auth_username_chars lets log in, and no path of a file."""


class NotAuthorisedError(Exception):
    """The actor may not do this; the message says who what to what."""


@dataclass(frozen=True, slots=True)
class Thing:
    """What is acted upon: `kind` is domain, user, alias, policy or password, `name` whose."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Audit = Callable[[Subject, str, Thing, str], None]
"""Told of every change: by whom, the verb, of what, and what became of it."""


def authorise(actor: Subject, verb: str, thing: Thing) -> None:
    """NotAuthorisedError unless `actor` may do `verb` (add, delete, set) to `thing`.

    The site's administrator may do everything, a user may set his own policy and password.
    """
    if actor.kind is Kind.SITE:
        return
    own = actor.kind is Kind.USER and actor.name == thing.name
    if own and verb == "set" and thing.kind in {"policy", "password"}:
        return
    raise NotAuthorisedError(f"{actor} may not {verb} {thing}")


class Admin:
    """The directory for one actor; `timeout` bounds each question to the server, in seconds."""

    def __init__(self, store: Store, actor: Subject, audit: Audit, timeout: float) -> None:
        self._store = store
        self._actor = actor
        self._audit = audit
        self._timeout = timeout

    def directory(self, note: Callable[[str], None]) -> Directory:
        """The same directory to ask, without a cache."""
        return TreeDirectory(self._store, self._timeout, note)

    def rows(self, *any_of: tuple[str, str], below: Name = DOMAINS) -> Sequence[Row]:
        """The entries of which one of these pairs of attribute and value is true."""
        return self._store.search(below, any_of, ATTRIBUTES, self._soon())

    def domains(self) -> Sequence[str]:
        """The names of all domains, sorted."""
        return sorted(name for row in self.rows((CLASS, DOMAIN)) for name in row.texts(DOMAIN_NAME))

    def users(self) -> Sequence[str]:
        """The addresses of all users, sorted."""
        return sorted(text for row in self.rows((CLASS, USER)) for text in row.texts(ADDRESS))

    def aliases(self) -> Mapping[str, Sequence[str]]:
        """The targets of all aliases by address, `@DOMAIN` for a catch-all; both sorted."""
        rows = self.rows((CLASS, ALIAS))
        found = {text: sorted(row.texts(TARGET)) for row in rows for text in row.texts(ADDRESS)}
        return dict(sorted(found.items()))

    def add_domain(self, domain: str, postmaster: Address, *, exists_ok: bool = False) -> bool:
        """Add a domain and its role addresses; whether anything was added.

        EntryExistsError where there is the domain, but with `exists_ok` what it lacks is added.
        """
        values = {CLASS: [b"iemsDomain"], DOMAIN_NAME: [domain.encode()]}
        added = False
        try:
            with self._acting("add", Thing("domain", domain)):
                self._store.add(domain_entry(domain), values, self._soon())
            added = True
        except EntryExistsError:
            if not exists_ok:
                raise
        for role in sorted(ROLES):
            address = Address(role, domain)
            if not self.rows((ADDRESS, canonical(address))):
                self.add_alias(str(address), [postmaster])
                added = True
        return added

    def delete_domain(self, domain: str) -> None:
        """Delete a domain and everything in it."""
        for row in self.inside(domain):
            with self._acting("delete", Thing("entry", _text(row))):
                self._store.delete(row.name, self._soon())
        with self._acting("delete", Thing("domain", domain)):
            self._store.delete(domain_entry(domain), self._soon())

    def inside(self, domain: str) -> Sequence[Row]:
        """The users and aliases of a domain; NoEntryError where it is none of ours."""
        if not self.rows((DOMAIN_NAME, domain)):
            raise NoEntryError
        everyone = ((CLASS, USER), (CLASS, ALIAS))
        return self.rows(*everyone, below=domain_entry(domain))

    def add_user(self, address: Address, password: str) -> None:
        """Add a user who can log in; ValueError where the address is none that could."""
        if not _LOGIN.fullmatch(address.local.casefold()):
            raise ValueError(
                f"{address} cannot log in; expected letters, digits, and . _ - before the @"
            )
        name = user_entry(address)
        local = address.local.casefold().encode()
        values = {
            CLASS: [b"inetOrgPerson", b"iemsUser"],
            **{attribute: [local] for attribute in ("uid", "cn", "sn")},
            ADDRESS: [canonical(address).encode()],
        }
        with self._acting("add", Thing("user", address.key)):
            self._store.add(name, values, self._soon())
            try:
                self._store.set_password(name, password, self._soon())
            except (DirectoryUnavailable, WriteRefusedError):
                with contextlib.suppress(DirectoryUnavailable, WriteRefusedError):
                    self._store.delete(name, self._soon())
                raise

    def delete_user(self, address: Address) -> None:
        """Delete a user; his mail is not touched."""
        with self._acting("delete", Thing("user", address.key)):
            self._store.delete(user_entry(address), self._soon())

    def add_alias(self, text: str, targets: Iterable[Address]) -> None:
        """Add an alias `LOCAL@DOMAIN` or a catch-all `@DOMAIN`."""
        name, address = alias_entry(text)
        values = {
            CLASS: [b"iemsAlias"],
            ADDRESS: [address.encode()],
            TARGET: [value.encode() for value in sorted({canonical(one) for one in targets})],
        }
        with self._acting("add", Thing("alias", address)):
            self._store.add(name, values, self._soon())

    def delete_alias(self, text: str) -> None:
        """Delete an alias or catch-all."""
        name, address = alias_entry(text)
        with self._acting("delete", Thing("alias", address)):
            self._store.delete(name, self._soon())

    def set_choice(self, subject: Subject, check: str, band: str, action: Action | None) -> bool:
        """Make the subject's choice for a band, or with None take it back; whether it is another.

        The caller has seen to it that the choice is allowed.
        """
        name, row = self._subject(subject)
        start = f"{check} {band} choice ".encode()
        present = [value for value in row.attributes.get(POLICY, ()) if value.startswith(start)]
        layer = Layer(subject, {(check, band): Rule(choice=action)})
        wanted = list(policy_values(layer))
        if sorted(present) == wanted:
            return False
        remove = [value for value in present if value not in wanted]
        add = [value for value in wanted if value not in present]
        with self._acting("set", Thing("policy", subject.name)):
            self._store.change(name, POLICY, remove, add, self._soon())
        return True

    def policy(self, subject: Subject) -> Sequence[bytes]:
        """The policy values of a domain or user; NoEntryError where there is none such."""
        return self._subject(subject)[1].attributes.get(POLICY, ())

    def _subject(self, subject: Subject) -> tuple[Name, Row]:
        if subject.kind is Kind.DOMAIN:
            name = domain_entry(subject.name)
            pair = (DOMAIN_NAME, subject.name)
        else:
            address = Address.parse(subject.name)
            name = user_entry(address)
            pair = (ADDRESS, canonical(address))
        for row in self.rows(pair):
            if [value for _attribute, value in row.name] == [value for _attribute, value in name]:
                return name, row
        raise NoEntryError

    @contextlib.contextmanager
    def _acting(self, verb: str, thing: Thing) -> Iterator[None]:
        try:
            authorise(self._actor, verb, thing)
            yield
        except Exception as error:
            self._audit(self._actor, verb, thing, type(error).__name__)
            raise
        self._audit(self._actor, verb, thing, "done")

    def _soon(self) -> Deadline:
        return Deadline.after(self._timeout)


def _text(row: Row) -> str:
    return ",".join(f"{attribute}={value}" for attribute, value in row.name)
