"""What a row of a table wants of the directory: users, aliases, domains and policies as entries.

Pure. Whatever cannot be meant is a ValueError that says what stood there and what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from iems.directory.account import BAYES, KINDS, POP3, reason
from iems.directory.admin import clear_password
from iems.directory.authority import Thing
from iems.directory.policy import read_policy, read_senders, with_headers
from iems.directory.store import Attributes, Name
from iems.directory.table import Line
from iems.directory.tree import (
    ADDRESS,
    DISABLED,
    DOMAIN_NAME,
    FILTER,
    FORWARD,
    HEADER,
    KIND,
    NAME,
    PASSWORD,
    POLICY,
    READS,
    SENDER,
    TARGET,
    alias_entry,
    alias_values,
    canonical,
    domain_entry,
    domain_values,
    login,
    user_entry,
    user_values,
)
from iems.model.address import ROLES, Address, domain_name
from iems.model.policy import Kind, Layer, Subject

_HASH = re.compile(r"\{(ARGON2|SSHA|SHA|SMD5|MD5|CRYPT)\}\S+")
"""The schemes that the slapd of docs/directory.md verifies."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a row wants of one entry: `wanted` shall stand there, `new` besides where it is made.

    Without `new` the entry has to be there. `pair` is what it is found by; `then` comes after it.
    """

    thing: Thing
    name: Name
    pair: tuple[str, str]
    wanted: Attributes
    new: Attributes | None = None
    then: tuple[Wanted, ...] = ()
    layer: Layer | None = None
    """The policy among what is wanted."""


Read = Callable[[Line], Wanted]


def user(line: Line) -> Wanted:
    """A row of a user."""
    address = login(Address.parse(_one(line, "address")))
    name = user_entry(address)
    wanted: dict[str, Sequence[bytes]] = {}
    layer = None
    if "disabled" in line.values:
        wanted[DISABLED] = _bytes(reason(_maybe(line, "disabled")))
    if "kind" in line.values:
        kind = _maybe(line, "kind")
        if kind and kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}, or nothing")
        wanted[KIND] = _bytes(kind)
    if "reads" in line.values:
        reads = _maybe(line, "reads")
        if reads not in {"", POP3}:
            raise ValueError(f"reads is {reads!r}; expected {POP3}, or nothing")
        wanted[READS] = _bytes(reads)
    if "bayes" in line.values:
        bayes = _maybe(line, "bayes")
        if bayes and bayes not in BAYES:
            raise ValueError(f"bayes is {bayes!r}; expected one of {', '.join(BAYES)}, or nothing")
        wanted[FILTER] = _bytes(bayes)
    if "forward" in line.values:
        wanted[FORWARD] = _addresses(line.values["forward"])
    if "policy" in line.values:
        wanted[POLICY], layer = _policy(line, Subject(Kind.USER, address.key))
    if "senders" in line.values:
        wanted[SENDER] = _senders(line, Subject(Kind.USER, address.key))
    new = dict(user_values(address))
    shown = _maybe(line, "name")
    if shown:
        wanted[NAME] = _bytes(shown)
        del new[NAME]
    return Wanted(
        Thing("user", address.key),
        name,
        (ADDRESS, canonical(address)),
        wanted,
        {**new, **_password(line)},
        layer=layer,
    )


def alias(line: Line) -> Wanted:
    """A row of an alias, a catch-all, or another name of a domain."""
    name, address = alias_entry(_one(line, "address"))
    texts = line.values.get("targets", ())
    if address.startswith("@") and len(texts) == 1 and texts[0].startswith("@"):
        targets: Sequence[bytes] = [f"@{domain_name(texts[0][1:])}".encode()]
    else:
        targets = _addresses(texts)
    if not targets:
        raise ValueError("targets is empty; expected an address or more")
    new = {key: value for key, value in alias_values(address, ()).items() if key != TARGET}
    return Wanted(Thing("alias", address), name, (ADDRESS, address), {TARGET: targets}, new)


def domain(postmaster: Address) -> Read:
    """Rows of domains; `postmaster` gets the mail of postmaster@ and abuse@ unless one says who."""

    def read(line: Line) -> Wanted:
        name = domain_name(_one(line, "domain"))
        wanted: dict[str, Sequence[bytes]] = {}
        layer = None
        if "policy" in line.values:
            wanted[POLICY], layer = _policy(line, Subject(Kind.DOMAIN, name))
        if "senders" in line.values:
            wanted[SENDER] = _senders(line, Subject(Kind.DOMAIN, name))
        if "headers" in line.values:
            wanted[HEADER], layer = _headers(line, layer or Layer(Subject(Kind.DOMAIN, name)))
        other = _maybe(line, "alias_of")
        told = _maybe(line, "postmaster")
        whom = Address.parse(told) if told else postmaster
        if line.dn:
            rows = {}  # LDIF has entries for its aliases, or wants none
        elif other:
            rows = {f"@{name}": f"@{domain_name(other)}"}
        elif whom.role and whom.domain == name:
            raise ValueError(f"{whom} would lead to itself; expected a postmaster elsewhere")
        else:
            rows = {f"{role}@{name}": canonical(whom) for role in sorted(ROLES)}
        return Wanted(
            Thing("domain", name),
            domain_entry(name),
            (DOMAIN_NAME, name),
            wanted,
            domain_values(name),
            tuple(_leading(address, target, bind=bool(other)) for address, target in rows.items()),
            layer,
        )

    return read


def policy(line: Line) -> Wanted:
    """A row of the policy of a user or a domain, who must be there."""
    text = _one(line, "subject")
    if "@" in text:
        address = Address.parse(text)
        subject, name = Subject(Kind.USER, address.key), user_entry(address)
        pair = (ADDRESS, canonical(address))
    else:
        subject, name = Subject(Kind.DOMAIN, domain_name(text)), domain_entry(domain_name(text))
        pair = (DOMAIN_NAME, subject.name)
    values, layer = _policy(line, subject)
    return Wanted(Thing("policy", subject.name), name, pair, {POLICY: values}, layer=layer)


def _leading(address: str, target: str, *, bind: bool) -> Wanted:
    """The alias that comes with a domain; one that is there is left, or with `bind` changed."""
    name, text = alias_entry(address)
    values = alias_values(text, [target])
    wanted = {TARGET: values[TARGET]} if bind else {}
    return Wanted(Thing("alias", text), name, (ADDRESS, text), wanted, values)


def _policy(line: Line, subject: Subject) -> tuple[Sequence[bytes], Layer]:
    faults: list[str] = []
    texts = sorted({value.encode() for value in line.values.get("policy", ())})
    layer = read_policy(texts, subject, faults.append)
    if faults:
        raise ValueError(faults[0])
    return texts, layer


def _senders(line: Line, subject: Subject) -> Sequence[bytes]:
    faults: list[str] = []
    texts = [value.encode() for value in line.values["senders"]]
    found = read_senders(texts, subject, faults.append)
    if faults:
        raise ValueError(faults[0])
    return [str(found[pattern]).encode() for pattern in sorted(found)]


def _headers(line: Line, layer: Layer) -> tuple[Sequence[bytes], Layer]:
    faults: list[str] = []
    texts = sorted({value.encode() for value in line.values["headers"]})
    layer = with_headers(layer, texts, faults.append)
    if faults:
        raise ValueError(faults[0])
    return texts, layer


def _password(line: Line) -> Attributes:
    clear, ready = _maybe(line, "password"), _maybe(line, "password_hash")
    if clear and ready:
        raise ValueError("there is a password and a password_hash; expected one of them")
    if clear:
        return {PASSWORD: [clear_password(clear)]}
    if ready and not _HASH.fullmatch(ready):
        raise ValueError("password_hash is none that slapd knows; expected {ARGON2}... or the like")
    return {PASSWORD: [ready.encode()]} if ready else {}


def _addresses(texts: Iterable[str]) -> Sequence[bytes]:
    return [text.encode() for text in sorted({canonical(Address.parse(one)) for one in texts})]


def _bytes(text: str) -> Sequence[bytes]:
    return [text.encode()] if text else []


def _one(line: Line, column: str) -> str:
    value = _maybe(line, column)
    if not value:
        raise ValueError(f"{column} is empty; expected one value")
    return value


def _maybe(line: Line, column: str) -> str:
    values = line.values.get(column, ())
    if len(values) > 1:
        raise ValueError(f"{column} has {len(values)} values; expected one at most")
    return values[0] if values else ""
