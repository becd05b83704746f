"""The tree of `docs/directory.md`: names of its entries, and its entries as values.

`TreeDirectory` is the directory that stands in such a tree; it keeps nothing between two calls.
What stands in an entry is not trusted: a value of a policy or list that is none is left out with a
note, as is an entry that speaks for another domain than the one it stands below; one that makes no
sense is `DirectoryUnavailable`, never a missing user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from iems.directory.account import BAYES, POP3, refusal
from iems.directory.person import ATTRIBUTES as PERSON
from iems.directory.person import person
from iems.directory.policy import read_policy, read_refused, read_senders, with_headers
from iems.directory.reader import Alias, CatchAll, DirectoryUnavailable, Entry, User, user_of
from iems.directory.store import Attributes, Name, Reader, Row
from iems.model.address import Address, AddressError, domain_name
from iems.model.policy import Kind, Layer, MailingList, Subject
from iems.serve.deadline import Deadline

DOMAINS: Name = (("ou", "domains"),)
CLASS = "objectClass"
USER, ALIAS, DOMAIN = "iemsUser", "iemsAlias", "iemsDomain"
ADDRESS, TARGET, DOMAIN_NAME = "iemsAddress", "iemsTarget", "iemsDomainName"
POLICY, SENDER, HEADER = "iemsPolicy", "iemsSender", "iemsHeader"
DISABLED, KIND, FORWARD, READS = "iemsDisabled", "iemsKind", "iemsForward", "iemsReads"
NAME = "cn"
ADMIN, PASSWORD, LOCKED = "iemsAdmin", "userPassword", "pwdAccountLockedTime"
LANGUAGE, FILTER = "preferredLanguage", "iemsBayes"
MAILSORT, FACTS = "iemsMailsort", "iemsMailsortFacts"
REFUSED, TOLD = "iemsMailsortRefuse", "iemsMailsortRefuseText"
_OF_USER = (DISABLED, KIND, FORWARD, READS, LANGUAGE, FILTER, REFUSED, TOLD, FACTS)
ATTRIBUTES = (
    CLASS,
    ADDRESS,
    TARGET,
    DOMAIN_NAME,
    POLICY,
    SENDER,
    HEADER,
    *_OF_USER,
    *PERSON.values(),
)

Note = Callable[[str], None]

_LOGIN = re.compile(r"[a-z0-9_][a-z0-9._-]*")
"""Local parts of users: what Dovecot's auth_username_chars lets log in, and no path of a file."""


def canonical(address: Address) -> str:
    """The text under which the tree holds an address."""
    return str(Address(address.local.casefold(), address.domain))


def domain_entry(domain: str) -> Name:
    """The name of a domain's entry."""
    return ((DOMAIN_NAME, domain), *DOMAINS)


def user_entry(address: Address) -> Name:
    """The name of a user's entry."""
    return (("uid", address.local.casefold()), *domain_entry(address.domain))


def user_named(name: Name) -> str:
    """The address of the user whose entry has this name; empty where it is no user's."""
    match name:
        case (("uid", local), (str(), domain), *rest) if tuple(rest) == DOMAINS:
            return canonical(Address(local, domain))
        case _:
            return ""


def user_values(address: Address) -> Attributes:
    """The attributes of a new user's entry, but for his password."""
    local = address.local.casefold().encode()
    return {
        CLASS: [b"inetOrgPerson", b"iemsUser"],
        **{attribute: [local] for attribute in ("uid", NAME, "sn")},
        ADDRESS: [canonical(address).encode()],
    }


def alias_values(address: str, targets: Iterable[str]) -> Attributes:
    """The attributes of a new alias's entry."""
    return {
        CLASS: [b"iemsAlias"],
        ADDRESS: [address.encode()],
        TARGET: [target.encode() for target in sorted(targets)],
    }


def domain_values(domain: str) -> Attributes:
    """The attributes of a new domain's entry."""
    return {CLASS: [b"iemsDomain"], DOMAIN_NAME: [domain.encode()]}


def login(address: Address) -> Address:
    """The address, if its owner can log in with it; ValueError where he could not."""
    if not _LOGIN.fullmatch(address.local.casefold()):
        raise ValueError(
            f"{address} cannot log in; expected letters, digits, and . _ - before the @"
        )
    return address


def alias_entry(text: str) -> tuple[Name, str]:
    """The name of the entry of an alias `LOCAL@DOMAIN` or a catch-all `@DOMAIN`, and its address.

    AddressError where the text is neither.
    """
    if text.startswith("@"):
        domain = domain_name(text[1:])
        address = f"@{domain}"
    else:
        parsed = Address.parse(text)
        domain, address = parsed.domain, canonical(parsed)
    return ((ADDRESS, address), *domain_entry(domain)), address


class TreeDirectory:
    """A `Directory` in a tree; `timeout` bounds each search, `note` gets what is left out."""

    def __init__(self, store: Reader, timeout: float, note: Note) -> None:
        self._store = store
        self._timeout = timeout
        self._note = note

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """See `Directory`; the domains' policies come with the same search."""
        names = sorted({address.domain for address in addresses})
        wanted = [(ADDRESS, canonical(address)) for address in addresses]
        rows = self._search([*wanted, *((DOMAIN_NAME, name) for name in names)], deadline)
        entries = read_entries(rows, self._note)
        keys = {address.key for address in addresses}
        return {key: entry for key, entry in entries.items() if key in keys}

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """See `Directory`."""
        rows = self._search([(ADDRESS, f"@{domain}") for domain in domains], deadline)
        found = (read_catch_all(row, self._note) for row in _at_home(rows, self._note))
        return {one.domain: one for one in found if one.domain in domains}

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """See `Directory`."""
        rows = self._search([(DOMAIN_NAME, name) for name in names], deadline)
        layers = read_domains(rows, self._note)
        return {name: layer for name, layer in layers.items() if name in names}

    def _search(self, any_of: Sequence[tuple[str, str]], deadline: Deadline) -> Sequence[Row]:
        if not any_of:
            return ()
        return self._store.search(DOMAINS, any_of, ATTRIBUTES, deadline.sooner(self._timeout))


def read_entries(rows: Iterable[Row], note: Note) -> Mapping[str, Entry]:
    """The users and aliases among the rows, by `Address.key`; rows of their domains belong to it.

    `DirectoryUnavailable` names the first entry that makes no sense.
    """
    rows = tuple(rows)
    layers = read_domains(rows, note)
    entries: dict[str, Entry] = {}
    for row in _at_home(_of_class(rows, USER), note):
        user = _user(row, layers, note)
        if user.address.key in entries:
            raise _nonsense(row, f"a second user {user.address}")
        forward = () if user.refusal else _addresses(row, FORWARD, note)
        entries[user.address.key] = Alias(user.address, forward, user) if forward else user
    aliases: set[str] = set()
    for row in _at_home(_of_class(rows, ALIAS), note):
        if is_catch_all(row):
            continue
        address = _address(row)
        if address.key in aliases:
            raise _nonsense(row, f"a second alias {address}")
        aliases.add(address.key)
        present = entries.get(address.key)
        forward = present.targets if isinstance(present, Alias) else ()
        targets = tuple(dict.fromkeys((*_targets(row, note), *forward)))
        domain = layers.get(address.domain) or Layer(Subject(Kind.DOMAIN, address.domain))
        own = MailingList(read_layer(row, Subject(Kind.LIST, address.key), note), domain)
        entries[address.key] = Alias(address, targets, user_of(present), own)
    return entries


def read_domains(rows: Iterable[Row], note: Note) -> Mapping[str, Layer]:
    """The domains among the rows, with their policies."""
    layers = {}
    for row in _of_class(rows, DOMAIN):
        name = _one(row, DOMAIN_NAME).lower()
        if len(row.name) == len(domain_entry(name)):
            layers[name] = read_layer(row, Subject(Kind.DOMAIN, name), note)
    return layers


def read_layer(row: Row, subject: Subject, note: Note) -> Layer:
    """What the entry of a domain, user or list says of mail to it."""
    policy = read_policy(row.attributes.get(POLICY, ()), subject, note)
    own = read_senders(row.attributes.get(SENDER, ()), subject, note)
    refused, told = (row.attributes.get(one, ()) for one in (REFUSED, TOLD))
    ruled = read_refused(refused, told, subject, note)
    senders = {**ruled, **own}
    layer = replace(policy, senders=senders, sees_junk=_maybe(row, READS).lower() != POP3)
    headers = () if subject.kind is Kind.USER else row.attributes.get(HEADER, ())
    return with_headers(layer, headers, note)


def read_catch_all(row: Row, note: Note) -> CatchAll:
    """One row as a catch-all."""
    domain = _one(row, ADDRESS)[1:].lower()
    others = [value for value in row.attributes.get(TARGET, ()) if value.startswith(b"@")]
    if not others:
        return CatchAll(domain, _targets(row, note))
    try:
        [other] = [domain_name(value[1:].decode()) for value in row.attributes[TARGET]]
    except (ValueError, AddressError) as error:
        raise _nonsense(row, f"expected @DOMAIN alone: {error}") from None
    return CatchAll(domain, (), other)


def is_catch_all(row: Row) -> bool:
    """Whether this alias is a catch-all."""
    return _one(row, ADDRESS).startswith("@")


def _user(row: Row, layers: Mapping[str, Layer], note: Note) -> User:
    address = _address(row)
    layer = layers.get(address.domain)
    if layer is None:
        raise _nonsense(row, f"the domain of {address} has no entry")
    subject = Subject(Kind.USER, address.key)
    own = read_layer(row, subject, note)
    refused = refusal(_maybe(row, DISABLED), _maybe(row, KIND))
    told = {name: _first(row, attribute) for name, attribute in PERSON.items()}
    return User(
        address,
        own,
        layer,
        refused,
        _maybe(row, LANGUAGE),
        _filter(row, note),
        _maybe(row, FACTS) == "TRUE",
        person(told, address),
    )


def _filter(row: Row, note: Note) -> str:
    """What he wants of his filter; a word that is none is left out with a note."""
    word = _maybe(row, FILTER).lower()
    if word and word not in BAYES:
        note(f"{_text(row.name)}: {FILTER} {word[:200]!r} is left out")
        return ""
    return word


def _first(row: Row, attribute: str) -> str:
    """The first value of an attribute that may have several; empty where it has none."""
    values = row.attributes.get(attribute, ())
    return values[0].decode("utf-8", "replace") if values else ""


def _targets(row: Row, note: Note) -> tuple[Address, ...]:
    """The targets of an alias, without which it makes no sense."""
    found = _addresses(row, TARGET, note)
    if not found:
        raise _nonsense(row, "an alias without a target that is an address")
    return found


def _addresses(row: Row, attribute: str, note: Note) -> tuple[Address, ...]:
    """The values that are addresses; others are left out with a note."""
    found: list[Address] = []
    for value in sorted(row.attributes.get(attribute, ())):
        try:
            found.append(Address.parse(value.decode("utf-8")))
        except (AddressError, UnicodeDecodeError) as error:
            note(f"{_text(row.name)}: target {value[:200]!r} is left out: {error}")
    return tuple(found)


def _maybe(row: Row, attribute: str) -> str:
    """The value of an attribute that an entry may lack; empty where it does."""
    return _one(row, attribute) if row.attributes.get(attribute) else ""


def _address(row: Row) -> Address:
    text = _one(row, ADDRESS)
    try:
        return Address.parse(text)
    except AddressError as error:
        raise _nonsense(row, str(error)) from None


def _one(row: Row, attribute: str) -> str:
    try:
        values = row.texts(attribute)
    except UnicodeDecodeError as error:
        raise _nonsense(row, f"{attribute}: {error}") from None
    if len(values) != 1:
        raise _nonsense(row, f"{len(values)} values of {attribute}; expected one")
    return values[0]


def _of_class(rows: Iterable[Row], name: str) -> Iterable[Row]:
    wanted = name.lower().encode()
    return (row for row in rows if wanted in {one.lower() for one in row.attributes.get(CLASS, ())})


def _at_home(rows: Iterable[Row], note: Note) -> Iterable[Row]:
    """The entries of addresses that stand directly below the domain of their address."""
    for row in rows:
        domain = _one(row, ADDRESS).rpartition("@")[2]
        above = tuple(value.lower() for _attribute, value in row.name[1:])
        if above == tuple(value for _attribute, value in domain_entry(domain.lower())):
            yield row
        else:
            note(f"{_text(row.name)} is left out: it speaks for {domain[:200]!r}")


def _nonsense(row: Row, reason: str) -> DirectoryUnavailable:
    return DirectoryUnavailable(f"the entry {_text(row.name)} makes no sense: {reason}")


def _text(name: Name) -> str:
    return ", ".join(f"{attribute}={value!r}" for attribute, value in name)
