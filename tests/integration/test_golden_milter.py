"""The golden scripts through the running milter, and through a real Postfix in front of it.

What the chain alone says stands in the cases' `expected`; here the same must be said over the
milter protocol by a daemon under its own user, and to a client and a recipient of a real Postfix.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contentfilter import ContentFilter, filtering
from tests.fakemta.milter import MilterFilter
from tests.fakemta.session import Session
from tests.fakemta.transcript import Printer, without_edits
from tests.golden.cases import Case, cases
from tests.integration.stack import daemons
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.script import PostfixSession
from tests.integration.stack.sink import Sink

_SOCKET = "golden.sock"
_OWN_NAME = "mail.example.test A 192.0.2.25"
"""Whether the resolver answers is asked with it, by the jobs process of each daemon."""


class Golden:
    """A Postfix with a sink behind it, and a milter for each set of settings."""

    def __init__(self, ground: Ground, sink: Sink, names: NameServer, content_filter: str) -> None:
        to_sink = f"lmtp:inet:127.0.0.1:{sink.port}"
        self.sink, self.names, self._ground = sink, names, ground
        self._content_filter = content_filter
        self.postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": to_sink,
                "default_transport": to_sink,
                "lmtp_send_xforward_command": "yes",
                "smtpd_relay_restrictions": "check_client_access static:ok, reject",
                "smtpd_milters": f"unix:iems/{_SOCKET}",
            },
            listeners=[
                Listener(channel, ground.port(), {})
                for channel in ("internet", "submission", "local")
            ],
        )
        self._daemons: dict[tuple[str, str], Daemon] = {}

    def daemon(self, case: Case) -> Daemon:
        """The milter with the case's settings and directory, in front of Postfix from now on."""
        key = (case.settings(self._content_filter), case.text("directory.toml"))
        if key not in self._daemons:
            self._daemons[key] = self._started(*key)
        daemon = self._daemons[key]
        case.prepare(daemon.site.milter_state)
        beside = self.postfix.sockets / "golden.new"
        beside.symlink_to(daemon.socket.name)
        beside.rename(self.postfix.sockets / _SOCKET)
        return daemon

    def stop(self) -> None:
        """Stop all daemons."""
        for daemon in self._daemons.values():
            daemon.stop()

    def _started(self, settings: str, directory: str) -> Daemon:
        site = Site(self._ground, self.postfix.sockets, settings, name=f"g{len(self._daemons)}")
        file = site.write("directory.toml", directory)
        site.write(
            "conf.d/servers.toml",
            f"""
dns = {{ servers = ["127.0.0.1:{self.names.port}"], timeout = 3.0 }}
directory = {{ kind = "toml", file = "{file}" }}
milter = {{ workers = 1 }}
""",
        )
        daemon = daemons.milter(site)
        daemon.start()
        return daemon


@pytest.fixture(scope="module")
def golden(ground: Ground) -> Iterator[Golden]:
    """What all cases share."""
    # All zones at once: a question of which nobody needs the answer may come late.
    zones = "\n".join([_OWN_NAME, *(case.text("dns.zone") for case in cases())])
    with Sink() as sink, NameServer(zones) as names, ContentFilter(filtering) as content_filter:
        shared = Golden(ground, sink, names, content_filter.address)
        with running(shared.postfix):
            try:
                yield shared
            finally:
                shared.stop()


@pytest.fixture
def printer() -> Printer:
    """A printer that can read the daemons' findings header."""
    secrets = {daemons.KEY_ID: daemons.SECRET}
    return Printer(secrets.get)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_over_the_milter_protocol(case: Case, golden: Golden, printer: Printer) -> None:
    path = str(golden.daemon(case).socket)
    steps = Session(lambda: MilterFilter(path)).run(case.script)
    assert printer.steps(steps) == case.expected
    assert golden.names.unexpected == []


@pytest.mark.parametrize("case", [one for one in cases() if one.through_postfix], ids=str)
def test_through_postfix(case: Case, golden: Golden, printer: Printer) -> None:
    golden.daemon(case)
    ports = {name: one.port for name, one in golden.postfix.listeners.items()}
    steps = PostfixSession(ports, golden.sink).run(case.script)
    assert printer.steps(steps) == without_edits(case.expected)
    assert golden.names.unexpected == []
