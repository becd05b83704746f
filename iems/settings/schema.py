"""The settings of a site: each key with its reader, meaning, unit and default.

`docs/settings.md` says the same for people; a test holds the two together.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iems.model.address import Address
from iems.model.policy import Layer
from iems.settings import read
from iems.settings.policy import CheckSettings, site_layer
from iems.settings.read import Network, section, setting

ETC = Path("/etc/iems")
QUEUE = Path("/var/spool/postfix/iems")
STATE = Path("/var/lib/iems")
RUN = Path("/run/iems")


@dataclass(frozen=True, kw_only=True)
class DirectorySettings:
    """Where domains, users, aliases and their policies stand."""

    kind: str = setting(read.one_of("ldap", "toml"), "directory server or a read-only file", "ldap")
    file: Path = setting(read.path, "the TOML directory", ETC / "directory.toml")
    uri: str = setting(read.text, "the LDAP server", "ldapi:///")
    base: str = setting(read.text, "suffix of the tree", "o=iems")
    ttl: int = setting(read.integer(0, 3600), "life of a cached entry", 60, "s")
    timeout: float = setting(read.number(0.1, 30), "bound on one search", 5.0, "s")
    pool: int = setting(read.integer(1, 64), "connections of one worker", 4)


@dataclass(frozen=True, kw_only=True)
class DnsSettings:
    """Whom the checks ask."""

    servers: tuple[str, ...] = setting(
        read.texts, "`IP` or `IP:PORT` (`[IPV6]:PORT`); empty: those of /etc/resolv.conf", ()
    )
    timeout: float = setting(read.number(0.1, 20), "bound on one question", 5.0, "s")


@dataclass(frozen=True, kw_only=True)
class MilterSettings:
    """iems-milter."""

    socket: Path = setting(read.path, "where Postfix connects", QUEUE / "milter.sock")
    socket_group: str = setting(read.text, "group that may connect", "postfix")
    state: Path = setting(read.path, "records and health", STATE / "milter")
    status: Path = setting(
        read.path, "what `iems status` reads; on no disk", RUN / "milter/status.json"
    )
    workers: int = setting(read.integer(1, 64), "processes", 2)
    max_memory: int = setting(
        read.integer(64 << 20, 1 << 40), "a process that holds more is replaced", 512 << 20, "bytes"
    )
    ldap_dn: str = setting(read.text, "whom it binds as", "cn=milter,ou=services,o=iems")
    ldap_password_file: Path = setting(read.path, "its password", ETC / "keys/ldap-milter")


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """iems-lmtp."""

    socket: Path = setting(read.path, "where Postfix delivers", QUEUE / "lmtp.sock")
    socket_group: str = setting(read.text, "group that may connect", "postfix")
    state: Path = setting(read.path, "records, quarantine and spool", STATE / "lmtp")
    status: Path = setting(
        read.path, "what `iems status` reads; on no disk", RUN / "lmtp/status.json"
    )
    workers: int = setting(read.integer(1, 64), "processes", 2)
    max_memory: int = setting(
        read.integer(64 << 20, 1 << 40), "a process that holds more is replaced", 512 << 20, "bytes"
    )
    ldap_dn: str = setting(read.text, "whom it binds as", "cn=agent,ou=services,o=iems")
    ldap_password_file: Path = setting(read.path, "its password", ETC / "keys/ldap-agent")
    max_message: int = setting(
        read.integer(65536, 1 << 31), "largest message that is taken", 100 << 20, "bytes"
    )
    upstreams: Mapping[str, str] = setting(
        read.upstreams,
        "destination channel -> LMTP server, `unix:PATH` or `inet:HOST:PORT`",
        {"local": "unix:/run/dovecot/iems-lmtp"},
    )


@dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """`iems` where it writes."""

    ldap_dn: str = setting(read.text, "whom it binds as", "cn=admin,ou=services,o=iems")
    ldap_password_file: Path = setting(read.path, "its password", ETC / "keys/ldap-admin")


@dataclass(frozen=True, kw_only=True)
class KeySettings:
    """Keys of the site."""

    findings: Path = setting(read.path, "keyring of X-IEMS-Findings", ETC / "keys/findings.toml")


@dataclass(frozen=True, kw_only=True)
class NoticeSettings:
    """How reports and notices leave."""

    smtp: str = setting(read.text, "`HOST:PORT` of an SMTP server", "127.0.0.1:25")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a site; `checks` and `channels` are read by `iems.settings.policy`."""

    version: int = setting(read.integer(1, 1), "version of this file's form: 1")
    hostname: str = setting(read.host_name, "name of this host, also the authserv-id")
    postmaster: Address = setting(read.address, "whom notices go to")
    contact: str = setting(
        read.text, "in every refusal: an address or URL where a person gets help", "postmaster"
    )
    own_networks: tuple[Network, ...] = setting(
        read.networks,
        "networks whose clients are not looked up",
        (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
    )
    trusted_relays: tuple[Network, ...] = setting(
        read.networks, "backup MX, forwarders, proxies: the hop before them is looked up", ()
    )
    reject_after_queue: str = setting(
        read.one_of("junk", "quarantine", "bounce"),
        "what becomes of a reject for mail from outside that is already queued",
        "junk",
    )
    directory: DirectorySettings = section(DirectorySettings, "where users stand")
    dns: DnsSettings = section(DnsSettings, "whom the checks ask")
    milter: MilterSettings = section(MilterSettings, "iems-milter")
    agent: AgentSettings = section(AgentSettings, "iems-lmtp")
    admin: AdminSettings = section(AdminSettings, "iems, where it writes")
    keys: KeySettings = section(KeySettings, "keys of the site")
    notices: NoticeSettings = section(NoticeSettings, "how notices leave")
    channels: Mapping[str, Layer] = setting(read.ready, "policy by source channel", {})
    checks: tuple[CheckSettings, ...] = setting(read.ready, "the checks that run", ())

    @functools.cached_property
    def site_layer(self) -> Layer:
        """The policy of the site."""
        return site_layer(self.checks)

    def layers(self, channel: str) -> tuple[Layer, ...]:
        """The layers above every domain: the site's and, where there is one, the channel's."""
        own = self.channels.get(channel)
        return (self.site_layer, own) if own else (self.site_layer,)
