"""What readers may take a MIME field for that is written twice, oddly, or against the grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iems.codec.header import unfold
from iems.mime.defect import Defect, Found
from iems.mime.value import Value, parse_value

_PARAMETERS = re.compile(
    rb"""[^;"()]++(?:;[ ]*+[a-z0-9-]++[ ]*+=[ ]*+"""
    rb"""(?:"[^"\\;]*+"|[^\s;"()\\\x7f-\xff]++)[ ]*+)*;?[ ]*+"""
)
"""Not possessive as a whole: Python 3.11.2 keeps what a last try took that failed."""

_BOUNDARY = re.compile(rb"boundary[ *0-9]*=")
_PLAIN = re.compile(rb"(?!.*=\?.*\?=)[!-&(-~](?:[ -~]{0,68}[!-~])?")
_SAID = re.compile(rb"(base[ ]?64)|quoted-?printable")
_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"})


def encodings(at: int, raw: bytes, doubts: list[Found]) -> Iterator[str]:
    """The encoding by its first word; of an odd one, also what it says somewhere."""
    value = unfold(raw).lower()
    yield parse_value(raw).word
    if value not in _ENCODINGS:
        doubts.append(Found(Defect.ODD_ENCODING, at))
        if (said := _SAID.search(value)) is not None:
            yield "base64" if said[1] else "quoted-printable"


def odd_boundary(content_type: Value, raw: bytes) -> bool:
    """Whether a multipart has a boundary that readers may take for another one."""
    if not content_type.word.startswith("multipart"):
        return False
    value = unfold(raw).replace(b"\t", b" ").lower()
    found = content_type.all("boundary")
    plain = len(found) == 1 and _PLAIN.fullmatch(found[0]) and len(_BOUNDARY.findall(value)) == 1
    return bool(found) and not (plain and _PARAMETERS.fullmatch(value))


def different(fields: list[tuple[int, bytes]], doubts: list[Found]) -> list[tuple[int, bytes]]:
    """The fields that do not say what one before them says, too."""
    first: dict[bytes, tuple[int, bytes]] = {}
    for at, value in fields:
        first.setdefault(unfold(value), (at, value))
    found = list(first.values())
    doubts += [Found(Defect.REPEATED_FIELD, at) for at, _value in found[1:]]
    return found
