"""When passwords end, as the agent reads it of a real slapd with rules for passwords."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from iems.directory.passwords import Ending, endings
from iems.directory.reader import DirectoryUnavailable
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack.slapd import BASE, Slapd

DAY = 86400
DOMAIN = "ends.test"
DEFAULT = f"cn=users,ou=passwords,{BASE}"


def age(server: Slapd, dn: str, days: int) -> None:
    """How long passwords last by these rules."""
    server.modify(f"dn: {dn}\nchangetype: modify\nreplace: pwdMaxAge\npwdMaxAge: {days * DAY}\n")


@contextlib.contextmanager
def rules(server: Slapd, name: str, days: int) -> Iterator[str]:
    """Rules of their own, as a line of a user's entry."""
    dn = f"cn={name},ou=passwords,{BASE}"
    server.add(
        f"dn: {dn}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: {name}\n"
        f"pwdAttribute: userPassword\npwdMaxAge: {days * DAY}\n"
    )
    yield f"pwdPolicySubentry: {dn}"
    server.delete(dn)


@pytest.fixture
def domain(server: Slapd) -> Iterator[Slapd]:
    """The server with a domain of this test's own; the rules are as they were afterwards."""
    server.add(tree.domain(DOMAIN))
    yield server
    age(server, DEFAULT, 0)
    server.delete(f"iemsDomainName={DOMAIN},ou=domains,{BASE}")


def found(server: Slapd, now: float, days: float, notes: list[str] | None = None) -> list[Ending]:
    """Whose passwords end within so many days, in this test's domain, as the agent sees it."""
    heard = [] if notes is None else notes
    deadline = Deadline.after(20)
    rows = endings(tree.store(server, "agent"), now, days * DAY, heard.append, deadline)
    return sorted(
        (one for one in rows if one.address.domain == DOMAIN), key=lambda one: one.address.key
    )


def test_rules_of_all_and_of_one(domain: Slapd) -> None:
    """Each by his own; who is disabled or has rules without an end is not among them."""
    now = time.time()
    with rules(domain, "short", 5) as short, rules(domain, "never", 0) as never:
        age(domain, DEFAULT, 30)
        domain.add(
            tree.user(f"all@{DOMAIN}")
            + tree.user(f"one@{DOMAIN}", short)
            + tree.user(f"printer@{DOMAIN}", short, "iemsKind: send-only")
            + tree.user(f"never@{DOMAIN}", never)
            + tree.user(f"gone@{DOMAIN}", short, "iemsDisabled: has left")
        )
        five, thirty = found(domain, now, 6), found(domain, now, 31)
        assert [(one.address.local, one.takes_mail) for one in five] == [
            ("one", True), ("printer", False),
        ]  # fmt: skip
        assert abs(five[0].ends - now - 5 * DAY) < 10
        assert [one.address.local for one in thirty] == ["all", "one", "printer"]
        assert abs(thirty[0].ends - now - 30 * DAY) < 10
        # Not yet, in time, and over.
        assert [len(found(domain, now + day * DAY, 2)) for day in (1, 4, 6, 29, 31)] == [
            0,
            2,
            0,
            1,
            0,
        ]
        assert found(domain, now, 4) == []


def test_by_default_no_password_ends(domain: Slapd) -> None:
    domain.add(tree.user(f"all@{DOMAIN}"))
    assert found(domain, time.time(), 365) == []


def test_more_than_a_page(domain: Slapd) -> None:
    """Everybody is found once, however many there are."""
    age(domain, DEFAULT, 10)
    names = [f"u{number:04}" for number in range(1200)]
    domain.add("".join(tree.user(f"{name}@{DOMAIN}") for name in names))
    assert [one.address.local for one in found(domain, time.time(), 11)] == names


def test_an_entry_speaks_for_nobody_else(domain: Slapd) -> None:
    """Whoever may write in one domain has no mail sent to addresses of another."""
    age(domain, DEFAULT, 10)
    domain.add(tree.user(f"eve@{DOMAIN}"))
    domain.modify(
        f"dn: {tree.user_dn(f'eve@{DOMAIN}')}\nchangetype: modify\n"
        "replace: iemsAddress\niemsAddress: victim@elsewhere.test\n"
    )
    assert [str(one.address) for one in found(domain, time.time(), 11)] == [f"eve@{DOMAIN}"]


def test_without_rules_or_server(domain: Slapd) -> None:
    """An account that may not read the rules finds none; a server that is down is an error."""
    age(domain, DEFAULT, 10)
    domain.add(tree.user(f"all@{DOMAIN}"))
    heard: list[str] = []
    milter = tree.store(domain, "milter")
    assert list(endings(milter, time.time(), 365 * DAY, heard.append, Deadline.after(20))) == []
    domain.stop()
    try:
        with pytest.raises(DirectoryUnavailable):
            found(domain, time.time(), 11)
    finally:
        domain.start()
    assert len(found(domain, time.time(), 11)) == 1
    assert heard == []
