"""Laws of signed messages: whatever fields and keys are, there are findings with known words; a
message can be sealed or not, and a mark is none.
"""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import replace

from iems.codec import trace
from iems.codec.header import parse_header, split_message
from iems.codec.keypair import ED25519, new_private
from iems.dns.resolver import Answer, Status, Then
from iems.dns.zonefile import Ready
from iems.edits.arc_seal import arc_set
from iems.edits.dkim_sign import Signer, UnsignableError
from iems.model.message import HeaderBlock
from iems.serve.deadline import Deadline
from iems.store.spool import MemoryBody, Spooled
from milters.checks import arc, dkim
from tests.unit.checks.world import tools, view

_WORDS = {
    "arc": {"pass", "fail", "none", "temperror"},
    "dkim": {"pass", "fail", "policy", "neutral", "none", "permerror", "temperror"},
}


class _Same:
    """A resolver that knows one record, whatever the question."""

    def __init__(self, record: bytes) -> None:
        self._answer = Answer(Status.FOUND, (record.decode("latin-1"),), 60)

    def ask(self, name: str, rtype: object, then: Then | None = None) -> Ready:  # noqa: ARG002
        name.encode("ascii")
        return Ready(self._answer)


def signatures(data: bytes) -> None:
    """The first line is the record of every key, the rest a message."""
    record, _end, text = data.partition(b"\n")
    header, body = split_message(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    client = view("192.0.2.7", header=header)
    seen = replace(client, message=Spooled(header, MemoryBody(body)))
    known = tools(_Same(record))
    for module in (arc, dkim):
        (check,) = module.make("", module.Settings(), known)
        findings = check.start(seen, Deadline.after(60.0)).result()
        assert findings
        assert len(findings) <= dkim.MOST
        for one in findings:
            assert one.outcome in _WORDS[one.check]
            texts = [one.reason, *(value for _name, value in one.evidence)]
            assert all(text.isascii() and text.isprintable() for text in texts)
        passed = any(one.outcome in {"pass", "none"} for one in findings)
        assert sum(bool(one.band) for one in findings) <= (0 if passed else 1)
    _sent_on(parse_header(header), record)


def _sent_on(header: HeaderBlock, results: bytes) -> None:
    with suppress(UnsignableError):
        values = arc_set(_signer(), header, bytes(32), results, 1)
        assert all(value.startswith(b"i=") for value in values)
    with suppress(trace.TraceError):
        if found := trace.marked(header):
            trace.proven(found[0].value, bytes(32), lambda _id: None, 1)
            raise AssertionError("there is no key for it")


@functools.cache
def _signer() -> Signer:
    return Signer("own.example", "sel", new_private(ED25519))
