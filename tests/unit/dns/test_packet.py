"""DNS messages: a second library writes what we read, and any bytes at all do no harm."""

from __future__ import annotations

from typing import get_args

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.dns import packet
from iems.dns.resolver import Answer, Rtype, Status

NAME = "2.0.0.127.list.test"
SECTION = packet.question(NAME, "A")
_LABELS = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63),
    min_size=1,
    max_size=6,
).filter(lambda labels: sum(len(label) + 1 for label in labels) < 250)


def response(*rrsets: str, name: str = NAME, rtype: Rtype = "A", rcode: str = "NOERROR") -> bytes:
    """A response to our question, written by dnspython; a line is `OWNER TTL TYPE DATA`."""
    message = dns.message.make_response(dns.message.make_query(name, rtype, id=7))
    message.set_rcode(dns.rcode.from_text(rcode))
    for line in rrsets:
        owner, ttl, kind, data = line.split(maxsplit=3)
        rrset = dns.rrset.from_text(owner, int(ttl), "IN", kind, data)
        section = message.authority if kind in {"SOA", "NS"} else message.answer
        section.append(rrset)
    return message.to_wire()


def read(wire: bytes, name: str = NAME, rtype: Rtype = "A") -> Answer:
    """What our reader makes of it."""
    section = packet.question(name, rtype)
    assert packet.answers(wire, section)
    return packet.read(wire, section, rtype)


@given(_LABELS, st.sampled_from(get_args(Rtype)), st.integers(0, 65535))
def test_our_question_is_what_another_library_would_ask(
    labels: list[str], rtype: Rtype, identifier: int
) -> None:
    name = ".".join(labels)
    ours = packet.query(identifier, packet.question(name, rtype))
    theirs = dns.message.make_query(name, rtype, id=identifier, flags=dns.flags.RD)
    if rtype in {"MX", "TXT"}:
        theirs.use_edns(payload=1232)
    assert ours == theirs.to_wire()


@pytest.mark.parametrize("name", ["", "a..b", "." * 3, "x" * 64, "a." * 127 + "toolong", "ä.test"])
def test_what_can_be_no_name_is_not_asked(name: str) -> None:
    with pytest.raises(ValueError, match=r"domain name|codec"):
        packet.question(name, "A")


def test_records_are_read_as_text() -> None:
    assert read(response(f"{NAME}. 60 A 127.0.0.2", f"{NAME}. 30 A 127.0.0.10")) == Answer(
        Status.FOUND, ("127.0.0.2", "127.0.0.10"), 30
    )
    assert read(
        response("h.test. 5 AAAA 2001:db8::1", name="h.test", rtype="AAAA"), "h.test", "AAAA"
    ) == Answer(Status.FOUND, ("2001:db8::1",), 5)
    assert read(
        response('h.test. 5 TXT "one " "two"', name="h.test", rtype="TXT"), "h.test", "TXT"
    ) == Answer(Status.FOUND, ("one two",), 5)
    wire = response(
        "h.test. 5 MX 10 Mail.Example.test.", "h.test. 5 MX 0 .", name="h.test", rtype="MX"
    )
    assert read(wire, "h.test", "MX").records == ("10 mail.example.test", "0 ")
    wire = response("1.test. 9 PTR Mail.Example.test.", name="1.test", rtype="PTR")
    assert read(wire, "1.test", "PTR") == Answer(Status.FOUND, ("mail.example.test",), 9)


def test_aliases_lead_to_the_record_and_strangers_are_not_believed() -> None:
    wire = response(
        f"{NAME}. 60 CNAME x.list.test.",
        "x.list.test. 20 A 127.0.0.3",
        "stranger.test. 60 A 127.0.0.9",
    )
    assert read(wire) == Answer(Status.FOUND, ("127.0.0.3",), 20)
    assert read(response("stranger.test. 60 A 127.0.0.9")).status is Status.NODATA


def test_a_refusal_is_kept_for_as_long_as_its_zone_says() -> None:
    soa = "list.test. 600 SOA ns.list.test. host.list.test. 1 2 3 4 90"
    assert read(response(soa, rcode="NXDOMAIN")) == Answer(Status.NXDOMAIN, (), 90)
    assert read(response(soa)) == Answer(Status.NODATA, (), 90)
    soa = "list.test. 10 SOA ns.list.test. host.list.test. 1 2 3 4 90"
    assert read(response("list.test. 9 NS ns.test.", soa, rcode="NXDOMAIN")).ttl == 10
    assert read(response(rcode="NXDOMAIN")) == Answer(Status.NXDOMAIN)


@pytest.mark.parametrize(
    ("rcode", "status"),
    [
        ("SERVFAIL", Status.SERVFAIL),
        ("REFUSED", Status.REFUSED),
        ("FORMERR", Status.SERVFAIL),
        ("NOTIMP", Status.SERVFAIL),
    ],
)
def test_an_error_is_no_word_of_the_zone(rcode: str, status: Status) -> None:
    answer = read(response(f"{NAME}. 60 A 127.0.0.2", rcode=rcode))
    assert answer == Answer(status)
    assert not answer.status.definite


def test_only_a_response_to_the_same_question_answers_it() -> None:
    wire = response(f"{NAME}. 60 A 127.0.0.2")
    assert packet.answers(wire, SECTION)
    assert packet.answers(wire, packet.question(NAME.upper(), "A"))
    assert not packet.answers(wire, packet.question(NAME, "TXT"))
    assert not packet.answers(wire, packet.question("3.0.0.127.list.test", "A"))
    assert not packet.answers(packet.query(7, SECTION), SECTION)
    assert not packet.answers(wire[:4] + b"\0\2" + wire[6:], SECTION)
    assert not packet.answers(wire[:20], SECTION)
    assert packet.identifier(wire) == 7
    assert packet.identifier(wire[:11]) == -1


def test_truncation_shows() -> None:
    wire = response(f"{NAME}. 60 A 127.0.0.2")
    assert not packet.truncated(wire)
    assert packet.truncated(wire[:2] + bytes([wire[2] | 2]) + wire[3:])


def test_the_letters_of_a_name_are_not_taken_for_its_dots() -> None:
    data = b"\x07a.b\\c d\x04test\0"
    section = packet.question("1.test", "PTR")
    head = packet.query(7, section)
    wire = head[:2] + b"\x80\0\0\1\0\1\0\0\0\0" + section
    wire += b"\xc0\x0c\0\x0c\0\1\0\0\0\x09" + len(data).to_bytes(2, "big") + data
    assert packet.read(wire, section, "PTR").records == ("a\\.b\\\\c\\032d.test",)


@pytest.mark.parametrize(
    "owner",
    [
        b"\xc0\xff",
        b"\xc0\x25",
        b"\x01a\xc0\x25",
        b"\x80\x01",
        b"\x3fshort",
        b"",
        b"\xc0",
    ],
)
def test_a_name_that_leads_nowhere_is_an_error_and_no_loop(owner: bytes) -> None:
    wire = packet.query(7, SECTION)
    wire = wire[:2] + b"\x80\0\0\1\0\1\0\0\0\0" + wire[12:]
    assert len(wire) == 0x25
    with pytest.raises(packet.MalformedError):
        packet.read(wire + owner + b"\0\1\0\1\0\0\0\x09\0\4\x7f\0\0\2", SECTION, "A")


def test_a_chain_of_pointers_ends() -> None:
    wire = packet.query(7, SECTION)
    wire = wire[:2] + b"\x80\0\0\1\0\2\0\0\0\0" + wire[12:]
    steps = b"".join((0xC000 | 0x25 + 11 + 2 * step).to_bytes(2, "big") for step in range(40))
    first = b"\0\0\x10\0\1\0\0\0\x09" + (len(steps) + 2).to_bytes(2, "big") + b"\xc0\x0c" + steps
    last = (0xC000 | len(wire) + len(first) - 2).to_bytes(2, "big")
    with pytest.raises(packet.MalformedError, match="pointer"):
        packet.read(wire + first + last + b"\0\1\0\1\0\0\0\x09\0\4\x7f\0\0\2", SECTION, "A")


@pytest.mark.parametrize("data", [b"", b"\x7f\0\0", b"\x7f\0\0\2\0"])
def test_an_address_of_another_length_is_an_error(data: bytes) -> None:
    wire = packet.query(7, SECTION)
    wire = wire[:2] + b"\x80\0\0\1\0\1\0\0\0\0" + wire[12:]
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x09" + len(data).to_bytes(2, "big") + data
    with pytest.raises(packet.MalformedError):
        packet.read(wire + record, SECTION, "A")


@given(
    st.integers(0, 65535),
    st.sampled_from(get_args(Rtype)),
    st.tuples(*[st.integers(0, 300)] * 3),
    st.binary(max_size=600),
)
def test_any_bytes_are_an_answer_or_malformed(
    flags: int, rtype: Rtype, counts: tuple[int, int, int], rest: bytes
) -> None:
    section = packet.question(NAME, rtype)
    numbers = (7, flags, 1, *counts)
    wire = b"".join(number.to_bytes(2, "big") for number in numbers) + section + rest
    packet.answers(wire, section)
    packet.truncated(wire)
    try:
        answer = packet.read(wire, section, rtype)
    except packet.MalformedError:
        return
    assert len(answer.records) <= 64
    assert answer.ttl >= 0


@given(st.data())
def test_a_damaged_answer_is_an_answer_or_malformed(data: st.DataObject) -> None:
    wire = bytearray(
        response(
            f"{NAME}. 60 CNAME x.list.test.",
            "x.list.test. 20 A 127.0.0.3",
            "list.test. 600 SOA ns.list.test. host.list.test. 1 2 3 4 90",
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    packet.identifier(cut)
    if packet.answers(cut, SECTION):
        try:
            packet.read(cut, SECTION, "A")
        except packet.MalformedError:
            return


@given(st.binary(max_size=64))
def test_any_datagram_has_an_id_or_none(wire: bytes) -> None:
    assert -1 <= packet.identifier(wire) <= 65535
    assert not packet.answers(wire[:12], SECTION)
