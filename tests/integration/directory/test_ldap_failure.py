"""A directory server that is down, deaf, talks nonsense, comes back, or is asked too much.

None of it is ever "no such user", and none of it takes longer than the caller's deadline.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from iems.directory.ldap import Account, LdapStore
from iems.directory.reader import Alias, DirectoryUnavailable, User
from iems.directory.resolve import resolve
from iems.directory.store import EntryExistsError, NoEntryError, WriteRefusedError
from iems.directory.tree import ATTRIBUTES, DOMAINS, TreeDirectory, alias_entry, user_entry
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground
from tests.integration.stack.slapd import BASE, Slapd
from tests.waiting import eventually

DOMAIN = "failure.test"
ALICE = Address("alice", DOMAIN)
SHORT = 0.5
SLACK = 5.0
"""Seconds above the deadline that a busy machine may need to notice it; who heeds none waits 30."""


@pytest.fixture(scope="module")
def own(ground: Ground) -> Iterator[Slapd]:
    """A slapd of its own, which these tests stop and start."""
    server = tree.start(ground)
    server.add(tree.domain(DOMAIN) + tree.user(str(ALICE)))
    yield server
    server.stop()


class Listener:
    """A TCP server that does with every connection what the test says, in a thread."""

    def __init__(self, behaviour: Callable[[socket.socket], None]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._behaviour = behaviour
        self._kept: list[socket.socket] = []
        self.connections = 0
        self.uri = f"ldap://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in (*self._kept, self._socket):
            connection.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _peer = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._kept.append(connection)
            self._behaviour(connection)


def deaf(_connection: socket.socket) -> None:
    """Accept and say nothing."""


def closing(connection: socket.socket) -> None:
    """Accept and hang up."""
    connection.close()


def nonsense(connection: socket.socket) -> None:
    """Answer in another language."""
    connection.sendall(b"220 mail.example.test ESMTP\r\n" * 10)


def busy(connection: socket.socket) -> None:
    """Refuse the bind: busy (51), RFC 4511 section 4.1.9."""
    connection.recv(4096)
    connection.sendall(bytes.fromhex("300c02010161070a0133040004 00".replace(" ", "")))


def directory_at(uri: str, *, size: int = 2, timeout: float = 30.0) -> TreeDirectory:
    """A directory as the milter has it, at this place."""
    account = Account(uri, BASE, tree.service_dn("milter"), tree.password("milter"))
    return TreeDirectory(LdapStore(account, size), timeout, lambda _text: None)


@pytest.mark.parametrize("behaviour", [deaf, closing, nonsense, busy])
def test_server_that_does_not_answer(behaviour: Callable[[socket.socket], None]) -> None:
    """Unavailable, and in time."""
    listener = Listener(behaviour)
    try:
        directory = directory_at(listener.uri)
        for ask in (
            lambda: directory.find([ALICE], Deadline.after(SHORT)),
            lambda: directory.find_catch_all([DOMAIN], Deadline.after(SHORT)),
            lambda: directory.domains([DOMAIN], Deadline.after(SHORT)),
            lambda: resolve(directory, ALICE, Deadline.after(SHORT)),
        ):
            begun = time.monotonic()
            with pytest.raises(DirectoryUnavailable):
                ask()
            assert time.monotonic() - begun < SHORT + SLACK
    finally:
        listener.close()


def test_own_timeout_bounds_the_search() -> None:
    """The bound of one search counts where the caller has more time."""
    listener = Listener(deaf)
    try:
        begun = time.monotonic()
        with pytest.raises(DirectoryUnavailable):
            directory_at(listener.uri, timeout=SHORT).find([ALICE], Deadline.after(30))
        assert time.monotonic() - begun < SHORT + SLACK
    finally:
        listener.close()


def test_nobody_listens() -> None:
    """Unavailable at once, over TCP and over a socket that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"ldap://127.0.0.1:{free.getsockname()[1]}"
    for place in (uri, "ldapi://%2Fnonexistent%2Fldapi"):
        with pytest.raises(DirectoryUnavailable):
            directory_at(place).find([ALICE], Deadline.after(5))


def test_wrong_password(own: Slapd) -> None:
    """Unavailable; the password is not told."""
    account = Account(own.ldapi, BASE, tree.service_dn("milter"), "wrong secret")
    directory = TreeDirectory(LdapStore(account, 1), 5, lambda _text: None)
    with pytest.raises(DirectoryUnavailable, match="INVALID_CREDENTIALS") as raised:
        directory.find([ALICE], Deadline.after(5))
    assert "wrong secret" not in f"{raised.value} {account}"


def test_tree_that_is_not_there(own: Slapd) -> None:
    """A base without entries is unavailable, not empty."""
    account = Account(own.ldapi, "o=elsewhere", tree.service_dn("milter"), tree.password("milter"))
    directory = TreeDirectory(LdapStore(account, 1), 5, lambda _text: None)
    with pytest.raises(DirectoryUnavailable, match="NO_SUCH_OBJECT"):
        directory.find([ALICE], Deadline.after(5))


def test_account_without_rights(own: Slapd) -> None:
    """Whoever may not search learns nothing, and does not take it for an answer."""
    account = Account(own.ldapi, BASE, tree.user_dn(str(ALICE)), tree.password("alice"))
    directory = TreeDirectory(LdapStore(account, 1), 5, lambda _text: None)
    with pytest.raises(DirectoryUnavailable):
        directory.find([ALICE], Deadline.after(5))


def test_stopped_and_started(own: Slapd) -> None:
    """Down is unavailable; back again, the connections that were kept are replaced unnoticed."""
    directory = directory_at(own.ldapi, size=3)
    found = directory.find([ALICE], Deadline.after(5))
    assert found
    threads = [
        threading.Thread(target=directory.find, args=([ALICE], Deadline.after(5)))
        for _number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own.stop()
    try:
        with pytest.raises(DirectoryUnavailable):
            directory.find([ALICE], Deadline.after(5))
    finally:
        own.start()
    for _number in range(4):
        assert directory.find([ALICE], Deadline.after(5)) == found


def test_restart_between_two_questions(own: Slapd) -> None:
    """Every kept connection is dead, and not one caller notices."""
    directory = directory_at(own.ldapi, size=3)
    gate = threading.Barrier(3)

    def ask() -> None:
        gate.wait(60)
        directory.find([ALICE], Deadline.after(5))

    threads = [threading.Thread(target=ask) for _number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own.stop()
    own.start()
    for _number in range(4):
        assert set(directory.find([ALICE], Deadline.after(5))) == {ALICE.key}


def test_pool_is_bounded() -> None:
    """No more connections than allowed; who waits for one in vain is told in time."""
    listener = Listener(deaf)
    directory = directory_at(listener.uri, size=2)
    told: list[str] = []

    def ask(seconds: float) -> None:
        try:
            directory.find([ALICE], Deadline.after(seconds))
        except DirectoryUnavailable as error:
            told.append(str(error))

    first = [threading.Thread(target=ask, args=(60 * SHORT,)) for _number in range(2)]
    later = [threading.Thread(target=ask, args=(SHORT,)) for _number in range(4)]
    try:
        for thread in first:
            thread.start()
        eventually(lambda: listener.connections == 2, 5)
        begun = time.monotonic()
        for thread in later:
            thread.start()
        for thread in later:
            thread.join()
        assert time.monotonic() - begun < SHORT + SLACK
        assert len(told) == 4
        assert all("no free connection" in one for one in told)
        assert listener.connections == 2
    finally:
        listener.close()
        for thread in first:
            thread.join()


def test_bad_policies_are_left_out(own: Slapd) -> None:
    """Whatever a user writes into his policy, his good rules count and he gets his mail."""
    notes: list[str] = []
    directory = TreeDirectory(tree.store(own, "milter"), 5, notes.append)
    name = f"hostile@{DOMAIN}"
    values = ["dnsbl/x listed choice junk", "nonsense", "a b c d e", "dnsbl/x listed choice never"]
    values += [f"dnsbl/{'x' * 490} listed choice junk", "dnsbl/%s listed choice junk"]
    own.add(tree.user(name, *(f"iemsPolicy: {value}" for value in values)))
    [found] = directory.find([Address.parse(name)], Deadline.after(5)).values()
    assert not isinstance(found, Alias)
    assert set(found.layer.rules) == {("dnsbl/x", "listed")}
    assert len(notes) == 5
    assert all(name in note for note in notes)


def test_entry_that_makes_no_sense(own: Slapd) -> None:
    """It is unavailable, and takes nobody else with it."""
    own.add(
        tree.user(f"odd@{DOMAIN}").replace(f"iemsAddress: odd@{DOMAIN}", "iemsAddress: odd")
        + tree.user(f"twice@{DOMAIN}")
        + tree.user(f"twin@{DOMAIN}").replace(f"Address: twin@{DOMAIN}", f"Address: twice@{DOMAIN}")
        + tree.alias(f"nowhere@{DOMAIN}", "no address", "@")
        + tree.alias(f"partly@{DOMAIN}", "no address", str(ALICE))
    )
    directory = directory_at(own.ldapi)
    for name in ("twice", "nowhere"):
        with pytest.raises(DirectoryUnavailable, match="makes no sense"):
            directory.find([Address(name, DOMAIN)], Deadline.after(5))
    [partly] = directory.find([Address("partly", DOMAIN)], Deadline.after(5)).values()
    assert isinstance(partly, Alias)
    assert partly.targets == (ALICE,)
    assert set(directory.find([ALICE], Deadline.after(5))) == {ALICE.key}


def test_entry_that_claims_an_address_of_another_domain(own: Slapd) -> None:
    """It is left out with a note, user, alias and catch-all, and is in nobody's way."""
    notes: list[str] = []
    directory = TreeDirectory(tree.store(own, "milter"), 5, notes.append)
    claims = (
        tree.user(str(ALICE))
        + tree.alias(str(ALICE), "mallory@evil.test")
        + tree.alias(f"claimed@{DOMAIN}", "mallory@evil.test")
        + tree.alias(f"@{DOMAIN}", "mallory@evil.test")
        + tree.domain(DOMAIN).replace(",ou=domains", ",iemsDomainName=evil.test,ou=domains")
    )
    own.add(
        tree.domain("evil.test")
        + claims.replace(f",iemsDomainName={DOMAIN},", ",iemsDomainName=evil.test,")
    )
    found = directory.find([ALICE, Address("claimed", DOMAIN)], Deadline.after(5))
    assert [type(one) for one in found.values()] == [User]
    assert directory.find_catch_all([DOMAIN], Deadline.after(5)) == {}
    assert set(directory.domains([DOMAIN], Deadline.after(5))) == {DOMAIN}
    assert len(notes) == 4
    assert all("evil.test" in note for note in notes)


def test_many_entries(own: Slapd) -> None:
    """A batch may find more entries than slapd shows to others."""
    names = [f"many{number}@{DOMAIN}" for number in range(600)]
    own.add("".join(tree.user(name) for name in names))
    batch = [Address.parse(name) for name in names]
    assert len(directory_at(own.ldapi).find(batch, Deadline.after(20))) == len(names)


def test_writes(own: Slapd) -> None:
    """Each refusal has a name of its own."""
    store = tree.store(own, "admin")
    soon = Deadline.after(5)
    name = alias_entry(f"new@{DOMAIN}")[0]
    values = {"objectClass": [b"iemsAlias"], "iemsTarget": [b"alice@failure.test"]}
    with pytest.raises(WriteRefusedError):
        store.add(name, {"objectClass": [b"nosuchclass"]}, soon)
    store.add(name, {**values, "iemsAddress": [b"new@failure.test"]}, soon)
    with pytest.raises(EntryExistsError):
        store.add(name, values, soon)
    store.change(name, {"iemsTarget": ([b"alice@failure.test"], [b"bob@failure.test"])}, soon)
    [row] = store.search(DOMAINS, [("iemsAddress", "new@failure.test")], ATTRIBUTES, soon)
    assert row.name == name
    assert row.texts("iemsTarget") == ("bob@failure.test",)
    with pytest.raises(WriteRefusedError):
        store.change(name, {"iemsTarget": ([b"alice@failure.test"], [])}, soon)
    store.delete(name, soon)
    nobody = user_entry(Address("nobody", DOMAIN))
    with pytest.raises(NoEntryError):
        store.delete(name, soon)
    with pytest.raises(NoEntryError):
        store.change(name, {"iemsTarget": ([], [b"bob@failure.test"])}, soon)
    with pytest.raises(NoEntryError):
        store.set_password(nobody, "secret", soon)


def test_write_is_not_repeated(own: Slapd) -> None:
    """A write on a dead connection is told, for nobody knows whether it was done."""
    store = tree.store(own, "admin")
    name = alias_entry(f"once@{DOMAIN}")[0]
    store.search(DOMAINS, [("iemsAddress", "x")], ATTRIBUTES, Deadline.after(5))
    own.stop()
    own.start()
    with pytest.raises(DirectoryUnavailable):
        store.delete(name, Deadline.after(5))
