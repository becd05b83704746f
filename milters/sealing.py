"""Which forwarded mail is sealed (ARC), and by what it is known (docs/dkim.md).

Sealed is what came from outside, was delivered here, and is sent on as it was delivered: that says
the mark of the agent (`iems.codec.trace`), and nothing else is believed. X-Sieve, channel, client
and envelope are anybody's who has an account on this machine. Told are the results that the milter
wrote when the message came, which the mark covers. This machine seals, by its own name or that of a
domain above it: it is its results that others are to believe, not those of a user.

The message is not recoded before: its author's signature may still hold, and is worth more.

OSError is for the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iems.codec import authres, trace
from iems.codec.keypair import RSA
from iems.codec.trace import Trace, TraceError
from iems.edits.arc_seal import NAMES, arc_set
from iems.edits.dkim_sign import Signer, UnsignableError, body_digest
from iems.edits.seven_bit import LONGEST, survey
from iems.model.envelope import LIST, LOCAL, parse_ip
from milters.draft import Draft
from milters.reply import Edit, InsertHeader
from milters.state import Message


class Sealing:
    """Of one worker; `signers` are those of this machine's name."""

    def __init__(
        self,
        hostname: str,
        signers: Sequence[Signer],
        secret_of: Callable[[str], bytes | None],
    ) -> None:
        self._hostname = hostname
        # Others than RSA are of no use to verifiers of ARC, who know what RFC 8617 knew.
        self._signer = next((one for one in signers if one.key.kind == RSA), None)
        self._secret_of = secret_of

    def wants(self, message: Message) -> bool:
        """Whether somebody on this machine sends on what says that it was delivered here."""
        own = message.channel == LOCAL or _loopback(message.client)
        own &= message.channel != LIST  # a list manager speaks for its list, and is signed for
        return own and not message.authenticated and bool(message.block.named(trace.NAME))

    def seal(self, message: Message, draft: Draft, now: int) -> tuple[tuple[Edit, ...], str]:
        """The fields of a set for a message that is whole, and what is told of them."""
        if self._signer is None:
            return (), f"not sealed: there is no RSA key that signs for {self._hostname}"
        try:
            came, results = self._proven(message, now)
            values = _set(self._signer, draft, results, now)
        except (UnsignableError, TraceError) as error:
            return (), f"not sealed: {error}"
        fields = [InsertHeader(0, *one) for one in zip(NAMES, values, strict=True)]
        key = f"{self._signer.selector}._domainkey.{self._signer.domain}"
        return tuple(reversed(fields)), f"sealed: {key}; it came as {came.reference}"

    def _proven(self, message: Message, now: int) -> tuple[Trace, bytes]:
        """When the message came, and the results of that time."""
        found = trace.marked(message.block)
        if found is None or message.whole is None:
            raise TraceError("its body could not be kept")
        mark, below = found
        digest = trace.digest_of(below, message.whole.body)
        came = trace.proven(mark.value, digest, self._secret_of, now)
        # None of them stands above the mark.
        told = [one.value for one in message.block.named(authres.NAME)]
        ours = [one for one in told if authres.claims(one, self._hostname)]
        if len(ours) != 1:
            raise TraceError("it has no results of ours")
        return came, ours[0]


def _set(signer: Signer, draft: Draft, results: bytes, now: int) -> tuple[bytes, bytes, bytes]:
    if survey(draft.header.raw, draft.content()).long_line:
        raise UnsignableError(f"a line has more than {LONGEST} bytes")
    return arc_set(signer, draft.header, body_digest(draft.content()), results, now)


def _loopback(client: str) -> bool:
    address = parse_ip(client)
    return address is not None and address.is_loopback
