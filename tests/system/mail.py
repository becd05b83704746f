"""What a person and a foreign server do with a mail server: SMTP by hand, IMAP over TLS.

A transaction keeps the reply to every recipient, which smtplib's `sendmail` does not. The
machines' certificates are self-signed, so TLS is used and not verified.
"""

from __future__ import annotations

import email.message
import email.policy
import imaplib
import smtplib
import ssl
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser

from tests.waiting import eventually

ARRIVAL = 30.0
"""Seconds within which a message is in a mailbox; 0.3 on two idle cores."""


FOLDERS = ("INBOX", "Junk")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a server."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a server said to a transaction: per recipient, and to the data (None: never sent)."""

    recipients: Mapping[str, Reply]
    data: Reply | None


def tls() -> ssl.SSLContext:
    """TLS without a look at the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def marker() -> str:
    """A word that is in one message only."""
    return f"mark{uuid.uuid4().hex}"


def message(word: str, *, sender: str, to: str, extra: Sequence[str] = ()) -> bytes:
    """A small message with `word` as its subject; `extra` are whole header lines."""
    lines = [
        *extra,
        f"From: <{sender}>",
        f"To: <{to}>",
        f"Subject: {word}",
        "Date: Sat, 01 Nov 2025 12:00:00 +0000",
        f"Message-ID: <{word}@world.test>",
        "",
        f"Body of {word}.",
        "",
    ]
    return "\r\n".join(lines).encode()


def connect(host: str, port: int = 25, *, source: str = "") -> smtplib.SMTP:
    """An SMTP session after EHLO; `source` is the address it comes from."""
    where = (source, 0) if source else None
    session = smtplib.SMTP(
        host, port, local_hostname="client.world.test", timeout=60, source_address=where
    )
    session.ehlo()
    return session


def transact(session: smtplib.SMTP, sender: str, recipients: Sequence[str], data: bytes) -> Outcome:
    """One transaction; the data goes out if any recipient was accepted."""
    answers: dict[str, Reply] = {}
    code, text = session.mail(sender)
    assert code == 250, (code, text)
    for recipient in recipients:
        answers[recipient] = Reply(*_decoded(session.rcpt(recipient)))
    if all(reply.code >= 300 for reply in answers.values()):
        session.rset()
        return Outcome(answers, None)
    return Outcome(answers, Reply(*_decoded(session.data(data))))


def send(host: str, source: str, sender: str, recipients: Sequence[str], data: bytes) -> Outcome:
    """Connect to port 25 from `source`, one transaction, QUIT."""
    with connect(host, source=source) as session:
        return transact(session, sender, recipients, data)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with his password and the server that has his mail."""

    host: str
    address: str
    password: str

    @contextmanager
    def imap(self) -> Iterator[imaplib.IMAP4_SSL]:
        """An authenticated session over TLS (port 993)."""
        with imaplib.IMAP4_SSL(self.host, 993, ssl_context=tls(), timeout=30) as session:
            session.login(self.address, self.password)
            yield session

    def folders(self) -> set[str]:
        """The names of his folders."""
        with self.imap() as session:
            _status, lines = session.list()
        return {
            line.decode().rpartition(" ")[2].strip('"') for line in lines if isinstance(line, bytes)
        }

    def find(self, word: str, folders: Sequence[str] = FOLDERS) -> list[tuple[str, bytes]]:
        """Pairs of folder and message, for every copy whose subject holds `word`."""
        found: list[tuple[str, bytes]] = []
        with self.imap() as session:
            for folder in folders:
                session.select(folder, readonly=True)
                _status, numbers = session.search(None, "SUBJECT", word)
                for number in numbers[0].split():
                    _status, parts = session.fetch(number.decode(), "(BODY.PEEK[])")
                    found += [(folder, part[1]) for part in parts if isinstance(part, tuple)]
        return found

    def wait_for(
        self, word: str, *, text: str = "", folders: Sequence[str] = FOLDERS
    ) -> tuple[str, bytes]:
        """The one copy with this subject (and this text) with its folder; two are an error."""

        def look() -> list[tuple[str, bytes]]:
            return [one for one in self.find(word, folders) if text.encode() in one[1]]

        copies = eventually(look, ARRIVAL, f"{word} for {self.address}")
        assert len(copies) == 1, f"{len(copies)} copies of {word} for {self.address}"
        return copies[0]

    def subjects(self, folder: str = "INBOX") -> list[str]:
        """The subjects of all messages of a folder."""
        with self.imap() as session:
            session.select(folder, readonly=True)
            _status, parts = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        heads = [part[1].decode() for part in parts if isinstance(part, tuple)]
        return [head.partition(":")[2].strip() for head in heads]


def parsed(data: bytes) -> email.message.EmailMessage:
    """The message, to read its header with."""
    made = BytesParser(policy=email.policy.default).parsebytes(data)
    assert isinstance(made, email.message.EmailMessage)
    return made


def _decoded(reply: tuple[int, bytes]) -> tuple[int, str]:
    return reply[0], reply[1].decode("utf-8", "replace")
