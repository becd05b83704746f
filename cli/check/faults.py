"""What keeps a daemon from starting, or mail from its way: each fault with what to do about it.

It opens no connection: whether servers answer is a question of `iems check --live`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cli.postfix import Postfix, seconds
from iems.directory.connect import connect
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.editing.assembly import Plan, build_edits
from iems.model.finding import ATTACHMENT
from iems.notices.removed import load as load_words
from iems.settings.load import Written
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from iems.settings.shared import SharedSettings
from iems.store.counters import PATIENCE
from iems.store.keys import Keyring, KeyringError
from iems.store.shared import client
from iems.store.signingkeys import SigningKeyError, load_all
from milters.account import COMMIT_SECONDS
from milters.assembly import build_checks
from milters.checks import flow
from milters.checks.protocol import Check, Stage, Tools
from milters.plugins import edits
from milters.plugins.family import PluginCheck


def find(written: Written, postfix: Postfix | None) -> Iterator[str]:
    """All that is wrong with settings that could be read."""
    checks = _checks(written)
    if isinstance(checks, SettingsError):
        yield from checks.faults
        checks = ()
    plan = _edits(written)
    if isinstance(plan, SettingsError):
        yield from plan.faults
        plan = Plan()
    yield from _secrets(written.settings)
    yield from _directory(written)
    if postfix is not None:
        editors = (one.editor for one in plan.edits)
        yield from _limits(
            written,
            postfix,
            [one for one in checks if isinstance(one, PluginCheck)],
            sum(one.timeout for one in editors if isinstance(one, edits.PluginEdit)),
        )


def _checks(written: Written) -> Sequence[Check] | SettingsError:
    """The checks, or what is wrong with their options."""
    settings = written.settings
    try:
        resolver = StubResolver(servers(settings.dns.servers), settings.dns.timeout)
    except ValueError as error:
        file = written.where("dns.servers")
        fault = f"{file}: dns.servers is {list(settings.dns.servers)}; {error}"
        return SettingsError([fault])
    try:
        checks = build_checks(Tools.within(settings, resolver, settings.milter.state))
        load_words(settings.attachments)
    except SettingsError as error:
        return error
    return checks


def _edits(written: Written) -> Plan | SettingsError:
    """The edits, or what is wrong with their options."""
    try:
        return build_edits(written.settings, edits.make)
    except SettingsError as error:
        return error


def _secrets(settings: Settings) -> Iterable[str]:
    keyring = settings.keys.findings
    try:
        Keyring.load(keyring)
    except KeyringError as error:
        missing = not keyring.exists()
        yield f"{error}; make one: iems key create {keyring}" if missing else str(error)
    try:
        load_all(settings.signing.keys)
    except SigningKeyError as error:
        yield str(error)
    files = [keyring, *settings.signing.keys.glob("*.toml")]
    if settings.directory.kind == "ldap":
        programs = (settings.milter, settings.agent, settings.admin)
        files += [program.ldap_password_file for program in programs]
    for server in (settings.counters, settings.bayes):
        yield from _login(server)
        if server.logs_in:
            files.append(server.password_file)
    for file in files:
        yield from _mode(file)


def _login(server: SharedSettings) -> Iterator[str]:
    """Why nobody could log in to a server that several machines share."""
    try:
        client(server)
    except SettingsError as error:
        missing = not server.password_file.exists()
        todo = f"; write the password of {server.user} there, for root and group iems"
        yield from (fault + (todo if missing else "") for fault in error.faults)


def _directory(written: Written) -> Iterable[str]:
    """Why a program could not ask the directory; nothing is asked here."""
    settings = written.settings
    programs = (settings.milter, settings.agent, settings.admin)
    for program in programs if settings.directory.kind == "ldap" else programs[:1]:
        own = (program.ldap_dn, program.ldap_password_file)
        try:
            connect(settings.directory, *own, lambda _note: None)
        except SettingsError as error:
            missing = settings.directory.kind == "ldap" and not program.ldap_password_file.exists()
            todo = f"; write the password of {program.ldap_dn} there, for root and group iems"
            yield from (fault + (todo if missing else "") for fault in error.faults)


def _mode(file: Path) -> Iterable[str]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return  # told by who reads it
    if mode & 0o027:
        yield (
            f"{file}: its mode is {mode:04o}; expected 0640 or less, it holds a secret: "
            f"chmod 0640 {file}, and make a new secret if others could read it"
        )


def _limits(
    written: Written, postfix: Postfix, plugins: Iterable[PluginCheck], editing: float
) -> Iterable[str]:
    """At RCPT and at the end of DATA directory, checks and record are waited for, in turn.

    At RCPT the DNS counts twice: SPF begins to follow a record when its finding is needed. There
    `flow` counts once, `exact` twice. At the end attachments are looked at when all else is
    known, and taken out of what leaves. Plug-ins are asked one after the other, but for checks that
    read the whole message; their edits take `editing` seconds.
    """
    settings = written.settings
    families = {check.family for check in settings.checks}
    flows = flow.NAME in families
    attachments = 2 * settings.attachments.timeout * (ATTACHMENT in families)
    early = sum(one.timeout for one in plugins if one.stage <= Stage.RCPT)
    late = sum(one.timeout for one in plugins if one.stage is Stage.HEADERS) + editing
    counts = PATIENCE * (flows + 2 * bool(settings.exact))
    for parameter, key, words, checks, ours in (
        (
            "milter_command_timeout",
            "dns.timeout",
            "twice dns.timeout",
            2 * settings.dns.timeout,
            COMMIT_SECONDS + counts + early,
        ),
        (
            "milter_content_timeout",
            "milter.content_timeout",
            "milter.content_timeout",
            settings.milter.content_timeout,
            COMMIT_SECONDS + attachments + late,
        ),
    ):
        limit = seconds(postfix.value(parameter))
        longest = settings.directory.timeout + checks + ours
        if limit is not None and longest >= limit:
            yield (
                f"{written.where(key)}: directory.timeout, {words} and "
                f"{ours:g} s for records, counts, attachments and plug-ins are {longest:g} s; "
                f"expected less than Postfix's {parameter} of {limit:g} s: make the former shorter"
            )
