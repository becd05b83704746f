"""A user's folders, as the daemon sees them: by IMAP, logged in as Dovecot's master user.

One connection is one user's, made and closed by `opened`. Folders are named as the server names
them, in its own form of UTF-7. What goes wrong is one error, `MailboxError`; a message that has
gone meanwhile is none.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from iems.model.address import Address
from iems.serve.deadline import Deadline

INBOX = b"INBOX"

MOST = 200
"""Messages that one search finds: all of a large folder are more than imaplib takes in a line."""

_ROW = re.compile(rb'\((?P<flags>[^)]*)\) (?:"\\?."|NIL) (?P<name>.*)', re.DOTALL)

_OWN = re.compile(rb'\(\("((?:[^"\\]|\\.)*)" (?:"(\\?.)"|NIL)', re.DOTALL)
_FOUND = re.compile(rb"\bPARTIAL \(\S+ ([\d:,]+)\)")


class MailboxError(Exception):
    """The server did not do it; the message says what."""


class ServerError(MailboxError):
    """There is no server now."""


@dataclass(frozen=True, slots=True)
class Master:
    """The IMAP server at `host` and `port`, and who may log in to it for everybody."""

    host: str
    port: int
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder: its name, and its attributes in lower case (`\\junk`, `\\noselect`)."""

    name: bytes
    attributes: frozenset[str]


class Mailbox:
    """The folders of one user, over a connection that is logged in."""

    def __init__(self, imap: imaplib.IMAP4) -> None:
        self._imap = imap

    def folders(self) -> list[Folder]:
        """All that can be selected."""
        found = []
        for row in _checked("LIST", self._imap.list('""', '"*"')):
            # A name that is no string comes behind its row.
            text = row[0] + b"\r\n" + row[1] if isinstance(row, tuple) else row or b""
            match = _ROW.match(text)
            if match is None:
                continue
            flags = frozenset(match["flags"].decode("ascii", "replace").lower().split())
            if not flags & {"\\noselect", "\\nonexistent"}:
                found.append(Folder(_name(match["name"]), flags))
        return found

    def tops(self) -> list[tuple[bytes, bytes]]:
        """Where the user's own folders begin, his namespace first (RFC 2342) and then INBOX: with
        what each name begins, and what is between its parts.
        """
        [row] = _checked("NAMESPACE", self._imap.namespace())
        match = _OWN.match(row)
        if match is None:
            raise MailboxError("there is no namespace of his own")
        prefix, delimiter = (re.sub(rb"\\(.)", rb"\1", one or b"") for one in match.groups())
        return list(dict.fromkeys([(prefix, delimiter), (INBOX + delimiter, delimiter)]))

    def select(self, folder: bytes) -> None:
        """Look into this folder from here on."""
        _checked("SELECT", self._imap.select(_quoted(folder)))

    def examine(self, folder: bytes) -> None:
        """Look into this folder from here on, and change nothing of it."""
        _checked("EXAMINE", self._imap.select(_quoted(folder), readonly=True))

    def search(self, *criteria: str, most: int = MOST) -> list[int]:
        """The UIDs of messages, oldest first, and of no more than so many (RFC 5267)."""
        self._uid("SEARCH", f"RETURN (PARTIAL 1:{most})", *criteria)
        _name, rows = self._imap.response("ESEARCH")
        found: list[int] = []
        for match in filter(None, map(_FOUND.search, (row for row in rows if row))):
            for part in match[1].split(b","):
                first, _colon, last = part.partition(b":")
                found += range(int(first), int(last or first) + 1)
        return sorted(found)[:most]

    def fetch(self, uid: int, limit: int) -> bytes | None:
        """The first bytes of a message; None where it has gone."""
        for row in self._uid("FETCH", str(uid), f"(BODY.PEEK[]<0.{limit}>)"):
            if isinstance(row, tuple):
                return bytes(row[1])
        return None

    def move(self, uid: int, folder: bytes) -> None:
        """Move a message, if it has not gone (RFC 6851)."""
        self._uid("MOVE", str(uid), _quoted(folder))

    def create(self, folder: bytes) -> None:
        """Make a folder."""
        _checked("CREATE", self._imap.create(_quoted(folder)))

    def forget(self, uid: int, keyword: str) -> None:
        """Take a keyword from a message."""
        self._uid("STORE", str(uid), "-FLAGS.SILENT", f"({keyword})")

    def delete(self, uid: int) -> None:
        """Delete a message of the folder for good."""
        self._uid("STORE", str(uid), "+FLAGS.SILENT", "(\\Deleted)")
        self._uid("EXPUNGE", str(uid))

    def append(self, folder: bytes, message: bytes) -> None:
        """Put a message into a folder."""
        _checked("APPEND", self._imap.append(_quoted(folder), "", "", message))

    def _uid(self, command: str, *words: str) -> Sequence[Any]:
        return _checked(command, self._imap.uid(command, *words))


@contextlib.contextmanager
def opened(master: Master, user: Address, deadline: Deadline) -> Iterator[Mailbox]:
    """The folders of this user; a MailboxError for all that goes wrong with them."""
    seconds = max(deadline.remaining(), 0.001)
    try:
        imap = imaplib.IMAP4(master.host, master.port, timeout=seconds)
    except (imaplib.IMAP4.error, OSError) as error:
        raise ServerError(f"{type(error).__name__}: {error}") from error
    try:
        imap.login(_quoted(f"{user.key}*{master.name}".encode()), master.password)
        yield Mailbox(imap)
        imap.logout()
    except (imaplib.IMAP4.error, OSError, ValueError) as error:
        raise MailboxError(f"{type(error).__name__}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            imap.shutdown()


def junk(mailbox: Mailbox, folders: Iterable[Folder]) -> bytes:
    """The folder for junk, by its special use (RFC 6154); made, where there is none."""
    found = next((one.name for one in folders if "\\junk" in one.attributes), None)
    if found is None:
        found = mailbox.tops()[0][0] + b"Junk"
        if found not in {one.name for one in folders}:
            mailbox.create(found)
    return found


def _name(text: bytes) -> bytes:
    """A folder's name as it is, of a row of LIST."""
    if text.startswith(b"{"):
        return text.partition(b"\r\n")[2]
    if text.startswith(b'"') and text.endswith(b'"') and len(text) > 1:
        return re.sub(rb"\\(.)", rb"\1", text[1:-1], flags=re.DOTALL)
    return text


def _quoted(name: bytes) -> str:
    """It in a command."""
    if re.search(rb"[\r\n\0]", name):
        raise MailboxError("a folder has a name that cannot be said")
    escaped = re.sub(rb'(["\\])', rb"\\\1", name)
    return f'"{escaped.decode("latin-1")}"'


def _checked(command: str, answer: tuple[str, Sequence[Any]]) -> Sequence[Any]:
    status, rows = answer
    if status != "OK":
        raise MailboxError(f"{command}: {_text(rows)}")
    return [row for row in rows if row is not None]


def _text(rows: Sequence[Any]) -> str:
    said = b" ".join(row for row in rows if isinstance(row, bytes))
    return said.decode("utf-8", "replace")[:300]
