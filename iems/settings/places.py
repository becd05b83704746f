"""Where the parts of the suite are on a machine, unless settings say otherwise."""

from __future__ import annotations

from pathlib import Path

ETC = Path("/etc/iems")
QUEUE = Path("/var/spool/postfix/iems")
STATE = Path("/var/lib/iems")
RUN = Path("/run/iems")
