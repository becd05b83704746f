"""Our fake MTA against a real Postfix: the same script, the same milter, the same outcome.

What is held together: which macros come with which event, how header indices count, what edits do
to envelope and body, what a client is told.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakemta.milter import MilterFilter
from tests.fakemta.script import parse
from tests.fakemta.session import Session
from tests.fakemta.transcript import Printer, without_edits
from tests.integration.stack.ground import Ground, accepts_unix, running
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.process import Server
from tests.integration.stack.script import PostfixSession
from tests.integration.stack.sink import Sink
from tests.waiting import eventually

SCRIPTS = {
    "macros and events": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
mail <a@sender.example>
rcpt <refused@example.test>
rcpt <bob@example.test>
rcpt <carol@example.test>
header X-Do: told
body text
end
mail <>
rcpt <bob@example.test>
header X-Do: told
end
quit
""",
    "xclient": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
connect 2001:db8::7 unknown
helo other.example
mail <a@sender.example>
rcpt <bob@example.test>
header X-Do: told
end
connect 192.0.2.2 unknown ptr=forged.example
helo other.example
mail <a@sender.example>
rcpt <bob@example.test>
header X-Do: told
end
connect 192.0.2.3 unknown resolve=TEMP
helo other.example
mail <a@sender.example>
rcpt <bob@example.test>
header X-Do: told
end
connect 192.0.2.4 mx.other.example
helo other.example
mail <a@sender.example> auth=alice
rcpt <bob@example.test>
header X-Do: told
end
quit
""",
    "insertions count as delivered": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
mail <a@sender.example>
rcpt <bob@example.test>
header Received: from one
header Received: from two
header Subject: hello
header X-Do: insert 0 X-Zero: 0
header X-Do: insert 1 X-One: 1
header X-Do: insert 3 X-Three: 3
header X-Do: insert 99 X-Last: 99
header X-Do: add X-Added: yes
body text
end
""",
    "changes count as received": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
mail <a@sender.example>
rcpt <bob@example.test>
header Received: from one
header X-A: first
header Received: from two
header x-a: second
header X-A: third
header X-Do: change 2 X-A: changed
header X-Do: change 1 Received: by us
header X-Do: delete 2 Received
header X-Do: change 9 X-A: beyond
header X-Do: delete 9 X-A
header X-Do: change 1 X-New: new
body text
end
""",
    "deletions, the last first": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
mail <a@sender.example>
rcpt <bob@example.test>
header X-A: first
header X-A: second
header X-A: third
header X-Do: delete 3 X-A
header X-Do: delete 1 X-A
header X-Do: insert 0 X-A: ours
header X-Do: delete 1 X-Do
body text
end
""",
    "envelope and body": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
mail <a@sender.example>
rcpt <bob@example.test>
rcpt <carol@example.test>
header Subject: hello
header X-Do: rcpt <dora@example.test>
header X-Do: norcpt <carol@example.test>
header X-Do: sender <b@sender.example>
header X-Do: body another
body text
end
""",
    "refusals": """
connect 192.0.2.1 mx.sender.example
helo mx.sender.example
mail <a@sender.example>
rcpt <refused@example.test>
data
rset
mail <a@sender.example>
rcpt <bob@example.test>
header X-Do: reply 550 5.7.1 not this one
end
mail <a@sender.example>
rcpt <bob@example.test>
header X-Do: reply 451 4.3.0 not now
end
mail <a@sender.example>
rcpt <bob@example.test>
header Subject: this one
end
""",
}


@dataclass(frozen=True)
class World:
    """A Postfix with the editing milter before it and a sink behind it."""

    postfix: Postfix
    sink: Sink
    socket: Path


@pytest.fixture(scope="module")
def world(ground: Ground) -> Iterator[World]:
    """The servers of this module."""
    with Sink() as sink:
        postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
                "lmtp_send_xforward_command": "yes",
                "smtpd_milters": "unix:iems/editor.sock",
            },
            listeners=[Listener("internet", ground.port(), {})],
        )
        socket = postfix.sockets / "editor.sock"
        arguments = [sys.executable, "-m", "tests.integration.stack.editor", f"unix:{socket}"]
        server = Server(
            "editor",
            arguments,
            postfix.folder / "editor.log",
            user="iems-milter",
            environment={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        ground.started(server)
        eventually(lambda: socket.exists() and accepts_unix(socket), 10, server.tail)
        socket.chmod(0o777)
        with running(postfix):
            yield World(postfix, sink, socket)
        server.stop()
        socket.unlink(missing_ok=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_fake_does_as_postfix_does(world: World, name: str) -> None:
    lines = parse(SCRIPTS[name])
    transport = ("lmtp", f"inet:127.0.0.1:{world.sink.port}")
    faked = Session(lambda: MilterFilter(str(world.socket)), transport).run(lines)
    real = PostfixSession({"internet": world.postfix.port()}, world.sink).run(lines)
    printer = Printer(lambda _key_id: None)
    assert without_edits(printer.steps(faked)) == printer.steps(real)
