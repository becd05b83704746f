"""The report "delivered" that NOTIFY=SUCCESS asks for (RFC 3461 section 6.2, RFC 3464).

As we announce DSN, Postfix leaves this report to us. It goes out by SMTP with the null sender, so
that nothing can answer it, and carries the header of the message, never its body. It is a courtesy:
when it cannot be sent that is logged, and the message stays delivered.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate

from iems.serve.deadline import Deadline
from iems.serve.log import Log
from lmtp.commands import Mail, Recipient, xtext
from lmtp.dialogue import COMMAND, BrokenError, Dialogue
from lmtp.reply import Reply
from lmtp.stuffing import END, stuffed

LIMIT = 10.0
"""Seconds for the whole report, since the reply to the message waits for it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient of the report, and what the next hop said."""

    recipient: Recipient
    reply: Reply


@dataclass(frozen=True, slots=True)
class Reports:
    """Sends reports to `smtp` (`HOST:PORT`) in the name of `hostname`."""

    smtp: str
    hostname: str
    log: Log

    def send(self, mail: Mail, rows: Sequence[Row], header: bytes) -> None:
        """Tell the sender of `mail` that the message of this header is delivered."""
        text = report(mail, rows, header, self.hostname)
        utf8 = not _ascii(mail, rows)
        try:
            refused = self._submit(mail.sender, text, Deadline.after(LIMIT), utf8=utf8)
        except BrokenError as error:
            refused = error.answer
        if refused is not None:
            self.log.error("delivery report was not sent", to=mail.sender, reply=refused)

    def _submit(self, to: str, text: bytes, deadline: Deadline, *, utf8: bool) -> Reply | None:
        """The first reply that is not what it should be, or None."""
        sender = "MAIL FROM:<> SMTPUTF8" if utf8 else "MAIL FROM:<>"
        commands = [f"EHLO {self.hostname}", sender, f"RCPT TO:<{to}>", "DATA"]
        dialogue = Dialogue.open(f"inet:{self.smtp}", deadline)
        try:
            answer = dialogue.reply(COMMAND, deadline)
            for command in commands:
                if not answer.positive:
                    return answer
                [answer] = dialogue.ask([command], deadline, together=False)
            if answer.code != 354:
                return answer
            dialogue.say(b"".join(stuffed([text])) + END, deadline)
            done = dialogue.reply(COMMAND, deadline)
        finally:
            dialogue.close()
        return None if done.positive else done


def report(mail: Mail, rows: Sequence[Row], header: bytes, hostname: str) -> bytes:
    """The message of the report, with line ends of CRLF."""
    utf8 = not _ascii(mail, rows)
    boundary = f"={secrets.token_hex(12)}"
    kinds = ("message/global-delivery-status", "message/global-headers")
    status, headers = kinds if utf8 else ("message/delivery-status", "text/rfc822-headers")
    encoding = "7bit" if header.isascii() and not utf8 else "8bit"
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{mail.sender}>",
        "Subject: Your message was delivered",
        f"Date: {formatdate()}",
        f"Message-ID: <{secrets.token_hex(12)}@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        f"This is the mail system at {hostname}.",
        "",
        "Your message was delivered to:",
        "",
        *(f"  <{_plain(row.recipient.original or row.recipient.address)}>" for row in rows),
        "",
        f"--{boundary}",
        f"Content-Type: {status}",
        f"Content-Transfer-Encoding: {'8bit' if utf8 else '7bit'}",
        "",
        f"Reporting-MTA: dns; {hostname}",
        *([f"Original-Envelope-Id: {_plain(xtext(mail.envid))}"] if mail.envid else []),
        *(line for row in rows for line in _row(row)),
        "",
        f"--{boundary}",
        f"Content-Type: {headers}",
        f"Content-Transfer-Encoding: {encoding}",
        "",
    ]
    top = "".join(f"{line}\r\n" for line in lines).encode()
    return top + header + f"\r\n--{boundary}--\r\n".encode()


def _row(row: Row) -> list[str]:
    """The group of fields about one recipient (RFC 3464 section 2.3), RFC 6533 where UTF-8."""
    recipient = row.recipient
    kind = "rfc822" if recipient.address.isascii() else "utf-8"
    lines = ["", f"Final-Recipient: {kind}; {recipient.address}"]
    if recipient.original:
        kind = recipient.orcpt.partition(";")[0]
        lines.insert(1, f"Original-Recipient: {kind};{_plain(recipient.original)}")
    return [*lines, "Action: delivered", f"Status: {row.reply.enhanced}"]


def _plain(text: str) -> str:
    return _CONTROL.sub("?", text)


def _ascii(mail: Mail, rows: Sequence[Row]) -> bool:
    texts = [mail.sender, *(row.recipient.address + row.recipient.original for row in rows)]
    return all(text.isascii() for text in texts)
