"""The milter protocol's packets (version 6), from the MTA's side of the socket.

A packet is a length of four bytes, a letter, and data. Written after Sendmail's
`include/libmilter/mfdef.h` and Postfix's `src/milter/milter8.c`; nothing of either is used.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

VERSION = 6
ACTIONS = 0x1FF
"""All actions that Postfix 3.7 offers: SMFIF_ADDHDRS up to SMFIF_SETSYMLIST."""

STEPS = 0x1FFFFF
"""All protocol steps that Postfix 3.7 can leave out or change: SMFIP_NOCONNECT to HDR_LEADSPC."""

NO_CONNECT, NO_HELO, NO_MAIL, NO_RCPT, NO_BODY, NO_HEADERS, NO_EOH = (1 << bit for bit in range(7))
NR_HEADERS, NO_UNKNOWN, NO_DATA = 1 << 7, 1 << 8, 1 << 9
REJECTED_RCPT, NR_CONNECT, NR_HELO, NR_MAIL, NR_RCPT, NR_DATA = (1 << b for b in range(11, 17))
NR_UNKNOWN, NR_EOH, NR_BODY, LEADING_SPACE = (1 << bit for bit in range(17, 21))
SET_MACROS = 0x100

BODY_CHUNK = 65535
_LONGEST = 16 << 20


class FilterGoneError(Exception):
    """The filter closed the connection, or sent what is no packet."""


class Wire:
    """One connection to a filter, packet by packet."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._socket.connect(path)

    def send(self, command: str, data: bytes = b"") -> None:
        """Send one packet."""
        try:
            self._socket.sendall(struct.pack(">I", len(data) + 1) + command.encode() + data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise FilterGoneError(str(error)) from None

    def read(self) -> tuple[str, bytes]:
        """Receive one packet: its letter and its data."""
        length = struct.unpack(">I", self._exactly(4))[0]
        if not 0 < length <= _LONGEST:
            raise FilterGoneError(f"a packet of {length} bytes")
        packet = self._exactly(length)
        return packet[:1].decode("latin-1"), packet[1:]

    def close(self) -> None:
        """Close the connection without a word."""
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        pieces, missing = [], size
        while missing:
            try:
                piece = self._socket.recv(missing)
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise FilterGoneError("the filter closed the connection")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


def strings(*texts: str | bytes) -> bytes:
    """Texts with a zero byte behind each."""
    encoded = (
        text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text for text in texts
    )
    return b"".join(text + b"\0" for text in encoded)


def read_strings(data: bytes) -> list[bytes]:
    """The texts of `strings`."""
    return data.split(b"\0")[:-1]


def read_negotiation(data: bytes) -> tuple[int, int, int, dict[int, list[str]]]:
    """Version, actions, steps, and the macros that the filter asks for by stage number."""
    version, actions, steps = struct.unpack(">III", data[:12])
    wanted: dict[int, list[str]] = {}
    rest = data[12:]
    while len(rest) > 4:
        stage = struct.unpack(">I", rest[:4])[0]
        names, _zero, rest = rest[4:].partition(b"\0")
        wanted[stage] = names.decode().split()
    return version, actions, steps, wanted


def numbers(*values: int) -> bytes:
    """Numbers of four bytes each."""
    return b"".join(struct.pack(">I", value) for value in values)


def macro_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The data of a macro packet, without the letter of the command it belongs to."""
    return b"".join(strings(name, value) for name, value in pairs)
