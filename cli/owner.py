"""Root in a daemon's folder: as the user to whom it belongs.

A daemon that somebody has taken over can put links into its folder, and change them while root
looks. Whoever touches it with the daemon's own rights can be led to nothing that it has not.
Where it is not root who asks, nothing changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_owner(folder: Path | int) -> Iterator[None]:
    """The process has the owner's rights until the block ends; all of its threads.

    An open folder is given by its descriptor: a path may lead elsewhere by now.
    """
    owner = os.fstat(folder) if isinstance(folder, int) else folder.stat()
    group = os.getegid()
    if os.geteuid() != 0:
        yield
        return
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
