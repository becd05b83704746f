"""Copies from outside are marked on their way to Dovecot: what Sieve sends on can be sealed then.

Marked is what the milter has seen, since its results are what a seal tells (`milters/sealing.py`):
of anything else the source channel is not known. Where there are no keys, nothing is marked.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.codec import trace
from iems.codec.trace import Trace
from iems.model.envelope import INTERNET, LOCAL
from iems.model.message import Body
from iems.store.keys import Key
from lmtp.grouping import Group
from lmtp.headers import Cleaned
from lmtp.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Tracing:
    """`key` is that of the site; without it there are no marks."""

    key: Key | None = None

    def fields(
        self, parcel: Group, header: Cleaned, body: Body, came: Provenance, now: float
    ) -> bytes:
        """What goes on top of a copy: its own fields, and above them its mark of this time."""
        marks = parcel.upstream == LOCAL and came.channel == INTERNET
        if self.key is None or not marks or header.lead:
            return parcel.fields
        try:
            digest = trace.digest_of(parcel.fields + header.rest, body)
        except OSError:
            return parcel.fields  # which cannot be delivered either
        value = trace.mark(Trace(came.reference, int(now)), digest, self.key.id, self.key.secret)
        return b"%s: %s\r\n%s" % (trace.NAME, value, parcel.fields)
