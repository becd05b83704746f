"""DNS messages as bytes: a question packed, an answer read (RFC 1035 section 4, RFC 2308).

Pure. It knows the types the checks ask for and CNAME on the way to them. Where answers are long
(TXT, MX) it tells by EDNS (RFC 6891) that 1,232 bytes may come; those that do not fit even so come
truncated and are asked for again by TCP. Whatever bytes come,
the result is an `Answer` or `MalformedError`, after work bounded by the length of the packet.
"""

from __future__ import annotations

import re
import socket
import struct

from iems.dns.resolver import Answer, Rtype, Status

CODES: dict[Rtype, int] = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
_CNAME = 5
_SOA = 6
_IN = 1
_LONG = frozenset(struct.pack("!2H", CODES[rtype], _IN) for rtype in ("MX", "TXT"))
_EDNS = b"\0" + struct.pack("!2HIH", 41, 1232, 0, 0)
"""An OPT record; 1,232 bytes pass every network unfragmented."""

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!2HIH")
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSE = 0x8000, 0x7800, 0x0200, 0x0100
_STATUS = {0: Status.NODATA, 3: Status.NXDOMAIN, 5: Status.REFUSED}
_JUMPS = 16
"""Compression pointers in one name; a server writes one, two where it is clever."""

_RECORDS = 64
"""Records kept of one answer: more than any list or honest PTR has."""

_PLAIN = re.compile(rb"[A-Za-z0-9_-]+")
_NAME_BYTES = 255


class MalformedError(ValueError):
    """The bytes are no DNS message."""


def question(name: str, rtype: Rtype) -> bytes:
    """The question section; ValueError where `name` can be no domain name."""
    labels = name.encode("ascii").rstrip(b".").split(b".")
    wire = bytearray()
    for label in labels:
        if not 0 < len(label) < 64:
            raise ValueError(f"a label of {len(label)} bytes in a domain name")
        wire.append(len(label))
        wire += label
    wire.append(0)
    if len(wire) > _NAME_BYTES:
        raise ValueError(f"a domain name of {len(wire)} bytes")
    return bytes(wire) + struct.pack("!2H", CODES[rtype], _IN)


def query(identifier: int, section: bytes) -> bytes:
    """The whole message that asks one question and wants recursion."""
    if section[-4:] in _LONG:
        return _HEADER.pack(identifier, _RECURSE, 1, 0, 0, 1) + section + _EDNS
    return _HEADER.pack(identifier, _RECURSE, 1, 0, 0, 0) + section


def identifier(packet: bytes) -> int:
    """The id of a message; -1 where it has none."""
    return packet[0] << 8 | packet[1] if len(packet) >= _HEADER.size else -1


def answers(packet: bytes, section: bytes) -> bool:
    """Whether this is a response to exactly this question; letters compare without case."""
    if len(packet) < _HEADER.size + len(section):
        return False
    _identifier, flags, questions, *_counts = _HEADER.unpack_from(packet)
    if flags & (_RESPONSE | _OPCODE) != _RESPONSE or questions != 1:
        return False
    found = packet[_HEADER.size : _HEADER.size + len(section)]
    return found == section or found.lower() == section.lower()


def truncated(packet: bytes) -> bool:
    """Whether the response says that it did not fit."""
    return bool(packet[2] << 8 & _TRUNCATED)


def read(packet: bytes, section: bytes, rtype: Rtype) -> Answer:
    """The answer in a response for which `answers` is true, or MalformedError."""
    _identifier, flags, _questions, count, authority, _more = _HEADER.unpack_from(packet)
    status = _STATUS.get(flags & 0xF, Status.SERVFAIL)
    if not status.definite:
        return Answer(status)
    try:
        return _read(packet, _HEADER.size + len(section), status, (count, authority), rtype)
    except (IndexError, struct.error, OSError) as error:
        raise MalformedError(f"a record reaches past the end: {error}") from None


def _read(
    packet: bytes, offset: int, status: Status, counts: tuple[int, int], rtype: Rtype
) -> Answer:
    wanted = CODES[rtype]
    owners = {_name(packet, _HEADER.size)[0]} if counts[0] else set()
    records: list[str] = []
    ttls: list[int] = []
    for _ in range(counts[0]):
        owner = offset
        code, ttl, start, offset = _record(packet, owner)
        if code not in {wanted, _CNAME} or _name(packet, owner)[0] not in owners:
            continue
        ttls.append(ttl)
        if code == _CNAME:
            owners.add(_name(packet, start)[0])
        elif len(records) < _RECORDS:
            records.append(_text(packet, start, offset, rtype))
    if records:
        return Answer(Status.FOUND, tuple(records), min(ttls))
    return Answer(status, (), _negative_ttl(packet, offset, counts[1]))


def _negative_ttl(packet: bytes, offset: int, count: int) -> int:
    """RFC 2308 section 5: the lesser of the SOA's own TTL and its MINIMUM, 0 without a SOA."""
    for _ in range(count):
        code, ttl, start, offset = _record(packet, offset)
        if code == _SOA and offset - start >= 22:
            return min(ttl, int.from_bytes(packet[offset - 4 : offset], "big"))
    return 0


def _record(packet: bytes, offset: int) -> tuple[int, int, int, int]:
    """Type, TTL, and where the data starts and ends."""
    offset = _skip(packet, offset)
    code, _class, ttl, length = _RECORD.unpack_from(packet, offset)
    start = offset + _RECORD.size
    if start + length > len(packet):
        raise MalformedError("a record reaches past the end")
    return code, ttl if ttl < 1 << 31 else 0, start, start + length


def _skip(packet: bytes, offset: int) -> int:
    """The offset after a name, which is not read."""
    while (length := packet[offset]) and length < 0xC0:
        offset += length + 1
    return offset + (2 if length else 1)


def _name(packet: bytes, offset: int) -> tuple[str, int]:
    """The name in lower case, and the offset after it; a pointer must point backwards."""
    labels: list[str] = []
    end = -1
    size = jumps = 0
    while True:
        length = packet[offset]
        if length == 0:
            return ".".join(labels), end if end >= 0 else offset + 1
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | packet[offset + 1]
            jumps += 1
            if target >= offset or jumps > _JUMPS:
                raise MalformedError("a compression pointer that leads nowhere")
            end = offset + 2 if end < 0 else end
            offset = target
            continue
        if length > 63:
            raise MalformedError("a label of unknown kind")
        label = packet[offset + 1 : offset + 1 + length]
        size += length + 1
        if len(label) < length or size >= _NAME_BYTES:
            raise MalformedError("a name that is too long or cut off")
        labels.append(_label(label))
        offset += length + 1


def _label(label: bytes) -> str:
    if _PLAIN.fullmatch(label):
        return label.decode("ascii").lower()
    return "".join(_letter(byte) for byte in label).lower()


def _letter(byte: int) -> str:
    """RFC 1035 section 5.1: a dot or backslash inside a label is escaped, what is not printable."""
    if byte in b".\\":
        return "\\" + chr(byte)
    return chr(byte) if 0x21 <= byte <= 0x7E else f"\\{byte:03d}"


def _text(packet: bytes, start: int, end: int, rtype: Rtype) -> str:
    data = packet[start:end]
    if rtype == "A" and len(data) == 4:
        return f"{data[0]}.{data[1]}.{data[2]}.{data[3]}"
    if rtype == "AAAA" and len(data) == 16:
        return socket.inet_ntop(socket.AF_INET6, data)
    if rtype == "PTR":
        name, after = _name(packet, start)
        if after == end:
            return name
    if rtype == "MX" and len(data) > 2:
        name, after = _name(packet, start + 2)
        if after == end:
            return f"{int.from_bytes(data[:2], 'big')} {name}"
    if rtype == "TXT":
        return _strings(data)
    raise MalformedError(f"{rtype} data of {len(data)} bytes")


def _strings(data: bytes) -> str:
    """The character strings of a TXT record, joined; a letter stands for a byte."""
    joined = bytearray()
    offset = 0
    while offset < len(data):
        end = offset + 1 + data[offset]
        if end > len(data):
            raise MalformedError("a character string that reaches past its record")
        joined += data[offset + 1 : end]
        offset = end
    return joined.decode("latin-1")
