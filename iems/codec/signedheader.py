"""The header as a signature covers it (RFC 6376 sections 3.7, 5.4.2), for signer and verifier."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from iems.codec import canonical, tags
from iems.model.message import Field, HeaderBlock


class SignedHeader:
    """A header block whose fields are picked and canonicalised, each of them once."""

    def __init__(self, block: HeaderBlock) -> None:
        self._block = block
        self._relaxed: dict[int, bytes] = {}

    def count(self, name: bytes) -> int:
        """How many fields of this name, in lower case, there are."""
        return len(self._block.named(name))

    def relaxed(self, field: Field) -> bytes:
        """The field in relaxed form."""
        form = self._relaxed.get(field.start)
        if form is None:
            form = self._relaxed[field.start] = canonical.relaxed_field(field)
        return form

    def digest(self, names: Iterable[bytes], own: Field, *, relaxed: bool) -> bytes:
        """What a signature signs (RFC 6376 section 3.7): fields of `names`, last its `own`."""
        digest = hashlib.sha256()
        for field in self._picked(names, own):
            digest.update(self.relaxed(field) if relaxed else field.raw)
        digest.update(signing_form(own, relaxed=relaxed))
        return digest.digest()

    def _picked(self, names: Iterable[bytes], own: Field) -> Iterator[Field]:
        """Fields of a name that is there more than once are taken from the bottom (5.4.2)."""
        taken: Counter[bytes] = Counter()
        beside = tuple(field for field in self._block.named(own.key) if field is not own)
        for name in names:
            fields = beside if name == own.key else self._block.named(name)
            taken[name] += 1
            if taken[name] <= len(fields):
                yield fields[-taken[name]]


def signing_form(field: Field, *, relaxed: bool) -> bytes:
    """A signature field as it is part of what it signs: without `b=` and the last line end."""
    name, colon, value = field.raw.partition(b":")
    raw = name + colon + tags.without(value, b"b")
    form = canonical.relaxed_field(field._replace(raw=raw)) if relaxed else raw
    return form.removesuffix(canonical.CRLF)
