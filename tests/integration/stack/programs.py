"""The programs that the real servers need, and which Debian package has them.

A missing one is an error that names the package: a test that cannot run has not passed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

_PACKAGES = {
    "postfix": "postfix",
    "postqueue": "postfix",
    "postsuper": "postfix",
    "sendmail": "postfix",
    "/usr/lib/postfix/sbin/master": "postfix",
    "/usr/lib/postfix/postfix-ldap.so": "postfix-ldap",
    "dovecot": "dovecot-core",
    "/usr/lib/dovecot/imap": "dovecot-imapd",
    "/usr/lib/dovecot/pop3": "dovecot-pop3d",
    "/usr/lib/dovecot/lmtp": "dovecot-lmtpd",
    "/usr/lib/dovecot/managesieve": "dovecot-managesieved",
    "/usr/lib/dovecot/modules/lib90_sieve_plugin.so": "dovecot-sieve",
    "/usr/lib/dovecot/modules/auth/libauthdb_ldap.so": "dovecot-ldap",
    "sievec": "dovecot-sieve",
    "sieve-test": "dovecot-sieve",
    "slapd": "slapd",
    "slapadd": "slapd",
    "slapcat": "slapd",
    "fail2ban-regex": "fail2ban",
    "faketime": "faketime",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "rbldnsd": "rbldnsd",
    "unbound": "unbound",
    "unbound-control": "unbound",
    "c-icap": "c-icap",
    "/usr/share/c_icap/templates/virus_scan/en/VIRUS_FOUND": "libc-icap-mod-virus-scan",
    "clamd": "clamav-daemon",
    "spamd": "spamd",
    "redis-server": "redis-server",
    "rspamd": "rspamd",
    "opendkim": "opendkim",
    "amavisd": "amavisd-new",
    "altermime": "altermime",
    "chromium-headless-shell": "chromium-headless-shell",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "useradd": "passwd",
    "usermod": "passwd",
    "groupadd": "passwd",
}
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


class MissingProgramError(Exception):
    """The machine lacks a program; the message names the Debian package to install."""


def need(*programs: str) -> None:
    """Every one of `programs` (a name, or a path) is there."""
    missing = sorted({_PACKAGES[one] for one in programs if not _found(one)})
    if missing:
        raise MissingProgramError(
            f"not installed: {', '.join(missing)} (apt-get install {' '.join(missing)})"
        )


def program(name: str) -> str:
    """The full path of a program, found also where root's own PATH lacks the sbin folders."""
    need(name)
    return shutil.which(name, path=_SBIN) or name


def run(
    *arguments: str | Path, text: str | bytes = b"", environment: dict[str, str] | None = None
) -> bytes:
    """Run a program of the table to its end and give its output; an error shows all it said."""
    name, *rest = (str(argument) for argument in arguments)
    done = subprocess.run(
        [program(name) if name in _PACKAGES else name, *rest],
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        env=environment,
        timeout=100,
        check=False,
    )
    if done.returncode:
        told = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{name} {' '.join(rest)} ended with {done.returncode}:\n{told}")
    return done.stdout


def iems(settings: Path, postfix: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `iems` of this tree as root, with these settings and this configuration of Postfix."""
    call = "import sys; from cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", call, "--settings", str(settings), *words],
        env={"PYTHONPATH": str(ROOT), "MAIL_CONFIG": str(postfix)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _found(name: str) -> bool:
    return Path(name).exists() if "/" in name else shutil.which(name, path=_SBIN) is not None
