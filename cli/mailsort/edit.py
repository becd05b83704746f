"""`iems mailsort edit USER`: his rules in an editor, then stored and installed.

The editor is that of VISUAL or EDITOR, else `editor`. What cannot be read is shown with its line.
Where the rules could not be stored and installed, the file is left for another try.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from cli import entries
from cli.mailsort.desk import Desk, remark
from cli.mailsort.set import force_option, kept
from iems.directory.admin import Admin
from iems.directory.store import NoEntryError
from iems.settings.schema import Settings
from sieve.mailsort.read import MailsortError, read_toml
from sieve.mailsort.write import to_toml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`USER`, `--force`."""
    entries.as_option(parser)
    parser.add_argument("user", type=entries.address, metavar="USER")
    force_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    desk = Desk(admin, settings)
    try:
        before = to_toml(desk.rules(arguments.user))
    except NoEntryError:
        return entries.failed(f"no user {arguments.user}")
    except MailsortError as error:
        return desk.unusable(arguments.user, error)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix="mailsort-", suffix=".toml", delete=False
    ) as file:
        file.write(before)
    draft = Path(file.name)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "editor"
    try:
        subprocess.run([*shlex.split(editor), file.name], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        draft.unlink()
        return entries.failed(f"the editor {editor!r} failed; nothing was changed: {error}")
    try:
        rules = read_toml(draft.read_bytes())
    except MailsortError as error:
        remark(error.remarks)
        return entries.failed(f"nothing was changed; what was edited is in {draft}")
    code = kept(desk, arguments.user, rules, force=arguments.force)
    if code == entries.OK:
        draft.unlink()
    else:
        entries.warn(f"what was edited is in {draft}")
    return code
