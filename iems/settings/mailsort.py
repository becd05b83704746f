"""Settings of users' rules about their incoming mail, and of how they come to Dovecot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iems.settings import read
from iems.settings.places import ETC
from iems.settings.read import AT_ONCE, setting

MANAGESIEVE, DOVEADM = "managesieve", "doveadm"


@dataclass(frozen=True, kw_only=True)
class MailsortSettings:
    """Where rules are installed, and what they are compiled for."""

    install: str = setting(
        read.one_of(MANAGESIEVE, DOVEADM),
        "how scripts come to Dovecot: by a ManageSieve server, or by `doveadm` on this host",
        MANAGESIEVE,
        effect=AT_ONCE,
    )
    managesieve: str = setting(
        read.host_and_port,
        "`HOST:PORT` of the ManageSieve server, without TLS",
        "127.0.0.1:4190",
        effect=AT_ONCE,
    )
    master: str = setting(
        read.text,
        "the master user of Dovecot who logs in there for users",
        "iems-mailsort@localhost",
        effect=AT_ONCE,
    )
    master_password_file: Path = setting(
        read.path, "his password", ETC / "keys/dovecot-sieve", effect=AT_ONCE
    )
    junk: str = setting(read.text, "the folder for junk", "Junk", effect=AT_ONCE)
    trash: str = setting(read.text, "the folder for what rules delete", "Trash", effect=AT_ONCE)
    separator: str = setting(
        read.one_of(".", "/"),
        "what parts the levels of folders on the server; rules say `/`",
        ".",
        effect=AT_ONCE,
    )
    facts: bool = setting(
        read.flag,
        "whether scripts of all users are told what was found, for rules of the site or of domains "
        "that ask; those of users who ask are told in any case",
        default=False,
        example="true",
    )
    rules: Path = setting(
        read.path,
        "a folder: `before.toml` and `after.toml` are the site's rules, before and after those of "
        "users, `DOMAIN/before.toml` and `DOMAIN/after.toml` those of a domain",
        ETC / "mailsort",
        effect=AT_ONCE,
    )
    scripts: Path = setting(
        read.path,
        "a folder: what is made of these, for Dovecot to run",
        Path("/etc/dovecot/sieve/mailsort"),
        effect=AT_ONCE,
    )
