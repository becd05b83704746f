"""Programs that are not ours and that a daemon begins may gain no rights, as by a set-user-ID file.

The unit has taken that from the daemon and all that it begins. Where there is no unit setpriv(1)
does: it sets capabilities, too, and the unit's filter of system calls would not let it.
"""

from __future__ import annotations

from pathlib import Path

_SETPRIV = ("/usr/bin/setpriv", "--no-new-privs", "--")


def guard() -> tuple[str, ...]:
    """What stands before the words of such a command."""
    status = Path("/proc/self/status").read_text()
    return () if "\nNoNewPrivs:\t1\n" in status else _SETPRIV
