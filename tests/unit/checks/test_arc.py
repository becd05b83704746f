"""`arc`: chains that hold, each way in which one does not, and what the evidence says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.dns.resolver import Answer, Rtype, Status
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from milters.checks import arc
from tests.signing import MESSAGE, SigningKey, ed25519_key, key, second_opinion_of_chain
from tests.unit.checks.test_dkim import message_view
from tests.unit.checks.world import NXDOMAIN, OWN, Answers, found, tools

Change = Callable[[bytes], bytes]
ONE, TWO, THREE = (key(1024, domain=f"{name}.example") for name in ("one", "two", "three"))
ANSWERS = ONE.answers | TWO.answers | THREE.answers
UNTOUCHED = THREE.seal(TWO.seal(ONE.seal(MESSAGE, 1), 2, "arc=pass; dmarc=fail"), 3)


def look(
    message: bytes, answers: Mapping[tuple[str, Rtype], Answer] = ANSWERS, **words: str
) -> tuple[Finding, ...]:
    """What the check finds."""
    (check,) = arc.make("", arc.parse({}, "checks.arc"), tools(Answers(answers)))
    assert isinstance(check, arc.Arc)
    timed = replace(check, clock=lambda: 1_700_000_000.0)
    pending = timed.start(message_view(message, **words), Deadline.after(5.0))
    first = pending.result()
    assert pending.result() is first
    return first


def outcome(message: bytes, answers: Mapping[tuple[str, Rtype], Answer] = ANSWERS) -> str:
    """The word; the band is the same, and dkimpy agrees on `pass` and `none`."""
    (finding,) = look(message, answers)
    assert finding.band == (finding.outcome if finding.outcome in {"fail", "temperror"} else "")
    opinion = second_opinion_of_chain(message, answers)
    assert (opinion == finding.outcome) or {opinion, finding.outcome} == {"fail", "temperror"}
    return finding.outcome


def test_no_chain() -> None:
    assert look(MESSAGE) == (Finding("arc", "none"),)
    assert look(MESSAGE, ip=OWN) == ()


def test_a_chain_that_holds() -> None:
    """Who sealed, from the newest, and what each says to have seen."""
    (finding,) = look(UNTOUCHED)
    assert (finding.outcome, finding.band, finding.reason) == ("pass", "", "")
    assert finding.evidence == (
        ("header.oldest-pass", "0"),
        ("arc.chain", "three.example:two.example:one.example"),
        ("set-3", "three.example spf=pass dkim=pass dmarc=pass"),
        ("set-2", "two.example arc=pass dmarc=fail"),
        ("set-1", "one.example spf=pass dkim=pass dmarc=pass"),
    )
    assert outcome(UNTOUCHED) == "pass"


@pytest.mark.parametrize(
    ("changed", "oldest"),
    [(1, "2"), (2, "3")],
)
def test_from_where_on_the_message_is_unchanged(changed: int, oldest: str) -> None:
    """A list changes a message before it seals it: that breaks the signatures below only."""
    message = ONE.seal(MESSAGE, 1)
    for number, signer in ((2, TWO), (3, THREE)):
        if number == changed + 1:
            message = message.replace(b"Last.", b"Last. Unsubscribe there.")
        message = signer.seal(message, number)
    (finding,) = look(message)
    assert finding.outcome == "pass"
    assert finding.evidence[0] == ("header.oldest-pass", oldest)
    assert outcome(message) == "pass"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"Last.", b"Lost."),
        lambda text: text.replace(b"Alice", b"Eve"),
        lambda text: text.replace(b"spf=pass", b"spf=fail", 1),
        lambda text: text.replace(b"dmarc=fail", b"dmarc=pass"),
        lambda text: text.replace(b"i=1", b"i=4"),
        lambda text: text.replace(b"i=1", b"i=x"),
        lambda text: text.replace(b"i=1", b"i=0"),
        lambda text: text.replace(b"i=1", b"i=01"),
        lambda text: text.replace(b"ARC-Seal: i=2", b"X-Seal: i=2"),
        lambda text: text.replace(b"ARC-Authentication-Results: i=1", b"X: i=1"),
        lambda text: b"ARC-Authentication-Results: i=3; x; spf=pass\r\n" + text,
        lambda text: b"ARC-Authentication-Results: i=4; x; spf=pass\r\n" + text,
        lambda text: text.replace(b"ARC-Seal: i=3;", b"ARC-Seal: i=3; h=from;"),
        lambda text: text.replace(b"ARC-Seal: i=3;", b"ARC-Seal: i=3; i=3;"),
        lambda text: text.replace(
            b"ARC-Message-Signature: i=3;", b"ARC-Message-Signature: i=3; v=1;"
        ),
        lambda text: text.replace(b"d=two.example", b"d=one.example"),
    ],
)
def test_chains_that_were_changed(change: Change) -> None:
    """A byte of any set, of a signed field or of the body; sets that are not complete."""
    assert change(UNTOUCHED) != UNTOUCHED
    assert outcome(change(UNTOUCHED)) == "fail"


def test_no_number_is_left_out() -> None:
    """Not even where the seals hold without it."""
    (finding,) = look(TWO.seal(ONE.seal(MESSAGE, 1), 3))
    assert (finding.outcome, finding.band) == ("fail", "fail")
    (finding,) = look(TWO.seal(MESSAGE, 51, status="none"))
    assert (finding.outcome, finding.band) == ("fail", "fail")


def test_a_field_of_no_set_breaks_the_chain() -> None:
    """dkimpy overlooks it; we cannot tell what it is for."""
    (finding,) = look(b"ARC-Seal: nothing\r\n" + UNTOUCHED)
    assert (finding.outcome, finding.band) == ("fail", "fail")


@pytest.mark.parametrize(
    ("instance", "status"), [(1, "pass"), (1, "fail"), (2, "none"), (2, "fail"), (2, "perhaps")]
)
def test_what_a_seal_says_of_the_chain_before(instance: int, status: str) -> None:
    """Only the first has none before it, and one that found it broken ended it."""
    message = MESSAGE if instance == 1 else ONE.seal(MESSAGE, 1)
    (finding,) = look(TWO.seal(message, instance, status=status))
    assert (finding.outcome, finding.band) == ("fail", "fail")


@pytest.mark.parametrize(
    "tags", [{"a": "rsa-sha1"}, {"d": ""}, {"s": ".."}, {"a": "x"}, {"b": "x"}, {"h": "from"}]
)
def test_seals_that_are_none(tags: Mapping[str, str]) -> None:
    (finding,) = look(ONE.seal(MESSAGE, 1, tags=tags))
    assert (finding.outcome, finding.band) == ("fail", "fail")


@pytest.mark.parametrize(
    "signed", [{"v": "1"}, {"h": "from:arc-seal"}, {"h": "to"}, {"l": "3"}, {"a": "rsa-sha1"}]
)
def test_signatures_that_are_none(signed: Mapping[str, str]) -> None:
    """They hold, and are not what a set needs."""
    (finding,) = look(ONE.seal(MESSAGE, 1, signed=signed))
    assert (finding.outcome, finding.band) == ("fail", "fail")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (NXDOMAIN, "fail"),
        (found("v=DKIM1; p="), "fail"),
        (Answer(Status.TIMEOUT), "temperror"),
        (Answer(Status.SERVFAIL), "temperror"),
    ],
)
@pytest.mark.parametrize("signer", [ONE, THREE], ids=["oldest", "newest"])
def test_no_key(answer: Answer, word: str, signer: SigningKey) -> None:
    """That there is none is final, that nobody says so is not."""
    (finding,) = look(UNTOUCHED, {**ANSWERS, (signer.name, "TXT"): answer})
    assert (finding.outcome, finding.band) == (word, word)


def test_the_reason_names_the_sealer() -> None:
    """He who says that the chain is broken, and he whose signature does not hold."""
    (said,) = look(TWO.seal(ONE.seal(MESSAGE, 1), 2, status="fail"))
    assert said.reason == "chain of forwarders: two.example says that it is broken"
    (failed,) = look(ONE.seal(MESSAGE, 1), {(ONE.name, "TXT"): NXDOMAIN})
    assert failed.reason == (
        "chain of forwarders: signature of one.example: its key does not exist"
    )


def test_small_keys_and_other_algorithms() -> None:
    """Those of DKIM."""
    small, modern = key(768, domain="small.example"), ed25519_key(domain="modern.example")
    assert look(small.seal(MESSAGE, 1), small.answers)[0].outcome == "fail"
    assert look(modern.seal(MESSAGE, 1), modern.answers)[0].outcome == "pass"


def test_fifty_sets_and_one_more() -> None:
    """Fifty hold, and the evidence tells of the newest ten; more are none."""
    message = MESSAGE
    for instance in range(1, 51):
        message = ONE.seal(message, instance, "spf=pass")
    (finding,) = look(message)
    assert finding.outcome == "pass"
    told = [name for name, _value in finding.evidence[2:]]
    assert told == [f"set-{at}" for at in range(50, 40, -1)]
    (finding,) = look(ONE.seal(message, 51, "spf=pass"))
    assert (finding.outcome, finding.band) == ("fail", "fail")


def test_every_key_is_asked_for_once_at_the_start() -> None:
    """Seal and signature of a set mostly share it."""
    resolver = Answers()
    (check,) = arc.make("", arc.parse({}, "checks.arc"), tools(resolver))
    check.start(message_view(UNTOUCHED), Deadline.after(5.0))
    assert sorted(resolver.asked) == sorted(ANSWERS)


_PIECES = [
    *(
        b"i=1",
        b"i=2",
        b"i=51",
        b"a=rsa-sha256",
        b"cv=none",
        b"cv=pass",
        b"cv=fail",
        b"d=one.example",
    ),
    *(b"s=sel", b"h=from", b"bh=QUFB", b"b=QUFB", b"b=\xff", b"=", b"", b"\xff"),
]
_NAMES = [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"arc-seal"]


@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(_NAMES),
            st.lists(st.sampled_from(_PIECES) | st.binary(max_size=6), max_size=9),
        ),
        max_size=6,
    )
)
def test_hostile_bytes_raise_nothing(fields: list[tuple[bytes, list[bytes]]]) -> None:
    """They never make a chain that holds."""
    header = b"".join(
        name + b": " + b";".join(parts).replace(b"\n", b"\n ") + b"\r\n" for name, parts in fields
    )
    (finding,) = look(header + MESSAGE)
    assert finding.outcome in {"fail", "none"}
    assert finding.reason.isascii()
    assert (finding.outcome == "none") == (not fields)
