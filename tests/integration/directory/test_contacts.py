"""Address books at a real slapd: whose they are, what is found in them, and what they never are."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import ldap
import pytest
from ldap.ldapobject import SimpleLDAPObject

from iems.directory.contacts import knows
from iems.directory.ldap import Account, LdapStore
from iems.directory.reader import DirectoryUnavailable
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.directory.conftest import CLI_DOMAIN, Iems
from tests.integration.directory.test_rights import Sample, finds, reads, writes
from tests.integration.stack.slapd import BASE, ROOT_DN, ROOT_PASSWORD, Slapd

DOMAIN = "contacts.test"
ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
FRIEND = "friend@example.net"
TOP = f"ou=contacts,{BASE}"
Entry = tuple[str, list[tuple[str, list[bytes]]]]
REFUSALS = (ldap.INSUFFICIENT_ACCESS, ldap.NO_SUCH_OBJECT, ldap.OBJECT_CLASS_VIOLATION)


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """The server with two users, of whom alice has an address book and bob none."""
    server.add(tree.domain(DOMAIN) + tree.user(ALICE) + tree.user(BOB) + tree.book(ALICE))
    return server


@pytest.fixture
def alice(populated: Slapd) -> Iterator[SimpleLDAPObject]:
    """Alice as her mail program binds."""
    connection = tree.bound(populated, tree.user_dn(ALICE), tree.password("alice"))
    yield connection
    connection.unbind_s()


def known(server: Slapd, user: str, author: Address) -> bool:
    """What the agent is told."""
    return knows(tree.store(server, "agent", 1), user, author, Deadline.after(10))


def contact(name: str, mail: str, *classes: str, book: str = ALICE, **more: str) -> Entry:
    """An entry as mail programs write it."""
    values = {"cn": name, "sn": name, "mail": mail, **more}
    made = [(attribute, [value.encode()]) for attribute, value in values.items()]
    kinds = [one.encode() for one in ("inetOrgPerson", *classes)]
    return f"cn={name},{tree.book_dn(book)}", [("objectClass", kinds), *made]


def test_owner_writes_and_agent_finds(populated: Slapd, alice: SimpleLDAPObject) -> None:
    """In upper and lower case; in hers alone."""
    dn, values = contact("Friend", "Friend@Example.net")
    alice.add_s(dn, values)
    assert known(populated, ALICE, Address.parse(FRIEND))
    assert known(populated, ALICE, Address.parse("FRIEND@example.NET"))
    assert not known(populated, ALICE, Address.parse("friend@example.org"))
    assert not known(populated, BOB, Address.parse(FRIEND))
    [(_dn, shown)] = alice.search_s(tree.book_dn(ALICE), ldap.SCOPE_SUBTREE, f"(mail={FRIEND})")
    assert dict(values) == shown
    alice.modify_s(dn, [(ldap.MOD_REPLACE, "mail", [b"other@example.net"])])
    assert not known(populated, ALICE, Address.parse(FRIEND))
    alice.delete_s(dn)
    assert not known(populated, ALICE, Address.parse("other@example.net"))


@pytest.mark.parametrize("local", ["*", "a*", "x)(mail=*", "x)(|(mail=*", "\\2a", "\0", "ä", "|"])
def test_letters_that_mean_something_are_letters(
    populated: Slapd, alice: SimpleLDAPObject, local: str
) -> None:
    """Whatever an author's address is made of, it is found where it stands and nowhere else."""
    author = Address(local, "example.net")
    alice.add_s(*contact("abc", "abc@example.net"))
    assert not known(populated, ALICE, author)
    written = str(author)
    if written.isascii() and written.isprintable():
        alice.add_s(*contact("same", written))
        assert known(populated, ALICE, author)
        alice.delete_s(f"cn=same,{tree.book_dn(ALICE)}")
    alice.delete_s(f"cn=abc,{tree.book_dn(ALICE)}")


def test_more_entries_than_are_shown(populated: Slapd, alice: SimpleLDAPObject) -> None:
    """Over a hundred of one address are one that is known, and no failure; she sees them all."""
    populated.add(
        "".join(tree.contact(ALICE, f"m{number}", "many@x.test") for number in range(101))
    )
    assert known(populated, ALICE, Address.parse("many@x.test"))
    shown = alice.search_s(tree.book_dn(ALICE), ldap.SCOPE_SUBTREE, "(mail=many@x.test)", ["mail"])
    assert len(shown) == 101


def test_a_server_that_does_not_answer_is_no_answer() -> None:
    """In time, and not "he is not in it"."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"ldap://127.0.0.1:{deaf.getsockname()[1]}"
        store = LdapStore(Account(uri, BASE, tree.service_dn("agent"), "x"), 1)
        begun = time.monotonic()
        with pytest.raises(DirectoryUnavailable):
            knows(store, ALICE, Address.parse(FRIEND), Deadline.after(0.2))
        assert time.monotonic() - begun < 5


def test_nobody_makes_a_book_for_another(populated: Slapd, alice: SimpleLDAPObject) -> None:
    """Neither by making nor by renaming nor by moving one of her entries."""
    mine, his = tree.book_dn(ALICE), tree.book_dn(BOB)
    dn, values = contact("Evil", FRIEND)
    alice.add_s(dn, values)
    unit = [("objectClass", [b"organizationalUnit"]), ("ou", [b"x", BOB.encode()])]
    alice.add_s(f"ou=x,{mine}", unit)
    with pytest.raises(REFUSALS):
        alice.add_s(his, unit)
    with pytest.raises(REFUSALS):
        alice.rename_s(mine, f"ou={BOB}")
    for entry in (f"ou=x,{mine}", dn):
        for remove in (0, 1):
            with pytest.raises(REFUSALS):
                alice.rename_s(entry, f"ou={BOB}", TOP, remove)
    populated.add(tree.book(BOB))
    for superior in (his, TOP, f"iemsDomainName={DOMAIN},ou=domains,{BASE}"):
        with pytest.raises(REFUSALS):
            alice.rename_s(dn, "cn=Evil", superior)
    with pytest.raises(REFUSALS):
        alice.add_s(*contact("Evil", FRIEND, book=BOB))
    with pytest.raises(REFUSALS):
        alice.search_s(his, ldap.SCOPE_SUBTREE)
    with pytest.raises(REFUSALS):
        alice.delete_s(mine)
    assert not known(populated, BOB, Address.parse(FRIEND))


def test_who_may_what(populated: Slapd) -> None:
    """The owner and the site's administrator all, the agent ask for an address, the others nothing;
    they read what may be read, find what may be found and write what may be written."""
    populated.add(tree.contact(ALICE, "Carol", "carol@x.test", "telephoneNumber: +49 1"))
    people = {"owner": (ALICE, "alice"), "other": (BOB, "bob"), "anonymous": ("", "")}
    logins = {who: (user and tree.user_dn(user), name) for who, (user, name) in people.items()}
    logins |= {name: (tree.service_dn(name), name) for name in tree.SERVICES}
    dn = f"cn=Carol,{tree.book_dn(ALICE)}"
    samples = [
        Sample("", dn, "mail", b"carol@x.test"),
        Sample("", dn, "telephoneNumber", b"+49 1"),
        Sample("", dn, "objectClass", b"inetOrgPerson"),
        Sample("", tree.book_dn(ALICE), "ou", ALICE.encode()),
    ]
    for who, (login, name) in logins.items():
        connection = tree.bound(populated, login, tree.password(name))
        all_of_it = who in {"owner", "admin"}
        for one in samples:
            asked = all_of_it or (who, one.attribute) == ("agent", "mail")
            assert reads(connection, one) == all_of_it, (who, one)
            assert finds(connection, one) == asked, (who, one)
            if one.attribute != "ou":
                assert writes(populated, connection, one) == all_of_it, (who, one)
        connection.unbind_s()
    agent = tree.bound(populated, tree.service_dn("agent"), tree.password("agent"))
    assert agent.search_s(dn, ldap.SCOPE_BASE, "(mail=carol@x.test)") == [(dn, {})]
    agent.unbind_s()


def test_a_contact_is_no_account(populated: Slapd, alice: SimpleLDAPObject) -> None:
    """She cannot give it a class or attribute of ours, and nobody logs in as it."""
    stolen = f"new@{DOMAIN}"
    for more in (
        contact("u", stolen, "iemsUser", iemsAddress=stolen),
        contact("v", stolen, "extensibleObject", iemsAddress=stolen),
        (f"iemsAddress={stolen},{tree.book_dn(ALICE)}", _alias(stolen, "alice@evil.test")),
        (f"uid=r,{tree.book_dn(ALICE)}", _referral()),
    ):
        with pytest.raises(REFUSALS):
            alice.add_s(*more)
    dn, values = contact("p", stolen, uid="new", userPassword="secret of new")
    alice.add_s(dn, values)
    with pytest.raises(ldap.INVALID_CREDENTIALS):
        tree.bound(populated, dn, "secret of new")


def test_even_accounts_among_contacts_are_found_by_nobody(populated: Slapd) -> None:
    """A whole domain there, written by the root of the tree himself; so it is for Postfix and
    Dovecot, whose questions have a test of their own."""
    populated.add(tree.among_contacts(ALICE, ALICE, f"stolen@{DOMAIN}"))
    directory = TreeDirectory(tree.store(populated, "agent", 1), 10, lambda _note: None)
    stolen = Address.parse(f"stolen@{DOMAIN}")
    found = directory.find([stolen, Address.parse(ALICE)], Deadline.after(10))
    assert list(found) == [ALICE]
    assert "evil" not in str(found)


def _alias(address: str, target: str) -> list[tuple[str, list[bytes]]]:
    values = {"objectClass": "iemsAlias", "iemsAddress": address, "iemsTarget": target}
    return [(attribute, [value.encode()]) for attribute, value in values.items()]


def _referral() -> list[tuple[str, list[bytes]]]:
    classes = [b"referral", b"uidObject"]
    return [("objectClass", classes), ("uid", [b"r"]), ("ref", [b"ldap://evil.test/"])]


def test_books_come_and_go_with_accounts(server: Slapd, iems: Iems, domain: str) -> None:
    """Who has none has one by a command, once."""
    alice, bob, carol = (f"{one}@{domain}" for one in ("alice", "bob", "carol"))
    server.add(tree.user(carol))
    assert iems("user", "add", bob)[0] == 0
    root = tree.bound(server, ROOT_DN, ROOT_PASSWORD)

    def there() -> set[str]:
        rows = root.search_s(TOP, ldap.SCOPE_SUBTREE, "(objectClass=*)", ["1.1"])
        return {dn.removesuffix(f",{TOP}") for dn, _none in rows if dn and f"@{CLI_DOMAIN}" in dn}

    assert there() == {f"ou={alice}", f"ou={bob}"}
    told = (0, "added address books: 1 of 3\n", "")
    assert iems("user", "address-books", domain) == told
    assert iems("user", "address-books", domain)[1] == "unchanged address books: 0 of 3\n"
    server.add(tree.contact(bob, "a", FRIEND) + tree.contact(carol, "a", FRIEND))
    root.rename_s(f"cn=a,{tree.book_dn(bob)}", "cn=a+sn=a+mail=friend@example.net")
    unit = [("objectClass", [b"organizationalUnit"]), ("ou", [b"deep"])]
    root.add_s(f"ou=deep,{tree.book_dn(bob)}", unit)
    root.rename_s(f"ou={bob},{TOP}", f"ou={bob}", None)
    root.add_s(f"ou=deep,ou=deep,{tree.book_dn(bob)}", unit)
    assert iems("user", "delete", bob)[0] == 0
    assert there() == {f"ou={alice}", f"ou={carol}", f"cn=a,ou={carol}"}
    assert iems("domain", "delete", domain, "--recursive")[0] == 0
    assert there() == set()
    root.unbind_s()
