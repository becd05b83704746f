"""The chain as a filter in this process: no protocol, no adapter.

It gives the chain what the adapter gives it: addresses in angle brackets, header values as they
were received, and the macros that Postfix has at that moment.
"""

from __future__ import annotations

from iems.model.envelope import Client
from milters.chain import Chain
from milters.reply import (
    ChangeHeader,
    Continue,
    DeleteRecipient,
    Hold,
    InsertHeader,
    ReplaceBody,
    Reply,
)
from milters.reply import Edit as ChainEdit
from tests.fakemta.filter import CONTINUE, Macros, Verdict
from tests.fakemta.message import Change, Edit, Insert, Quarantine
from tests.fakemta.message import DeleteRecipient as Removed
from tests.fakemta.message import ReplaceBody as Replaced
from tests.fakemta.script import Connect


class ChainFilter:
    """One connection to one chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def connect(self, client: Connect, macros: Macros) -> str:
        """A client, without a name where Postfix believes none."""
        name = "" if client.name == "unknown" else client.name
        return _answer(self._chain.connect(Client(client.address, name), macros))

    def helo(self, name: str, macros: Macros) -> str:
        """The name."""
        del macros
        return _answer(self._chain.helo(name))

    def mail(self, sender: str, macros: Macros) -> str:
        """The sender."""
        return _answer(self._chain.mail(sender, macros))

    def rcpt(self, recipient: str, macros: Macros) -> str:
        """The recipient."""
        return _answer(self._chain.rcpt(recipient, macros))

    def data(self, macros: Macros) -> str:
        """The chain does not hear of DATA."""
        del macros
        return CONTINUE

    def header(self, name: bytes, value: bytes, macros: Macros) -> str:
        """The field."""
        del macros
        self._chain.header(name, value)
        return CONTINUE

    def end_of_headers(self, macros: Macros) -> str:
        """The end of the header."""
        del macros
        return _answer(self._chain.end_of_headers())

    def body(self, piece: bytes) -> str:
        """The piece."""
        self._chain.body(piece)
        return CONTINUE

    def end_of_message(self, macros: Macros) -> Verdict:
        """The verdict and the edits."""
        reply, edits = self._chain.end_of_message(macros)
        return Verdict(_answer(reply), tuple(as_postfix(edit) for edit in edits))

    def abort(self) -> None:
        """The message is no more."""
        self._chain.abort()

    def quit(self) -> None:
        """The connection ended."""
        self._chain.close()

    def vanish(self) -> None:
        """The connection ended."""
        self._chain.close()


def _answer(reply: Reply) -> str:
    if isinstance(reply, Continue):
        return CONTINUE
    return f"{reply.code} {reply.enhanced} {reply.text}"


def as_postfix(edit: ChainEdit) -> Edit:
    """An edit as the MTA gets it of the adapter."""
    match edit:
        case InsertHeader(index, name, value):
            return Insert(index, name, _received(value))
        case ChangeHeader(name, occurrence, value):
            return Change(name, occurrence, None if value is None else _received(value))
        case DeleteRecipient(address):
            return Removed(address)
        case Hold(reason):
            return Quarantine(reason)
        case ReplaceBody(content):
            return Replaced(content)


def _received(value: bytes) -> bytes:
    """A value as the adapter hands it over: a blank before it, folded with line feeds."""
    text = value.replace(b"\r\n", b"\n")
    return text if text.startswith((b" ", b"\t")) else b" " + text
