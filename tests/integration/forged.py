"""The table of forged header fields: what is sent in, and what of it may be left.

Each row is a piece of a header that tries to pass for a field of ours. `N` in it is the name of the
field, `V` a value that asks for something, in which EVIL stands so that it is found wherever it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto

from iems.codec.findings import Passed, encode
from iems.model.finding import Finding
from tests.integration.stack.daemons import KEY_ID, SECRET
from tests.integration.stack.mailsystem import HOSTNAME


class Left(Flag):
    """Where the value is found when the message has arrived."""

    GONE = auto()
    TEXT = auto()
    """In the body: Postfix, or an empty line, ended the header before it."""
    OTHER = auto()
    """In the header, in a field of another name or under another authserv-id."""


GONE, TEXT, OTHER = Left


@dataclass(frozen=True)
class Row:
    """`postfix` is what is left after Postfix and the milter, `agent` after the agent alone."""

    name: str
    lines: bytes
    postfix: Left
    agent: Left
    first: bool = False
    """Whether it stands at the very top of the header."""

    def message(self) -> bytes:
        """A message with the row in it, and in the Message-ID which one it is."""
        own = f"Message-ID: <{self.name}@row.example>\r\nSubject: {self.name}\r\n".encode()
        lines = self.lines + b"\r\n"
        return (lines + own if self.first else own + lines + b"A: z\r\n") + b"\r\nbody\r\n"


_ID = HOSTNAME.encode()
_VALUES = {
    "X-IEMS-Verdict": b"junk; ref=EVIL",
    "X-IEMS-Findings": b"v=1; k=EVIL",
    "X-IEMS-Fact": b"known=EVIL",
    "Authentication-Results": _ID + b"; dkim=pass header.d=EVIL",
}

_FORMS: dict[str, tuple[bytes, Left, Left]] = {
    "plain": (b"N: V", GONE, GONE),
    "no blank": (b"N:V", GONE, GONE),
    "folded": (b"N:\r\n\tV\r\n more", GONE, GONE),
    "blank before the colon": (b"N : V", GONE, GONE),
    "tab before the colon": (b"N\t: V", GONE, GONE),
    "3000 blanks before the colon": (b"N" + b" " * 3000 + b": V", TEXT, GONE),
    "fold before the colon": (b"N\r\n : V", TEXT, GONE),
    "NUL before the colon": (b"N\0: V", TEXT, GONE),
    "8-bit before the colon": (b"N\xa0: V", TEXT, GONE),
    "vertical tab before the colon": (b"N\x0b: V", TEXT, GONE),
    "CR before the colon": (b"N\r: V", GONE, GONE),
    "two colons": (b"N:: V", GONE, GONE),
    "colon before the name": (b":N: V", TEXT, GONE),
    "NUL before the name": (b"\0N: V", TEXT, GONE),
    "8-bit before the name": (b"\xa0N: V", TEXT, GONE),
    "byte order mark before the name": (b"\xef\xbb\xbfN: V", TEXT, GONE),
    "form feed before the name": (b"\x0cN: V", TEXT, GONE),
    "CR before the name": (b"\rN: V", OTHER, GONE),
    "CR alone as line end": (b"A: b\rN: V", OTHER, GONE),
    "LF alone as line end": (b"A: b\nN: V\nA: c", GONE, GONE),
    "CR CR LF as line end": (b"A: b\r\r\nN: V", GONE, GONE),
    "after a fold of blanks": (b"A: b\r\n \r\nN: V", GONE, GONE),
    # Postfix takes CR CR LF for an empty line, except where it normalises bare newlines.
    "after CR CR LF": (b"A: b\r\n\r\r\nN: V", GONE | TEXT, GONE),
    "after what is no field": (b"no colon\r\nN: V", TEXT, GONE),
    "after a line of mbox": (b"From me Mon Jan  1 00:00:00 2024\r\nN: V", TEXT, GONE),
    "after its bare name": (b"N\r\nN: V", TEXT, GONE),
    "encoded name": (b"=?utf-8?q?N?=: V", OTHER, OTHER),
    "underlines": (b"N_: V", OTHER, OTHER),
    "in a fold of another field": (b"A: b\r\n N: V", OTHER, OTHER),
    "very long": (b"N: V" + b" x" * 100_000, GONE, GONE),
    "ninety times": (b"\r\n".join([b"N: V"] * 90), GONE, GONE),
}
_TOP = ("plain", "NUL before the name", "byte order mark before the name", "CR before the name")

_RESULTS: dict[str, tuple[bytes, Left]] = {
    "case": (_ID.upper(), GONE),
    "comment": (b"(a;(b)) " + _ID, GONE),
    "quoted": (b'"%s"' % _ID, GONE),
    "quoted pairs": (b'"mail\\.example.test"', GONE),
    "version": (_ID + b" 1", GONE),
    "dot at its end": (_ID + b".", GONE),
    "encoded word": (b"=?utf-8?q?%s?=" % _ID, GONE),
    "wide letter": ("ｍail.example.test".encode(), GONE),
    "soft hyphen": ("mail.exam\u00adple.test".encode(), GONE),
    "Latin-1 blank": (_ID + b"\xa0", GONE),
    "NUL": (b"mail.\0example.test", GONE),
    "CR at its end": (_ID + b"\r", GONE),
    "slash": (_ID + b"/1", GONE),
    "comma": (_ID + b", other.example", GONE),
    "none": (b"", GONE),
    "unended comment": (b"(" + _ID, GONE),
    "of another": (b"other.example", OTHER),
    "of another below ours": (b"other." + _ID, OTHER),
    "of another with ours in a comment": (b"other.example (%s)" % _ID, OTHER),
}


def rows() -> Iterator[Row]:
    """The whole table."""
    for name, value in _VALUES.items():
        for form, (text, postfix, agent) in _FORMS.items():
            for spelt in (name, name.lower()) if form == "plain" else (name,):
                lines = text.replace(b"V", value).replace(b"N", spelt.encode())
                yield Row(f"{spelt}, {form}", lines, postfix, agent)
                if form in _TOP:
                    yield Row(f"{spelt}, {form}, on top", lines, postfix, agent, first=True)
        top = f" {name}: {value.decode()}".encode()
        yield Row(f"{name}, blank before it, on top", top, TEXT, GONE, first=True)
    for form, (text, left) in _RESULTS.items():
        lines = b"Authentication-Results: %s; dkim=pass header.d=EVIL" % text
        yield Row(f"authserv-id, {form}", lines, left, left)
    for outcome in ("clear", "listed"):
        yield Row(f"findings of another message, {outcome}", _genuine(outcome), GONE, GONE)


def _genuine(outcome: str) -> bytes:
    """What the milter wrote for another message, right key and all."""
    band = "listed" if outcome == "listed" else ""
    finding = Finding("dnsbl/delegated", outcome, band, "EVIL")
    passed = Passed("000000000000", "4Z00000000000z", "internet", "a@evil.example", 1, (finding,))
    return b"X-IEMS-Findings:" + encode(passed, KEY_ID, SECRET) + b" \t"
