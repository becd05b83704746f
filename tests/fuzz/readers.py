"""Laws of what is read from a network, a directory or a file: DNS answers, LDAP rows, settings."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import tempfile
from collections.abc import Mapping
from pathlib import Path

from iems.codec.author import MOST, authors
from iems.codec.dmarc import InvalidRecordError, is_record
from iems.codec.dmarc import parse as read_record
from iems.directory import rows
from iems.directory.reader import DirectoryUnavailable
from iems.directory.rows import Read
from iems.directory.store import Row
from iems.directory.table import COLUMNS, Line, read_csv, read_ldif
from iems.directory.toml import TomlDirectory
from iems.directory.tree import read_catch_all, read_domains, read_entries
from iems.dns import packet
from iems.dns.resolver import Answer, Rtype, Status, Then
from iems.dns.spf import Evaluation, Identity, Records
from iems.dns.zonefile import Ready
from iems.model.address import Address, domain_name
from iems.serve.deadline import Deadline
from iems.settings.load import load
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from iems.store.keys import Keyring, KeyringError
from milters.assembly import lists
from milters.checks.dnsbl import parse
from milters.checks.guard import published
from milters.checks.zone import outcome

_LIST = parse({"zone": "list.test"}, "checks.dnsbl.one")
_TYPES: tuple[Rtype, ...] = ("A", "AAAA", "MX", "PTR", "TXT")
_NAME = "2.0.0.127.list.test"
_RESULTS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
_CLASSES = (b"iemsUser", b"iemsAlias", b"iemsDomain", b"top")
_ATTRIBUTES = (
    *("iemsAddress", "iemsTarget", "iemsDomainName", "iemsPolicy"),
    *("iemsForward", "iemsDisabled", "iemsKind"),
)
_KINDS: Mapping[str, Read] = {
    "user": rows.user,
    "alias": rows.alias,
    "domain": rows.domain(Address("post", "example.net")),
    "policy": rows.policy,
}


def dns(data: bytes) -> None:
    """A datagram is an answer to our question or MalformedError; its records fit their type."""
    rtype = _TYPES[data[0] % 4] if data else "A"
    section = packet.question(_NAME, rtype)
    head, rest = data[1:13].ljust(12, b"\0"), data[13:]
    for wire in (
        data,
        head + section + rest,
        head[:2] + b"\x81\x80\0\1" + head[6:] + section + rest,
    ):
        packet.identifier(wire)
        if not packet.answers(wire, section):
            continue
        packet.truncated(wire)
        try:
            answer = packet.read(wire, section, rtype)
        except packet.MalformedError:
            continue
        assert isinstance(answer, Answer)
        assert len(answer.records) <= 64
        assert 0 <= answer.ttl < 1 << 32
        if rtype == "A":
            outcome(_LIST, answer)


def spf(data: bytes) -> None:
    """A record has a result and asks a bounded number of names; it is the record of every name.

    Lines of the input are the record, another TXT, the sender and the HELO.
    """
    record, other, sender, helo = [
        line.decode("latin-1") for line in (data.split(b"\n") + [b""] * 4)[:4]
    ]
    text = f"v=spf1 {record}"
    asked: list[str] = []
    answers = {
        "A": (other, "192.0.2.9"),
        "AAAA": (other,),
        "MX": tuple(f"{n} m{n}.test" for n in range(10)),
        "PTR": (other, *(f"p{n}.test" for n in range(10))),
    }

    class Everything:
        def ask(self, name: str, rtype: Rtype, _then: Then | None = None) -> Ready:
            packet.question(name, rtype)
            asked.append(name)
            own = (text,) if name == "e.test" or len(name) % 2 else (other,)
            return Ready(Answer(Status.FOUND, answers.get(rtype, own)))

    for client in ("192.0.2.1", "2001:db8::1"):
        who = Identity.of(ipaddress.ip_address(client), f"{sender}@e.test", helo, "here")
        result = Evaluation(Everything(), who, Records()).result(Deadline.after(60))
        assert result.outcome in _RESULTS
        assert all(map(str.isascii, (result.mechanism, result.problem, result.explanation)))
        assert len(asked) <= 250, "10 terms, each with 10 hosts and what is asked ahead"
        asked.clear()


def dmarc(data: bytes) -> None:
    """A From has domains or a fault, and a record is one or InvalidRecordError.

    The first line is the record, the others, without their `\\r`, are values of From.
    """
    record, *fields = data.split(b"\n")
    text = f"v=DMARC1;{record.decode('latin-1')}"
    assert is_record(text)
    with contextlib.suppress(InvalidRecordError):
        assert 0 <= read_record(text).share <= 100
    found = authors([b"\n ".join(field.split(b"\r")) for field in fields])
    assert found.domains or found.fault
    assert len(found.domains) <= MOST
    assert len(set(found.domains)) == len(found.domains)
    for domain in found.domains:
        assert domain_name(domain) == domain
        assert "." in domain


def settings(data: bytes) -> None:
    """A file is settings or a SettingsError that has something to say; so is a directory."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "iems.toml"
        file.write_bytes(data)
        for read in (_settings, TomlDirectory.load):
            try:
                read(file)
                faults: tuple[str, ...] = ("none",)
            except SettingsError as error:
                faults = error.faults
            assert faults
            assert all(faults)


def _settings(file: Path) -> Settings:
    found = load(file)
    lists(found)
    return found


def files(data: bytes) -> None:
    """A keyring is one or a KeyringError that names its file; health is known or not."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(data)
        try:
            known = Keyring.load(file)
            told = str(file) if known.secret(known.active.id) == known.active.secret else ""
        except KeyringError as error:
            told = str(error)
        assert str(file) in told
        published(file)


def ldap(data: bytes) -> None:
    """Rows of any bytes are entries, or the directory is unavailable; notes are bounded.

    A row a line of the input: its class by the first byte, then values, each behind 0x01 to 0x07
    by its attribute. It stands below the domain of its address.
    """
    notes: list[str] = []
    found = [_row(line) for line in data.split(b"\n")[:50]]
    for read in (read_entries, read_domains):
        try:
            read(found, notes.append)
        except DirectoryUnavailable:
            continue
    for row in found:
        try:
            read_catch_all(row, notes.append)
        except DirectoryUnavailable:
            continue
    assert all(len(note) < 2000 for note in notes)


def _row(line: bytes) -> Row:
    attributes: dict[str, list[bytes]] = {"objectClass": [_CLASSES[line[0] % 4]] if line else []}
    value, name = bytearray(), ""
    for byte in [*line[1:], 1]:
        if 1 <= byte <= len(_ATTRIBUTES):
            if name:
                attributes.setdefault(name, []).append(bytes(value))
            value, name = bytearray(), _ATTRIBUTES[byte - 1]
        else:
            value.append(byte)
    address = b"".join(attributes.get("iemsAddress", ())[:1]).decode("utf-8", "replace")
    domain = b"".join(attributes.get("iemsDomainName", ())[:1]).decode("utf-8", "replace")
    top = ("iemsDomainName", (domain or address.rpartition("@")[2])[:100]), ("ou", "domains")
    return Row(top if domain else (("uid", "x"), *top), attributes)


def table(data: bytes) -> None:
    """A file is rows and faults, each at its line and in order; a row is an entry or ValueError.

    The first byte tells its kind and form; a CSV file gets the header that it wants.
    """
    kind = list(COLUMNS)[data[0] % 4] if data else "user"
    header = ",".join(COLUMNS[kind]).encode()
    lines = io.BytesIO(data[1:]).readlines()
    for found in (read_ldif(kind, lines), read_csv(kind, [header + b"\n", *lines])):
        last = 0
        for one in found:
            number = one.number if isinstance(one, Line) else one.line
            assert last <= number <= len(lines) + 1
            last = number
            if isinstance(one, Line):
                _entry(kind, one)


def _entry(kind: str, line: Line) -> None:
    try:
        wanted = _KINDS[kind](line)
    except ValueError:
        return
    for values in (*wanted.wanted.values(), *(wanted.new or {}).values()):
        for value in values:
            value.decode("utf-8")
            assert b"\n" not in value or line.dn
