"""What readers may take a MIME field for that is written twice, oddly, or against the grammar.

Values of fields are unfolded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from iems.mime.defect import Defect, Found
from iems.mime.value import Value, parse_value

_PARAMETERS = re.compile(
    rb"""[^;"()]++(?:;[ ]*+[a-z0-9-]++[ ]*+=[ ]*+"""
    rb"""(?:"[^"\\;]*+"|[^\s;"()\\\x7f-\xff]++)[ ]*+)*;?[ ]*+"""
)
"""Not possessive as a whole: Python 3.11.2 keeps what a last try took that failed."""

_BOUNDARY = re.compile(rb"boundary[ *0-9]*=")
_PLAIN = re.compile(rb"(?!.*=\?.*\?=)[!-&(-~](?:[ -~]{0,68}[!-~])?")
_SAID = re.compile(r"(base[ ]?64)|quoted-?printable")
_ENCODINGS = frozenset({"7bit", "8bit", "binary", "base64", "quoted-printable"})


def encodings(at: int, value: bytes, doubts: list[Found]) -> Iterator[str]:
    """The encoding by its first word; of an odd one, also what it says somewhere."""
    word = value.lower().decode("latin-1")
    if word in _ENCODINGS:
        yield word
        return
    doubts.append(Found(Defect.ODD_ENCODING, at))
    yield parse_value(value).word
    if (said := _SAID.search(word)) is not None:
        yield "base64" if said[1] else "quoted-printable"


def odd_boundary(content_type: Value, value: bytes) -> bool:
    """Whether a multipart has a boundary that readers may take for another one."""
    if not content_type.word.startswith("multipart"):
        return False
    value = value.replace(b"\t", b" ").lower()
    found = content_type.all("boundary")
    plain = len(found) == 1 and _PLAIN.fullmatch(found[0]) and len(_BOUNDARY.findall(value)) == 1
    return bool(found) and not (plain and _PARAMETERS.fullmatch(value))


def different(fields: list[tuple[int, bytes]], doubts: list[Found]) -> list[tuple[int, bytes]]:
    """The fields that do not say what one before them says, too."""
    if len(fields) < 2:
        return fields
    first: dict[bytes, tuple[int, bytes]] = {}
    for field in fields:
        first.setdefault(field[1], field)
    found = list(first.values())
    doubts += [Found(Defect.REPEATED_FIELD, at) for at, _value in found[1:]]
    return found
