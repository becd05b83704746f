"""The settings of a site: each key with its reader, meaning, unit, default and example.

`docs/settings.md` and iems.toml(5) are made of it (`cli.reference`).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from iems.model.address import Address
from iems.model.envelope import INTERNET, parse_ip
from iems.model.finding import BAYES, Finding
from iems.model.policy import WHOLE, Action, Layer, Rule
from iems.settings import read
from iems.settings.attachments import AttachmentSettings
from iems.settings.bayes import BayesSettings
from iems.settings.edits import EditSettings
from iems.settings.mailsort import MailsortSettings
from iems.settings.places import ETC, QUEUE, RUN, STATE
from iems.settings.policy import Channel, CheckSettings, Mode, site_layer
from iems.settings.read import AT_ONCE, LANGUAGES, RESTART, Network, section, setting
from iems.settings.shared import SharedSettings


@dataclass(frozen=True, kw_only=True)
class DirectorySettings:
    """Where domains, users, aliases and their policies stand."""

    kind: str = setting(read.one_of("ldap", "toml"), "directory server or a read-only file", "ldap")
    file: Path = setting(read.path, "where `kind` is `toml`: the directory", ETC / "directory.toml")
    uri: str = setting(
        read.text,
        "where `kind` is `ldap`: the server",
        "ldapi:///",
        example='"ldaps://ldap.example.org"',
    )
    base: str = setting(read.text, "suffix of the tree", "o=iems")
    ttl: int = setting(read.integer(0, 3600), "life of a cached entry", 60, "s")
    timeout: float = setting(read.number(0.1, 30), "bound on one search", 5.0, "s")
    pool: int = setting(read.integer(1, 64), "connections of one worker", 4)


@dataclass(frozen=True, kw_only=True)
class DnsSettings:
    """Whom the checks ask."""

    servers: tuple[str, ...] = setting(
        read.texts,
        "`IP` or `IP:PORT` (`[IPV6]:PORT`); empty: those of /etc/resolv.conf",
        (),
        example='["127.0.0.1", "[2001:db8::53]:5353"]',
    )
    timeout: float = setting(read.number(0.1, 20), "bound on one question", 5.0, "s")


@dataclass(frozen=True, kw_only=True)
class MilterSettings:
    """iems-milter."""

    socket: Path = setting(
        read.path, "where Postfix connects", QUEUE / "milter.sock", effect=RESTART
    )
    socket_group: str = setting(read.text, "group that may connect", "postfix", effect=RESTART)
    state: Path = setting(read.path, "records, health and spool", STATE / "milter")
    status: Path = setting(
        read.path, "what `iems status` reads; on no disk", RUN / "milter/status.json"
    )
    workers: int = setting(read.integer(1, 64), "processes", 2)
    max_memory: int = setting(
        read.integer(64 << 20, 1 << 40),
        "a process that holds more is drained and replaced; killed if it then holds twice as much",
        512 << 20,
        "bytes",
    )
    content_timeout: float = setting(
        read.number(1, 240),
        "bound on the checks of a whole message; below Postfix's `milter_content_timeout`",
        60.0,
        "s",
    )
    tag_spam_bounces: bool = setting(
        read.flag,
        "bounces to outside that return spam get `X-IEMS-Bounce: spam`, for `milter_header_checks` "
        "of Postfix, which must remove it from what leaves; bodies are read for it",
        False,
    )
    ldap_dn: str = setting(read.text, "whom it binds as", "cn=milter,ou=services,o=iems")
    ldap_password_file: Path = setting(read.path, "its password", ETC / "keys/ldap-milter")


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """iems-lmtp."""

    socket: Path = setting(read.path, "where Postfix delivers", QUEUE / "lmtp.sock", effect=RESTART)
    socket_group: str = setting(read.text, "group that may connect", "postfix", effect=RESTART)
    state: Path = setting(read.path, "records, quarantine and spool", STATE / "lmtp")
    status: Path = setting(
        read.path, "what `iems status` reads; on no disk", RUN / "lmtp/status.json"
    )
    workers: int = setting(read.integer(1, 64), "processes", 2)
    max_memory: int = setting(
        read.integer(64 << 20, 1 << 40),
        "a process that holds more is drained and replaced; killed if it then holds twice as much",
        512 << 20,
        "bytes",
    )
    ldap_dn: str = setting(read.text, "whom it binds as", "cn=agent,ou=services,o=iems")
    ldap_password_file: Path = setting(read.path, "its password", ETC / "keys/ldap-agent")
    max_message: int = setting(
        read.integer(65536, 1 << 31), "largest message that is taken", 100 << 20, "bytes"
    )
    upstreams: Mapping[str, str] = setting(
        read.upstreams,
        "LMTP servers by destination channel",
        {"local": "unix:/run/dovecot/iems-lmtp"},
    )


@dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """`iems` where it writes."""

    ldap_dn: str = setting(
        read.text, "whom it binds as", "cn=admin,ou=services,o=iems", effect=AT_ONCE
    )
    ldap_password_file: Path = setting(
        read.path, "its password", ETC / "keys/ldap-admin", effect=AT_ONCE
    )


@dataclass(frozen=True, kw_only=True)
class KeySettings:
    """Keys of the site."""

    findings: Path = setting(read.path, "keyring of X-IEMS-Findings", ETC / "keys/findings.toml")


@dataclass(frozen=True, kw_only=True)
class SigningSettings:
    """DKIM signatures of mail that is sent here (docs/dkim.md)."""

    keys: Path = setting(
        read.path,
        "a folder with a file for each domain that has keys (`iems dkim`); mail of others is not "
        "signed",
        ETC / "keys/dkim",
    )
    valid: int = setting(
        read.integer(0, 365),
        "days after which a signature says that it has expired (`x=`); 0: never",
        0,
        "days",
    )


@dataclass(frozen=True, kw_only=True)
class KeepSettings:
    """How long things are kept."""

    records: int = setting(
        read.integer(0, 36500), "what `iems why` answers from; 0: for ever", 90, "days"
    )
    quarantine: int = setting(
        read.integer(0, 36500), "messages in quarantine; 0: for ever", 30, "days"
    )


@dataclass(frozen=True, kw_only=True)
class SenderSettings:
    """What the lists of senders of domains and users do."""

    blocked: Action = setting(
        read.whole_action,
        "what is done with mail of a sender who is blocked where nobody chose",
        Action.REJECT,
    )
    allow: frozenset[Action] = setting(
        read.whole_actions, "what domains and users may choose from for it", WHOLE
    )


@dataclass(frozen=True, kw_only=True)
class HeaderSettings:
    """What rules about header fields that domains and lists make may do."""

    allow: frozenset[Action] = setting(
        read.whole_actions,
        "what such a rule may do, and what may be chosen about it; besides always `deliver`, which "
        "alone leaves all of them without effect",
        frozenset({Action.TAG, Action.JUNK}),
    )

    @property
    def rule(self) -> Rule:
        """The site's."""
        return Rule(self.allow | {Action.DELIVER}, Action.DELIVER)


@dataclass(frozen=True, kw_only=True)
class NoticeSettings:
    """Reports and notices by mail."""

    smtp: str = setting(read.text, "`HOST:PORT` of an SMTP server", "127.0.0.1:25")
    password_days: tuple[int, ...] = setting(
        read.days,
        "so many days before a password ends its owner gets a notice; empty: none",
        (14, 3, 1),
    )
    password_help: str = setting(
        read.text,
        "how a user changes his password, in that notice: a sentence or URL",
        "ask the postmaster",
        example='"https://www.example.org/password"',
    )


@dataclass(frozen=True, kw_only=True)
class DigestSettings:
    """The daily mail to users of what did not reach them."""

    send: bool = setting(
        read.flag, "users get a digest, but for those who want none (docs/digest.md)", False
    )
    hour: int = setting(read.integer(0, 23), "hour of the day, by the clock of this host", 6)
    language: str = setting(
        read.one_of(*LANGUAGES), "for users who prefer none that we have", LANGUAGES[0]
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a site; `checks` and `channels` are read by `iems.settings.policy`."""

    version: int = setting(read.integer(1, 1), "version of this file's form", example="1")
    hostname: str = setting(
        read.host_name,
        "name of this host, also the authserv-id",
        example='"mail.example.org"',
    )
    postmaster: Address = setting(
        read.address, "whom notices go to", example='"postmaster@example.org"'
    )
    contact: str = setting(
        read.text,
        "in every refusal: an address or URL where a person gets help",
        "postmaster",
        example='"https://www.example.org/mail-refused"',
    )
    own_networks: tuple[Network, ...] = setting(
        read.networks,
        "networks whose clients are not looked up",
        (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
        example='["127.0.0.0/8", "::1/128", "198.51.100.0/24"]',
    )
    trusted_relays: tuple[Network, ...] = setting(
        read.networks,
        "backup MX, forwarders, proxies: the hop before them is looked up",
        (),
        example='["203.0.113.25", "2001:db8:25::/64"]',
    )
    reject_after_queue: str = setting(
        read.one_of("junk", "quarantine", "bounce"),
        "what becomes of a reject for mail from outside that is already queued",
        "junk",
    )
    exact: bool | frozenset[str] = setting(
        read.everywhere,
        "one policy class a transaction: of the recipients of mail from outside those of another "
        "class are put off (docs/pass-through.md); for all, or where one of these domains is in it",
        False,
        example='["example.org"]',
    )
    exact_splits: int = setting(
        read.integer(1, 100),
        "so often within six hours is a recipient put off for that, by client network and sender; "
        "then he is taken together with the others",
        3,
    )
    directory: DirectorySettings = section(DirectorySettings, "where users stand")
    dns: DnsSettings = section(DnsSettings, "whom the checks ask")
    milter: MilterSettings = section(MilterSettings, "iems-milter")
    agent: AgentSettings = section(AgentSettings, "iems-lmtp")
    admin: AdminSettings = section(AdminSettings, "iems, where it writes")
    counters: SharedSettings = section(SharedSettings, "where flow and exact count")
    bayes: BayesSettings = section(BayesSettings, "what each user has trained")
    mailsort: MailsortSettings = section(MailsortSettings, "users' rules about incoming mail")
    keys: KeySettings = section(KeySettings, "keys of the site")
    signing: SigningSettings = section(SigningSettings, "DKIM signatures of mail that is sent here")
    keep: KeepSettings = section(KeepSettings, "how long things are kept")
    notices: NoticeSettings = section(NoticeSettings, "notices by mail")
    digest: DigestSettings = section(DigestSettings, "daily digests to users")
    senders: SenderSettings = section(SenderSettings, "lists of senders")
    headers: HeaderSettings = section(HeaderSettings, "rules of domains and lists")
    attachments: AttachmentSettings = section(AttachmentSettings, "what rules about them share")
    channels: Mapping[str, Channel] = setting(read.elsewhere(), "source channels", {})
    destinations: Mapping[str, Layer] = setting(read.elsewhere(), "policy by destination", {})
    checks: tuple[CheckSettings, ...] = setting(read.elsewhere(), "the checks that run", ())
    edits: tuple[EditSettings, ...] = setting(read.elsewhere(), "what is edited", ())

    @functools.cached_property
    def site_layer(self) -> Layer:
        """The policy of the site."""
        return self._site_layer(self.checks)

    def _site_layer(self, checks: Iterable[CheckSettings]) -> Layer:
        blocked = Rule(self.senders.allow, self.senders.blocked)
        return site_layer(checks, blocked, self.headers.rule)

    @functools.cached_property
    def shadows(self) -> frozenset[str]:
        """The names of the checks in shadow."""
        return frozenset(one.name for one in self.checks if one.mode is Mode.SHADOW)

    @functools.cached_property
    def trains_by_mail(self) -> bool:
        """Whether forwards to spam@ and ham@ train."""
        return self.bayes.forwards and any(one.family == BAYES for one in self.checks)

    @functools.cached_property
    def unremoved(self) -> Settings:
        """As they are for a message out of which nothing could be removed that scanners found."""
        return replace(self, checks=tuple(one.unremoved for one in self.checks))

    def weighed(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """The findings without those of checks in shadow."""
        return tuple(one for one in findings if one.check not in self.shadows)

    def shown(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """The findings as they go to the agent: of a check in shadow without its evidence."""
        return tuple(
            replace(one, evidence=()) if one.check in self.shadows else one for one in findings
        )

    def layers(self, channel: str, destination: str) -> tuple[Layer, ...]:
        """The layers above every domain: the site's and, where there is one, the channel's.

        Of the site's matrices the cell counts of mail from this channel to this destination.
        """
        site, own = self.site_layer, self.channels.get(channel)
        if any(one.matrix.cells for one in self.checks):
            cells = (one.between(channel, destination) for one in self.checks)
            site = self._site_layer(cells)
        return (site, own.layer) if own else (site,)

    def beneath(self, destination: str) -> tuple[Layer, ...]:
        """The layer below the channel's of mail that leaves this host by this destination."""
        own = self.destinations.get(destination)
        return (own,) if own else ()

    def source(self, listener: str, client: str | None) -> str:
        """The source channel of a client: the listener's, or that of his network."""
        address = parse_ip(client) if client and listener == INTERNET else None
        if address is None:
            return listener
        found = [
            (network.prefixlen, name)
            for name, channel in self.channels.items()
            for network in channel.networks
            if address.version == network.version and address in network
        ]
        return max(found)[1] if found else listener
