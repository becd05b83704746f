"""What is sealed holds for our verifier and for dkimpy; a byte changed breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.codec.header import parse_header
from iems.codec.keypair import PrivateKey
from iems.dns.resolver import Answer, Rtype
from iems.edits.arc_seal import NAMES, arc_set
from iems.edits.dkim_sign import Signer, UnsignableError, body_digest
from tests.signing import MESSAGE, SigningKey, key, second_opinion_of_chain
from tests.unit.checks.test_arc import look

NOW = 1_700_000_000
HOST = b"mail.example.test"
ONE, TWO, OWN = (key(1024, domain=f"{name}.example") for name in ("one", "two", "own"))
ANSWERS: dict[tuple[str, Rtype], Answer] = ONE.answers | TWO.answers | OWN.answers
RESULTS = HOST + b";\r\n\tspf=pass smtp.mailfrom=sender.example;\r\n\tdmarc=pass"


def sealed(message: bytes, results: bytes = RESULTS, signer: SigningKey = OWN) -> bytes:
    """The message with a set of ours on top."""
    header, _end, body = message.partition(b"\r\n\r\n")
    who = Signer(signer.domain, signer.selector, PrivateKey(signer.kind, signer.private))
    block = parse_header(header + b"\r\n")
    values = arc_set(who, block, body_digest([body]), results, NOW)
    named = zip(NAMES, values, strict=True)
    return b"".join(b"%s: %s\r\n" % one for one in named) + message


def passes(message: bytes) -> bool:
    """Whether the chain holds; dkimpy says the same."""
    (finding,) = look(message, ANSWERS)
    assert (second_opinion_of_chain(message, ANSWERS) == "pass") == (finding.outcome == "pass")
    return finding.outcome == "pass"


def told(message: bytes, tag: bytes) -> list[bytes]:
    """What the fields of the newest set say by this tag."""
    return re.findall(rb"[ \t;]%s=([^;\r\n]*)" % tag, message.partition(b"\r\nFrom:")[0])


def before(count: int) -> bytes:
    """A message with so many sets of others."""
    message = MESSAGE
    for number in range(1, count + 1):
        message = (ONE, TWO)[number % 2].seal(message, number)
    return message


def arc(word: bytes) -> bytes:
    return RESULTS + b";\r\n\tarc=" + word + b" header.oldest-pass=0"


@pytest.mark.parametrize("count", [0, 1, 2, 5, 49])
def test_a_set_on_every_chain(count: int) -> None:
    """It says what the results say of the chain before, and its own number."""
    message = sealed(before(count), arc(b"pass") if count else RESULTS)
    assert passes(message)
    head = message[: message.index(before(count))]
    assert told(head, b"cv") == [b"pass" if count else b"none"]
    assert told(head, b"i") == [str(count + 1).encode()] * 3
    (finding,) = look(message, ANSWERS)
    newest = dict(finding.evidence)[f"set-{count + 1}"]
    assert newest.startswith("own.example ")
    assert newest.endswith("spf=pass dmarc=pass")
    assert max(len(line) for line in head.split(b"\r\n")) <= 78


def test_the_next_forwarder_goes_on_from_ours() -> None:
    assert passes(TWO.seal(sealed(ONE.seal(MESSAGE, 1), arc(b"pass")), 3))
    again = sealed(sealed(MESSAGE), arc(b"pass"), signer=TWO)
    assert passes(again)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"Last.", b"Lost."),
        lambda text: text.replace(b"Alice", b"Eve"),
        lambda text: text.replace(b"dmarc=pass", b"dmarc=fail"),
        lambda text: text.replace(b"i=1; mail.", b"i=1; evil."),
        lambda text: text.replace(b"cv=none", b"cv=pass"),
        lambda text: text.replace(b"\r\nTo:", b"\r\nReply-To: eve@evil.example\r\nTo:"),
        lambda text: text.replace(b"DKIM-Signature: v=1", b"DKIM-Signature: v=2"),
        lambda text: text.replace(b"DKIM-Signature: v=1", b"X-Signature: v=1"),
    ],
    ids=["body", "author", "result", "who", "chain", "a field more", "signature", "none"],
)
def test_a_byte_changed_breaks_it(change: Callable[[bytes], bytes]) -> None:
    message = sealed(ONE.sign(MESSAGE))
    assert passes(message)
    assert change(message) != message
    assert not passes(change(message))


def test_another_signature_may_be_added() -> None:
    """Who sends it on signs it himself."""
    assert passes(TWO.sign(sealed(ONE.sign(MESSAGE))))


def test_a_broken_chain_is_ended() -> None:
    """By a seal that holds, over its own set alone."""
    broken = before(2).replace(b"Last.", b"Lost.")
    assert not passes(broken)
    message = sealed(broken, arc(b"fail"))
    assert told(message.removesuffix(broken), b"cv") == [b"fail"]
    assert told(message.removesuffix(broken), b"i") == [b"3"] * 3
    (finding,) = look(message, ANSWERS)
    assert finding.reason == "chain of forwarders: own.example says that it is broken"
    # As if the newest set were the only one (section 5.1.2).
    alone = dkim.ARC(re.sub(rb"(?m)^ARC-[^:]+: i=[12];(.*\r\n[ \t])*.*\r\n", b"", message))
    result = alone.verify_instance(alone.sorted_arc_headers()[1], 3, dnsfunc=dns)
    assert (result["as-valid"], result["ams-valid"]) == (True, True)


def dns(name: bytes, timeout: int = 5) -> bytes:  # noqa: ARG001 - its signature
    return ANSWERS[name.decode().rstrip("."), "TXT"].records[0].encode()


@pytest.mark.parametrize(
    ("message", "results", "why"),
    [
        (before(1), RESULTS, "nobody has looked"),
        (before(1), arc(b"temperror"), "nobody has looked"),
        (before(1), arc(b"pass; arc=fail"), "nobody has looked"),
        (before(1), RESULTS + b' reason="arc=pass"', "nobody has looked"),
        (before(50), arc(b"pass"), "50 sets"),
        (before(2).replace(b"ARC-Seal: i=1", b"X-Seal: i=1"), arc(b"pass"), "cannot have passed"),
        (TWO.seal(before(1), 2, status="fail"), arc(b"fail"), "has ended"),
        (ONE.seal(MESSAGE, 50), arc(b"fail"), "50 sets"),
        (MESSAGE.replace(b"From:", b"X-From:"), RESULTS, "no From"),
        (b"DKIM-Signature: x\r\n" * 190 + MESSAGE, RESULTS, "200 fields"),
    ],
    ids=["silent", "unknown", "two words", "quoted", "50", "not whole", "ended", "50 broken",
         "nobody's", "many"],
)  # fmt: skip
def test_what_is_not_sealed(message: bytes, results: bytes, why: str) -> None:
    with pytest.raises(UnsignableError, match=why):
        sealed(message, results)


_VALUE = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"\xe4", "ü".encode(), b":", b";", b"i=1;"]),
    max_size=8,
).map(lambda parts: b" x" + b"".join(parts) + b"y")
_FIELD = st.tuples(
    st.sampled_from([b"To", b"Subject", b"List-Id", b"Content-Type", b"DKIM-Signature", b"X-Odd"]),
    _VALUE,
)
_LINE = st.lists(st.sampled_from([b"a", b" ", b"\xff", b"\t"])).map(b"".join)
_BODY = st.lists(_LINE.map(lambda line: line + b"\r\n"), max_size=5).map(b"".join)


@settings(max_examples=40)
@given(
    fields=st.lists(_FIELD, max_size=5),
    body=_BODY,
    sets=st.integers(0, 3),
    at=st.integers(0),
)
def test_what_is_sealed_holds_and_what_is_changed_does_not(
    fields: list[tuple[bytes, bytes]], body: bytes, sets: int, at: int
) -> None:
    header = b"From: alice@sender.example\r\n" + b"".join(b"%s:%s\r\n" % one for one in fields)
    message = header + b"\r\n" + body
    for number in range(1, sets + 1):
        message = ONE.seal(message, number)
    message = sealed(message, arc(b"pass") if sets else RESULTS)
    assert passes(message)
    # A letter of a value of ours: names, white space and base64 that ends odd may be the same.
    own = [one.start() for one in re.finditer(rb"[b-z0-9]", message[: message.index(b"b=")])]
    place = own[at % len(own)]
    broken = message[:place] + b"a" + message[place + 1 :]
    (finding,) = look(broken, ANSWERS)
    assert (finding.outcome == "pass") == (broken == message)
