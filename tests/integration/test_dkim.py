"""`dkim` and `arc` behind a real Postfix: what a signer sent arrives as the bytes that he signed.

The client speaks SMTP by a raw socket and mends nothing; keys come from a name server over UDP, and
by TCP where they do not fit. What the milter says is read from the message that goes on.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.stack import daemons
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.nameserver import NameServer
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import Client
from tests.signing import ed25519_key, key

RSA, ED25519 = key(), ed25519_key(selector="modern")
FORWARDER = key(1024, domain="forwarder.example")
SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"

[checks.arc]
mode = "delegate"

[checks.dkim]
mode = "delegate"
"""
_FROM = b"From: alice@sender.example\r\nTo: bob@example.test\r\nSubject: s\r\n"
MESSAGES: Mapping[str, bytes] = {
    "plain": _FROM + b"\r\nHello.\r\n",
    "folded": b"From: alice@sender.example\r\nTo: bob@example.test,\r\n\tcarol@example.test,"
    b"\r\n   dora@example.test\r\nSubject:\r\n  begins on the next line \t \r\n\r\nHello.\r\n",
    "blanks": b"From:  \t alice@sender.example  \r\nTo:bob@example.test\r\nSubject:\r\n\r\n \r\n",
    "names": b"FROM: alice@sender.example\r\nto: bob@example.test\r\nsUBJECT: s\r\n\r\nHello.\r\n",
    "doubled": _FROM + b"Subject: t\r\nX-Other: u\r\n\r\nHello.\r\n",
    "encoded": _FROM.replace(b" s\r", b" =?utf-8?q?gr=C3=BC=C3=9Fe?=\r") + b"\r\nHello.\r\n",
    "8-bit": _FROM.replace(b" s\r", b" gr\xfc\xdfe \xc3\xbc\r") + b"\r\ngr\xfc\xdfe \xc3\xbc\r\n",
    "dots": _FROM + b"\r\n.\r\n..\r\n.hidden\r\n. \r\n...\r\nend.\r\n.\r\n",
    "no body": _FROM + b"\r\n",
    "empty lines": _FROM + b"\r\n\r\n\r\n\r\n",
    "lines at the end": _FROM + b"\r\n\r\nHello.\r\n\r\n \r\n\r\n\r\n",
    "blanks in lines": _FROM + b"\r\n \t lead\r\ntrail \t \r\nin \t  between\r\n\t\r\n",
    "998 bytes": _FROM + b"\r\n" + b"x" * 998 + b"\r\n",
    "2,048 bytes": _FROM + b"\r\n" + (b"x" * 2047 + b"\r\n" + b"y" * 2048 + b"\r\n") * 2,
    "long line": _FROM + b"\r\n" + b"long  " * 20000 + b"\r\nend\r\n",
    "long field": _FROM.replace(b" s\r", b" " + b"word " * 3000 + b"end\r") + b"\r\nHello.\r\n",
    "long folds": _FROM.replace(b" s\r", b" s" + b"\r\n " + b"x" * 900 + b"\r") + b"\r\nHello.\r\n",
    "large": _FROM + b"\r\n" + b"a line of a large message\r\n" * 40000,
    "control": _FROM + b"\r\nbell \x07 escape \x1b form feed \x0c delete \x7f\r\n",
    "NUL": _FROM + b"\r\na\0b\r\n",
    "empty folds": _FROM.replace(b" s\r", b" s\r\n \r\n\t \r\n t\r\n \r") + b"\r\nHello.\r\n",
    "From line": _FROM + b"\r\nFrom me to you\r\n>From\r\n--\r\n-- \r\n",
    "multipart": _FROM + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\ntext \r\n"
    b"--b\r\nX: y \xff\r\n\tz\r\n\r\n--b\r\nno field\r\n--b--\r\n",
}

MENDED: Mapping[str, bytes] = {
    "CR in a line": _FROM + b"\r\none\rtwo\r\n",
    "CR at the end of a line": _FROM + b"\r\none\r\r\ntwo\r\n",
    "CR in a field": _FROM.replace(b" s\r", b" s\rt\r") + b"\r\nHello.\r\n",
    "NUL in a field": _FROM.replace(b" s\r", b" s\0t\r") + b"\r\nHello.\r\n",
    "more than header_size_limit": _FROM.replace(b" s\r", b" " + b"word " * 25000 + b"end\r")
    + b"\r\n",
    "blank before the colon of a part": MESSAGES["multipart"].replace(b"\r\nX:", b"\r\nX :"),
}
"""What Postfix does not hand on as it came; docs/checks/dkim.md says so."""


@pytest.fixture(scope="module")
def sender(ground: Ground) -> Iterator[Sender]:
    """A milter that verifies, in front of it a Postfix, behind that a sink."""
    zone = "\n".join(
        [
            "mail.example.test A 192.0.2.25",
            *(f'{one.name} TXT "{one.record}"' for one in (RSA, ED25519, FORWARDER)),
        ]
    )
    with Sink() as sink, NameServer(zone) as names:
        to_sink = f"lmtp:inet:127.0.0.1:{sink.port}"
        postfix = Postfix(
            ground,
            main={
                "virtual_mailbox_domains": "example.test",
                "virtual_mailbox_maps": "static:ok",
                "virtual_transport": to_sink,
                "lmtp_send_xforward_command": "yes",
                "lmtp_line_length_limit": "0",
                "message_size_limit": "200000000",
            },
            listeners=[
                Listener("internet", ground.port(), {"smtpd_milters": "unix:iems/dkimmilter.sock"})
            ],
        )
        servers = f"""
dns = {{ servers = ["127.0.0.1:{names.port}"], timeout = 5.0 }}
directory = {{ kind = "toml", file = "/nowhere" }}
milter = {{ workers = 1 }}
"""
        with running(postfix):
            site = Site(ground, postfix.sockets, SETTINGS, name="dkim")
            file = site.write(
                "directory.toml", '[domains."example.test"]\n[users."bob@example.test"]'
            )
            site.write("conf.d/servers.toml", servers.replace("/nowhere", str(file)))
            milter = daemons.milter(site)
            milter.start()
            try:
                yield Sender(postfix.listeners["internet"].port, sink, milter)
            finally:
                milter.stop()


class Sender:
    """Sends messages and reads what was found."""

    def __init__(self, port: int, sink: Sink, milter: Daemon) -> None:
        self._port = port
        self._sink = sink
        self._milter = milter

    def memory(self) -> int:
        """The most that a process of the milter ever held, in KiB."""
        status = [Path(f"/proc/{pid}/status").read_text() for pid in self._milter.workers()]
        return max(int(one.partition("VmHWM:")[2].split()[0]) for one in status)

    def results(self, message: bytes) -> list[str]:
        """Our `Authentication-Results`: method and word of each."""
        with Client(self._port, client=("198.18.253.1", "mx.sender.example")) as client:
            words = ["BODY=8BITMIME"]
            sent = client.send("a@sender.example", ["bob@example.test"], message, options=words)
        assert sent.data is not None
        assert sent.data.code == 250, sent.data
        caught = self._sink.wait(sent.data.text.rpartition(" ")[2])
        field = caught.message.partition(b"\r\nReceived:")[0].split(b"mail.example.test;", 1)[1]
        return [one.split()[0].decode() for one in field.partition(b"\r\nX-")[0].split(b";")]


@pytest.mark.parametrize("form", ["simple/simple", "relaxed/relaxed"])
@pytest.mark.parametrize("name", MESSAGES)
def test_what_was_signed_arrives_as_it_was_signed(sender: Sender, name: str, form: str) -> None:
    """Postfix hands on the very bytes, whatever the lines are like."""
    signed = ED25519.sign(RSA.sign(MESSAGES[name], {"c": form}), {"c": form})
    assert sender.results(signed) == ["arc=none", "dkim=pass", "dkim=pass"]


def test_what_postfix_mends_is_seen_as_changed(sender: Sender) -> None:
    """It can be verified by nobody behind Postfix, and honest mail has none of it."""
    for name, message in MENDED.items():
        assert sender.results(RSA.sign(message)) == ["arc=none", "dkim=fail"], name
    blank = _FROM.replace(b"Subject:", b"Subject :") + b"\r\nHello.\r\n"
    assert sender.results(RSA.sign(blank)) == ["arc=none", "dkim=pass"]
    signed = RSA.sign(blank, {"c": "simple/simple"})
    assert sender.results(signed) == ["arc=none", "dkim=fail"]


@pytest.mark.parametrize("name", ["plain", "folded", "8-bit", "long line"])
def test_what_was_changed_is_seen(sender: Sender, name: str) -> None:
    """A byte of the body, and one of a field."""
    signed = RSA.sign(MESSAGES[name], {"c": "simple/simple"})
    for old, new in ((b"To:", b"to:"), (b"\r\n\r\n", b"\r\n\r\nX")):
        changed = signed.replace(old, new)
        assert changed != signed
        assert sender.results(changed) == ["arc=none", "dkim=fail"]


def test_a_chain_of_forwarders(sender: Sender) -> None:
    """The signer's own message, sealed by a forwarder, and changed behind him."""
    sealed = FORWARDER.seal(RSA.sign(MESSAGES["folded"]), 1)
    assert sender.results(sealed) == ["arc=pass", "dkim=pass"]
    changed = sealed.replace(b"Hello", b"Hallo")
    assert sender.results(changed) == ["arc=fail", "dkim=fail"]


def test_a_message_of_95_mb(sender: Sender) -> None:
    """Two canonical forms, a chain, and no memory: a worker that holds much is replaced."""
    body = b"a line of a very large message, 64 bytes with what ends it, yes\r\n" * 1_460_000
    told = {"bh": base64.b64encode(hashlib.sha256(body).digest()).decode()}
    message = RSA.sign(_FROM + b"\r\n" + body, told)
    message = ED25519.sign(message, {**told, "c": "simple/simple"})
    message = FORWARDER.seal(message, 1, signed=told)
    assert sender.results(message) == ["arc=pass", "dkim=pass", "dkim=pass"]
    assert sender.memory() < 64 << 10
