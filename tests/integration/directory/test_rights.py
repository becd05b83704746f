"""The table of rights replayed: every actor tries everything on every part of the tree.

What must come of it follows from the words of the table; the promises of `docs/directory.md` are
tested in words of their own besides, so that a table that says the wrong thing is seen, too.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import ldap
import pytest
from ldap.ldapobject import SimpleLDAPObject

from tests.integration.directory import tree
from tests.integration.stack.programs import run
from tests.integration.stack.slapd import BASE, ROOT_DN, ROOT_PASSWORD, Slapd

DOMAIN = "rights.test"
DOMAIN_DN = f"iemsDomainName={DOMAIN},ou=domains,{BASE}"
ALICE, BOB = tree.user_dn(f"alice@{DOMAIN}"), tree.user_dn(f"bob@{DOMAIN}")
DAN, LARS, SHUT = (tree.user_dn(f"{one}@{DOMAIN}") for one in ("dan", "lars", "shut"))
EVE, BOTH = tree.user_dn("eve@elsewhere.rights.test"), f"iemsAddress=both@{DOMAIN},{DOMAIN_DN}"
RULE, RULES = b"dnsbl/x listed choice junk", f"cn=users,ou=passwords,{BASE}"
HEADER, FAR = ("iemsHeader", b"offer junk Subject contains x"), ("iemsForward", b"far@example.net")
OWN = (("iemsPolicy", RULE), ("iemsSender", b"allow friend@example.net"))
MORE = [(f"iemsMailsortRefuse{end}", b"far@example.net No.") for end in ("", "Text")]
SELF = (FAR, *MORE, ("iemsMailsort", b"{}"), ("iemsMailsortFacts", b"TRUE"), ("iemsBayes", b"off"))
OF_SELF = ["user forward", *["user policy"] * 2, "rules of a user", *["filter of a user"] * 2]


@dataclass(frozen=True)
class Sample:
    """An attribute of an entry that stands for a part of the tree."""

    part: str
    dn: str
    attribute: str
    value: bytes


SAMPLES = (
    Sample("service password", tree.service_dn("milter"), "userPassword", b"secret of milter"),
    Sample("user password", ALICE, "userPassword", b"secret of alice"),
    Sample("password of a disabled user", SHUT, "userPassword", b"secret of shut"),
    *(Sample("user policy", ALICE, *one) for one in OWN),
    Sample("user kind", SHUT, "iemsDisabled", b"has left"),
    Sample("user kind", ALICE, "iemsKind", b"receive-only"),
    Sample("how a user reads", ALICE, "iemsReads", b"pop3"),
    Sample("language of a user", ALICE, "preferredLanguage", b"de"),
    *(Sample(part, ALICE, *one) for part, one in zip(OF_SELF, SELF, strict=True)),
    *(Sample("user name", ALICE, one, b"alice") for one in ("cn", "sn", "title", "l")),
    Sample("lock of a user", LARS, "pwdAccountLockedTime", b"000001010000Z"),
    Sample("age of a password", BOB, "pwdPolicySubentry", RULES.encode()),
    Sample("rules of passwords", RULES, "pwdMaxAge", b"0"),
    Sample("user class", ALICE, "objectClass", b"iemsUser"),
    Sample("user address", ALICE, "iemsAddress", f"alice@{DOMAIN}".encode()),
    Sample("user address", ALICE, "uid", b"alice"),
    Sample("alias address", BOTH, "iemsTarget", f"alice@{DOMAIN}".encode()),
    Sample("domain name", DOMAIN_DN, "iemsDomainName", DOMAIN.encode()),
    Sample("domain", DOMAIN_DN, "objectClass", b"iemsDomain"),
    Sample("alias", BOTH, "objectClass", b"iemsAlias"),
    Sample("alias address", BOTH, "iemsAddress", f"both@{DOMAIN}".encode()),
    *(Sample("domain policy", dn, *one) for dn in (DOMAIN_DN, BOTH) for one in (*OWN, HEADER)),
    Sample("domain administrators", DOMAIN_DN, "iemsAdmin", DAN.encode()),
    Sample("top of the domains", f"ou=domains,{BASE}", "objectClass", b"organizationalUnit"),
    Sample("everything else below the domains", ALICE, "description", b"alice"),
    Sample("everything else", BASE, "o", b"iems"),
)
ACTORS = (
    *(name for name in tree.RIGHTS.actors if name not in {"root", "book-owner"}),
    *("other user", "administrator of another domain"),
)
FIND, READ = frozenset({"find", "read", "write"}), frozenset({"read", "write"})
REFUSALS = (ldap.INSUFFICIENT_ACCESS, ldap.NO_SUCH_OBJECT, ldap.STRONG_AUTH_REQUIRED)
SET = frozenset({"set", "change", "write"})


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """The server with a domain, its users and administrator, an alias, and another domain."""
    rules = [f"{name}: {value.decode()}" for name, value in OWN]
    ruled = [*rules, f"{HEADER[0]}: {HEADER[1].decode()}"]
    more = [f"{name}: alice" for name in ("title", "l", "description")]
    more += ["iemsKind: receive-only", *(f"{name}: {value.decode()}" for name, value in SELF)]
    server.add(
        tree.domain(DOMAIN, *ruled, f"iemsAdmin: {DAN}")
        + tree.domain("elsewhere.rights.test", f"iemsAdmin: {EVE}")
        + tree.user("eve@elsewhere.rights.test")
        + tree.user(f"alice@{DOMAIN}", *rules, *more, "iemsReads: pop3", "preferredLanguage: de")
        + tree.user(f"bob@{DOMAIN}", rules[0], f"pwdPolicySubentry: {RULES}")
        + tree.user(f"dan@{DOMAIN}")
        + tree.user(f"lars@{DOMAIN}", "pwdAccountLockedTime: 000001010000Z")
        + tree.user(f"shut@{DOMAIN}", "iemsDisabled: has left")
        + tree.alias(f"both@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}", more=ruled)
    )
    return server


@contextlib.contextmanager
def acting(server: Slapd, actor: str) -> Iterator[SimpleLDAPObject]:
    """A connection of an actor; `self` is alice, whose entry the samples are of."""
    people = {
        "self": (ALICE, "alice"),
        "other user": (BOB, "bob"),
        "domain-admin": (DAN, "dan"),
        "administrator of another domain": (EVE, "eve"),
        "anonymous": ("", ""),
    }
    dn, name = people.get(actor, (tree.service_dn(actor), actor))
    connection = tree.bound(server, dn, tree.password(name))
    try:
        yield connection
    finally:
        connection.unbind_s()


def may(part: str, actor: str, dn: str) -> str:
    """The word of the table for this actor, empty where he is not named."""
    found = next(one for one in tree.RIGHTS.parts if one.name == part)
    actor = "nobody" if actor == "self" and dn != ALICE else actor
    return found.may.get(actor, "")


def test_samples_stand_for_all_parts() -> None:
    """A new part needs a sample, but for address books (test_contacts) and what has tests below."""
    others = {"user entry", "class of everything", "what is in a domain", "list of the domains"}
    parts = {part.name for part in tree.RIGHTS.parts if "ou=contacts" not in part.what}
    assert parts == {one.part for one in SAMPLES} | others


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: f"{one.part}-{one.attribute}")
def test_cell(populated: Slapd, sample: Sample, actor: str) -> None:
    """Reading, finding and writing are allowed where the table says so, and nowhere else."""
    word = may(sample.part, actor, sample.dn)
    with acting(populated, actor) as connection:
        assert reads(connection, sample) == (word in READ)
        assert finds(connection, sample) == (word in FIND)
        assert writes(populated, connection, sample) == (word in SET)


def reads(connection: SimpleLDAPObject, sample: Sample) -> bool:
    """Whether a search of the whole tree shows the attribute of the entry."""
    for base, scope in ((sample.dn, ldap.SCOPE_BASE), (f"ou=domains,{BASE}", ldap.SCOPE_SUBTREE)):
        with contextlib.suppress(ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
            wanted = ["*", sample.attribute]
            for dn, attributes in connection.search_s(base, scope, "(objectClass=*)", wanted):
                if dn == sample.dn and sample.value in attributes.get(sample.attribute, ()):
                    return True
    return False


def finds(connection: SimpleLDAPObject, sample: Sample) -> bool:
    """Whether the attribute can be compared with a value."""
    try:
        return bool(connection.compare_s(sample.dn, sample.attribute, sample.value))
    except (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
        return False


def writes(server: Slapd, connection: SimpleLDAPObject, sample: Sample) -> bool:
    """Whether the attribute can be changed: the value is taken away and put back at once.

    A password that is put back would be no new one, so it gets another, and the root of the tree
    puts the first one back.
    """
    changes = [
        (ldap.MOD_DELETE, sample.attribute, [sample.value]),
        (ldap.MOD_ADD, sample.attribute, [sample.value]),
    ]
    if sample.attribute == "userPassword":
        changes = [(ldap.MOD_REPLACE, sample.attribute, [secrets.token_bytes(8).hex().encode()])]
    try:
        connection.modify_s(sample.dn, changes)
    except REFUSALS:
        return False
    if sample.attribute == "userPassword":
        root = tree.bound(server, ROOT_DN, ROOT_PASSWORD)
        root.modify_s(sample.dn, [(ldap.MOD_REPLACE, sample.attribute, [sample.value])])
        root.unbind_s()
    return True


def seen(connection: SimpleLDAPObject) -> dict[str, set[str]]:
    """Every entry of this test that is shown, with the names of its attributes."""
    try:
        rows = connection.search_s(f"ou=domains,{BASE}", ldap.SCOPE_SUBTREE, "(objectClass=*)")
    except ldap.NO_SUCH_OBJECT:
        return {}
    return {dn: set(attributes) for dn, attributes in rows if dn and dn.endswith(DOMAIN_DN)}


def test_anonymous_sees_nothing(populated: Slapd) -> None:
    with acting(populated, "anonymous") as connection:
        assert seen(connection) == {}


def test_user_sees_his_policy_only(populated: Slapd) -> None:
    """And his senders, rules, forwards, language, filter; nothing else of his own entry."""
    with acting(populated, "self") as connection:
        own = {name: [value] for name, value in (*OWN, *SELF)} | {"preferredLanguage": [b"de"]}
        assert connection.search_s(ALICE, ldap.SCOPE_BASE, "(objectClass=*)") == [(ALICE, own)]
        assert seen(connection) == {}


def test_user_changes_own_password_only(populated: Slapd) -> None:
    """The new one counts at once, the old one no more; another's cannot be touched."""
    carol = tree.user_dn(f"carol@{DOMAIN}")
    populated.add(tree.user(f"carol@{DOMAIN}"))
    connection = tree.bound(populated, carol, tree.password("carol"))
    with pytest.raises(ldap.INSUFFICIENT_ACCESS):
        connection.passwd_s(BOB, None, "stolen password")
    with pytest.raises(ldap.UNWILLING_TO_PERFORM):
        connection.passwd_s(carol, "wrong", "new secret of carol")
    connection.passwd_s(carol, tree.password("carol"), "new secret of carol")
    connection.unbind_s()
    tree.bound(populated, carol, "new secret of carol").unbind_s()
    with pytest.raises(ldap.INVALID_CREDENTIALS):
        tree.bound(populated, carol, tree.password("carol"))
    tree.bound(populated, BOB, tree.password("bob")).unbind_s()


def test_password_is_hashed_by_slapd(populated: Slapd) -> None:
    """What the password operation stores is an ARGON2 hash."""
    dave = tree.user_dn(f"dave@{DOMAIN}")
    populated.add(tree.user(f"dave@{DOMAIN}"))
    with acting(populated, "admin") as connection:
        connection.passwd_s(dave, None, "new secret of dave")
    root = tree.bound(populated, ROOT_DN, ROOT_PASSWORD)
    [(_dn, attributes)] = root.search_s(dave, ldap.SCOPE_BASE, "(objectClass=*)")
    root.unbind_s()
    assert attributes["userPassword"][0].startswith(b"{ARGON2}$argon2")


def test_dovecot_sees_users_without_passwords(populated: Slapd) -> None:
    """Neither aliases nor domains nor a policy nor a hash."""
    with acting(populated, "dovecot") as connection:
        shown = seen(connection)
    assert {ALICE, BOB} <= shown.keys()
    assert all(dn.startswith("uid=") for dn in shown)
    assert set().union(*shown.values()) == {"objectClass", "uid", "iemsAddress"}


@pytest.mark.parametrize("actor", ["postfix", "milter", "agent"])
def test_readers_see_where_mail_goes(populated: Slapd, actor: str) -> None:
    """Domains, users and aliases; policies only where policy is decided; never a password."""
    with acting(populated, actor) as connection:
        shown = seen(connection)
    assert {ALICE, BOB, BOTH, DOMAIN_DN} <= shown.keys()
    places = {"objectClass", "uid", "iemsAddress", "iemsTarget", "iemsForward", "iemsDomainName"}
    policy = {"iemsPolicy", "iemsSender", "iemsHeader", "iemsKind", "iemsDisabled", "iemsReads"}
    own = set() if actor == "postfix" else {*policy, "cn", "sn", "title", "l", "preferredLanguage"}
    assert set().union(*shown.values()) - {"iemsBayes", SELF[4][0], *dict(MORE)} == places | own


@pytest.mark.parametrize("actor", ACTORS)
def test_who_writes(populated: Slapd, actor: str) -> None:
    """A user what is his own, administrators what is in their domains, the others nothing."""
    own = {"user password", "language of a user", *OF_SELF}
    below = {one.part for one in SAMPLES if one.dn.endswith(f",ou=domains,{BASE}")}
    others = {"domain", "domain name", "domain administrators", "age of a password"}
    theirs = below - others - {"everything else below the domains"}
    with acting(populated, actor) as connection:
        written = {one.part for one in SAMPLES if writes(populated, connection, one)}
    assert written == {"self": own, "domain-admin": theirs, "admin": below}.get(actor, set())


@pytest.mark.parametrize("actor", ACTORS)
def test_nobody_sees_the_services_or_the_top(populated: Slapd, actor: str) -> None:
    """Not even which services there are."""
    with acting(populated, actor) as connection:
        for base in (BASE, f"ou=services,{BASE}", tree.service_dn("milter")):
            with pytest.raises((ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS)):
                connection.search_s(base, ldap.SCOPE_SUBTREE, "(objectClass=*)")


@pytest.mark.parametrize("actor", [one for one in ACTORS if not one.endswith("admin")])
def test_only_administrators_make_and_removes_entries(populated: Slapd, actor: str) -> None:
    """Not a domain, not a user, not an alias; nor is one removed."""
    with acting(populated, actor) as connection:
        with pytest.raises(REFUSALS):
            connection.add_s(*_alias("new"))
        with pytest.raises(REFUSALS):
            connection.delete_s(BOTH)


def test_admin_makes_and_removes_entries_below_the_domains(populated: Slapd) -> None:
    """And nowhere else: no service, not the top."""
    dn, values = _alias("made")
    with acting(populated, "admin") as connection:
        connection.add_s(dn, values)
        connection.delete_s(dn)
        for service in (tree.service_dn("milter"), f"ou=services,{BASE}"):
            with pytest.raises(REFUSALS):
                connection.delete_s(service)
        with pytest.raises(REFUSALS):
            connection.passwd_s(tree.service_dn("milter"), None, "a new password")


def test_domain_administrator_makes_and_removes_users_and_aliases(populated: Slapd) -> None:
    """In his domain, and in no other; what he makes can be no domain."""
    elsewhere = f"iemsDomainName=elsewhere.rights.test,ou=domains,{BASE}"
    with acting(populated, "domain-admin") as connection:
        for dn, values in (_alias("mine"), _user("mine")):
            connection.add_s(dn, values)
            connection.delete_s(dn)
            with pytest.raises(REFUSALS):
                connection.add_s(dn.replace(DOMAIN_DN, elsewhere), values)
        for superior in (elsewhere, None):
            for new in ("uid=bob", "uid=bob+iemsDomainName=elsewhere.rights.test"):
                if (superior, new) != (None, "uid=bob"):
                    with pytest.raises((*REFUSALS, ldap.OBJECT_CLASS_VIOLATION)):
                        connection.rename_s(BOB, new, superior)
        for name in ("extensibleObject", "EXTENSIBLEOBJECT", "1.3.6.1.4.1.1466.101.120.111"):
            with pytest.raises(REFUSALS):
                connection.modify_s(BOTH, [(ldap.MOD_ADD, "objectClass", [name.encode()])])
        for dn, values in _disguises():
            with pytest.raises((*REFUSALS, ldap.OBJECT_CLASS_VIOLATION)):
                connection.add_s(dn, values)
        for entry in (EVE, elsewhere, DOMAIN_DN):
            with pytest.raises((*REFUSALS, ldap.NOT_ALLOWED_ON_NONLEAF)):
                connection.delete_s(entry)
        with pytest.raises(REFUSALS):
            connection.modify_s(DOMAIN_DN, [(ldap.MOD_ADD, "iemsAdmin", [BOB.encode()])])
        with pytest.raises(REFUSALS):
            connection.passwd_s(EVE, None, "stolen password")
        with pytest.raises(REFUSALS):
            connection.modify_s(EVE, [(ldap.MOD_ADD, "iemsForward", [b"far@example.net"])])
        connection.passwd_s(BOB, None, "new secret of bob")


def test_disabled_user_does_not_get_in(populated: Slapd) -> None:
    """Not with the right password either, until he is enabled; the password is kept."""
    with pytest.raises(ldap.INVALID_CREDENTIALS):
        tree.bound(populated, SHUT, tree.password("shut"))
    with acting(populated, "domain-admin") as connection:
        connection.modify_s(SHUT, [(ldap.MOD_DELETE, "iemsDisabled", [b"has left"])])
        tree.bound(populated, SHUT, tree.password("shut")).unbind_s()
        connection.modify_s(SHUT, [(ldap.MOD_ADD, "iemsDisabled", [b"has left"])])


def test_root_of_the_machine_may_do_all(populated: Slapd) -> None:
    """Over the local socket, without a password: how the tree is set up."""
    dn = f"cn=new,ou=services,{BASE}"
    external = ("-Q", "-Y", "EXTERNAL", "-H", populated.ldapi)
    run("ldapadd", *external, text=f"dn: {dn}\nobjectClass: applicationProcess\ncn: new\n")
    run("ldapdelete", *external, dn)


def _alias(name: str) -> tuple[str, list[tuple[str, list[bytes]]]]:
    address = f"{name}@{DOMAIN}"
    values = {"objectClass": "iemsAlias", "iemsAddress": address, "iemsTarget": f"bob@{DOMAIN}"}
    dn = f"iemsAddress={address},{DOMAIN_DN}"
    return dn, [(attribute, [value.encode()]) for attribute, value in values.items()]


def _user(name: str) -> tuple[str, list[tuple[str, list[bytes]]]]:
    values = {attribute: [name.encode()] for attribute in ("uid", "cn", "sn")}
    values["objectClass"] = [b"inetOrgPerson", b"iemsUser"]
    values["iemsAddress"] = [f"{name}@{DOMAIN}".encode()]
    return tree.user_dn(f"{name}@{DOMAIN}"), list(values.items())


def _disguises() -> list[tuple[str, list[tuple[str, list[bytes]]]]]:
    """A domain within the domain, and users and aliases that would be a domain besides."""
    name = ("iemsDomainName", [b"new.test"])
    everything = [b"iemsDomain", b"extensibleObject"]
    address = ("iemsAddress", [f"new@{DOMAIN}".encode()])
    alias = ("objectClass", [b"iemsAlias", b"extensibleObject"])
    target = ("iemsTarget", [f"bob@{DOMAIN}".encode()])
    return [
        (
            f"iemsAddress=new@{DOMAIN}+iemsDomainName=new.test,{DOMAIN_DN}",
            [alias, address, name, target],
        ),
        (f"iemsDomainName=new.test,{DOMAIN_DN}", [("objectClass", [b"iemsDomain"]), name]),
        (f"uid=new,{DOMAIN_DN}", [("objectClass", everything), name, ("uid", [b"new"])]),
        (
            f"iemsAddress=new@{DOMAIN},{DOMAIN_DN}",
            [("objectClass", everything), name, ("iemsAddress", [f"new@{DOMAIN}".encode()])],
        ),
    ]


def test_nobody_tries_passwords_by_setting_them(populated: Slapd) -> None:
    """Whether a new password would be the present one is told to who may set it, and to no one."""
    told = []
    with acting(populated, "administrator of another domain") as connection:
        for secret in (tree.password("alice"), "some other password"):
            with pytest.raises(REFUSALS) as raised:
                connection.passwd_s(ALICE, None, secret)
            told.append(raised.value.args[0]["desc"])
            with pytest.raises(REFUSALS) as raised:
                connection.modify_s(ALICE, [(ldap.MOD_REPLACE, "userPassword", [secret.encode()])])
            told.append(raised.value.args[0]["desc"])
    assert set(told) == {"Insufficient access"}
