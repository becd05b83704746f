"""`dkim` and `arc` in bounded memory and time, however large or odd a message is."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import pytest

from iems.codec import canonical
from iems.codec.header import parse_header
from iems.codec.signedheader import SignedHeader
from iems.model.message import Body
from iems.serve.deadline import Deadline
from iems.store.spool import Spooled
from milters.checks import arc, dkim
from milters.signatures.verify import BodyDigest, Form, body_digests
from tests.cost import costs_less
from tests.signing import MESSAGE, body_form, key
from tests.unit.checks.test_dkim import look, message_view
from tests.unit.checks.world import Answers, tools, view

_PIECE = b"\r\n\r\nsome  text in a line \t of a body, and\ta tab \r\n" * 2000
_PIECES = 320


class _Large:
    """A body that is nowhere: 32 MB."""

    size = _PIECES * len(_PIECE) + 2

    def __init__(self) -> None:
        self.read = 0

    def pieces(self) -> Iterator[bytes]:
        """As a file gives them."""
        self.read += 1
        yield b"\r\n"
        for _ in range(_PIECES):
            yield bytes(bytearray(_PIECE))


def test_a_large_body_is_read_in_pieces() -> None:
    """Once for each canonical form, whatever the number of signatures."""
    signer, body = key(1024), _Large()
    digests = body_digests(body, [(False, None), (True, None)], Deadline.after(60.0))
    header = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    for form, digest in digests.items():
        words = {"c": "simple/relaxed" if form[0] else "simple/simple"}
        said = base64.b64encode(digest.digest).decode()
        for _ in range(3):
            header = signer.sign(header, {**words, "bh": said})
    body.read = 0
    header = header.removesuffix(b"\r\n")
    seen = replace(view("192.0.2.7", header=header), message=Spooled(header, body))
    (check,) = dkim.make("", dkim.Settings(), tools(Answers(signer.answers)))
    tracemalloc.start()
    try:
        findings = check.start(seen, Deadline.after(60.0)).result()
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [one.outcome for one in findings] == ["pass"] * 6
    assert body.read == 2
    assert peak < 2 << 20


def test_a_limit_counts_over_all_pieces() -> None:
    """`l=` ends in the first piece, in a later one, or behind the last."""
    body = _Large()
    whole = b"".join(canonical.body([_PIECE] * _PIECES, relaxed=False))
    limits = [0, 7, len(_PIECE), len(_PIECE) + 5, len(whole), len(whole) + 9]
    found = body_digests(body, [(False, one) for one in limits], Deadline.after(60.0))
    assert body.read == 1
    for one in limits:
        digest = hashlib.sha256(whole[:one]).digest()
        assert found[False, one] == BodyDigest(digest, len(whole))


def test_a_field_is_brought_into_its_form_once() -> None:
    """Fifty signatures may sign the same fields."""
    block = parse_header(MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n")
    header = SignedHeader(block)
    assert header.relaxed(block.fields[0]) is header.relaxed(block.fields[0])


@pytest.mark.parametrize("name", ["from", "dkim-signature", "x-odd"])
def test_thousands_of_names_and_fields(name: str) -> None:
    """As many as Postfix and the milter let in: each is looked up, and none is searched for."""
    signer = key(1024)
    names = ":".join(["from", *[name] * (100_000 // (len(name) + 1))])
    fields = b"".join(b"%s: %d\r\n" % (name.encode(), at) for at in range(9900))
    signed = signer.sign(MESSAGE, {"h": "from"}).replace(b"h=from", b"h=" + names.encode())
    with costs_less(0.8):
        findings = look(signed.partition(b"\r\n")[0] + b"\r\n" + fields + MESSAGE, signer.answers)
        assert findings[0].outcome == "fail"


def test_thousands_of_sets() -> None:
    """More than fifty are none, before a key is asked for."""
    fields = b"".join(b"ARC-Seal: i=%d; cv=pass\r\n" % at for at in range(1, 5000))
    resolver = Answers()
    (check,) = arc.make("", arc.Settings(), tools(resolver))
    seen = replace(view("192.0.2.7", header=fields), message=Spooled(fields, _Large()))
    with costs_less(0.5):
        (finding,) = check.start(seen, Deadline.after(5.0)).result()
        assert (finding.outcome, finding.band, resolver.asked) == ("fail", "fail", [])


def test_fifty_lengths_of_a_chain_are_one_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that of the whole body can pass (`l=`); a shorter one passes no more than before."""
    signer, asked = key(1024), set[tuple[bool, int | None]]()

    def spied(body: Body, forms: Iterable[Form], deadline: Deadline) -> Mapping[Form, BodyDigest]:
        asked.update(forms)
        return body_digests(body, forms, deadline)

    monkeypatch.setattr(arc, "body_digests", spied)
    (check,) = arc.make("", arc.parse({}, "checks.arc"), tools(Answers(signer.answers)))
    size = len(body_form(MESSAGE.partition(b"\r\n\r\n")[2], relaxed=True))
    for newest, outcome in ((size, "pass"), (size - 1, "fail"), (size + 1, "fail")):
        chain = MESSAGE
        for instance, length in enumerate((size - 2, size - 3, newest), 1):
            chain = signer.seal(chain, instance, signed={"l": str(length)})
        (finding,) = check.start(message_view(chain), Deadline.after(60.0)).result()
        assert finding.outcome == outcome
    assert len(asked) == 1
