"""Notices of postmaster, to himself or a user: a text of this package, filled in and sent by SMTP.

A notice is an automatic message (RFC 3834): no envelope sender, so that it never bounces, and
marked as generated. What cannot be handed over raises `NoticeError`; who sends a notice tries
again later, nothing is queued here.
"""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from importlib import resources
from string import Template
from typing import Protocol

from iems.codec.printable import printable
from iems.model.address import Address

_LINE = 900
"""Characters of one value that is filled in, below the line limit of RFC 5322 section 2.1.1."""

_PERMANENT = 500
"""The first reply code that is for good (RFC 5321 section 4.2.1)."""


class NoticeError(Exception):
    """The notice was not taken."""


class NoticeRefusedError(NoticeError):
    """Nor will it be: the mail server said so for good."""


class Notifier(Protocol):
    """Who tells postmaster: `Postmaster`, or whoever stands for him."""

    def notify(self, name: str, **values: str) -> None:
        """Send the notice; NoticeError where it cannot be sent."""
        ...


class Writer(Protocol):
    """Who writes to users: `Postmaster`, or whoever stands for him."""

    def write(self, to: Address, name: str, **values: str) -> None:
        """Send the notice; NoticeError where it cannot be sent."""
        ...


class Reporter(Protocol):
    """Who writes the log."""

    def warning(self, text: str, **fields: object) -> None:
        """One line."""
        ...


@dataclass(frozen=True, slots=True)
class Postmaster:
    """Whose notices they are: `smtp` is `HOST:PORT`, `host` our own name, `timeout` in seconds."""

    address: Address
    host: str
    smtp: str = "127.0.0.1:25"
    timeout: float = 20.0

    def notify(self, name: str, **values: str) -> None:
        """Send him the notice `NAME.txt`; each line of a value is reduced to printable ASCII."""
        self.write(self.address, name, **values)

    def write(self, to: Address, name: str, **values: str) -> None:
        """The same to somebody else."""
        self.send(to, self._notice(name, values))

    def send(self, to: Address, message: EmailMessage) -> None:
        """Send him a message that has subject and content; the rest of its header is made here."""
        message["Date"] = formatdate(usegmt=False)
        message["From"] = f"IEMS <{self.address}>"
        message["To"] = str(to)
        if "Message-ID" not in message:
            message["Message-ID"] = make_msgid(domain=self.host)
        message["Auto-Submitted"] = "auto-generated"
        server, _colon, port = self.smtp.rpartition(":")
        try:
            with smtplib.SMTP(
                server.strip("[]"), int(port), local_hostname=self.host, timeout=self.timeout
            ) as connection:
                connection.send_message(message, from_addr="", to_addrs=[str(to)])
        except (OSError, smtplib.SMTPException) as error:
            kind = NoticeRefusedError if _for_good(error) else NoticeError
            raise kind(f"the mail server at {self.smtp} did not take it: {error}") from error

    def _notice(self, name: str, values: dict[str, str]) -> EmailMessage:
        text = resources.files(__package__).joinpath(f"{name}.txt").read_text("utf-8")
        filled = Template(text).substitute(
            {key: _clean(value) for key, value in values.items()}, host=self.host
        )
        subject, _empty, body = filled.partition("\n\n")
        message = EmailMessage()
        message["Subject"] = subject.removeprefix("Subject: ")
        message.set_content(body)
        return message


def _for_good(error: Exception) -> bool:
    """Whether it would say the same of this notice another time."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            return all(code >= _PERMANENT for code, _text in error.recipients.values())
        case smtplib.SMTPDataError():
            return error.smtp_code >= _PERMANENT
        case _:
            return isinstance(error, smtplib.SMTPNotSupportedError)


def _clean(value: str) -> str:
    return "\n".join(printable(line, _LINE) for line in value.splitlines())
