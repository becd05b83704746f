"""`dkim`: each word of RFC 8601 from a signature made for it, and the bands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from iems.codec.header import split_message
from iems.dns.resolver import Answer, Rtype, Status
from iems.model.envelope import INTERNET, SUBMISSION
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.store.spool import MemoryBody, Spooled
from milters.checks import dkim
from milters.checks.protocol import View
from tests.signing import MESSAGE, SigningKey, ed25519_key, key, second_opinion
from tests.unit.checks.world import NXDOMAIN, OWN, RELAY, Answers, found, tools, view

CLIENT = "192.0.2.7"
Change = Callable[[bytes], bytes]


def message_view(
    message: bytes, *, ip: str = CLIENT, channel: str = INTERNET, authenticated: str = ""
) -> View:
    """The view of stage BODY."""
    header, body = split_message(message)
    client = view(ip, channel=channel, authenticated=authenticated, header=header)
    return replace(client, message=Spooled(header, MemoryBody(body)))


def look(
    message: bytes,
    answers: Mapping[tuple[str, Rtype], Answer],
    *,
    options: Mapping[str, object] | None = None,
    clock: float = 1_700_000_000.0,
    **words: str,
) -> tuple[Finding, ...]:
    """What the check finds."""
    settings = dkim.parse(options or {}, "checks.dkim")
    (check,) = dkim.make("", settings, tools(Answers(answers)))
    assert isinstance(check, dkim.Dkim)
    timed = replace(check, clock=lambda: clock)
    seen = message_view(message, **words)
    pending = timed.start(seen, Deadline.after(5.0))
    first = pending.result()
    assert pending.result() is first
    return first


def outcomes(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    """Outcome and band of each."""
    return [(one.outcome, one.band) for one in findings]


def test_a_signature_that_holds() -> None:
    """Its evidence has the names of the registry, and no band."""
    signer = key()
    signed = signer.sign(MESSAGE)
    (finding,) = look(signed, signer.answers)
    start = re.findall(rb"; b=(.{8})", signed)[0].decode()
    assert (finding.outcome, finding.band, finding.reason) == ("pass", "", "")
    assert finding.evidence == (
        ("header.d", "sender.example"),
        ("header.s", "sel"),
        ("header.a", "rsa-sha256"),
        ("header.b", start),
        ("bits", "2048"),
    )


def test_no_signature() -> None:
    """One finding tells so, and nothing is asked."""
    assert look(MESSAGE, {}) == (Finding("dkim", "none"),)


@pytest.mark.parametrize("ip", [CLIENT, RELAY])
def test_whose_mail_is_verified(ip: str) -> None:
    """A stranger's, behind a trusted relay too."""
    assert look(MESSAGE, {}, ip=ip)


def test_whose_mail_is_not() -> None:
    """Our own networks', our users', other channels'."""
    assert look(MESSAGE, {}, ip=OWN) == ()
    assert look(MESSAGE, {}, authenticated="alice") == ()
    assert look(MESSAGE, {}, channel=SUBMISSION) == ()
    words = {"exempt_authenticated": False, "channels": [SUBMISSION]}
    assert look(MESSAGE, {}, options=words, channel=SUBMISSION, authenticated="alice")


@pytest.mark.parametrize("signer", [key(1024), key(), ed25519_key()], ids=lambda one: one.kind)
@pytest.mark.parametrize(
    "forms", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed", "relaxed/relaxed"]
)
def test_every_algorithm_and_form(signer: SigningKey, forms: str) -> None:
    """dkimpy says the same of these signatures, which are its no more than ours."""
    signed = signer.sign(MESSAGE, {"c": forms})
    assert outcomes(look(signed, signer.answers)) == [("pass", "")]
    assert second_opinion(signed, signer.record)
    assert outcomes(look(signed.replace(b"Last", b"last"), signer.answers)) == [("fail", "fail")]
    assert outcomes(look(signed.replace(b"Alice", b"alice"), signer.answers)) == [("fail", "fail")]


@pytest.mark.parametrize(
    ("tags", "outcome"),
    [
        ({"a": "rsa-sha1"}, "permerror"),
        ({"a": "rsa-md5"}, "neutral"),
        ({"a": "rsa sha256"}, "neutral"),
        ({"v": "2"}, "neutral"),
        ({"c": "simple/"}, "neutral"),
        ({"c": "strict"}, "neutral"),
        ({"d": ""}, "neutral"),
        ({"d": "[192.0.2.1]"}, "neutral"),
        ({"d": "..", "i": "@.."}, "neutral"),
        ({"d": "a" * 64 + ".example"}, "neutral"),
        ({"s": "a b"}, "neutral"),
        ({"h": "to:subject"}, "permerror"),
        ({"h": "from:" + ":".join(["x-none"] * 9000)}, "pass"),
        ({"h": "FROM : To"}, "pass"),
        ({"h": "from:dkim-signature:arc-seal"}, "pass"),
        ({"bh": "no base64!"}, "neutral"),
        ({"bh": "A==="}, "neutral"),
        ({"bh": "QUFB"}, "fail"),
        ({"i": "alice@sub.sender.example"}, "pass"),
        ({"i": "alice@other.example"}, "permerror"),
        ({"i": "alice@notsender.example"}, "permerror"),
        ({"i": "sender.example"}, "neutral"),
        ({"q": "dns/txt"}, "pass"),
        ({"q": "new/way:dns/txt"}, "pass"),
        ({"q": "new/way"}, "neutral"),
        ({"t": "1600000000", "x": "1700000001"}, "pass"),
        ({"x": "1699999900"}, "pass"),
        ({"x": "1699999600"}, "policy"),
        ({"t": "1700000000", "x": "1700000000"}, "neutral"),
        ({"t": "9" * 5000}, "neutral"),
        ({"x": "9" * 13}, "neutral"),
        ({"x": "-1"}, "neutral"),
        ({"x": "1e9"}, "neutral"),
        ({"t": "soon"}, "neutral"),
        ({"l": "4"}, "policy"),
        ({"l": "0"}, "policy"),
        ({"l": "52"}, "fail"),
        ({"l": "9" * 76}, "fail"),
        ({"l": "9" * 77}, "neutral"),
        ({"z": "From:a|To:b", "unknown": "tag"}, "pass"),
        ({"z": "x; v=1"}, "neutral"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_tags(tags: Mapping[str, str], outcome: str) -> None:
    """What each odd form of a signature is by RFC 8601; only `pass` has no band."""
    signer = key()
    (finding,) = look(signer.sign(MESSAGE, tags), signer.answers)
    band = {"pass": "", "fail": "fail"}.get(outcome, "permerror")
    assert (finding.outcome, finding.band) == (outcome, band)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda text: text.replace(b"; b=", b"; b=; n="), "neutral"),
        (lambda text: text.replace(b"; b=", b"; b=A"), "neutral"),
        (lambda text: text.replace(b"; b=", b"; B="), "neutral"),
        (lambda text: text.replace(b"v=1;", b"v=1; v=1;"), "neutral"),
        (lambda text: text.replace(b"v=1;", b"v=1;;"), "neutral"),
        (lambda text: text.replace(b"v=1;", b"\xff=1;"), "neutral"),
        (lambda text: text.replace(b"v=1;", b"\r\n v =\t1 ;"), "fail"),
        (lambda text: text.replace(b"; b=", b"; b=\r\n\t "), "pass"),
        (lambda text: text.replace(b"DKIM-Signature", b"dkim-SIGNATURE"), "pass"),
        (lambda text: b"From: eve@evil.example\r\n" + text, "policy"),
        (lambda text: b"X-New: unsigned\r\n" + text, "pass"),
        (lambda text: text.replace(b"To:", b"To:\r"), "fail"),
        (lambda text: text.replace(b"Subject:", b"subject \t:"), "pass"),
        (lambda text: text.replace(b"and\r\n\tblanks", b"and blanks"), "pass"),
        (lambda text: text.replace(b"Last.", b"Last\0"), "fail"),
    ],
)
def test_changes_on_the_way(change: Change, outcome: str) -> None:
    """What relaxed forms forgive is forgiven, and nothing else."""
    signer = key()
    (finding,) = look(change(signer.sign(MESSAGE)), signer.answers)
    assert finding.outcome == outcome


def test_a_part_of_the_body_may_be_enough() -> None:
    """Where the site says so; a byte in that part still counts, and one behind it does not."""
    signer = key()
    signed = signer.sign(MESSAGE, {"l": "4"})
    partial = {"partial_body": True}
    assert outcomes(look(signed, signer.answers, options=partial)) == [("pass", "")]
    changed = signed.replace(b"Last", b"last")
    assert outcomes(look(changed, signer.answers, options=partial)) == [("pass", "")]
    changed = signed.replace(b"Two", b"two")
    assert outcomes(look(changed, signer.answers, options=partial)) == [("fail", "fail")]


@pytest.mark.parametrize(
    ("record", "outcome", "band"),
    [
        ("v=DKIM1; p={p}", "pass", ""),
        ("p={p}", "pass", ""),
        ("k=rsa; h=sha1:sha256; s=*; t=s; n=hello; x=y; p={p}; ", "pass", ""),
        ("s=other:email; p={p}", "pass", ""),
        ("t=y; p={p}", "pass", ""),
        ("v=DKIM2; p={p}", "permerror", "permerror"),
        ("v=DKIM1; p=", "permerror", "permerror"),
        ("v=DKIM1", "permerror", "permerror"),
        ("v=DKIM1; k=ed25519; p={p}", "permerror", "permerror"),
        ("v=DKIM1; k=dsa; p={p}", "permerror", "permerror"),
        ("h=sha1; p={p}", "permerror", "permerror"),
        ("s=tlsrpt; p={p}", "permerror", "permerror"),
        ("p=A{p}", "permerror", "permerror"),
        ("p=QUFB", "permerror", "permerror"),
        ("p=\xff", "permerror", "permerror"),
        ("p={p}; p={p}", "permerror", "permerror"),
        ("v=spf1 -all", "permerror", "permerror"),
        ("", "permerror", "permerror"),
    ],
)
def test_key_records(record: str, outcome: str, band: str) -> None:
    """RFC 6376 section 3.6.1."""
    signer = key()
    answers = {**signer.answers, (signer.name, "TXT"): found(record.format(p=signer.public))}
    assert outcomes(look(signer.sign(MESSAGE), answers)) == [(outcome, band)]


def test_a_revoked_key_is_told() -> None:
    """It is not the same as one that nobody can read."""
    signer = key()
    answers = {**signer.answers, (signer.name, "TXT"): found("v=DKIM1; p=")}
    (finding,) = look(signer.sign(MESSAGE), answers)
    assert finding.reason == "signature of sender.example: its key is revoked"


def test_a_record_beside_the_key() -> None:
    """The first that is a key is taken."""
    signer = key()
    answers = {**signer.answers, (signer.name, "TXT"): found("v=spf1 -all", signer.record)}
    assert outcomes(look(signer.sign(MESSAGE), answers)) == [("pass", "")]


def test_a_key_that_is_tried_out_makes_no_band() -> None:
    """Such mail is treated as if it were not signed."""
    signer = key()
    answers = {**signer.answers, (signer.name, "TXT"): found(f"t=y; p={signer.public}")}
    (finding,) = look(signer.sign(MESSAGE) + b"x", answers)
    assert (finding.outcome, finding.band) == ("fail", "")
    assert ("testing", "yes") in finding.evidence


def test_a_key_not_for_subdomains() -> None:
    signer = key()
    answers = {**signer.answers, (signer.name, "TXT"): found(f"t=s; p={signer.public}")}
    signed = signer.sign(MESSAGE, {"i": "@sub.sender.example"})
    assert outcomes(look(signed, answers)) == [("policy", "permerror")]
    assert outcomes(look(signed, signer.answers)) == [("pass", "")]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (NXDOMAIN, "permerror"),
        (Answer(Status.NODATA), "permerror"),
        (Answer(Status.SERVFAIL), "temperror"),
        (Answer(Status.REFUSED), "temperror"),
        (Answer(Status.TIMEOUT), "temperror"),
    ],
)
def test_no_key(answer: Answer, outcome: str) -> None:
    """That there is none is final, that nobody says so is not."""
    signer = key()
    findings = look(signer.sign(MESSAGE), {(signer.name, "TXT"): answer})
    assert outcomes(findings) == [(outcome, outcome)]


@pytest.mark.parametrize(("bits", "outcome"), [(1024, "pass"), (4096, "pass"), (768, "policy")])
def test_sizes_of_keys(bits: int, outcome: str) -> None:
    """RFC 8301 section 3.2; dkimpy agrees."""
    signer = key(bits)
    signed = signer.sign(MESSAGE)
    (finding,) = look(signed, signer.answers)
    assert finding.outcome == outcome
    assert second_opinion(signed, signer.record) is (outcome == "pass")


def test_another_key_verifies_nothing() -> None:
    signer, other = key(), SigningKey(key(1024).private)
    assert outcomes(look(signer.sign(MESSAGE), other.answers)) == [("fail", "fail")]


class TestSeveralSignatures:
    """Each has a finding; a band only where none holds."""

    GOOD = key(domain="good.example")
    BAD = key(1024, domain="bad.example")
    LOST = key(1024, domain="lost.example")
    ANSWERS = GOOD.answers | BAD.answers | {(LOST.name, "TXT"): Answer(Status.TIMEOUT)}

    def test_one_is_enough(self) -> None:
        signed = self.BAD.sign(self.GOOD.sign(MESSAGE), {"bh": "QUFB"})
        assert outcomes(look(signed, self.ANSWERS)) == [("fail", ""), ("pass", "")]

    def test_the_first_failure_has_the_band(self) -> None:
        signed = self.BAD.sign(self.GOOD.sign(MESSAGE, {"a": "rsa-sha1"}), {"bh": "QUFB"})
        assert outcomes(look(signed, self.ANSWERS)) == [("fail", "fail"), ("permerror", "")]

    def test_one_that_may_hold_comes_before_all_others(self) -> None:
        signed = self.BAD.sign(self.LOST.sign(MESSAGE), {"bh": "QUFB"})
        found = [("fail", ""), ("temperror", "temperror")]
        assert outcomes(look(signed, self.ANSWERS)) == found

    def test_the_topmost_eight_are_looked_at(self) -> None:
        signed = self.GOOD.sign(MESSAGE)
        for _ in range(8):
            signed = self.BAD.sign(signed, {"bh": "QUFB"})
        assert len(look(signed, self.ANSWERS)) == dkim.MOST
        assert "pass" not in dict(outcomes(look(signed, self.ANSWERS)))

    def test_a_signature_may_sign_another(self) -> None:
        """But not itself: the names of its `h=` are those of the fields below it."""
        signed = self.GOOD.sign(self.BAD.sign(MESSAGE), {"h": "from:dkim-signature"})
        assert outcomes(look(signed, self.ANSWERS)) == [("pass", ""), ("pass", "")]
        changed = signed.replace(b"d=bad.example", b"d=bad.example ")
        assert outcomes(look(changed, self.ANSWERS)) == [("fail", "fail"), ("fail", "")]


def test_all_keys_are_asked_for_at_the_start() -> None:
    """Nobody waits for one before the next is asked for."""
    signers = [key(domain=f"d{number}.example") for number in range(3)]
    signed = MESSAGE
    for signer in signers:
        signed = signer.sign(signed)
    resolver = Answers()
    (check,) = dkim.make("", dkim.parse({}, "checks.dkim"), tools(resolver))
    check.start(message_view(signed), Deadline.after(5.0))
    assert [name for name, _rtype in resolver.asked] == [one.name for one in reversed(signers)]


def test_a_body_that_cannot_be_read_in_time() -> None:
    """Nothing is known of it then."""
    signer = key()
    (check,) = dkim.make("", dkim.parse({}, "checks.dkim"), tools(Answers(signer.answers)))
    pending = check.start(message_view(signer.sign(MESSAGE)), Deadline.after(0.0))
    assert outcomes(pending.result()) == [("temperror", "temperror")]


class _Broken:
    """A body whose file is not what it was."""

    size = 100

    def pieces(self) -> Iterator[bytes]:
        """The first, and no second."""
        yield b"\r\nHello"
        raise OSError("the spool ends")


def test_a_body_that_cannot_be_read_at_all() -> None:
    signer = key()
    (check,) = dkim.make("", dkim.Settings(), tools(Answers(signer.answers)))
    known = message_view(signer.sign(MESSAGE))
    seen = replace(known, message=Spooled(b"", _Broken()))
    findings = check.start(seen, Deadline.after(5.0)).result()
    assert outcomes(findings) == [("temperror", "temperror")]


def test_options() -> None:
    """What is no option is an error."""
    with pytest.raises(SettingsError, match="partial_body"):
        dkim.parse({"partial_body": "yes"}, "checks.dkim")
