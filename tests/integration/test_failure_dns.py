"""A resolver that dies, hangs or lies under load, with checks that defer what they cannot check.

What is true of every message is known: SPF, DKIM and DMARC pass, and no list has the name. One of
which anything else was found has passed unchecked. A lie in the right form, from the right address
and to the right question is believed: that is for DNSSEC in the resolver.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from tests import signing
from tests.integration.checked import checking
from tests.integration.conftest import BLACKLISTS
from tests.integration.dns_fake import Reply, answering, fake, silent
from tests.integration.stack.faults import hanging
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.rbldnsd import Rbldnsd
from tests.integration.stack.unbound import Unbound

SENDERS = """
[dns]
servers = ["127.0.0.1:{port}"]
timeout = 0.5

[checks.spf]
mode = "delegate"
default = {{ temperror = "defer" }}

[checks.dkim]
mode = "delegate"
default = {{ temperror = "defer" }}

[checks.dmarc]
mode = "delegate"
default = {{ temperror = "defer" }}
"""
LISTS = """
[dns]
servers = ["127.0.0.1:{port}"]
timeout = 0.5

[checks.rhsbl.names]
zone = "{zone}"
mode = "delegate"
default = {{ temperror = "defer" }}
"""
KEY = signing.key()
ZONE = f"""
{KEY.domain} TXT "v=spf1 ip4:198.18.0.0/15 -all"
_dmarc.{KEY.domain} TXT "v=DMARC1; p=reject"
{KEY.name} TXT "{KEY.record}"
mail.example.test A 192.0.2.25
"""
DELAY = "450 4.7.1 "
TRUNCATED = 0x0200
"""The TC bit (RFC 1035 section 4.1.1)."""


def message(token: str) -> bytes:
    """Signed, as if it came from the domain of the key."""
    text = f"From: a@{KEY.domain}\r\nTo: bob@example.test\r\nSubject: token {token}\r\n\r\ntext\r\n"
    return KEY.sign(text.encode())


_lie = answering('@ 60 TXT "v=spf1 +all"')


def _with_another_id(query: bytes) -> list[bytes]:
    return [bytes([query[0] ^ 0xFF, query[1]]) + answer[2:] for answer in _lie(query)]


def _of_another_question(query: bytes) -> list[bytes]:
    return [answer.replace(b"\x07example", b"\x07exampel") for answer in _lie(query)]


def _cut(query: bytes) -> list[bytes]:
    return [answer[: answer.index(b"+all")] for answer in _lie(query)]


LIES: Mapping[str, Reply] = {
    "fails": answering(rcode="SERVFAIL"),
    "refuses": answering(rcode="REFUSED"),
    "cuts its answers": _cut,
    "truncates, and says nothing by TCP": answering(flags=TRUNCATED),
    "answers with another id": _with_another_id,
    "answers another question": _of_another_question,
}


@pytest.mark.timeout(150)
def test_nothing_passes_unchecked_by_spf_dkim_and_dmarc(ground: Ground) -> None:
    with NameServer(ZONE) as names:
        resolver = Unbound(ground, forward=f"127.0.0.1@{names.port}", cache_seconds=0)
        checks = SENDERS.format(port=resolver.port)
        with running(resolver), checking(ground, "fdns", checks, message) as (world, postfix):
            world.returns()
            resolver.kill()
            try:
                world.delays(DELAY)
                for reply in LIES.values():
                    with fake(reply, silent, resolver.port):
                        world.delays(DELAY)
            finally:
                resolver.start()
            world.returns()
            with hanging(resolver):
                world.delays(DELAY)
            world.returns()
            found = world.finish(postfix)
    assert [one for one in found if one != dict.fromkeys(("spf", "dkim", "dmarc"), "pass")] == []


LISTS_LIE: Mapping[str, Reply] = {
    "answers error codes": answering("@ 0 A 127.255.255.254"),
    "answers outside 127/8": answering("@ 0 A 192.0.2.1"),
    "answers both": answering("@ 0 A 127.0.0.2", "@ 0 A 192.0.2.1"),
    "fails": answering(rcode="SERVFAIL"),
    "refuses": answering(rcode="REFUSED"),
}


def asking(port: int) -> Reply:
    """The answers of the server on this port."""

    def reply(query: bytes) -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(5)
            asked.sendto(query, ("127.0.0.1", port))
            return [asked.recv(4096)]

    return reply


@pytest.mark.timeout(150)
def test_nothing_passes_unchecked_by_a_list_of_names(ground: Ground, rbldnsd: Rbldnsd) -> None:
    """Silence is left to test_failure_matrix: it sets a list aside for half a minute."""
    well = asking(rbldnsd.port)
    with fake(well) as server:
        checks = LISTS.format(port=server.port, zone=BLACKLISTS[0])
        with checking(ground, "frhs", checks, message) as (world, postfix):
            world.returns()
            for reply in LISTS_LIE.values():
                server.reply = reply
                world.delays(DELAY)
            server.reply = well
            world.returns()
            found = world.finish(postfix)
    assert [one for one in found if one != {"rhsbl/names": "clear"}] == []
