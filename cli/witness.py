"""What the checks find of a message that came long ago, whoever got it.

The checks of the site run as the milter runs them, against the lists and names of today. No
recipient is named, and so nobody decides, and what looks at recipients (`flow`) finds nothing: what
it found was of its time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.rehearsal import QUEUE_ID
from iems.codec import findings as findings_field
from iems.codec.findings import Passed
from iems.codec.received import Arrival
from iems.directory.toml import TomlDirectory
from iems.dns.resolver import Resolver
from iems.model.envelope import INTERNET, LOCAL, Client
from iems.model.finding import Finding
from iems.model.message import Field
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.schema import Settings
from iems.store.keys import Key, Keyring
from iems.store.records import Recorder, new_reference
from iems.store.spool import Spool
from milters.account import Account
from milters.assembly import build_checks
from milters.chain import Chain, Runtime
from milters.checks.protocol import Tools
from milters.plugins.family import running
from milters.reply import Continue, InsertHeader
from milters.state import Message

_SECONDS = 30.0


class Witness:
    """Runs the checks on one message after the other; `folder` is an empty one of its own."""

    def __init__(self, site: Settings, resolver: Resolver, folder: Path) -> None:
        tools = Tools.within(site, resolver, folder)
        self._key = Key("replay", secrets.token_bytes(32))
        self._recorder = Recorder(folder / "records.sqlite")
        log = Log.open("iems-replay", path=folder / "nobody")
        self._runtime = Runtime(
            settings=site,
            checks=build_checks(tools),
            directory=TomlDirectory.parse(""),
            keyring=Keyring(self._key, {self._key.id: self._key}),
            spool=Spool(folder),
            account=_Silent(self._recorder, log, Meter(), time.time),
            counters=tools.counters,
            new_reference=new_reference,
        )

        self._plugins = ExitStack()
        self._plugins.enter_context(running(self._runtime.checks, None))

    def close(self) -> None:
        """End its thread, and the processes of plug-ins."""
        self._plugins.close()
        self._recorder.close(Deadline.after(_SECONDS))

    def passed(
        self, came: Arrival, sender: str, fields: Iterable[Field], body: Iterator[bytes]
    ) -> Passed | None:
        """The findings as they would travel, with the channel; None where the milter refuses.

        It does what no policy decides about: a header that is too large, a full disk.
        """
        chain = Chain(self._runtime)
        login = {"{auth_authen}": sender or "unknown"} if came.authenticated else {}
        try:
            chain.connect(*_client(came))
            chain.helo(came.helo)
            chain.mail(f"<{sender}>", login)
            for one in fields:
                chain.header(one.name, one.value)
            chain.end_of_headers()
            room = self._runtime.settings.agent.max_message
            for piece in body if chain.reads_bodies else ():
                chain.body(piece)
                room -= len(piece)
                if room < 0:  # a file may have holes, and more bytes than anybody can read
                    break
            answer, edits = chain.end_of_message({"i": QUEUE_ID})
        finally:
            chain.close()
        if not isinstance(answer, Continue):
            return None
        inserted = [one for one in edits if isinstance(one, InsertHeader)]
        [value] = [one.value for one in inserted if one.name == findings_field.NAME]
        return findings_field.decode(value, {self._key.id: self._key.secret}.get)


@dataclass(frozen=True)
class _Silent(Account):
    """Keeps no record of what is let in: there may be a hundred thousand of them."""

    def let_in(self, message: Message, seen: Sequence[Finding], *told: str) -> None:
        """Nothing."""


def _client(came: Arrival) -> tuple[Client, dict[str, str]]:
    """The connection as Postfix would tell it."""
    if came.ip is None:
        return Client("127.0.0.1", "localhost"), {"{daemon_name}": LOCAL}
    resolved = {"{client_resolve}": "OK"} if came.name else {}
    return Client(came.ip, came.name), {"{daemon_name}": INTERNET, **resolved}
