"""What every directory promises, asked of each kind: the TOML file, a real slapd, and its cache."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from iems.directory.cache import CachedDirectory
from iems.directory.reader import Alias, Directory, User, user_of
from iems.directory.resolve import Destination, UnreasonableAlias, resolve
from iems.directory.toml import TomlDirectory
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.model.policy import Action, Kind, Layer, MailingList, Rule, Subject
from iems.model.senders import SenderEntry, Senders
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack.slapd import BASE, Slapd

TEXT = """
[domains."one.contract.test"]
headers = ["size junk Subject contains,case  Größe"]
senders = ["block .Example.com"]
policy = { "dnsbl/a" = { listed = { choice = "junk", allow = ["deliver", "junk"] } } }
[domains."two.contract.test"]

[users."alice@one.contract.test"]
senders = ["allow ünïcode@example.net unverified"]
policy = { "dnsbl/a" = { listed = "deliver" }, "iprev" = { mismatch = "tag" } }
[users."bob@one.contract.test"]
[users."a*(b)\\\\c@one.contract.test"]
[users."ünïcode@one.contract.test"]
[users."a,b#c@one.contract.test"]
[users."carol@two.contract.test"]
[users."gone@one.contract.test"]
disabled = "has left"
forward = ["far@example.net"]
[users."printer@one.contract.test"]
kind = "send-only"
bayes = "shadow"
[users."lobby@one.contract.test"]
reads = "pop3"
kind = "receive-only"
[users."dora@one.contract.test"]
facts = true
forward = ["far@example.net"]
[users."erik@one.contract.test"]
forward = ["erik@one.contract.test", "far@example.net"]
[domains."three.contract.test"]
[domains."four.contract.test"]

[aliases]
"both@one.contract.test" = ["alice@one.contract.test", "bob@one.contract.test"]
"out@one.contract.test" = ["someone@example.net"]
"bob@one.contract.test" = ["bob@one.contract.test", "copy@example.net"]
"round@one.contract.test" = ["about@one.contract.test"]
"about@one.contract.test" = ["round@one.contract.test"]
"@two.contract.test" = ["alice@one.contract.test"]
"erik@one.contract.test" = ["erik@one.contract.test", "bob@one.contract.test"]
"shut@one.contract.test" = ["gone@one.contract.test", "printer@one.contract.test"]
"@three.contract.test" = ["@one.contract.test"]
"sales@three.contract.test" = ["carol@two.contract.test"]
"@four.contract.test" = ["@three.contract.test"]

[lists."both@one.contract.test"]
headers = ["bulk reject Precedence absent"]
policy = { "iprev" = { mismatch = "reject" } }
senders = ["block .Example.com"]
"""

ONE = {
    ("dnsbl/a", "listed"): Rule(frozenset({Action.DELIVER, Action.JUNK}), Action.JUNK),
    ("header/one.contract.test/size", "matched"): Rule(choice=Action.JUNK),
}
SIZE = {"header/one.contract.test/size": "Subject contains,case  Größe"}
ALICE = {
    ("dnsbl/a", "listed"): Rule(choice=Action.DELIVER),
    ("iprev", "mismatch"): Rule(choice=Action.TAG),
}
FRIEND, SPAM = "allow ünïcode@example.net unverified", "block .example.com"
FACTS = "iemsMailsortFacts: TRUE"


def senders(text: str) -> Senders:
    """A list of this one entry."""
    entry = SenderEntry.parse(text)
    return {entry.pattern: entry}


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """The slapd with what the TOML file says, written by hand as LDIF."""
    server.add(
        tree.domain(
            "one.contract.test",
            "iemsPolicy: dnsbl/a listed choice junk",
            "iemsPolicy: dnsbl/a listed allow deliver,junk",
            "iemsSender: block .Example.com",
            "iemsHeader: size junk Subject contains,case  Größe",
        )
        + tree.domain("two.contract.test")
        + tree.user(
            "alice@one.contract.test",
            "iemsPolicy: dnsbl/a listed choice deliver",
            "iemsPolicy: iprev mismatch choice tag",
            "iemsSender: allow ünïcode@example.net unverified",
        )
        + tree.user("bob@one.contract.test")
        + tree.user("carol@two.contract.test")
        + tree.user("ünïcode@one.contract.test")
        + _odd_user("x1", r'"a*(b)\\c"')
        + _odd_user("x2", '"a,b#c"')
        + tree.alias(
            "both@one.contract.test",
            *("alice@one.contract.test", "bob@one.contract.test"),
            more=(
                *("iemsPolicy: iprev mismatch choice reject", "iemsSender: block .Example.com"),
                "iemsHeader: bulk reject Precedence absent",
            ),
        )
        + tree.alias("out@one.contract.test", "someone@example.net")
        + tree.alias("bob@one.contract.test", "bob@one.contract.test", "copy@example.net")
        + tree.alias("round@one.contract.test", "about@one.contract.test")
        + tree.alias("about@one.contract.test", "round@one.contract.test")
        + tree.alias("@two.contract.test", "alice@one.contract.test")
        + tree.user(
            "gone@one.contract.test", "iemsDisabled: has left", "iemsForward: far@example.net"
        )
        + tree.user("printer@one.contract.test", "iemsKind: send-only", "iemsBayes: Shadow")
        + tree.user("lobby@one.contract.test", "iemsKind: receive-only", "iemsReads: POP3")
        + tree.user("dora@one.contract.test", "iemsForward: far@example.net", FACTS)
        + tree.user(
            "erik@one.contract.test",
            "iemsForward: erik@one.contract.test",
            "iemsForward: far@example.net",
        )
        + tree.alias("erik@one.contract.test", "erik@one.contract.test", "bob@one.contract.test")
        + tree.alias(
            "shut@one.contract.test", "gone@one.contract.test", "printer@one.contract.test"
        )
        + tree.domain("three.contract.test")
        + tree.domain("four.contract.test")
        + tree.alias("@three.contract.test", "@one.contract.test")
        + tree.alias("sales@three.contract.test", "carol@two.contract.test")
        + tree.alias("@four.contract.test", "@three.contract.test")
    )
    return server


def _odd_user(uid: str, local: str) -> str:
    """A user with a local part that means something to LDAP; the name of the entry is plain."""
    text = tree.user(f"{uid}@one.contract.test")
    return text.replace(f"iemsAddress: {uid}@", f"iemsAddress: {local}@")


def _toml(_server: Slapd) -> Directory:
    return TomlDirectory.parse(TEXT)


def _ldap(server: Slapd) -> Directory:
    return TreeDirectory(tree.store(server, "agent"), 5.0, lambda _note: None)


def _cached(server: Slapd) -> Directory:
    """A cache that has answered everything once before."""
    directory = CachedDirectory(_ldap(server), 60.0)
    for _turn in range(2):
        directory.find([address("alice"), address("nobody")], soon())
        directory.domains(["one.contract.test", "example.net"], soon())
    return directory


@pytest.fixture(params=[_toml, _ldap, _cached], ids=["toml", "ldap", "cached"])
def directory(request: pytest.FixtureRequest, populated: Slapd) -> Directory:
    """Each kind in turn."""
    make: Callable[[Slapd], Directory] = request.param
    return make(populated)


def soon() -> Deadline:
    """Time enough."""
    return Deadline.after(5)


def address(local: str, domain: str = "one.contract.test") -> Address:
    """An address, its local part as it is."""
    return Address(local, domain)


def ends(directory: Directory, local: str, domain: str = "one.contract.test") -> set[str]:
    """Where mail for an address ends, as `address channel`."""
    found = resolve(directory, address(local, domain), soon())
    return {f"{one.address} {one.channel}" for one in found}


def test_user(directory: Directory) -> None:
    """A user comes with both layers."""
    found = directory.find([address("Alice")], soon())
    assert found == {
        "alice@one.contract.test": User(
            address("alice"),
            Layer(Subject(Kind.USER, "alice@one.contract.test"), ALICE, senders(FRIEND)),
            Layer(Subject(Kind.DOMAIN, "one.contract.test"), ONE, senders(SPAM), SIZE),
        )
    }


def test_who_reads_by_pop3_and_what_one_says_of_filter_and_script(directory: Directory) -> None:
    asked = [address(one) for one in ("lobby", "dora", "printer")]
    found = [user_of(entry) for entry in directory.find(asked, soon()).values()]
    said = sorted((one.layer.sees_junk, one.bayes, one.facts) for one in found if one)
    assert said == [(False, "", False), (True, "", True), (True, "shadow", False)]


def test_alias(directory: Directory) -> None:
    """An alias comes with its targets, in whatever order."""
    [found] = directory.find([address("both")], soon()).values()
    assert isinstance(found, Alias)
    assert set(found.targets) == {address("alice"), address("bob")}
    assert found.user is None


def test_a_list_has_a_policy(directory: Directory) -> None:
    """And its domain's comes with it, whether it has said anything itself or not."""
    found = directory.find([address("both"), address("out"), address("dora")], soon())
    lists = {key: one.mailing_list for key, one in found.items() if isinstance(one, Alias)}
    both, out = (Subject(Kind.LIST, f"{one}@one.contract.test") for one in ("both", "out"))
    bulk = "header/both@one.contract.test/bulk"
    reject = dict.fromkeys([("iprev", "mismatch"), (bulk, "matched")], Rule(choice=Action.REJECT))
    own = Layer(both, reject, senders(SPAM), {bulk: "Precedence absent"})
    above = Layer(Subject(Kind.DOMAIN, "one.contract.test"), ONE, senders(SPAM), SIZE)
    assert lists == {
        "both@one.contract.test": MailingList(own, above),
        "out@one.contract.test": MailingList(Layer(out), above),
        "dora@one.contract.test": None,
    }


def test_alias_before_user(directory: Directory) -> None:
    """An alias with a user's address is an alias that knows the user."""
    [found] = directory.find([address("bob")], soon()).values()
    assert isinstance(found, Alias)
    assert found.user is not None
    assert found.user.address == address("bob")


def test_batch(directory: Directory) -> None:
    """A batch gives what single questions give, and nothing more."""
    batch = [address("alice"), address("nobody"), address("carol", "two.contract.test")]
    found = directory.find(batch, soon())
    assert set(found) == {"alice@one.contract.test", "carol@two.contract.test"}
    for one in batch:
        assert directory.find([one], soon()).get(one.key) == found.get(one.key)


def test_big_batch(directory: Directory) -> None:
    """As many addresses as one message may have recipients."""
    batch = [address(f"nobody{number}") for number in range(1000)]
    assert set(directory.find([*batch, address("bob")], soon())) == {"bob@one.contract.test"}


def test_nothing_asked(directory: Directory) -> None:
    """No address, no answer."""
    assert directory.find([], soon()) == {}
    assert directory.find_catch_all([], soon()) == {}
    assert directory.domains([], soon()) == {}


def test_catch_all(directory: Directory) -> None:
    """Only by its domain; `find` knows none of it."""
    found = directory.find_catch_all(["one.contract.test", "two.contract.test"], soon())
    assert {name: one.targets for name, one in found.items()} == {
        "two.contract.test": (address("alice"),)
    }


def test_domains(directory: Directory) -> None:
    """Those of ours with their policy."""
    found = directory.domains(["one.contract.test", "two.contract.test", "example.net"], soon())
    assert {name: layer.rules for name, layer in found.items()} == {
        "one.contract.test": ONE,
        "two.contract.test": {},
    }


@pytest.mark.parametrize("local", [r"a*(b)\c", "a,b#c", "ünïcode"])
def test_letters_that_mean_something(directory: Directory, local: str) -> None:
    """Letters of LDAP's filters and names, and letters beyond ASCII, are letters."""
    assert set(directory.find([address(local)], soon())) == {f"{local}@one.contract.test"}


@pytest.mark.parametrize(
    "local", ["*", "al*", "a*(b*", "alice)(uid=*", "\\2a", "alice\\00", "a\x00"]
)
def test_no_letter_widens_the_question(directory: Directory, local: str) -> None:
    """A name made to be more than a name is an unknown name."""
    assert directory.find([address(local)], soon()) == {}


def test_hostile_domains(directory: Directory) -> None:
    """The same for domains."""
    names = ["*", "one.contract.test)(objectClass=*", "[127.0.0.1]", "one*"]
    assert directory.domains(names, soon()) == {}
    assert directory.find_catch_all(names, soon()) == {}


def test_resolve_user(directory: Directory) -> None:
    """A user, with extension and in capitals; the extension stays in the address."""
    found = resolve(directory, address("alice"), soon())
    assert found == {Destination(address("alice"), "local")}
    [destination] = found
    assert destination.user is not None
    assert destination.user.layer.rules == ALICE
    assert ends(directory, "ALICE") == {"alice@one.contract.test local"}
    assert ends(directory, "alice+x") == {"alice+x@one.contract.test local"}


def test_resolve_alias(directory: Directory) -> None:
    """Through to all, one of whom keeps a copy and forwards."""
    assert ends(directory, "both") == {
        "alice@one.contract.test local",
        "bob@one.contract.test local",
        "copy@example.net internet",
    }
    assert ends(directory, "out+x") == {"someone+x@example.net internet"}


def test_resolve_unknown(directory: Directory) -> None:
    """Nobody of ours is nowhere; elsewhere everybody is."""
    assert ends(directory, "nobody") == set()
    assert ends(directory, "nobody", "example.net") == {"nobody@example.net internet"}


def test_resolve_catch_all(directory: Directory) -> None:
    """A catch-all takes what is nobody's, without extension."""
    assert ends(directory, "any+x", "two.contract.test") == {"alice@one.contract.test local"}
    assert ends(directory, "carol", "two.contract.test") == {"carol@two.contract.test local"}
    assert ends(directory, "carol+x", "two.contract.test") == {"carol+x@two.contract.test local"}


def test_resolve_round(directory: Directory) -> None:
    """A circle is a temporary failure."""
    with pytest.raises(UnreasonableAlias):
        resolve(directory, address("round"), soon())


def test_accounts_that_take_no_mail(directory: Directory) -> None:
    """With the reason that a sender is told; who only receives takes mail like others."""
    names = ("gone", "printer", "lobby")
    found = directory.find([address(name) for name in names], soon())
    told = [user_of(found[f"{name}@one.contract.test"]) for name in names]
    assert [user.refusal for user in told if user] == [
        "this account is disabled: has left",
        "this account sends mail and receives none",
        "",
    ]


def test_resolve_forward(directory: Directory) -> None:
    """Without and with a copy, with an alias of the same name besides; a closed account none."""
    assert ends(directory, "dora+x") == {"far+x@example.net internet"}
    assert ends(directory, "erik") == {
        "bob@one.contract.test local",
        "copy@example.net internet",
        "erik@one.contract.test local",
        "far@example.net internet",
    }
    assert ends(directory, "gone") == {"gone@one.contract.test local"}


def test_resolve_domain_alias(directory: Directory) -> None:
    """The same local part and extension, through two domains; own entries of the domain first."""
    for domain in ("three.contract.test", "four.contract.test"):
        assert ends(directory, "alice+x", domain) == {"alice+x@one.contract.test local"}
        assert ends(directory, "out", domain) == {"someone@example.net internet"}
        assert ends(directory, "sales", domain) == {"carol@two.contract.test local"}


def test_resolve_to_nobody(directory: Directory) -> None:
    """What leads to nobody is told apart from what is unknown."""
    found = resolve(directory, address("nobody", "three.contract.test"), soon())
    assert [one.nobody for one in found] == [True]
    assert resolve(directory, address("nobody"), soon()) == frozenset()
    assert not any(one.nobody for one in resolve(directory, address("shut"), soon()))


def test_a_search_for_a_thousand_addresses_walks_few_rules(populated: Slapd) -> None:
    """One message to so many; with a regular expression a rule it took 24 s, as it is 0.4 s."""
    name = "thousand.contract.test"
    addresses = [f"n{number}@{name}" for number in range(1000)]
    populated.add(tree.domain(name) + "".join(tree.user(one) for one in addresses))
    directory = TreeDirectory(tree.store(populated, "milter"), 30.0, lambda _note: None)
    begun = time.monotonic()
    found = directory.find([Address.parse(one) for one in addresses], Deadline.after(30))
    assert time.monotonic() - begun < 10
    assert len(found) == len(addresses)
    populated.delete(f"iemsDomainName={name},ou=domains,{BASE}")
