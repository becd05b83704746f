"""Notices to postmaster: a text of this package, filled in and handed to the mail server by SMTP.

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

from iems.codec.printable import printable
from iems.model.address import Address

_LINE = 900
"""Characters of one value that is filled in, below the line limit of RFC 5322 section 2.1.1."""


class NoticeError(Exception):
    """The notice was not taken."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """Where notices go: `smtp` is `HOST:PORT`, `host` our own name, `timeout` in seconds."""

    address: Address
    host: str
    smtp: str = "127.0.0.1:25"
    timeout: float = 20.0

    def notify(self, name: str, **values: str) -> None:
        """Send the notice `NAME.txt`; each line of a value is reduced to printable ASCII."""
        message = self._message(name, values)
        server, _colon, port = self.smtp.rpartition(":")
        try:
            with smtplib.SMTP(
                server.strip("[]"), int(port), local_hostname=self.host, timeout=self.timeout
            ) as connection:
                connection.send_message(message, from_addr="", to_addrs=[str(self.address)])
        except (OSError, smtplib.SMTPException) as error:
            raise NoticeError(f"the mail server at {self.smtp} did not take it: {error}") from error

    def _message(self, name: str, values: dict[str, str]) -> EmailMessage:
        text = resources.files(__package__).joinpath(f"{name}.txt").read_text("utf-8")
        filled = Template(text).substitute(
            {key: _clean(value) for key, value in values.items()}, host=self.host
        )
        subject, _empty, body = filled.partition("\n\n")
        message = EmailMessage()
        message["Date"] = formatdate(usegmt=False)
        message["From"] = f"IEMS <{self.address}>"
        message["To"] = str(self.address)
        message["Subject"] = subject.removeprefix("Subject: ")
        message["Message-ID"] = make_msgid(domain=self.host)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body)
        return message


def _clean(value: str) -> str:
    return "\n".join(printable(line, _LINE) for line in value.splitlines())
