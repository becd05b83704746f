"""The cases of `tests/golden/milter`: a folder each, run three ways: chain, milter, Postfix.

A folder holds `script` and `expected`, and where it needs them its own `settings.toml`,
`directory.toml` and `dns.zone`; those beside the folders stand in for what it lacks. A question
that `dns.zone` does not hold is an error, so that every question of a case can be read there.
`CONTENT_FILTER` in the settings is an spamd that gives each message the score that its field
`X-Score` names, and hangs up where there is none; it is a clamd, too, that finds what the field
`X-Virus` names, and hangs up where that is `silence`. Where the script says that nothing can be
counted, a folder stands in the place of the milter's counts.
"""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path

from iems.directory.toml import TomlDirectory
from iems.dns.zonefile import ZoneResolver
from iems.notices.removed import Removals
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.load import from_table
from iems.store.keys import Key, Keyring
from iems.store.records import Recorder
from iems.store.spool import Spool
from milters.account import Account
from milters.assembly import build_checks
from milters.chain import Chain, Runtime
from milters.checks.protocol import Tools
from tests.contentfilter import ContentFilter, filtering
from tests.fakemta.chain import ChainFilter
from tests.fakemta.script import Line, parse
from tests.fakemta.session import Session
from tests.fakemta.transcript import Printer

FOLDER = Path(__file__).parent / "milter"
KEY = Key("golden", b"the key of the golden cases.....")


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path

    def __str__(self) -> str:
        return self.folder.name

    def text(self, name: str) -> str:
        """The case's own file, else the one that all cases share."""
        own = self.folder / name
        return (own if own.exists() else FOLDER / name).read_text()

    def settings(self, content_filter: str) -> str:
        """The settings, with the content filter where it listens."""
        return self.text("settings.toml").replace("CONTENT_FILTER", content_filter)

    @property
    def script(self) -> tuple[Line, ...]:
        """What the client does."""
        return parse(self.text("script"))

    @property
    def through_postfix(self) -> bool:
        """Whether a real Postfix can be brought to do this; the script says why not."""
        return "\n# not through Postfix: " not in self.text("script")

    @property
    def expected(self) -> str:
        """The recorded transcript; empty before the first recording."""
        file = self.folder / "expected"
        return file.read_text() if file.exists() else ""

    def prepare(self, state: Path) -> None:
        """The folder of state before a run: nothing is counted, or nothing can be."""
        for file in state.glob("counters.sqlite*"):
            file.rmdir() if file.is_dir() else file.unlink()
        if "\n# nothing can be counted\n" in self.text("script"):
            (state / "counters.sqlite").mkdir()

    def record(self, transcript: str) -> None:
        """Keep this transcript as the expected one."""
        (self.folder / "expected").write_text(transcript)


def cases() -> list[Case]:
    """All cases in the order of their names."""
    return [Case(folder.parent) for folder in sorted(FOLDER.glob("*/script"))]


def printer() -> Printer:
    """A printer that can read our findings header."""
    return Printer(lambda key_id: KEY.secret if key_id == KEY.id else None)


def through_chain(case: Case, folder: Path, *, one_filter: bool = False) -> str:
    """The transcript of the chain alone, with a fixed clock; its records go into `folder`."""
    case.prepare(folder)
    with ContentFilter(filtering) as content_filter:
        runtime = _runtime(case, folder, content_filter.address)
        session = Session(lambda: ChainFilter(Chain(runtime)), one_filter=one_filter)
        return printer().steps(session.run(case.script))


def _runtime(case: Case, folder: Path, content_filter: str) -> Runtime:
    settings = from_table(tomllib.loads(case.settings(content_filter)))
    resolver = ZoneResolver(case.text("dns.zone"))
    references = itertools.count(1)
    tools = Tools.within(settings, resolver, folder)
    return Runtime(
        settings=settings,
        checks=build_checks(tools),
        directory=TomlDirectory.parse(case.text("directory.toml")),
        keyring=Keyring(KEY, {KEY.id: KEY}),
        spool=Spool(folder),
        account=Account(
            Recorder(folder / "records.sqlite"),
            Log.open("golden", foreground=True),
            Meter(),
            lambda: 1_000_000_000.0,
        ),
        counters=tools.counters,
        new_reference=lambda: f"reference{next(references):03d}",
        removals=Removals.of(settings),
    )
