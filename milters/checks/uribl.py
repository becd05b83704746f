"""`uribl/<label>`: is a domain that a link in the message leads to on a list (RFC 5782)?

`iems.codec.links` says what a link is. The message is read in `start`, since nothing can be asked
before: some milliseconds, and up to a second for a MiB made to be slow. That is done once for all
lists. `zone` says what the answers may be; they are one finding. A message without links has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from iems.codec.links import Kind, Link, links
from iems.codec.printable import printable
from iems.codec.texts import texts
from iems.dns.suffixes import Suffixes, shared
from iems.model.address import AddressError, domain_name
from iems.model.finding import TEMPERROR, Finding
from iems.model.message import Body
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, reads, setting, somewhere
from iems.store.spool import Spooled
from milters.checks import dnsbl, rhsbl, zone
from milters.checks.clients import Clients, clients
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.checks.zone import Entries, Subject, Zone, ZoneSettings

DOMAIN, HOST = "domain", "host"
_SHOWN = 100
"""Characters of a name that are shown."""


@reads("list of `ipv4`, `ipv6`, empty for none")
def _families(value: object) -> tuple[str, ...]:
    found = read.texts(value)
    if set(found) - set(dnsbl.FAMILIES):
        raise ValueError(f"expected a list of {', '.join(dnsbl.FAMILIES)}")
    return found


@reads("list of domains")
def _domains(value: object) -> frozenset[str]:
    try:
        found = frozenset(domain_name(one) for one in read.texts(value))
    except AddressError as error:
        raise ValueError(f"expected a list of domain names ({error})") from None
    return found


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(ZoneSettings):
    """`[checks.uribl.LABEL]` beside mode, default and allow."""

    ask: str = setting(
        read.one_of(DOMAIN, HOST),
        "what is asked about: the `domain` that somebody registered, by the public suffix list, or "
        "the whole name of the `host`",
        DOMAIN,
    )
    families: tuple[str, ...] = setting(
        _families, "addresses in links that the list knows", (), example='["ipv4"]'
    )
    bare: bool = setting(
        read.flag,
        "whether names in the text count that are no addresses of the web (`www.example.com`)",
        default=True,
    )
    mailto: bool = setting(
        read.flag, "whether the domains of mail addresses in the text count", default=False
    )
    skip: frozenset[str] = setting(
        _domains,
        "domains that are not asked about, with all below them",
        frozenset(),
        example='["example.com"]',
    )
    most: int = setting(read.integer(1, 100), "names of one message that are asked about", 20)
    max_read: int = setting(
        read.integer(1024, 4 << 20), "how much of the body is read", 1 << 20, "bytes"
    )

    def entries(self) -> Mapping[str, Entries]:
        """The test entries for names, and for the families that the list knows."""
        return {rhsbl.KIND: rhsbl.ENTRIES, **dnsbl.entries(self.families)}


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.uribl.LABEL]`; SettingsError names file, key, value, expected."""
    return zone.parse(Settings, options, key, where)


@dataclass(frozen=True, slots=True)
class Uribl:
    """One list."""

    zone: Zone
    settings: Settings
    clients: Clients
    suffixes: Suffixes

    @property
    def name(self) -> str:
        """`uribl/LABEL`."""
        return self.zone.check

    @property
    def stage(self) -> Stage:
        """The body is read."""
        return Stage.BODY

    def applies(self, view: View) -> bool:
        """Whether this client's mail is read."""
        return self.clients.outside(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Read the message and ask about all names together."""
        if view.message is None or not self.applies(view):
            return Known()
        try:
            found = _links(view.message, self.settings.max_read)
        except OSError:
            reason = "the message cannot be read"
            return Known((Finding(self.name, TEMPERROR, TEMPERROR, reason),))
        subjects = list(self._subjects(found))
        return self.zone.ask(subjects, deadline) if subjects else Known()

    def _subjects(self, found: tuple[Link, ...]) -> Iterator[Subject]:
        """Whom to ask about: each once, in the order of the message, up to `most`."""
        seen: set[str] = set()
        for link in found:
            subject = self._subject(link)
            if subject is None or subject.name in seen:
                continue
            seen.add(subject.name)
            yield subject
            if len(seen) >= self.settings.most:
                return

    def _subject(self, link: Link) -> Subject | None:
        kind, host = link.kind, link.host
        if not isinstance(host, str):
            family = f"ipv{host.version}"
            if family not in self.settings.families:
                return None
            name, key, shown = dnsbl.question(host), "address", str(host)
        else:
            if not self._counts(kind, host):
                return None
            family = rhsbl.KIND
            name = self.suffixes.registered(host) if self.settings.ask == DOMAIN else host
            key, shown = "domain", printable(name, _SHOWN)
        if not name or not self.zone.holds(name):
            return None
        return Subject(family, name, (key, shown), f"linked host {shown}")

    def _counts(self, kind: Kind, host: str) -> bool:
        """Whether a name is asked about at all."""
        settings = self.settings
        if kind is Kind.MAIL and not settings.mailto:
            return False
        if kind is Kind.BARE and not (settings.bare and self.suffixes.known(host)):
            return False
        labels = host.split(".")
        return not any(".".join(labels[at:]) in settings.skip for at in range(len(labels)))


def make(name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check of one list."""
    rule = clients(tools.site, settings)
    asked = zone.zone_of(f"uribl/{name}", name, health_key(name), settings, tools)
    return (Uribl(asked, settings, rule, shared()),)


def health_key(label: str) -> str:
    """Under which name its health is kept: other lists may have the same label."""
    return f"uribl/{label}"


def _links(message: Spooled, most: int) -> tuple[Link, ...]:
    """The links in so many bytes of the body; OSError where it cannot be read."""
    found = message.links.get(most)
    if found is None:
        found = links(texts(message.header, _start(message.body, most)))
        message.links[most] = found
    return found


def _start(body: Body, most: int) -> bytes:
    pieces, size = [], 0
    for piece in body.pieces():
        pieces.append(piece[: most - size])
        size += len(pieces[-1])
        if size >= most:
            break
    return b"".join(pieces)
