"""Rules of users in a real slapd: kept as they are, and what they refuse read beside the list."""

from __future__ import annotations

import pytest

from iems.directory.admin import Admin
from iems.directory.authority import Actor, NotAuthorisedError
from iems.directory.mailsort import LARGEST, Shelf, Stored
from iems.directory.reader import Directory, User
from iems.directory.store import NoEntryError
from iems.directory.toml import TomlDirectory
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack.slapd import Slapd

DOMAIN = "mailsort.test"
ALICE, BOB = Address("alice", DOMAIN), Address("bob", DOMAIN)
TOML = f"""
[domains."{DOMAIN}"]
[users."alice@{DOMAIN}"]
senders = ["block spam@example.net envelope", "block .example.org envelope", "block own.example",
  "allow friend.example"]
"""


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """alice, whose rules refuse three, bob, and names that lead to them."""
    refused = [f"iemsMailsortRefuse: {one}" for one in ("spam@example.net", ".Example.org")]
    server.add(
        tree.domain(DOMAIN)
        + tree.domain("other.mailsort.test")
        + tree.user(
            f"alice@{DOMAIN}",
            *(*refused, "iemsMailsortRefuse: own.example", "iemsSender: block own.example"),
            "iemsMailsortRefuseText: Spam@example.net I have left.",
            "iemsSender: allow friend.example",
        )
        + tree.user(f"bob@{DOMAIN}")
        + tree.alias(f"ally@{DOMAIN}", f"alice@{DOMAIN}")
        + tree.alias(f"team@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}")
        + tree.alias(f"@{DOMAIN}", f"alice@{DOMAIN}")
        + tree.alias("@other.mailsort.test", f"@{DOMAIN}")
    )
    return server


def shelf(server: Slapd, actor: Address | None = None) -> tuple[Shelf, list[str]]:
    """The rules for the site, or for a user; and what the audit is told."""
    told: list[str] = []

    def audit(who: Actor, verb: str, thing: object, result: str) -> None:
        told.append(f"{who} {verb} {thing} {result}")

    admin = Admin(tree.store(server, "admin"), Actor(), audit, 5.0)
    return Shelf(admin.acting_as(actor) if actor else admin), told


@pytest.mark.parametrize("kind", ["toml", "ldap"])
def test_what_rules_refuse_stands_beside_the_list(populated: Slapd, kind: str) -> None:
    """By the envelope sender alone; an entry of his own list of the same pattern counts first."""
    store = tree.store(populated, "milter")
    directory: Directory = TreeDirectory(store, 5.0, lambda _note: None)
    if kind == "toml":
        directory = TomlDirectory.parse(TOML)
    [found] = directory.find([ALICE], Deadline.after(5)).values()
    assert isinstance(found, User)
    assert {str(one) for one in found.layer.senders.values()} == {
        "block spam@example.net envelope",
        "block .example.org envelope",
        "block own.example",
        "allow friend.example",
    }
    told = {one.pattern: one.told for one in found.layer.senders.values() if one.told}
    assert told == ({"spam@example.net": "I have left."} if kind == "ldap" else {})


def test_rules_are_kept_as_they_are(populated: Slapd) -> None:
    """Up to the largest, told to the audit without what they say, and taken away again."""
    rules, told = shelf(populated)
    assert rules.read(BOB) == Stored()
    for text in (b"{}", '{ "ü" :  1 }\n'.encode(), b"x" * LARGEST):
        assert rules.write(BOB, text)
        assert not rules.write(BOB, text)
        assert rules.read(BOB).text == text
    with pytest.raises(ValueError, match="expected at most"):
        rules.write(BOB, b"x" * (LARGEST + 1))
    refused = {"b.example": "", "a@b.example": "No.", '"x y"@b.example': "No, 100 %"}
    assert rules.derive(BOB, refused, facts=True)
    assert not rules.derive(BOB, dict(reversed(refused.items())), facts=True)
    assert rules.read(BOB).refused == refused
    assert rules.derive(BOB, {**refused, "a@b.example": "no."}, facts=True)
    assert rules.read(BOB).refused["a@b.example"] == "no."
    assert rules.derive(BOB, {}, facts=False)
    assert rules.write(BOB, b"")
    assert rules.read(BOB) == Stored()
    assert set(told) == {f"site set mailsort bob@{DOMAIN} done"}


def test_who_may(populated: Slapd) -> None:
    """A user his own, and nobody else's."""
    rules, told = shelf(populated, ALICE)
    assert rules.read(ALICE).allowed == {"friend.example"}
    assert rules.write(ALICE, b"{}")
    for forbidden in (rules.read, lambda user: rules.write(user, b"{}")):
        with pytest.raises(NotAuthorisedError):
            forbidden(BOB)
    assert told[-1] == f"user alice@{DOMAIN} set mailsort bob@{DOMAIN} NotAuthorisedError"
    with pytest.raises(NoEntryError):
        shelf(populated)[0].read(Address("nobody", DOMAIN))


def test_other_addresses_of_a_user(populated: Slapd) -> None:
    """Names that are his alone: no list, no catch-all; and those of another name of his domain."""
    rules, _told = shelf(populated)
    assert rules.others(ALICE) == (f"alice@other.{DOMAIN}", f"ally@{DOMAIN}")
    assert rules.others(BOB) == (f"bob@other.{DOMAIN}",)
