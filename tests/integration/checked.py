"""A milter whose checks defer what they cannot check, between a Postfix and a sink, under load.

Eight clients send numbered messages without end; one that is told 4xx tries again. What reaches the
sink was let through, and `checked` says of each message what was found out about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from iems.codec import findings
from iems.codec.header import parse_header
from tests.integration.numbered import Load, Way, tokens
from tests.integration.stack import daemons
from tests.integration.stack.daemons import KEY_ID, SECRET, Daemon, Site
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.sink import Caught, Sink
from tests.waiting import eventually

CLIENT = ("198.18.254.1", "mx.sender.example")
RECIPIENT = "bob@example.test"
POSTMASTER = "postmaster@example.test"
CLIENTS = 8
_ENOUGH = CLIENTS + 1
"""Messages that meet a fault: more than there are clients, so that some are tried again."""

_SETTINGS = f"""
version = 1
hostname = "mail.example.test"
postmaster = "{POSTMASTER}"
"""


@dataclass
class Checked:
    """The running milter and its load."""

    milter: Daemon
    sink: Sink
    load: Load
    expected: list[str] = field(default_factory=list)
    """Parts of what is said to those who are to come later."""

    def delays(self, word: str) -> None:
        """Wait until the fault has met enough messages, each of which is told so."""
        self.expected.append(word)
        before = len(self.load.delayed)
        eventually(
            lambda: sum(word in told for told in self.load.delayed[before:]) >= _ENOUGH,
            30,
            lambda: f"{word}: {self.load.delayed[before:]} {self.load.errors}",
        )

    def returns(self, messages: int = 2 * CLIENTS, within: float = 30) -> None:
        """Wait until mail flows again, by itself."""
        self.load.more(messages, within)

    def notices(self) -> list[Caught]:
        """What postmaster got."""
        return [one for one in self.sink.caught() if one.recipients == (POSTMASTER,)]

    def finish(self, postfix: Postfix) -> list[dict[str, str]]:
        """End the load: all that was answered 250 arrived once, nothing else did, nobody was
        refused. The outcome of each check, message by message."""
        self.load.finish()
        postfix.wait_empty(60)
        mail = [one for one in self.sink.caught() if one.recipients == (RECIPIENT,)]
        found = tokens(one.message for one in mail)
        twice = {one: count for one, count in found.items() if count > 1}
        assert not twice, f"came more than once: {twice}"
        odd = set(found) ^ set(self.load.accepted.queue_ids)
        assert not odd, f"answered 250 or delivered, not both: {odd}"
        assert not self.load.refused, self.load.refused
        assert not self.load.errors, self.load.errors
        unexplained = [
            told for told in self.load.delayed if not any(word in told for word in self.expected)
        ]
        assert not unexplained, unexplained
        return [_outcomes(one.message) for one in mail]


@contextmanager
def checking(
    ground: Ground, name: str, checks: str, message: Callable[[str], bytes]
) -> Iterator[tuple[Checked, Postfix]]:
    """Everything, running; `checks` are settings of the milter."""
    with Sink() as sink:
        postfix = _postfix(ground, sink, name)
        with running(postfix):
            site = Site(ground, postfix.sockets, _SETTINGS + checks, name=name)
            users = [f'[users."{address}"]' for address in (RECIPIENT, POSTMASTER)]
            file = site.write("directory.toml", "\n".join(['[domains."example.test"]', *users]))
            site.write(
                "conf.d/servers.toml",
                f'[directory]\nkind = "toml"\nfile = "{file}"\n'
                f'[notices]\nsmtp = "127.0.0.1:{postfix.port()}"\n',
            )
            with running(daemons.milter(site)) as milter:
                load = Load(
                    postfix.port(), lambda _number: Way(RECIPIENT, CLIENT), CLIENTS, message=message
                )
                with load:
                    yield Checked(milter, sink, load), postfix


def _postfix(ground: Ground, sink: Sink, name: str) -> Postfix:
    return Postfix(
        ground,
        main={
            "virtual_mailbox_domains": "example.test",
            "virtual_mailbox_maps": "static:ok",
            "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
            "lmtp_send_xforward_command": "yes",
        },
        listeners=[
            Listener("internet", ground.port(), {"smtpd_milters": f"unix:iems/{name}milter.sock"})
        ],
    )


def _outcomes(message: bytes) -> dict[str, str]:
    block = parse_header(message.replace(b"\r\n", b"\n"))
    (passed,) = block.named(b"x-iems-findings")
    return {
        one.check: one.outcome
        for one in findings.decode(passed.value, {KEY_ID: SECRET}.get).findings
    }
