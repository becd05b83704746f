"""What a script sends to somebody: replies, vacations and notifications."""

from __future__ import annotations

import quopri
from urllib.parse import quote

from sieve.mailsort.rule import Notify, Reply, Vacation
from sieve.script.tree import Argument, Command, Number, Tag, Text, Texts, command

LONGEST_LINE = 998
"""Octets of a line of a message without its CRLF (RFC 5322 section 2.1.1)."""

_BOUNDARY = "=_iems"
"""Quoted-printable has no `=_` in it (RFC 2045 section 6.7)."""


def reply(rule: str, one: Reply, addresses: tuple[str, ...]) -> Command:
    """`vacation` for a rule; who was answered is kept by the rule's name, whatever the text."""
    return _vacation(one.text, "", one.subject, one.days, f"rule {rule}", addresses)


def vacation(one: Vacation, addresses: tuple[str, ...]) -> Command:
    """`vacation` for who is away; who was answered counts anew for each beginning."""
    handle = f"vacation {one.since}" if one.since else "vacation"
    return _vacation(one.text, one.html, one.subject, one.days, handle, addresses)


def _vacation(
    text: str, html: str, subject: str, days: int, handle: str, addresses: tuple[str, ...]
) -> Command:
    arguments: list[Argument] = [Tag("days"), Number(days)]
    if subject:
        arguments += [Tag("subject"), Text(subject)]
    if addresses:
        arguments += [Tag("addresses"), Texts.of(*addresses)]
    arguments += [Tag("handle"), Text(handle)]
    if html or any(len(line.encode()) > LONGEST_LINE for line in text.splitlines()):
        arguments += [Tag("mime"), Text(_mime(text, html))]
    else:
        # A text of several lines ends with one: so it is printed as it is read.
        whole = "\n" if "\n" in text and not text.endswith("\n") else ""
        arguments.append(Text(text + whole))
    return command("vacation", *arguments)


def _mime(text: str, html: str) -> str:
    """A MIME entity (RFC 2045) of a text, with HTML as the better alternative (RFC 2046, 5.1.4)."""
    plain = _part("plain", text)
    if not html:
        return plain
    return (
        f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\n'
        f"\n--{_BOUNDARY}\n{plain}\n--{_BOUNDARY}\n{_part('html', html)}\n--{_BOUNDARY}--\n"
    )


def _part(subtype: str, text: str) -> str:
    lines = "\n".join(text.splitlines()).encode()
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\n"
        f"Content-Transfer-Encoding: quoted-printable\n\n{quopri.encodestring(lines).decode()}"
    )


def notification(one: Notify) -> Command:
    """`notify` by mail (RFC 5436); the text is its body, the subject is the server's."""
    text = "\r\n".join(one.text.splitlines())
    body = f"?body={quote(text, safe='')}" if text else ""
    return command("notify", Text(f"mailto:{quote(one.to, safe='@!$*+')}{body}"))
