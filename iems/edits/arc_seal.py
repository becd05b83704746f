"""The ARC set of a forwarder (RFC 8617 section 5.1): what he has seen, what he sends, his seal.

It is signed as by DKIM (`dkim_sign`), the DKIM signatures that are there included: who breaks one
has said before what it was worth. What is to be thought of the chain so far is told by the results,
as all else that the set tells: where they say nothing of it, it is not continued. A broken one is
ended, by a seal over the own set alone (section 5.1.2).

Whose results are told, and of which mail, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.codec import arc, authres, tags
from iems.codec.arc import MOST, RESULTS, SEAL, SIGNATURE, ArcSet, ChainError
from iems.codec.header import parse_header
from iems.codec.tags import TagError
from iems.edits import dkim_sign
from iems.edits.dkim_sign import Signer, UnsignableError, covering, finished, signed_names
from iems.model.message import Field, HeaderBlock

NAMES = (SEAL, SIGNATURE, RESULTS)
"""The fields of a set, as they stand on top of a message."""

NONE, PASS, FAIL = "none", "pass", "fail"
_SIGNED = dkim_sign.NAME.lower()


@dataclass(frozen=True, slots=True)
class Chain:
    """The number of the next set, what it says of those before, and whom its seal covers."""

    number: int
    status: str
    sets: tuple[ArcSet, ...] = ()


def arc_set(
    signer: Signer, header: HeaderBlock, body: bytes, results: bytes, now: int
) -> tuple[bytes, bytes, bytes]:
    """The values of the fields of `NAMES`, folded by CRLF.

    `results` is the value of an Authentication-Results, `body` is the digest of the body, and `now`
    is `t=`. UnsignableError where there is to be no set.
    """
    chain = _chain(header, results)
    number = f"i={chain.number}"
    told = b"%s; %s" % (number.encode(), results.strip())
    signed = covering(SIGNATURE, number, signer, header, _names(header), body, now)
    lines = [
        f"{number}; a={signer.key.kind}-sha256; cv={chain.status};",
        f"d={signer.domain}; s={signer.selector}; t={now};",
    ]

    def digest(seal: Field) -> bytes:
        own = ArcSet(_field(RESULTS, told), _field(SIGNATURE, signed), seal)
        *_before, last = arc.seal_digests([*chain.sets, own])
        return last

    return finished(SEAL, lines, signer.key, digest), signed, told


def _chain(header: HeaderBlock, results: bytes) -> Chain:
    there = arc.fields(header)
    if not there:
        return Chain(1, NONE)
    said = {result for method, result in authres.results(results) if method == "arc"}
    if said == {PASS}:
        try:
            found = arc.sets(header)
        except ChainError as error:
            raise UnsignableError(f"its chain cannot have passed: {error}") from None
        chain = Chain(len(found) + 1, PASS, found)
    elif said == {FAIL}:
        if any(map(_ends, there)):
            raise UnsignableError("its chain has ended")
        chain = Chain(max(map(arc.instance, there)) + 1, FAIL)
    else:
        raise UnsignableError("nobody has looked at its chain")
    if chain.number > MOST:
        raise UnsignableError(f"its chain has {MOST} sets")
    return chain


def _ends(field: Field) -> bool:
    """Whether it is a seal that says that the chain is broken."""
    try:
        return field.key == SEAL.lower() and tags.parse(field.value).get(b"cv") == FAIL.encode()
    except TagError:
        return False


def _names(header: HeaderBlock) -> tuple[bytes, ...]:
    """Of signatures as many as are there: others may be added."""
    names = (*signed_names(header), *(one.key for one in header.named(_SIGNED)))
    if len(names) > dkim_sign.MOST:
        raise UnsignableError(f"more than {dkim_sign.MOST} fields would have to be signed")
    return names


def _field(name: bytes, value: bytes) -> Field:
    return parse_header(name + b": " + value + b"\r\n").fields[0]
