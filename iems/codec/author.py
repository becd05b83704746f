"""The addresses of From fields (RFC 5322 section 3.6.2), as any reader of mail may see them.

Pure. A message says with one address in one field who wrote it. Where it says more than that, each
domain counts which some reader could take for the author's; where it cannot be read, or says
nothing, there is a fault. What stands in comments and in quoted display names is no address; a
backslash outside of both is a fault, since readers disagree what it does to a quote. No input
raises, and the work is bounded.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iems.codec.header import unfold
from iems.model.address import AddressError, domain_name

MOST = 10
"""Domains that are looked at; a message that honestly has several authors names fewer."""

_LONGEST = 131_072
_ADDRESSES = 100
"""Bytes and addresses of a field that are read: more bytes than Postfix lets through as it comes
(header_size_limit). A field with more of either has a fault."""

_PIECE = re.compile(r'\\.|["()]|[^"()\\]+|\\', re.DOTALL)
_BLANK = r"[ \t\r\n]*"
_ATOM = r'[^\x00-\x20\x7f@<>,;:"().]+'
_DOMAIN = re.compile(rf"@{_BLANK}({_ATOM}(?:{_BLANK}\.{_BLANK}{_ATOM})*)")
_SPACE = re.compile(r"[ \t\r\n]+")
_QUOTED = "\x01"
"""Stands for what was quoted: as a domain it is none, and a local part with it is not known."""

_NOT_LOCAL = re.compile(r'[ \t\r\n@<>,;:"()]')
_LONGEST_LOCAL = 256
_NO_MARKS = re.compile(r"[^<>]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Authors:
    """The domains as lower-case A-labels, each once; `fault` says what is wrong, if anything is.

    `addresses` are local part and domain of each author, the local part empty where it cannot be
    read; `sole` says that there is one and no doubt about it.
    """

    domains: tuple[str, ...]
    fault: str = ""
    addresses: tuple[tuple[str, str], ...] = ()
    sole: bool = False


def authors(fields: Sequence[bytes]) -> Authors:
    """Who wrote the message whose From fields have these values."""
    domains: dict[str, None] = {}
    addresses: dict[tuple[str, str], None] = {}
    faults = [] if len(fields) == 1 else [f"the message has {len(fields)} From fields"]
    for value in fields[:MOST]:
        found, fault = _read(value)
        addresses.update(dict.fromkeys(found))
        domains.update(dict.fromkeys(domain for _local, domain in found if "." in domain))
        faults += [fault] if fault else []
    if len(domains) > MOST:
        faults.append(f"From holds more than {MOST} domains")
    fault = faults[0] if faults else ""
    sole = len(addresses) == 1 and not fault
    return Authors(tuple(domains)[:MOST], fault, tuple(addresses)[:MOST], sole)


def _read(value: bytes) -> tuple[list[tuple[str, str]], str]:
    text = unfold(value[:_LONGEST]).decode("utf-8", "replace")
    bare, closed = _bare(text)
    fault = "" if closed and not _CONTROL.search(text) else "the From field is not well-formed"
    # Readers disagree: at a control character one stops, and another overlooks it.
    readings = (text, _CONTROL.sub("", text)) if fault else (bare,)
    found: list[tuple[str, str]] = []
    matches = [one for reading in readings for one in _addresses(reading)]
    if len(value) > _LONGEST or len(matches) > _ADDRESSES:
        fault = "the From field is too long"
    for match in matches:
        written = _SPACE.sub("", match[1])
        try:
            domain = domain_name(written)
        except AddressError:
            fault = fault or "From holds a domain that is none"
            continue
        if domain.startswith("["):
            fault = fault or "From holds an address literal"
        else:
            # The rest only tells that there are several.
            local = _local(match.string, match.start()) if len(found) < MOST else ""
            found.append((local, domain))
    if not any("." in domain for _local_part, domain in found):
        fault = fault or "From holds no address"
    return found, fault


def _addresses(text: str) -> Iterator[re.Match[str]]:
    return itertools.islice(_DOMAIN.finditer(text), _ADDRESSES + 1)


def _local(text: str, end: int) -> str:
    """What stands before the `@` at `end`; empty where it is quoted, too long, or goes on.

    Blanks and comments may stand beside its dots (RFC 5322 section 4.4).
    """
    before = text[:end].rstrip(" \t\r\n")
    local = _NOT_LOCAL.split(before[-_LONGEST_LOCAL - 1 :])[-1]
    dot = local.startswith(".") or before.removesuffix(local).rstrip(" \t\r\n").endswith(".")
    return "" if dot or len(local) > _LONGEST_LOCAL or _QUOTED in local else local


def _bare(text: str) -> tuple[str, bool]:
    """The text without comments, with a mark for what is quoted; whether all of it is closed."""
    depth, quoted = 0, False
    kept: list[str] = []
    for piece in _PIECE.findall(text):
        if quoted or (piece == '"' and not depth):
            quoted ^= piece == '"'
            kept += [_QUOTED] if not quoted else []
        elif piece in {"(", ")"}:
            depth += 1 if piece == "(" else -1
            kept.append(" ")
            if depth < 0:
                return "", False
        elif not depth and piece.startswith("\\"):
            return "", False
        elif not depth:
            kept.append(piece)
    bare = "".join(kept)
    return bare, not quoted and not depth and _brackets(bare)


def _brackets(bare: str) -> bool:
    """Whether `<` and `>` stand in pairs, one within no other."""
    return _NO_MARKS.sub("", bare).replace("<>", "") == ""
