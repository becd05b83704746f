"""What a backup is of: where each part stands on this machine, and what is done with a daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iems.backup.slapd import Slapd
from iems.settings.read import SettingsError
from iems.settings.schema import Settings

MAIL = Path("/var/vmail")


class Filters(Protocol):
    """What users have trained, whoever keeps it; of each the result is how many users."""

    def save(self, file: Path) -> int:
        """Write it into a new file, if there is anything."""
        ...

    def check(self, file: Path) -> int:
        """Whether it can be restored from this file: ArchiveError where it is none."""
        ...

    def restore(self, file: Path) -> int:
        """Take it from the file, of all of whom there is nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """`version` is the suite's, `settings` those in `file`, `mail` the folder of all homes.

    `reload` makes the daemons read their settings again; OSError where that fails.
    """

    version: str
    file: Path
    settings: Settings
    mail: Path
    slapd: Slapd
    filters: Filters
    reload: Callable[[], None]

    @property
    def conf_d(self) -> Path:
        """The site's own settings."""
        return self.file.parent / "conf.d"

    @property
    def texts(self) -> Path:
        """Files that settings name: what is put into messages, and what people are told."""
        return self.file.parent / "texts"

    @property
    def rules(self) -> Path:
        """Rules of site and domains about incoming mail."""
        return self.file.parent / "mailsort"

    @property
    def quarantine(self) -> Path:
        """Messages that were set aside."""
        return self.settings.agent.state / "quarantine"

    @property
    def records(self) -> Mapping[str, Path]:
        """The records of each daemon, by their names in the archive."""
        return {
            "records/milter.sqlite": self.settings.milter.state / "records.sqlite",
            "records/lmtp.sqlite": self.settings.agent.state / "records.sqlite",
        }


def site(
    version: str,
    file: Path,
    settings: Settings,
    mail: Path,
    filters: Filters,
    reload: Callable[[], None],
) -> Site:
    """This machine; SettingsError where its users do not stand in a slapd."""
    if settings.directory.kind != "ldap":
        raise SettingsError(
            [f"directory.kind is {settings.directory.kind!r}; expected ldap: "
             f"{settings.directory.file} is a file that you can copy"]
        )  # fmt: skip
    return Site(version, file, settings, mail, Slapd(settings.directory.base), filters, reload)


@dataclass(slots=True)
class Summary:
    """What was written or restored, in numbers; `kept` are files that were there already.

    `rules` are files of rules of site and domains.
    """

    domains: int = 0
    users: int = 0
    rules: int = 0
    records: int = 0
    filters: int = 0
    quarantined: int = 0
    messages: int = 0
    kept: int = 0
