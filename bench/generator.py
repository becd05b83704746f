"""The load generator against a sink: what it could do at most, and at what price.

The sink is Postfix's smtp-sink, which takes everything and keeps nothing.
"""

from __future__ import annotations

from bench import load, suite
from bench.smtp import PARALLEL, conversation
from tests.integration.stack.ground import Ground, accepts
from tests.integration.stack.process import Server
from tests.waiting import eventually


def measure(rounds: int, messages: int) -> str:
    """The figures, one line a round."""
    ground = Ground()
    port = ground.port()
    log = ground.place("sink") / "output"
    sink = Server("smtp-sink", ["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "200"], log)
    lines = []
    try:
        ground.started(sink)
        eventually(lambda: accepts(port), 10, sink.tail)
        for number in range(rounds):
            talks = [
                conversation(f"127.16.1.{client % 250 + 1}", suite.USERS[0])
                for client in range(messages)
            ]
            done = load.run(("127.0.0.1", port), talks, PARALLEL)
            assert done.accepted == messages, done.refused[:3]
            lines.append(
                f"round {number + 1}: {messages / done.seconds:.0f} messages/s, "
                f"{1000 * done.cpu / messages:.2f} ms of processor a message"
            )
    finally:
        sink.stop()
        ground.close()
    return "\n".join(["## The load generator against smtp-sink", "", *lines, ""])
