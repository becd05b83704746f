"""What is wrong with a message's structure, and which of it readers disagree about."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Defect(enum.Enum):
    """A fault of a part, by the word that reports and logs have for it."""

    LINE_IN_HEADER = "line-in-header"
    """A line that is no field: some readers skip it, for others the body begins there."""

    NO_BODY = "no-body"
    """The header ends within a line: no empty one and no delimiter is behind it."""

    LONE_CR = "lone-cr"
    """A CR without LF in the header or before a delimiter: for some readers it ends a line."""

    NUL = "nul"
    """A zero byte in the header or in a multipart, which some readers drop or stop at."""

    REPEATED_FIELD = "repeated-field"
    """Two fields Content-Type or two Content-Transfer-Encoding that do not say the same."""

    REPEATED_PARAMETER = "repeated-parameter"
    """A parameter that decides about structure or name twice, with different values."""

    ODD_TYPE = "odd-type"
    """A Content-Type that follows no grammar, of which readers make what they like."""

    ODD_ENCODING = "odd-encoding"
    """A Content-Transfer-Encoding that is none of RFC 2045."""

    ENCODED_PARTS = "encoded-parts"
    """A multipart or message in base64 or quoted-printable, which RFC 2045 section 6.4 forbids."""

    ODD_BOUNDARY = "odd-boundary"
    """A boundary that is not plain text in plain parameters: readers take it for different ones."""

    NO_BOUNDARY = "no-boundary"
    """A multipart without a boundary, or whose boundary does not occur."""

    NO_END = "no-end"
    """A multipart that ends without its last delimiter."""

    LIKE_DELIMITER = "like-delimiter"
    """A line that begins as a delimiter does and goes on: some readers look no further."""

    PARTS_AFTER_END = "parts-after-end"
    """A delimiter behind the last one: some readers go on."""

    PARTS_OUTSIDE = "parts-outside"
    """What looks like a part or a file before the first delimiter or behind the last one."""

    LONG_HEADER = "long-header"
    """More bytes of a header or a value than are looked at; behind a header the body begins."""

    TOO_MANY_PARTS = "too-many-parts"
    """More parts, levels or readings than are looked at; the rest is left as it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A defect and where it was first seen: an offset into the message."""

    defect: Defect
    at: int
