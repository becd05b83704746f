"""Scripts of users on a real server: beside those of their own, refused, edited, and of many."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.settings.mailsort import DOVEADM, MANAGESIEVE
from sieve.installing.sealed import NAME
from sieve.mailsort.rule import (
    HeaderTest,
    Mailsort,
    Move,
    Operator,
    Rule,
)
from sieve.mailsort.write import to_json, to_toml
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.ruled import Person, about, ends, person
from tests.integration.stack import rules
from tests.integration.stack.mailsystem import CLOSED, MailSystem


@pytest.fixture
def alice(mailsystem: MailSystem, fresh: Fresh) -> Person:
    mailsystem.add_domain(fresh.domain)
    return person(mailsystem, fresh, "alice")


@pytest.fixture(params=[MANAGESIEVE, DOVEADM])
def way(mailsystem: MailSystem, request: pytest.FixtureRequest) -> Iterator[str]:
    """How scripts come to Dovecot: by a ManageSieve server, or by doveadm where there is none."""
    text = f'install = "{request.param}"\n'
    if request.param == DOVEADM:
        text += f'managesieve = "127.0.0.1:{CLOSED}"\n'
    settings = mailsystem.site.write("conf.d/zz-way.toml", f"[mailsort]\n{text}")
    yield request.param
    settings.unlink()


def test_his_own_script_stays_and_comes_after_ours(alice: Person, tmp_path: Path) -> None:
    """Byte for byte, active as it was; what ours files it does not see."""
    own = 'require ["fileinto", "mailbox"];\r\nfileinto :create "Own";  # mine\n'
    with alice.his_own() as scripts:
        scripts.put("mine", own.encode())
        rules.activate(scripts, "mine")
    alice.rules(tmp_path, Rule("ours", about("one"), (Move("Ours"),)))
    alice.gets("one")
    alice.gets("two")
    assert b"Subject: one" in alice.box.wait(folder="Ours")[0]
    assert b"Subject: two" in alice.box.wait(folder="Own")[0]
    with alice.his_own() as scripts:
        assert scripts.listed() == {"mine": True, NAME: False}
        assert scripts.get("mine") == own.encode()
    shown = json.loads(alice.system.iems("mailsort", "status", "--json", alice.box.user))
    assert [(one["kind"], one["runs"]) for one in shown["order"]] == [
        ("shared", True),
        *[("shared", False)] * 2,
        ("ours", True),
        ("own", True),
        *[("shared", False)] * 2,
    ]
    # Without rules there is no script of ours, and his is as it was.
    alice.rules(tmp_path)
    with alice.his_own() as scripts:
        assert scripts.listed() == {"mine": True}
        assert scripts.get("mine") == own.encode()


def test_what_somebody_has_edited_is_left_and_told(alice: Person, tmp_path: Path) -> None:
    """Whatever his rules say then, until it is said that it is to be written over."""
    user = alice.box.user
    alice.rules(tmp_path, Rule("one", about("one"), (Move("One"),)))
    with alice.his_own() as scripts:
        ours = scripts.get(NAME)
        assert ours is not None
        edited = ours.replace(b"One", b"Mine")
        scripts.put(NAME, edited)
    assert json.loads(ends(alice, "status", "--json", user)[1])["rules"] == "edited"
    file = tmp_path / "rules.json"
    for words in (("install", user), ("set", "--json", user, str(file))):
        code, out, error = ends(alice, *words)
        assert (code, out) == (1, "")
        assert "somebody has edited the script" in error
    with alice.his_own() as scripts:
        assert scripts.get(NAME) == edited
    assert ends(alice, "install", "--force", user)[:2] == (0, f"installed rules of {user}\n")
    with alice.his_own() as scripts:
        assert scripts.get(NAME) == ours
    assert ends(alice, "status", user)[0] == 0


@pytest.mark.usefixtures("way")
def test_what_the_server_refuses_leaves_the_former_one(
    alice: Person, mailsystem: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    """It is told whose it is; all others of the domain are installed, and a second run is quiet."""
    bob = person(mailsystem, fresh, "bob", sieve_max_script_size="2K")
    carol = person(mailsystem, fresh, "carol")
    bob.rules(tmp_path, Rule("one", about("one"), (Move("One"),)))
    with bob.his_own() as scripts:
        former = scripts.get(NAME)
    subjects = tuple(character * 900 for character in "abc")
    long = Rule("long", HeaderTest("Subject", Operator.IS, subjects), (Move("Two"),))
    for one in (alice, bob, carol):
        told = base64.b64encode(to_json(Mailsort((long,))).encode()).decode()
        dn = tree.user_dn(one.box.user)
        mailsystem.slapd.modify(f"dn: {dn}\nreplace: iemsMailsort\niemsMailsort:: {told}\n")
    code, out, error = ends(alice, "install", fresh.domain)
    installed = [f"installed rules of {one.box.user}\n" for one in (alice, carol)]
    assert (code, out) == (1, "".join(installed)), error
    assert f"rules of {bob.box.user}: not installed, what was there stays: the server says" in error
    with bob.his_own() as scripts:
        assert scripts.get(NAME) == former
    assert "too large" in error
    assert json.loads(ends(bob, "status", "--json", bob.box.user)[1])["rules"] == "former"
    code, out, _error = ends(alice, "install", "--json", "--after", alice.box.user, fresh.domain)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["user"], row["outcome"]) for row in rows] == [
        (bob.box.user, "refused"),
        (carol.box.user, "unchanged"),
    ]


def test_without_a_server_rules_are_kept_and_it_is_told(alice: Person, tmp_path: Path) -> None:
    """75, which is not yet; installed later."""
    file = tmp_path / "rules.json"
    file.write_text(to_json(Mailsort((Rule("one", about("one"), (Move("One"),)),))))
    user = alice.box.user
    settings = alice.system.site.write(
        "conf.d/zz-closed.toml", f'[mailsort]\nmanagesieve = "127.0.0.1:{CLOSED}"\n'
    )
    code, _out, error = ends(alice, "set", "--json", user, str(file))
    stopped = ends(alice, "install", alice.fresh.domain)
    settings.unlink()
    assert code == 75
    assert stopped[0] == 75
    assert f"the rules of {user} are stored, but not installed" in error
    assert json.loads(ends(alice, "status", "--json", user)[1])["rules"] == "missing"
    assert ends(alice, "install", user)[:2] == (0, f"installed rules of {user}\n")


def test_many_are_told_in_their_order_and_a_dead_server_ends_it(alice: Person) -> None:
    """More users than are begun at once; three in a row without an answer are enough."""
    system, domain = alice.system, alice.fresh.domain
    told = base64.b64encode(to_json(Mailsort((Rule("x", None, (Move("X"),)),))).encode()).decode()
    boxes = [person(system, alice.fresh, f"u{number:02}").box for number in range(20)]
    system.slapd.modify(
        "\n".join(
            f"dn: {tree.user_dn(box.user)}\nchangetype: modify\n"
            f"replace: iemsMailsort\niemsMailsort:: {told}\n"
            for box in boxes
        )
    )
    settings = system.site.write(
        "conf.d/zz-closed.toml", f'[mailsort]\nmanagesieve = "127.0.0.1:{CLOSED}"\n'
    )
    after = ("--after", boxes[0].user, domain)
    code, out, error = ends(alice, "install", *after)
    settings.unlink()
    assert (code, out) == (75, "")
    failed = [f"warning: rules of {box.user} are not installed" for box in boxes]
    assert [line in error for line in failed] == [False, *[True] * 3, *[False] * 16]
    code, out, error = ends(alice, "install", *after)
    assert code == 0, error
    assert out.splitlines() == [f"installed rules of {box.user}" for box in boxes[1:]]
    assert ends(alice, "install", *after) == (0, "", "iems: 19 unchanged\n")


def test_rules_of_site_and_domain_come_before_and_after(alice: Person, tmp_path: Path) -> None:
    """For all users, without a script of theirs; gone with the rules."""
    system, domain = alice.system, alice.fresh.domain
    rules_of = system.site.etc / "mailsort"
    (rules_of / domain).mkdir(parents=True)
    texts = {
        "before": Rule("first", about("of the site"), (Move("Site"),)),
        f"{domain}/before": Rule("second", about("of the domain"), (Move("Domain"),)),
        f"{domain}/after": Rule("last", about("what is left"), (Move("Left"),)),
    }
    for name, rule in texts.items():
        (rules_of / f"{name}.toml").write_text(to_toml(Mailsort((rule,))))
    assert ends(alice, "install", "--site")[0] == 0
    alice.rules(tmp_path, Rule("all", about("of the"), (Move("Ours"),)))
    for subject, folder in (
        ("of the site", "Site"),
        ("of the domain", "Domain"),
        ("of the user, what is left", "Ours"),
        ("what is left", "Left"),
    ):
        alice.gets(subject)
        assert subject.encode() in alice.box.wait(folder=folder)[0]
    (rules_of / "before.toml").write_text("no rules at all")
    assert ends(alice, "install", "--site")[0] == 1
    scripts = system.dovecot.folder / "sieve/mailsort"
    assert (scripts / "before.svbin").exists()
    shutil.rmtree(rules_of)
    code, out, _error = ends(alice, "install", "--site")
    assert (code, out.count("removed")) == (0, 3)
    assert not list(scripts.glob("**/*.s*"))
