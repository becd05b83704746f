"""A filter behind a unix socket, spoken to as Postfix 3.7 speaks.

Which macros go with which stage is Postfix's default (postconf(5), `milter_connect_macros` and the
following), unless the filter asks for others at the negotiation or the test sets others.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.fakemta import wire
from tests.fakemta.filter import ACCEPT, CONTINUE, DISCARD, REJECT, TEMPFAIL, Macros, Verdict
from tests.fakemta.message import (
    Add,
    AddRecipient,
    Change,
    ChangeSender,
    DeleteRecipient,
    Edit,
    Insert,
    Quarantine,
    ReplaceBody,
)
from tests.fakemta.script import Connect
from tests.fakemta.wire import FilterGoneError, Wire

DEFAULT_MACROS: Mapping[str, tuple[str, ...]] = {
    "C": ("j", "{daemon_name}", "{daemon_addr}", "v", "_"),
    "H": ("{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"),
    "M": (
        *("i", "{auth_type}", "{auth_authen}", "{auth_author}"),
        *("{mail_addr}", "{mail_host}", "{mail_mailer}"),
    ),
    "R": ("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"),
    "T": ("i",),
    "N": ("i",),
    "E": ("i",),
}
_STAGES = {0: "C", 1: "H", 2: "M", 3: "R", 4: "T", 5: "E", 6: "N"}
"""Stage numbers of SMFIM_CONNECT and the following."""

_NO_STEP = {
    "C": wire.NO_CONNECT,
    "H": wire.NO_HELO,
    "M": wire.NO_MAIL,
    "R": wire.NO_RCPT,
    "T": wire.NO_DATA,
    "L": wire.NO_HEADERS,
    "N": wire.NO_EOH,
    "B": wire.NO_BODY,
}
_NO_REPLY = {
    "C": wire.NR_CONNECT,
    "H": wire.NR_HELO,
    "M": wire.NR_MAIL,
    "R": wire.NR_RCPT,
    "T": wire.NR_DATA,
    "L": wire.NR_HEADERS,
    "N": wire.NR_EOH,
    "B": wire.NR_BODY,
}
_ANSWERS = {"c": CONTINUE, "r": REJECT, "t": TEMPFAIL, "a": ACCEPT, "d": DISCARD, "s": CONTINUE}
_EDITS = frozenset("himb+2-eq")


class MilterFilter:
    """One connection. A filter that goes away is a temporary failure from then on."""

    def __init__(self, path: str, macros: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._wire = Wire(path)
        self._names = {**DEFAULT_MACROS, **(macros or {})}
        self._gone = False
        self._pieces: list[bytes] = []
        self._skip_body = False
        self._wire.send("O", wire.numbers(wire.VERSION, wire.ACTIONS, wire.STEPS))
        letter, data = self._wire.read()
        assert letter == "O", f"{letter!r} instead of the negotiation"
        version, self.actions, self.steps, wanted = wire.read_negotiation(data)
        assert 2 <= version <= wire.VERSION, version
        assert not self.steps & ~wire.STEPS, hex(self.steps)
        assert not self.actions & ~wire.ACTIONS, hex(self.actions)
        self._names |= {_STAGES[number]: tuple(names) for number, names in wanted.items()}

    def connect(self, client: Connect, macros: Macros) -> str:
        """SMFIC_CONNECT."""
        family, port = ("6" if ":" in client.address else "4"), struct.pack(">H", 54321)
        spelt = f"IPv6:{client.address}" if family == "6" else client.address
        data = wire.strings(client.host) + family.encode() + port + wire.strings(spelt)
        return self._ask("C", data, macros)

    def helo(self, name: str, macros: Macros) -> str:
        """SMFIC_HELO."""
        return self._ask("H", wire.strings(name), macros)

    def mail(self, sender: str, macros: Macros) -> str:
        """SMFIC_MAIL."""
        return self._ask("M", wire.strings(sender), macros)

    def rcpt(self, recipient: str, macros: Macros) -> str:
        """SMFIC_RCPT."""
        return self._ask("R", wire.strings(recipient), macros)

    def data(self, macros: Macros) -> str:
        """SMFIC_DATA."""
        return self._ask("T", b"", macros)

    def header(self, name: bytes, value: bytes, macros: Macros) -> str:
        """SMFIC_HEADER; without SMFIP_HDR_LEADSPC the filter does not see the first blank."""
        if not self.steps & wire.LEADING_SPACE:
            value = value.removeprefix(b" ")
        return self._ask("L", wire.strings(name, value), macros)

    def end_of_headers(self, macros: Macros) -> str:
        """SMFIC_EOH."""
        return self._ask("N", b"", macros)

    def body(self, piece: bytes) -> str:
        """SMFIC_BODY, sent at the end in pieces as large as the protocol has them."""
        self._pieces.append(piece)
        return CONTINUE

    def end_of_message(self, macros: Macros) -> Verdict:
        """SMFIC_BODYEOB, after what is left of the body."""
        text = b"".join(self._pieces)
        self._pieces = []
        for start in range(0, len(text), wire.BODY_CHUNK):
            answer = self._ask("B", text[start : start + wire.BODY_CHUNK], {})
            if answer != CONTINUE:
                return Verdict(answer)
        if self._gone:
            return Verdict(TEMPFAIL)
        edits: list[Edit] = []
        try:
            self._macros("E", macros)
            self._wire.send("E")
            return Verdict(self._answer(edits), tuple(edits))
        except FilterGoneError:
            return Verdict(self._lost())

    def end_and_vanish(self, macros: Macros) -> None:
        """SMFIC_BODYEOB, and the connection closes before the answer."""
        self._macros("E", macros)
        self._say("E")
        self.vanish()

    def abort(self) -> None:
        """SMFIC_ABORT, which nobody answers."""
        self._pieces = []
        self._say("A")

    def quit(self) -> None:
        """SMFIC_QUIT, and the filter closes."""
        self._say("Q")
        self._wire.close()
        self._gone = True

    def vanish(self) -> None:
        """Close the connection."""
        self._wire.close()
        self._gone = True

    def _ask(self, letter: str, data: bytes, macros: Macros) -> str:
        if self._gone:
            return TEMPFAIL
        try:
            self._macros(letter, macros)
            if self.steps & _NO_STEP[letter]:
                return CONTINUE
            self._wire.send(letter, data)
            return CONTINUE if self.steps & _NO_REPLY[letter] else self._answer([])
        except FilterGoneError:
            return self._lost()

    def _answer(self, edits: list[Edit]) -> str:
        """Read until the answer; what comes before are edits and signs of life."""
        while True:
            letter, data = self._wire.read()
            if letter == "y":
                return wire.read_strings(data)[0].decode("utf-8", "replace")
            if letter in _ANSWERS:
                return _ANSWERS[letter]
            if letter in _EDITS:
                edits.append(self._edit(letter, data))
            elif letter != "p":
                raise AssertionError(f"the filter sent {letter!r} {data!r}")

    def _edit(self, letter: str, data: bytes) -> Edit:
        match letter:
            case "h":
                name, value = wire.read_strings(data)
                return Add(name, self._spaced(value))
            case "i":
                name, value = wire.read_strings(data[4:])
                return Insert(struct.unpack(">I", data[:4])[0], name, self._spaced(value))
            case "m":
                name, value = wire.read_strings(data[4:])
                changed = self._spaced(value) if value else None
                return Change(name, struct.unpack(">I", data[:4])[0], changed)
            case "b":
                return ReplaceBody(data)
            case "+" | "2":
                return AddRecipient(wire.read_strings(data)[0].decode())
            case "-":
                return DeleteRecipient(wire.read_strings(data)[0].decode())
            case "e":
                return ChangeSender(wire.read_strings(data)[0].decode())
            case _:
                return Quarantine(wire.read_strings(data)[0].decode())

    def _spaced(self, value: bytes) -> bytes:
        return value if self.steps & wire.LEADING_SPACE else b" " + value

    def _macros(self, letter: str, macros: Macros) -> None:
        names = self._names.get(letter, ())
        pairs = [(name, macros[name]) for name in names if macros.get(name)]
        if pairs:
            self._wire.send("D", letter.encode() + wire.macro_pairs(pairs))

    def _say(self, letter: str) -> None:
        if not self._gone:
            try:
                self._wire.send(letter)
            except FilterGoneError:
                self._gone = True

    def _lost(self) -> str:
        self._gone = True
        return TEMPFAIL
