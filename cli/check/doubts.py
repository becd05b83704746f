"""What settings may say and hardly anybody means: each with what it does and what is expected.

One question goes to each DNS server, if there is a list that needs it; nothing else is asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from cli.check.networks import wide
from cli.postfix import Postfix
from iems.codec.keypair import RSA
from iems.directory.policy import forbidden_by
from iems.directory.reader import Alias
from iems.directory.toml import TomlDirectory
from iems.dns.resolver import Status
from iems.dns.servers import Server, servers
from iems.dns.stub import StubResolver
from iems.model.envelope import INTERNET, LOCAL, SUBMISSION
from iems.model.finding import MATCHED
from iems.model.policy import REFUSALS, Action
from iems.serve.deadline import Deadline
from iems.settings.edits import FAMILIES
from iems.settings.load import Written
from iems.settings.plugins import CHECKS, EDITS, installed
from iems.settings.policy import BANDS, CheckSettings, Mode
from iems.settings.read import Network, SettingsError, Table, join
from iems.settings.schema import Settings
from iems.settings.shared import SharedSettings
from iems.store.keys import ACTIVE
from iems.store.signingkeys import SigningKeyError, at_or_above, load_all
from milters.assembly import build_checks
from milters.checks.protocol import Stage, Tools

_PATIENCE = 3.0
"""Seconds in which every DNS server must have answered."""

_OWN_NAME = "1.0.0.127.in-addr.arpa"
"""Every resolver answers this by itself (RFC 6303 section 4.2)."""

_PUBLIC = frozenset(
    {
        *("1.0.0.1", "1.1.1.1", "8.8.4.4", "8.8.8.8", "9.9.9.9", "149.112.112.112"),
        *("208.67.220.220", "208.67.222.222", "94.140.14.14", "94.140.15.15"),
        *("2001:4860:4860::8844", "2001:4860:4860::8888", "2606:4700:4700::1001"),
        *("2606:4700:4700::1111", "2620:fe::9", "2620:fe::fe", "2620:119:35::35"),
        *("2620:119:53::53", "2a10:50c0::ad1:ff", "2a10:50c0::ad2:ff"),
    }
)
"""Resolvers for everybody: lists of any standing answer them with an error code, or not at all."""


def find(written: Written, postfix: Postfix | None) -> Iterator[str]:
    """Every doubt about settings that could be read."""
    settings = written.settings
    yield from _networks(written)
    yield from _directory(written)
    yield from _header_rules(written)
    yield from _channels(written, postfix)
    yield from _evidence(settings)
    yield from _shared(written, "counters", written.settings.counters, "free accounts")
    yield from _shared(written, "bayes", written.settings.bayes, "read what users have trained")
    yield from _exact(written, postfix)
    yield from _sealing(settings)
    yield from _unreadable(settings)
    yield from _plugins()
    lists = [check for check in settings.checks if check.family in {"dnsbl", "rhsbl", "uribl"}]
    yield from filter(None, map(_zone, lists))
    if lists:
        yield from _resolvers(written)


def _plugins() -> Iterator[str]:
    ours = [(CHECKS, BANDS), (EDITS, FAMILIES)]
    found = ((known, *one) for group, known in ours for one in installed(group))
    for known, name, distribution in found:
        if name in known:
            yield f"the plug-in {name} of {distribution} never runs: one of our own has its name"


def _unreadable(settings: Settings) -> Iterator[str]:
    """Texts that only others than the daemons can read; these read the keyring by its group."""
    files = {file for edit in settings.edits for file in edit.files}
    for file in sorted(files | set(settings.attachments.notices.values())):
        try:
            found, group = file.stat(), settings.keys.findings.stat().st_gid
        except OSError:
            continue  # told by who reads it
        mode, own = found.st_mode & 0o777, found.st_gid
        if not (mode & 0o004 or (mode & 0o040 and own == group)):
            yield (
                f"{file}: its mode is {mode:04o} and its group {own}; the daemons are to read it, "
                f"as they do {settings.keys.findings}: chmod 0644 {file}"
            )


def _networks(written: Written) -> Iterator[str]:
    settings = written.settings
    told: tuple[tuple[str, tuple[Network, ...], str], ...] = (
        ("own_networks", settings.own_networks, "no client from there is looked up"),
        ("trusted_relays", settings.trusted_relays, "whoever is there can forge the hop before"),
    )
    for key, networks, effect in told:
        for one in wide(networks):
            yield (
                f"{written.where(key)}: {key} holds {one}: {effect}; expected networks of hosts "
                "that you know"
            )


def _directory(written: Written) -> Iterator[str]:
    directory = written.settings.directory
    for uri in directory.uri.split() if directory.kind == "ldap" else ():
        parts = urlsplit(uri)
        if parts.scheme == "ldap" and not _near(parts.hostname or ""):
            yield (
                f"{written.where('directory.uri')}: directory.uri names {uri}: passwords and "
                "policies cross the network in clear text; expected ldaps:// or ldapi://"
            )


def _header_rules(written: Written) -> Iterator[str]:
    """Rules in a directory that is a file, whose actions nobody will carry out."""
    directory, site = written.settings.directory, written.settings.site_layer
    if directory.kind != "toml":
        return
    try:
        known = TomlDirectory.load(directory.file)
    except SettingsError:
        return  # faults, told elsewhere
    lists = (one.mailing_list for one in known.entries.values() if isinstance(one, Alias))
    owners = [([site], one) for one in known.layers.values()]
    owners += [([site, one.domain_layer], one.layer) for one in lists if one]
    for above, layer in owners:
        for check in layer.headers:
            action = layer.rules[check, MATCHED].choice or Action.DELIVER
            forbids = forbidden_by(check, MATCHED, action, [*above, layer])
            if forbids is not None:
                yield (
                    f"{directory.file}: {layer.subject} says {action.word} for {check}, which "
                    f"{forbids} forbids, so that nothing is done; expected one of headers.allow"
                )


def _near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"", "localhost"}


def _channels(written: Written, postfix: Postfix | None) -> Iterator[str]:
    settings = written.settings
    known = {INTERNET, SUBMISSION, LOCAL} | (postfix.channels if postfix is not None else set())
    known |= {name for name, channel in settings.channels.items() if channel.networks}
    named = {
        f"channels.{name}": (written.where(f"channels.{name}"), name) for name in settings.channels
    }
    for check in settings.checks:
        for key, table in _tables(check):
            listed = table.get("channels", ())
            for name in listed if isinstance(listed, list) else ():
                named[f"{key}.channels {name}"] = (check.where(f"{key}.channels"), str(name))
    for edit in settings.edits:
        key = f"{edit.key}.channels"
        named |= {f"{key} {name}": (edit.where(key), name) for name in edit.which.channels}
    for key, (file, name) in named.items():
        if name not in known:
            yield (
                f"{file}: {key.partition(' ')[0]} names the channel {name!r}, and no listener of "
                "Postfix does (milter_macro_daemon_name), nor has it networks; known: "
                f"{', '.join(sorted(known))}"
            )


def _tables(check: CheckSettings) -> Iterator[tuple[str, Table]]:
    """The table of a check, and those of its limits where it is `flow`."""
    yield check.key, check.options
    limits = check.options.get("limits")
    for name, table in limits.items() if isinstance(limits, Mapping) else ():
        if isinstance(table, Mapping):
            yield join(f"{check.key}.limits", name), table


def _evidence(settings: Settings) -> Iterator[str]:
    """What `dmarc` weighs must be there, or it can hardly ever tell."""
    checks = {check.name: check for check in settings.checks}
    dmarc = checks.get("dmarc")
    if dmarc is None:
        return
    for name in ("spf", "dkim"):
        one = checks.get(name)
        hidden = one is None or (one.mode is Mode.SHADOW and dmarc.mode is not Mode.SHADOW)
        seen = set() if one is None or hidden else _channels_of(one)
        for channel in sorted(_channels_of(dmarc) - seen):
            yield (
                f"{dmarc.where(dmarc.key)}: {dmarc.key} weighs what spf and dkim find, and {name} "
                f"does not look at the channel {channel!r}: what the other one does not let pass "
                f"is `temperror` there; expected checks.{name} with the same channels"
            )


def _shared(written: Written, name: str, given: SharedSettings, can: str) -> Iterator[str]:
    if given.server.ip and not given.user and not _near(given.server.ip):
        yield (
            f"{written.where(f'{name}.server')}: {name}.server is {given.server} and nobody logs "
            f"in: whoever reaches it can {can}; expected {name}.user"
        )


def _sealing(settings: Settings) -> Iterator[str]:
    """Who signs what users send may mean to seal what they send on, and who changes it has to."""
    try:
        keys = load_all(settings.signing.keys)
    except SigningKeyError:
        return  # a fault, told elsewhere
    active = {domain: found for domain, one in keys.items() if (found := one.of(ACTIVE))}
    own = next((active[one] for one in at_or_above(settings.hostname) if one in active), ())
    changed = any(INTERNET in edit.which.channels for edit in settings.edits)
    if (active or changed) and all(key.private.kind != RSA for key in own):
        why = "texts break its signatures" if changed else "there are keys that sign"
        yield (
            f"{settings.signing.keys}: {why}, and no RSA key for the host name: "
            "what Sieve scripts send on is not sealed (ARC); expected `iems dkim keygen "
            f"{settings.hostname}`"
        )


def _exact(written: Written, postfix: Postfix | None) -> Iterator[str]:
    """Recipients are put off for what may be found after RCPT in mail from outside."""
    settings = written.settings
    if not settings.exact:
        return
    said = f"{written.where('exact')}: exact puts recipients off"
    if postfix is not None and INTERNET not in postfix.channels:
        yield (
            f"{said} on the channel {INTERNET!r} alone, and no listener of Postfix is it; expected "
            f"one with milter_macro_daemon_name={INTERNET}"
        )
    try:
        checks = build_checks(Tools.within(settings, StubResolver((), 0), settings.milter.state))
    except SettingsError:
        return  # faults, told elsewhere
    delegated = {one.name for one in settings.checks if one.mode is Mode.DELEGATE}
    late = any(one.stage > Stage.RCPT and one.name in delegated for one in checks)
    if not late and not settings.headers.allow & REFUSALS:
        yield (
            f"{said} for what header and body show, and no check that anybody may choose about "
            "looks there: only lists of senders have any use of it; expected one, or exact = false"
        )


def _channels_of(check: CheckSettings) -> set[str]:
    listed = check.options.get("channels", (INTERNET,))
    return set(map(str, listed)) if isinstance(listed, list | tuple) else set()


def _zone(check: CheckSettings) -> str:
    key = f"{check.key}.zone"
    try:
        ipaddress.ip_address(str(check.options.get("zone")).rstrip("."))
    except ValueError:
        return ""
    return (
        f"{check.where(key)}: {key} is an IP address (not shown), which no list is found under; "
        "expected the list's domain, and the resolver's address in dns.servers"
    )


def _resolvers(written: Written) -> Iterator[str]:
    settings = written.settings
    try:
        asked = servers(settings.dns.servers)
    except ValueError:
        return  # a fault, told elsewhere
    place = "/etc/resolv.conf"
    if settings.dns.servers:
        place = f"{written.where('dns.servers')}: dns.servers"
    for server in asked:
        if server.address in _PUBLIC:
            yield (
                f"{place} names {server.address}, a resolver for everybody: blacklists answer it "
                "with error codes or not at all; expected a resolver of your own"
            )
    wrong = _silent(asked)
    for server, status in wrong.items():
        others = "the others are asked" if len(wrong) < len(asked) else "no list can be asked"
        yield (
            f"{place} names {server.address} port {server.port}, which gives no answer "
            f"({status.value}): {others}; expected a resolver that runs"
        )


def _silent(asked: tuple[Server, ...]) -> dict[Server, Status]:
    """Those that do not answer, or not us."""
    resolvers = {server: StubResolver((server,), _PATIENCE / 2, cache=0) for server in asked}
    end = Deadline.after(_PATIENCE)
    questions = {server: one.ask(_OWN_NAME, "PTR") for server, one in resolvers.items()}
    answers = {server: question.result(end).status for server, question in questions.items()}
    for resolver in resolvers.values():
        resolver.close()
    return {
        server: status
        for server, status in answers.items()
        if status in {Status.TIMEOUT, Status.REFUSED}
    }
