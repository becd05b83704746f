"""The site's and the domains' own rules, installed: files for Dovecot, written by root alone."""

from __future__ import annotations

from cli import entries
from cli.mailsort.desk import remark, site
from iems.directory.admin import Admin
from iems.directory.authority import Thing
from iems.settings.schema import Settings
from sieve.diagnostic import Diagnostic, Severity
from sieve.installing.shared import install_shared
from sieve.script.profile import PIGEONHOLE

_UNTOLD = Diagnostic(
    Severity.WARNING,
    "it asks what was found, which scripts of all users are told with `facts = true` in [mailsort]",
)


def install(settings: Settings, admin: Admin) -> int:
    """Do it; the exit code."""
    own = settings.mailsort
    admin.authorise("set", Thing("mailsort", "site"))
    code = entries.OK
    for one in install_shared(own.rules, own.scripts, PIGEONHOLE, site(settings)):
        untold = one.facts and not own.facts
        remark((*one.remarks, _UNTOLD) if untold else one.remarks)
        what = f"rules of {entries.shown(str(one.rules))}"
        if one.outcome is None:
            why = " ".join(map(entries.shown, one.error.splitlines()))
            code = entries.failed(f"{what}: not installed, what was there stays: {why}")
        else:
            entries.changed(one.outcome.word, what)
    return code
