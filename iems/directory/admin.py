"""Writing the directory: each change is authorised (`iems.directory.authority`) and audited.

Errors of the store (`EntryExistsError`,
`NoEntryError`, `WriteRefusedError`, `DirectoryUnavailable`) are the caller's to tell. Nothing here
is repeated or rolled back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from iems.directory.authority import Actor, Audit, NotAuthorisedError, Thing, authorise
from iems.directory.contacts import CONTACTS, book_entry
from iems.directory.policy import (
    MAX_HEADERS,
    MAX_SENDERS,
    name_of,
    pattern_of,
    policy_values,
)
from iems.directory.reader import Directory
from iems.directory.store import (
    Attributes,
    EntryExistsError,
    Name,
    NoEntryError,
    Row,
    Store,
    Write,
    differences,
)
from iems.directory.tree import (
    ADDRESS,
    ADMIN,
    ALIAS,
    ATTRIBUTES,
    CLASS,
    DOMAIN,
    DOMAIN_NAME,
    DOMAINS,
    HEADER,
    LOCKED,
    NAME,
    PASSWORD,
    POLICY,
    READS,
    SENDER,
    TARGET,
    USER,
    TreeDirectory,
    alias_entry,
    alias_values,
    canonical,
    domain_entry,
    domain_values,
    login,
    user_entry,
    user_named,
    user_values,
)
from iems.model.address import Address
from iems.model.policy import Action, Kind, Layer, Rule, Subject
from iems.serve.deadline import Deadline

_KEYED = {"sender": (SENDER, MAX_SENDERS, pattern_of), "header": (HEADER, MAX_HEADERS, name_of)}
"""What an entry has several of, each under a key: attribute, how many count, the key of a value."""


def clear_password(text: str) -> bytes:
    """A password in clear as an entry may have it; ValueError where it would count as a hash."""
    if text.startswith("{"):
        raise ValueError("a password that begins with { would be taken for a hash")
    return text.encode()


class Admin:
    """The directory for one actor; `timeout` bounds each question to the server, in seconds."""

    def __init__(self, store: Store, actor: Actor, audit: Audit, timeout: float) -> None:
        self._store = store
        self.actor = actor
        self._audit = audit
        self._timeout = timeout

    def acting_as(self, address: Address) -> Admin:
        """The directory for this user, with his rights; NoEntryError where there is none such."""
        self.user(address)
        domains = self.rows((ADMIN, self._store.to_value(user_entry(address)).decode()))
        actor = Actor(
            Subject(Kind.USER, address.key),
            frozenset(name for row in domains for name in row.texts(DOMAIN_NAME)),
            self.actor.login,
        )
        return Admin(self._store, actor, self._audit, self._timeout)

    def authorise(self, verb: str, thing: Thing) -> None:
        """NotAuthorisedError where the actor may not, which is audited; nothing where he may."""
        try:
            authorise(self.actor, verb, thing)
        except NotAuthorisedError as error:
            self._audit(self.actor, verb, thing, type(error).__name__)
            raise

    def directory(self, note: Callable[[str], None]) -> Directory:
        """The same directory to ask, without a cache."""
        return TreeDirectory(self._store, self._timeout, note)

    def rows(
        self, *any_of: tuple[str, str], below: Name = DOMAINS, more: Sequence[str] = ()
    ) -> Sequence[Row]:
        """The entries of which one of these pairs of attribute and value is true."""
        wanted = (*ATTRIBUTES, ADMIN, LOCKED, NAME, *more)
        return self._store.search_all(below, any_of, wanted, self._timeout)

    def write(
        self, writes: Sequence[tuple[Thing, Write]], deadline: Deadline
    ) -> Sequence[Exception | None]:
        """Make or change many entries at once; for each None, or why it could not be.

        Each is authorised and audited like any other change.
        """
        found: list[Exception | None] = []
        verbs = ["set" if write.attributes is None else "add" for _thing, write in writes]
        for verb, (thing, _write) in zip(verbs, writes, strict=True):
            authorise(self.actor, verb, thing)
        try:
            found += self._store.write([write for _thing, write in writes], deadline)
        except Exception as error:
            found += [error] * len(writes)
            raise
        finally:
            for verb, (thing, _write), result in zip(verbs, writes, found, strict=True):
                told = type(result).__name__ if result else "done"
                self._audit(self.actor, verb, thing, told)
        return found

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

    def add_domain(
        self, domain: str, aliases: Mapping[Address, Address], *, exists_ok: bool = False
    ) -> bool:
        """Add a domain with these aliases; whether anything was added.

        EntryExistsError where there is the domain, but with `exists_ok` what it lacks is added.
        """
        added = False
        try:
            with self._acting("add", Thing("domain", domain)):
                self._store.add(domain_entry(domain), domain_values(domain), self._soon())
            added = True
        except EntryExistsError:
            if not exists_ok:
                raise
        for address, target in aliases.items():
            if not self.rows((ADDRESS, canonical(address))):
                self.add_alias(str(address), [target])
                added = True
        return added

    def add_domain_alias(self, domain: str, other: str, *, exists_ok: bool = False) -> bool:
        """Serve a domain whose addresses are other names of those of `other`; whether it is new.

        NoEntryError where `other` is none of ours; ValueError where it is another name itself.
        """
        if not self.rows((DOMAIN_NAME, other)):
            raise NoEntryError
        further = self.domain_aliases().get(other)
        if further or other == domain:
            raise ValueError(f"{other} is another name of {further or domain} itself")
        added = False
        name, address = alias_entry(f"@{domain}")
        for kind, text, entry, attributes in (
            ("domain", domain, domain_entry(domain), domain_values(domain)),
            ("alias", address, name, alias_values(address, [f"@{other}"])),
        ):
            try:
                with self._acting("add", Thing(kind, text)):
                    self._store.add(entry, attributes, self._soon())
                added = True
            except EntryExistsError:
                if not exists_ok:
                    raise
        return added

    def domain_aliases(self) -> Mapping[str, str]:
        """The domains that are other names of others, and of which."""
        return {
            address[1:]: targets[0][1:]
            for address, targets in self.aliases().items()
            if targets[0].startswith("@")
        }

    def admins(self, domain: str) -> Sequence[str]:
        """The addresses of those who administer a domain, sorted."""
        values = self.domain(domain).attributes.get(ADMIN, ())
        return sorted(user_named(self._store.from_value(value)) for value in values)

    def set_admin(self, domain: str, address: Address, *, administers: bool) -> bool:
        """Let a user administer a domain, or no more; whether that is another state than before.

        NoEntryError where there is no such domain, or no such user to be made an administrator.
        """
        value = self._store.to_value(user_entry(address))
        present = value.lower() in {one.lower() for one in self._admin_values(domain)}
        if administers:
            self.user(address)
        if present == administers:
            return False
        change: tuple[list[bytes], list[bytes]] = ([], [value]) if administers else ([value], [])
        verb = "add" if administers else "delete"
        with self._acting(verb, Thing("admin", f"{canonical(address)} of {domain}")):
            self._store.change(domain_entry(domain), {ADMIN: change}, self._soon())
        return True

    def _admin_values(self, domain: str) -> Sequence[bytes]:
        return self.domain(domain).attributes.get(ADMIN, ())

    def delete_domain(self, domain: str) -> None:
        """Delete a domain and everything in it."""
        within = self.inside(domain)
        self._forget_admins(lambda name: name[1:] == domain_entry(domain), (CLASS, DOMAIN))
        books = self.books() if within else frozenset()
        for row in within:
            with self._acting("delete", Thing("entry", _text(row))):
                if (user := user_named(row.name)) in books:
                    self._store.delete_tree(book_entry(user), self._timeout)
                self._store.delete(row.name, self._soon())
        with self._acting("delete", Thing("domain", domain)):
            self._store.delete(domain_entry(domain), self._soon())

    def _forget_admins(self, leaves: Callable[[Name], bool], where: tuple[str, str]) -> None:
        """Take the rights of users who leave, or who comes next under their names has them."""
        for row in self.rows(where):
            for value in row.attributes.get(ADMIN, ()):
                name = self._store.from_value(value)
                if leaves(name):
                    [domain] = row.texts(DOMAIN_NAME)
                    with self._acting("delete", Thing("admin", f"{user_named(name)} of {domain}")):
                        self._store.change(row.name, {ADMIN: ([value], [])}, self._soon())

    def inside(self, domain: str) -> Sequence[Row]:
        """The users and aliases of a domain; NoEntryError where it is none of ours."""
        self.domain(domain)
        everyone = ((CLASS, USER), (CLASS, ALIAS))
        return self.rows(*everyone, below=domain_entry(domain))

    def books(self) -> frozenset[str]:
        """The addresses whose address books there are."""
        rows = self.rows((CLASS, "organizationalUnit"), below=CONTACTS)
        return frozenset(row.name[0][1].lower() for row in rows if row.name[1:] == CONTACTS)

    def add_user(self, address: Address, password: str, reads: Sequence[bytes] = ()) -> None:
        """Add a user who can log in; ValueError where the address is none that could."""
        name = user_entry(login(address))
        more = {PASSWORD: [clear_password(password)], **({READS: reads} if reads else {})}
        values = {**user_values(address), **more}
        with self._acting("add", Thing("user", address.key)):
            self._store.add(name, values, self._soon())

    def set_password(self, address: Address, password: str) -> None:
        """Give a user another password; NoEntryError where there is none such."""
        with self._acting("set", Thing("password", address.key)):
            self._store.set_password(user_entry(address), password, self._soon())

    def change_password(self, address: Address, old: str, new: str) -> None:
        """The same for who knows the old one; WrongPasswordError for who does not, or is locked."""
        with self._acting("change", Thing("password", address.key)):
            self._store.change_password(user_entry(address), old, new, self._soon())

    def set_user(self, address: Address, wanted: Attributes) -> bool:
        """Give a user's entry exactly these values of these attributes; whether it had others."""
        row = self.user(address)
        changes = differences(row.attributes, wanted)
        if changes:
            with self._acting("set", Thing("user", address.key)):
                self._store.change(row.name, changes, self._soon())
        return bool(changes)

    def delete_user(self, address: Address) -> None:
        """Delete a user, first what he administered and his contacts; his mail is not touched."""
        own = user_entry(address)
        self._forget_admins(own.__eq__, (ADMIN, self._store.to_value(own).decode()))
        with self._acting("delete", Thing("user", address.key)):
            self._store.delete_tree(book_entry(canonical(address)), self._timeout)
            self._store.delete(user_entry(address), self._soon())

    def add_alias(self, text: str, targets: Iterable[Address]) -> None:
        """Add an alias `LOCAL@DOMAIN` or a catch-all `@DOMAIN`."""
        name, address = alias_entry(text)
        values = alias_values(address, {canonical(one) for one in targets})
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
        row = self.subject(subject)
        name = row.name
        start = f"{check} {band} choice ".encode()
        present = [value for value in row.attributes.get(POLICY, ()) if value.startswith(start)]
        layer = Layer(subject, {(check, band): Rule(choice=action)})
        wanted = list(policy_values(layer))
        if sorted(present) == wanted:
            return False
        remove = [value for value in present if value not in wanted]
        add = [value for value in wanted if value not in present]
        with self._acting("set", Thing("policy", subject.name)):
            self._store.change(name, {POLICY: (remove, add)}, self._soon())
        return True

    def set_entry(self, kind: str, subject: Subject, key: str, entry: object | None) -> bool:
        """Make this the subject's `sender` entry or `header` rule; whether that is another.

        `key` is the pattern or name that it stands under; with None there is none. ValueError
        where there are too many.
        """
        attribute, most, key_of = _KEYED[kind]
        row = self.subject(subject)
        values = row.attributes.get(attribute, ())
        present = [value for value in values if key_of(value) == key]
        wanted = [str(entry).encode()] if entry is not None else []
        if present == wanted:
            return False
        if wanted and not present and len(values) >= most:
            raise ValueError(f"{subject} has {len(values)} entries; at most {most} count")
        with self._acting("set", Thing(kind, subject.name)):
            self._store.change(row.name, {attribute: (present, wanted)}, self._soon())
        return True

    def entries(self, kind: str, subject: Subject) -> Sequence[bytes]:
        """All of them; NoEntryError where there is no such subject."""
        return self.subject(subject).attributes.get(_KEYED[kind][0], ())

    def named(self, dn: bytes) -> Name:
        """The name in the text of one, as LDIF has it; ValueError where it is none of the tree."""
        return self._store.from_value(dn)

    def text(self, name: Name) -> bytes:
        """The other way round."""
        return self._store.to_value(name)

    def user(self, address: Address, *more: str) -> Row:
        """The entry of a user, with these attributes too; NoEntryError where there is none such."""
        return self._entry(user_entry(address), (ADDRESS, canonical(address)), more)

    def domain(self, name: str) -> Row:
        """The entry of a domain; NoEntryError where there is none such."""
        return self._entry(domain_entry(name), (DOMAIN_NAME, name))

    def subject(self, subject: Subject) -> Row:
        """The entry of a domain, user or list; NoEntryError where there is none such."""
        if subject.kind is Kind.DOMAIN:
            return self.domain(subject.name)
        if subject.kind is Kind.LIST:
            return self._entry(alias_entry(subject.name)[0], (ADDRESS, subject.name))
        return self.user(Address.parse(subject.name))

    def _entry(self, name: Name, pair: tuple[str, str], more: Sequence[str] = ()) -> Row:
        for row in self.rows(pair, more=more):
            if [value for _attribute, value in row.name] == [value for _attribute, value in name]:
                return Row(name, row.attributes)
        raise NoEntryError

    @contextlib.contextmanager
    def _acting(self, verb: str, thing: Thing) -> Iterator[None]:
        try:
            authorise(self.actor, verb, thing)
            yield
        except Exception as error:
            self._audit(self.actor, verb, thing, type(error).__name__)
            raise
        self._audit(self.actor, verb, thing, "done")

    def _soon(self) -> Deadline:
        return Deadline.after(self._timeout)


def _text(row: Row) -> str:
    return ",".join(f"{attribute}={value}" for attribute, value in row.name)
