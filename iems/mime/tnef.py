"""What is in a winmail.dat: the attachments of a TNEF stream ([MS-OXTNEF]).

Outlook's own container (application/ms-tnef): others show it as one file, and Outlook what is
inside of it. A name may stand there up to four times, in 8.3 and long; an attachment may be a
message, which is a TNEF stream again. No bytes raise, and each is looked at a bounded number of
times; a stream that breaks off gives what stands before that, and is not `whole`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from iems.archive.member import BrokenError
from iems.archive.reader import Reader
from iems.codec.encoded import codec

SIGNATURE = b"\x78\x9f\x3e\x22"

_PARTS = 10_000
"""Attributes that are looked at."""

_ATTACHMENT_BEGINS, _TITLE, _DATA, _PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
_CODE_PAGE = 0x9007
_NAMES = {0x3707, 0x3704, 0x3001, 0x370C}
"""PR_ATTACH_LONG_FILENAME, PR_ATTACH_FILENAME, PR_DISPLAY_NAME, PR_ATTACH_TRANSPORT_NAME."""

_OCTETS = 0x3701
_OBJECT, _STRING, _UNICODE, _BINARY = 0x0D, 0x1E, 0x1F, 0x102
_SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}
_MANY = 0x1000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file or a message in the stream; `names` has the long ones first."""

    names: tuple[str, ...]
    octets: bytes


@dataclass(frozen=True, slots=True)
class Tnef:
    """What the stream holds; `whole` is whether all of it could be read."""

    attachments: tuple[Attachment, ...]
    whole: bool


@dataclass(slots=True)
class _Open:
    """An attachment of which not all was read yet."""

    long: list[bytes | str] = field(default_factory=list)
    short: list[bytes | str] = field(default_factory=list)
    octets: list[bytes] = field(default_factory=list)


def is_tnef(octets: bytes) -> bool:
    """Whether this is such a stream."""
    return octets.startswith(SIGNATURE)


def read_tnef(octets: bytes) -> Tnef:
    """The attachments of the stream."""
    found: list[_Open] = []
    pages: list[int] = []
    try:
        for number, data in _attributes(Reader(octets)):
            _take(number, data, found, pages)
        whole = True
    except BrokenError:
        whole = False
    charset = codec(f"windows-{pages[0]}") if pages else "cp1252"
    return Tnef(tuple(one for each in found for one in _closed(each, charset)), whole)


def _take(number: int, data: bytes, found: list[_Open], pages: list[int]) -> None:
    """Put what one attribute says to the attachment that is open."""
    if number == _CODE_PAGE:
        pages.append(int.from_bytes(data[:4], "little"))
    if number == _ATTACHMENT_BEGINS or (not found and number in {_TITLE, _DATA, _PROPERTIES}):
        found.append(_Open())
    if number == _TITLE:
        found[-1].short.append(data)
    elif number == _DATA:
        found[-1].octets.append(data)
    elif number == _PROPERTIES:
        for tag, values in _properties(Reader(data)):
            if tag in _NAMES:
                found[-1].long += values
            elif tag == _OCTETS:
                found[-1].octets += [value for value in values if isinstance(value, bytes)]


def _attributes(stream: Reader) -> Iterator[tuple[int, bytes]]:
    """Number and value of each: level, number, type, length, value, sum."""
    if stream.take(4) != SIGNATURE:
        raise BrokenError
    stream.take(2)
    for _attribute in range(_PARTS):
        if not stream.more():
            return
        stream.take(1)
        number = stream.number(2)
        stream.take(2)
        value = stream.take(stream.number(4))
        yield number, value
        stream.take(2)
    raise BrokenError


def _properties(stream: Reader) -> Iterator[tuple[int, list[bytes | str]]]:
    """Number and values of each MAPI property that is a text or octets."""
    for _property in range(stream.number(4)):
        kind, tag = stream.number(2), stream.number(2)
        if tag & 0x8000:
            stream.take(16)
            name = stream.number(4)
            stream.take(stream.number(4) if name else 4)
            stream.pad(4)
        many, kind = kind & _MANY, kind & ~_MANY
        size = _SIZES.get(kind)
        if size is None and kind not in {_OBJECT, _STRING, _UNICODE, _BINARY}:
            raise BrokenError
        if size is not None:
            stream.take(size * (stream.number(4) if many else 1))
            continue
        yield tag, [_value(stream, kind) for _one in range(stream.number(4))]


def _value(stream: Reader, kind: int) -> bytes | str:
    value = stream.take(stream.number(4))
    stream.pad(4)
    if kind == _UNICODE:
        return value.decode("utf-16-le", "replace")
    return value[16:] if kind == _OBJECT else value  # before an object stands what it is


def _closed(attachment: _Open, charset: str) -> Iterator[Attachment]:
    """The attachment, once for each of its contents: readers differ in which one they take."""
    names = dict.fromkeys(
        (one if isinstance(one, str) else one.decode(charset, "replace")).partition("\0")[0]
        for one in (*attachment.long, *attachment.short)
    )
    shown = tuple(filter(None, names))
    for octets in dict.fromkeys(attachment.octets) or (b"",):
        yield Attachment(shown, octets)
