"""DKIM signatures made (RFC 6376, RFC 8463): a header, the digest of its body and a key to a field.

Canonical forms are relaxed for both, so that folding and white space may change on the way. Fields
of which a second one would change what readers show are signed once more than they are there, so
that nobody can add one (RFC 6376 section 8.15). `sign` is all of it for a message in memory, which
is brought into a form that no hop changes before (`seven_bit`). Who may sign is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from iems.codec import canonical
from iems.codec.header import parse_header, split_message
from iems.codec.keypair import PrivateKey
from iems.codec.signedheader import SignedHeader
from iems.edits.edit import Edit
from iems.edits.seven_bit import LONGEST, seven_bit, survey
from iems.mime.splice import Splice
from iems.mime.transfer import line_end
from iems.model.message import Field, HeaderBlock

NAME = b"DKIM-Signature"

_SEALED = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"reply-to", b"message-id"),
    *(b"in-reply-to", b"references"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)
"""Fields that are signed once more than they are there, even where they are not."""

_PRESENT = re.compile(rb"(?:content|list)-[a-z0-9-]+")
"""Others that are signed so where they are there. A list that leaves a message as it is may add the
fields that a list has (RFC 2919, RFC 2369) to one that has none."""

MOST = 200
"""Names in `h=`: honest mail has twenty. Postfix cuts a field at 100 KiB (header_size_limit)."""

_LINE_END = re.compile(rb"\r?\n")

_LINE = 72
"""Characters of a line of the field, its blank not counted."""


class UnsignableError(ValueError):
    """Why this message cannot be signed."""


@dataclass(frozen=True, slots=True)
class Signer:
    """In whose name is signed, and by which key; `lifetime` is in seconds, 0 is for ever."""

    domain: str
    selector: str
    key: PrivateKey
    lifetime: int = 0


def sign(data: bytes, signer: Signer, now: int) -> Edit:
    """A field on top of the message, as it is after its parts have been recoded where they need it.

    Its lines may end in LF: they are signed as they are sent, with CRLF.
    """
    recoding = seven_bit(data)
    header, rest = split_message(_LINE_END.sub(canonical.CRLF, recoding.of(data)))
    if survey(header, [rest]).long_line:
        why = recoding.reason or "it stands outside of its parts"
        return Edit(reason=f"a line has more than {LONGEST} bytes: {why}")
    digest = body_digest(canonical.content([rest]))
    try:
        value = signature(signer, parse_header(header), digest, now)
    except UnsignableError as error:
        return Edit(reason=str(error))
    field = NAME + b": " + value + canonical.CRLF
    own = Splice(0, 0, field.replace(canonical.CRLF, line_end(data)))
    return Edit((own, *recoding.splices))


def body_digest(pieces: Iterable[bytes]) -> bytes:
    """The digest of what stands behind the empty line."""
    digest = hashlib.sha256()
    for piece in canonical.body(pieces, relaxed=True):
        digest.update(piece)
    return digest.digest()


def signature(signer: Signer, header: HeaderBlock, body: bytes, now: int) -> bytes:
    """The value of a DKIM-Signature, folded by CRLF; `body` is its digest, `now` is `t=`."""
    return covering(NAME, "v=1", signer, header, signed_names(header), body, now)


def covering(
    field: bytes,
    first: str,
    signer: Signer,
    header: HeaderBlock,
    names: tuple[bytes, ...],
    body: bytes,
    now: int,
) -> bytes:
    """The value of a signature field over fields of these names and a body; `first` is its tag."""
    times = f"t={now};" + (f" x={now + signer.lifetime};" if signer.lifetime else "")
    lines = [
        f"{first}; a={signer.key.kind}-sha256; c=relaxed/relaxed; d={signer.domain};",
        f"s={signer.selector}; {times}",
        *_broken("h=", ":".join(name.decode() for name in names) + ";", after=":"),
        f"bh={_base64(body)};",
    ]
    block = SignedHeader(header)
    return finished(field, lines, signer.key, lambda own: block.digest(names, own, relaxed=True))


def finished(
    field: bytes, lines: list[str], key: PrivateKey, digest: Callable[[Field], bytes]
) -> bytes:
    """The value with `b=` behind these lines; `digest` is of what the field without it signs."""
    bare = "\r\n\t".join([*lines, "b="]).encode()
    own = parse_header(field + b": " + bare + b"\r\n").fields[0]
    signed = _broken("b=", _base64(key.sign(digest(own))))
    return "\r\n\t".join([*lines, *signed]).encode()


def signed_names(header: HeaderBlock) -> tuple[bytes, ...]:
    """The names of `h=`, in lower case; UnsignableError where there are too many."""
    counts = Counter(field.key for field in header.fields)
    if not counts[b"from"]:
        raise UnsignableError("it has no From")
    present = sorted(key for key in counts if _PRESENT.fullmatch(key) and key not in _SEALED)
    names = [name for key in (*_SEALED, *present) for name in [key] * (counts[key] + 1)]
    if len(names) > MOST:
        raise UnsignableError(f"more than {MOST} fields would have to be signed")
    return tuple(names)


def _broken(start: str, text: str, after: str = "") -> Iterator[str]:
    """The text in lines, broken behind `after`, or anywhere where that is empty."""
    line = start
    for word in re.findall(f"[^{after}]*{after}?", text) if after else text:
        if len(line) + len(word) > _LINE:
            yield line
            line = ""
        line += word
    yield line


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
