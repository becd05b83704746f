"""`iems probe`: a live message through the whole server, read over IMAP, and its way printed.

Two messages: one over SMTP as from outside, which must reach the mailbox; one straight to
Dovecot's LMTP with the agent's verdict `junk`, which the global Sieve script must file into Junk
(a script that is broken would fail open, into INBOX, and nobody would notice). Both are deleted.
Exit 0 if both arrived where they should, 1 if not or if one was refused, 75 if a server did not
answer.
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import imaplib
import json
import secrets
import smtplib
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.why import explain
from iems.serve.deadline import Deadline
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.records import Record, RecordsError, search

_TIMEOUT = 20.0
"""Seconds for one dialogue with a server."""

_PAUSE = 0.2

_WAY = {"end-of-message", "delivery"}
"""Who records the way of a message, milter and agent; either may write first."""

PASSWORDS = Path("/root/iems-passwords")
"""Where `make mailserver` writes those that it makes."""


class ProbeError(Exception):
    """A message did not arrive where it should; the message says which and where."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose mailbox, and how long to wait."""
    parser.add_argument("--to", metavar="ADDRESS", help="a mailbox of the password file")
    parser.add_argument(
        "--passwords",
        type=Path,
        default=PASSWORDS,
        metavar="FILE",
        help="lines of `address password`; default: %(default)s",
    )
    for name, default, told in (("--smtp", ":25", ""), ("--imap", ":993", "with TLS")):
        parser.add_argument(
            name, type=_server, default=f"127.0.0.1{default}", metavar="HOST:PORT", help=told
        )
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Send, read, explain."""
    settings = load(arguments.settings)
    try:
        accounts = _accounts(arguments.passwords)
    except FileNotFoundError:
        accounts = {}
    address = arguments.to or next(iter(accounts), "")
    if address not in accounts:
        print(f"iems: no password of {address!r} in {arguments.passwords}", file=sys.stderr)
        return 1
    deadline = Deadline.after(arguments.wait)
    try:
        with _imap(arguments.imap, address, accounts[address]) as mailbox:
            message_id = _send(settings, arguments.smtp, address)
            folder = _find(mailbox, message_id, ("INBOX", "Junk"), deadline)
            junk_id = _send_junk(settings, address)
            _find(mailbox, junk_id, ("Junk",), deadline)
        records = _records(settings, message_id, deadline)
    except (ProbeError, smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        print(f"iems: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error, RecordsError) as error:
        print(f"iems: {type(error).__name__}: {error}", file=sys.stderr)
        return 75
    _print(arguments, address, folder, records)
    return 0


def _print(arguments: argparse.Namespace, address: str, folder: str, records: list[Record]) -> None:
    if arguments.json:
        way = [{"stage": record.stage, "action": record.action} for record in records]
        answer = {"recipient": address, "folder": folder, "junk_script": "works", "way": way}
        print(json.dumps(answer, indent=2))
        return
    host, port = arguments.smtp
    print(f"probe: {host}:{port} -> {address}, found in {folder}; the junk script works")
    print("\n".join(line for record in records for line in explain(record)))


def _server(text: str) -> tuple[str, int]:
    host, _colon, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no server; expected HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _accounts(path: Path) -> Mapping[str, str]:
    rows = [line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip()]
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _message(settings: Settings, address: str, *extra: str) -> tuple[str, bytes]:
    message_id = f"<{secrets.token_hex(12)}@{settings.hostname}>"
    lines = [
        *extra,
        f"From: IEMS probe <{settings.postmaster}>",
        f"To: <{address}>",
        "Subject: probe",
        f"Date: {email.utils.formatdate()}",
        f"Message-ID: {message_id}",
        "Auto-Submitted: auto-generated",
        "",
        "This message proves that mail passes. It is deleted when it was read.",
        "",
    ]
    return message_id, "\r\n".join(lines).encode()


def _send(settings: Settings, server: tuple[str, int], address: str) -> str:
    message_id, data = _message(settings, address)
    # The name is given, since Python would look for one in the DNS.
    with smtplib.SMTP(*server, local_hostname=settings.hostname, timeout=_TIMEOUT) as smtp:
        smtp.sendmail(str(settings.postmaster), [address], data)
    return message_id


def _send_junk(settings: Settings, address: str) -> str:
    message_id, data = _message(settings, address, "X-IEMS-Verdict: junk; ref=probe")
    kind, _colon, target = settings.agent.upstreams["local"].partition(":")
    server = (target, 0) if kind == "unix" else _server(target)
    with smtplib.LMTP(*server, local_hostname=settings.hostname, timeout=_TIMEOUT) as lmtp:
        lmtp.sendmail(str(settings.postmaster), [address], data)
    return message_id


@contextlib.contextmanager
def _imap(server: tuple[str, int], user: str, password: str) -> Iterator[imaplib.IMAP4_SSL]:
    """A session; on loopback the certificate may be any, elsewhere it must be right."""
    host, port = server
    context = ssl.create_default_context()
    if host.startswith("127.") or host in {"localhost", "::1"}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    mailbox = imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=_TIMEOUT)
    try:
        mailbox.login(user, password)
        yield mailbox
    finally:
        mailbox.logout()


def _find(
    mailbox: imaplib.IMAP4_SSL, message_id: str, folders: tuple[str, ...], deadline: Deadline
) -> str:
    """The folder in which the message is found; there it is deleted."""
    while True:
        for folder in folders:
            status, _count = mailbox.select(folder)
            if status != "OK":
                continue
            _status, found = mailbox.search(None, "HEADER", "Message-ID", f'"{message_id}"')
            if found and found[0]:
                for number in found[0].decode().split():
                    mailbox.store(number, "+FLAGS", "\\Deleted")
                mailbox.expunge()
                return folder
        if deadline.expired:
            raise ProbeError(f"message {message_id} did not arrive in {' or '.join(folders)}")
        time.sleep(_PAUSE)


def _records(settings: Settings, message_id: str, deadline: Deadline) -> list[Record]:
    files = [settings.milter.state / "records.sqlite", settings.agent.state / "records.sqlite"]
    while True:
        found = search(files, message_id)
        if {record.stage for record in found} >= _WAY or deadline.expired:
            return found
        time.sleep(_PAUSE)
