"""Settings of what several machines share on a Redis or Valkey server, or one has in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iems.model.server import NOWHERE, Server
from iems.settings import read
from iems.settings.places import ETC
from iems.settings.read import setting


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """The server, and who they are there."""

    server: Server = setting(
        read.server_if_any,
        "a Redis or Valkey server, shared by all MTAs that name it; empty: a file of this machine "
        "alone",
        NOWHERE,
        example='"unix:/run/redis/redis-server.sock"',
    )
    user: str = setting(
        read.text_if_any,
        "whom they log in as; `default` where the server has one password for all; empty: nobody "
        "logs in",
        "",
        example='"iems"',
    )
    password_file: Path = setting(
        read.path, "where `user` is given: its password", ETC / "keys/counters"
    )
    prefix: str = setting(
        read.text, "with what all keys on the server begin; MTAs of one prefix share", "iems:"
    )

    @property
    def shared(self) -> bool:
        """Whether it is a server."""
        return self.server != NOWHERE

    @property
    def logs_in(self) -> bool:
        """Whether there is a password to read."""
        return self.shared and self.user != ""
