"""A private Dovecot that tells what users do to a training daemon, by the deployed settings."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.stack import deployed
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground
from tests.integration.stack.programs import run

_OURS = re.compile(
    r"^  (sieve_plugins|sieve_global_ext|sieve_execute|imapsieve_)\w* = .*$", re.MULTILINE
)

FOLDERS = """
namespace inbox {
  mailbox Unwanted {
    auto = create
    special_use = \\Junk
  }
  mailbox Bin {
    auto = create
    special_use = \\Trash
  }
  mailbox Spam {
    auto = create
  }
  mailbox Train.Spam {
    auto = create
  }
  mailbox Train.Ham {
    auto = create
  }
}
"""
"""Junk and trash by other names, and one that is Junk by its name alone."""


def dovecot(ground: Ground, socket: Path, more: str = "", separator: str = ".") -> Dovecot:
    """One whose imapsieve asks at this socket, somewhere below ground's folder; with `more`, which
    may say that there is another separator.
    """
    told = deployed.text("dovecot/dovecot.conf")
    scripts = ground.place("imapsieve")
    own = "\n".join(match[0] for match in _OURS.finditer(told))
    own = own.replace("/etc/dovecot/sieve", str(scripts))
    # As seen from `run`, where this Dovecot has its sockets.
    own = own.replace("../iems/train", f"../../{socket.parent.relative_to(ground.folder)}")
    [plugins] = re.findall(r"^protocol imap \{\n  mail_plugins = (.*)$", told, re.MULTILINE)
    [groups] = re.findall(r"^mail_access_groups = (.*)$", told, re.MULTILINE)
    server = Dovecot(
        ground,
        extra=f"mail_access_groups = {groups}\nprotocol imap {{\n  mail_plugins = {plugins}\n}}\n"
        f"plugin {{\n{own}\n}}\n{FOLDERS.replace('Train.', f'Train{separator}')}{more}",
    )
    script = scripts / "learn.sieve"
    script.write_text((ROOT / "templates/dovecot/sieve/learn.sieve").read_text())
    run("sievec", "-c", server.folder / "dovecot.conf", script)
    return server


def script(server: Dovecot) -> Path:
    """The script that this one runs, of which it has a compiled copy beside."""
    told = (server.folder / "dovecot.conf").read_text()
    [name] = re.findall(r"^  imapsieve_mailbox1_before = file:(.*)$", told, re.MULTILINE)
    return Path(name)
