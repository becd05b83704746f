"""Any text in a question, a name or a value, at a real slapd: it means itself and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from iems.directory.ldap import LdapStore
from iems.directory.reader import Alias, DirectoryUnavailable
from iems.directory.store import EntryExistsError, WriteRefusedError
from iems.directory.tree import (
    ADDRESS,
    ATTRIBUTES,
    DOMAINS,
    POLICY,
    TARGET,
    TreeDirectory,
    alias_entry,
    user_entry,
)
from iems.model.address import Address, AddressError
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack.slapd import Slapd

DOMAIN = "hostile.test"
ALICE = Address("alice", DOMAIN)
AGAIN = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
letters = st.sampled_from(
    [*'*()\\&|!=~<>"#+,;/ \0\r\n\x7f', "alice", "@", DOMAIN, "é", "\u202e", "x"]
)
texts = st.lists(letters, max_size=12).map("".join) | st.text(max_size=30)
octets = st.binary(max_size=40) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """The tree with one user in it."""
    server.add(tree.domain(DOMAIN) + tree.user(str(ALICE)))
    return server


@pytest.fixture(scope="module")
def reader(populated: Slapd) -> LdapStore:
    """As the milter asks."""
    return tree.store(populated, "milter")


@pytest.fixture(scope="module")
def writer(populated: Slapd) -> LdapStore:
    """As the command line writes."""
    return tree.store(populated, "admin")


def soon() -> Deadline:
    """More than a busy machine takes for one question."""
    return Deadline.after(10)


def directory(store: LdapStore, notes: list[str]) -> TreeDirectory:
    """The directory in it."""
    return TreeDirectory(store, 10, notes.append)


@AGAIN
@given(texts)
@example("*")
@example(f"x)({ADDRESS}=*")
@example("alice\\40hostile.test")
@example(f"alice@{DOMAIN}\0")
def test_a_question_finds_what_it_names_and_nothing_else(reader: LdapStore, text: str) -> None:
    try:
        rows = reader.search(DOMAINS, [(ADDRESS, text)], ATTRIBUTES, soon())
    except DirectoryUnavailable:
        assert not text.isprintable()
        return
    assert not rows or " ".join(text.casefold().split()) == str(ALICE)


@pytest.mark.parametrize(
    "local", ['a,b+c="d"#', "#0401ff", " x ", "uid=alice", "a*(b)", "\\41", "é;ü"]
)
def test_a_name_with_signs_is_taken(reader: LdapStore, writer: LdapStore, local: str) -> None:
    assert added_and_found(reader, writer, Address(local, DOMAIN))


@AGAIN
@given(texts.filter(bool))
def test_any_name_is_one_entry_and_comes_back(
    reader: LdapStore, writer: LdapStore, local: str
) -> None:
    try:
        address = Address.parse(str(Address(local, DOMAIN)))
    except AddressError:
        return
    added_and_found(reader, writer, address)


def added_and_found(reader: LdapStore, writer: LdapStore, address: Address) -> bool:
    """Add an alias, find it, remove it; False where the server does not take it."""
    name, written = alias_entry(str(address))
    values = {
        "objectClass": [b"iemsAlias"],
        ADDRESS: [written.encode()],
        TARGET: [f"mark@{DOMAIN}".encode()],
    }
    marked = [(TARGET, f"mark@{DOMAIN}")]
    try:
        writer.add(name, values, soon())
    except (WriteRefusedError, EntryExistsError):
        return False
    try:
        entry = directory(reader, []).find([address], soon())[address.key]
        assert isinstance(entry, Alias)
        assert entry.address.key == address.key
        assert len(reader.search(DOMAINS, marked, ATTRIBUTES, soon())) == 1
    finally:
        writer.delete(name, soon())
    assert not reader.search(DOMAINS, marked, ATTRIBUTES, soon())
    return True


@AGAIN
@given(octets.filter(bool), octets.filter(bool))
@example(b"\xff", b"\xff")
@example(b"dnsbl/a listed choice junk", b"dnsbl/a  listed choice junk")
def test_values_of_any_bytes_take_no_user_away(
    reader: LdapStore, writer: LdapStore, one: bytes, two: bytes
) -> None:
    kept: list[bytes] = []
    for value in {one, two}:
        try:
            writer.change(user_entry(ALICE), {POLICY: ([], [value])}, soon())
            kept.append(value)
        except WriteRefusedError:
            continue
    notes: list[str] = []
    try:
        assert directory(reader, notes).find([ALICE], soon()).keys() == {ALICE.key}
    finally:
        if kept:
            writer.change(user_entry(ALICE), {POLICY: (kept, [])}, soon())
    assert len(notes) <= len(kept)
