"""`iems mailsort`: the rules of users about their incoming mail (docs/mailsort-installed.md).

They stand in the directory, and Dovecot runs a Sieve script that is made of them, before the
scripts that users have themselves. With `--as` only the rules of that user, or of users in a domain
that he administers.
Exit 0 done, 1 refused or not as it should be, 75 directory or Dovecot cannot answer now,
77 not allowed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from cli import verbs

VERBS: Mapping[str, str] = {
    "show": "print the rules of a user",
    "set": "put a file of rules in the place of a user's, and install them",
    "edit": "edit the rules of a user, and install them",
    "install": "bring the scripts of users, or of the site, to what their rules say",
    "status": "show which scripts run for a user, and in which order",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb for each module."""
    verbs.add(parser, "mailsort", VERBS)


run = verbs.run
