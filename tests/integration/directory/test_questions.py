"""Postfix's and Dovecot's questions, as they are deployed, asked of a real slapd.

`docs/directory.md` shows them: it is held to the same text.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.directory import tree
from tests.integration.stack import deployed
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground
from tests.integration.stack.programs import need, run
from tests.integration.stack.slapd import Slapd

DOMAIN = "questions.test"
OTHER = "other.questions.test"
STRANGE = "strange.test"

RECEIVES = "550 5.7.1 This account receives mail and sends none"

_DATABASES = """
passdb {{
  driver = ldap
  args = {file}
}}
userdb {{
  driver = ldap
  args = {file}
}}
service anvil {{
  # No delay after failures, of which the test makes many.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """The server with a domain, users and aliases."""
    server.add(
        tree.domain(DOMAIN)
        + tree.user(f"alice@{DOMAIN}")
        + tree.user(f"bob@{DOMAIN}")
        + tree.user(f"ü@{DOMAIN}")
        + tree.alias(f"both@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}")
        + tree.alias(f"bob@{DOMAIN}", f"bob@{DOMAIN}", "far@example.net")
        + tree.alias(f"@{DOMAIN}", f"alice@{DOMAIN}")
        + tree.user(f"gone@{DOMAIN}", "iemsDisabled: has left", "iemsForward: far@example.net")
        + tree.user(f"lobby@{DOMAIN}", "iemsKind: receive-only", "iemsForward: far@example.net")
        + tree.user(f"printer@{DOMAIN}", "iemsKind: send-only", "iemsForward: far@example.net")
        + tree.domain(OTHER)
        + tree.alias(f"@{OTHER}", f"@{DOMAIN}")
        + tree.alias(f"sales@{OTHER}", f"bob@{DOMAIN}")
        + tree.domain(STRANGE)
        + _thief("alice")
        + _thief("stolen")
        + tree.book(f"alice@{DOMAIN}")
        + tree.contact(f"alice@{DOMAIN}", "friend", f"stolen@{DOMAIN}")
        + tree.among_contacts(f"alice@{DOMAIN}", f"alice@{DOMAIN}", f"stolen@{DOMAIN}")
    )
    return server


def _thief(local: str) -> str:
    """A user and an alias of the strange domain that claim an address of ours."""
    entries = tree.user(f"{local}@{DOMAIN}") + tree.alias(f"{local}@{DOMAIN}", "mallory@b.test")
    return entries.replace(f"iemsDomainName={DOMAIN}", f"iemsDomainName={STRANGE}")


@pytest.fixture(scope="module")
def maps(populated: Slapd, ground: Ground) -> Path:
    """The deployed configuration of Postfix with the maps in it."""
    need("postfix", "/usr/lib/postfix/postfix-ldap.so")
    folder = ground.place("maps")
    for name in deployed.maps():
        tree.write(
            folder / name, tree.on(populated, deployed.text(f"postfix/ldap/{name}"), "postfix")
        )
    tree.write(folder / "main.cf", deployed.text("postfix/main.cf"))
    return folder


def test_nobody_takes_an_address_of_another_domain(maps: Path) -> None:
    """Whoever may write in one domain or address book speaks for none other, whatever he writes."""
    for local in ("alice", "stolen"):
        for file in ("users.cf", "aliases.cf", "sender-logins.cf"):
            told = str(_asked(maps, file, f"{local}@{DOMAIN}"))
            assert "mallory" not in told
            assert "evil" not in told
    for file in deployed.maps():
        assert _asked(maps, file, f"stolen@{DOMAIN}") == set()


@pytest.mark.parametrize(
    "domain",
    [
        "example.net",
        "münchen.example",
        "a,b",
        "a+b=c",
        "*",
        '"',
        "[192.0.2.1]",
        ".",
        "x" * 300,
        "#",
    ],
)
def test_a_domain_that_is_none_of_ours_has_no_answer(maps: Path, domain: str) -> None:
    """That there is nothing to search in is no failure, however it is spelt."""
    for file in deployed.maps():
        for key in (f"far@{domain}", f"@{domain}", f"far@{domain}@{domain}"):
            assert _asked(maps, file, key) == set()


@pytest.mark.parametrize(
    ("file", "key", "answer"),
    [
        ("domains.cf", DOMAIN, {DOMAIN}),
        ("domains.cf", DOMAIN.upper(), {DOMAIN}),
        ("domains.cf", "example.net", set()),
        ("domains.cf", "*", set()),
        ("users.cf", f"alice@{DOMAIN}", {f"alice@{DOMAIN}"}),
        ("users.cf", f"Alice@{DOMAIN}", {f"alice@{DOMAIN}"}),
        ("users.cf", f"ü@{DOMAIN}", {f"ü@{DOMAIN}"}),
        ("users.cf", f"nobody@{DOMAIN}", set()),
        ("users.cf", f"both@{DOMAIN}", set()),
        ("users.cf", f"*@{DOMAIN}", set()),
        ("users.cf", f"@{DOMAIN}", set()),
        ("aliases.cf", f"both@{DOMAIN}", {f"alice@{DOMAIN}", f"bob@{DOMAIN}"}),
        ("aliases.cf", f"bob@{DOMAIN}", {f"bob@{DOMAIN}", "far@example.net"}),
        ("aliases.cf", f"alice@{DOMAIN}", set()),
        ("aliases.cf", f"@{DOMAIN}", {f"alice@{DOMAIN}"}),
        ("aliases.cf", f"a)(iemsAddress=*@{DOMAIN}", set()),
        ("sender-logins.cf", f"alice@{DOMAIN}", {f"alice@{DOMAIN}"}),
        (
            "sender-logins.cf",
            f"both@{DOMAIN}",
            {f"both@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}"},
        ),
        ("sender-logins.cf", f"nobody@{DOMAIN}", set()),
        ("sender-logins.cf", f"@{DOMAIN}", set()),
        ("sender-logins.cf", "alice", set()),
        ("aliases.cf", f"lobby@{DOMAIN}", {"far@example.net"}),
        ("aliases.cf", f"gone@{DOMAIN}", set()),
        ("aliases.cf", f"printer@{DOMAIN}", set()),
        ("aliases.cf", f"@{OTHER}", {f"@{DOMAIN}"}),
        ("sender-logins.cf", f"lobby@{DOMAIN}", {f"lobby@{DOMAIN}"}),
        ("sender-logins.cf", f"sales@{OTHER}", {f"sales@{OTHER}", f"bob@{DOMAIN}"}),
        ("sender-logins.cf", f"alice@{OTHER}", set()),
        ("domain-alias-logins.cf", f"alice@{OTHER}", {f"alice@{DOMAIN}"}),
        ("domain-alias-logins.cf", f"alice@{DOMAIN}", set()),
        ("domain-alias-logins.cf", f"@{OTHER}", set()),
        ("domain-alias-logins.cf", OTHER, set()),
        ("receive-only.cf", f"lobby@{DOMAIN}", {RECEIVES}),
        ("receive-only.cf", f"alice@{DOMAIN}", set()),
        ("receive-only.cf", "lobby", set()),
    ],
)
def test_postfix(maps: Path, file: str, key: str, answer: set[str]) -> None:
    """Each map finds what it should, and nothing by letters that mean something to LDAP."""
    assert _asked(maps, file, key) == answer


def _asked(maps: Path, file: str, key: str) -> set[str]:
    """What `postmap -q -` says; it prints a line for every key that is found."""
    arguments = ("postmap", "-c", maps, "-q", "-", f"ldap:{maps / file}")
    try:
        told = run(*arguments, text=f"{key}\n").decode()
    except RuntimeError as error:
        # A fault would be told on a line of its own below.
        if str(error).rstrip().endswith("ended with 1:"):
            return set()
        raise
    return set(told.rstrip("\n").partition("\t")[2].split(","))


def test_dovecot(populated: Slapd, ground: Ground) -> None:
    """Logins are binds; users and the list of users are found; others are not let in."""
    need("/usr/lib/dovecot/modules/auth/libauthdb_ldap.so")
    server = Dovecot(ground)
    text = tree.on(populated, deployed.text("dovecot/dovecot-ldap.conf.ext"), "dovecot")
    text = text.replace("/var/vmail", f"{server.folder}/mail")
    file = tree.write(ground.place("dovecot-ldap") / "ldap.conf.ext", text)
    config = server.folder / "dovecot.conf"
    without = re.sub(r"(passdb|userdb) \{.*?\n\}\n", "", config.read_text(), flags=re.DOTALL)
    tree.write(config, without + tree.logins() + _DATABASES.format(file=file))
    server.start()
    try:
        for login in (f"alice@{DOMAIN}", f"Alice@{DOMAIN.upper()}"):
            assert _logs_in(config, login, tree.password("alice"))
        # The default realm is another domain.
        assert not _logs_in(config, "alice", tree.password("alice"))
        for login, secret in (
            (f"alice@{DOMAIN}", tree.password("bob")),
            (f"both@{DOMAIN}", tree.password("alice")),
            (f"nobody@{DOMAIN}", tree.password("alice")),
            ("alice", tree.password("bob")),
            (f"stolen@{DOMAIN}", tree.password("stolen")),
            (f"alice,uid=bob@{DOMAIN}", tree.password("alice")),
        ):
            assert not _logs_in(config, login, secret), login
        told = run("doveadm", "-c", config, "user", "-f", "home", f"alice@{DOMAIN}").decode()
        assert told.strip() == f"{server.folder}/mail/{DOMAIN}/alice"
        assert not _known(config, f"stolen@{DOMAIN}")
        assert not _logs_in(config, f"gone@{DOMAIN}", tree.password("gone"))
        found = run("doveadm", "-c", config, "user", f"*@{DOMAIN}").decode().split()
        assert {f"alice@{DOMAIN}", f"bob@{DOMAIN}"} <= set(found)
        assert f"both@{DOMAIN}" not in found
    finally:
        server.stop()


def _logs_in(config: Path, login: str, secret: str) -> bool:
    """Whether Dovecot's authentication lets this login in; not over IMAP, which delays failures."""
    try:
        run("doveadm", "-c", config, "auth", "test", login, secret)
    except RuntimeError as error:
        if "auth failed" in str(error):
            return False
        raise
    return True


def _known(config: Path, login: str) -> bool:
    """Whether Dovecot knows a mailbox of this name."""
    try:
        run("doveadm", "-c", config, "user", login)
    except RuntimeError as error:
        if "doesn't exist" in str(error):
            return False
        raise
    return True


def test_the_page_shows_the_maps() -> None:
    """All of them, every line, in its order."""
    for name in deployed.maps():
        page = tree.block("every map") + tree.block(name)
        assert lines(page) == lines(deployed.text(f"postfix/ldap/{name}")), name


def test_the_page_shows_what_dovecot_asks() -> None:
    """Every line of its file, and how a login is read."""
    page = lines(tree.block("dovecot-ldap.conf.ext"))
    assert page == lines(deployed.text("dovecot/dovecot-ldap.conf.ext"))
    assert set(lines(tree.block("dovecot.conf"))) <= set(lines(tree.logins()))


def test_the_page_shows_postfix_s_settings() -> None:
    """What it names is deployed so, and every map that is deployed is named."""
    page = tree.settings()
    real = {
        name: value.replace("$config_directory/ldap/", "")
        for name, value in deployed.values("postfix/main.cf").items()
    }
    assert {name: real[name] for name in page} == page
    assert {name for name, value in real.items() if "ldap:" in value} <= set(page)


def lines(text: str) -> list[str]:
    """The lines that are no comment."""
    return [line for line in text.splitlines() if not line.startswith("#")]
