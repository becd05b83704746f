"""Users whose rules could not be installed are told by mail, through the whole server."""

from __future__ import annotations

import base64
import email
import email.policy

from sieve.mailsort.rule import HeaderTest, Mailsort, Move, Operator, Rule
from sieve.mailsort.write import to_json
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.ruled import Person, ends, person
from tests.integration.stack.mailsystem import MailSystem

LONG = tuple(character * 900 for character in "abc")


def given(one: Person, text: str) -> None:
    """These rules past `iems`, which would not store all of them."""
    told = base64.b64encode(text.encode()).decode()
    change = f"dn: {tree.user_dn(one.box.user)}\nreplace: iemsMailsort\niemsMailsort:: {told}\n"
    one.system.slapd.modify(change)


def letters(one: Person, count: int) -> list[str]:
    """All that he has got, once nothing is on its way."""
    one.system.postfix.wait_empty()
    texts = []
    for text in one.box.wait(count):
        message = email.message_from_bytes(text, policy=email.policy.default)
        body = message.get_body()
        assert body is not None
        texts.append(f"{message['Subject']}\n{body.get_content()}")
    return texts


def test_whose_rules_are_refused_is_told_once(mailsystem: MailSystem, fresh: Fresh) -> None:
    """With what the server says, in his language; who acts as him sees it and no mail is sent."""
    mailsystem.add_domain(fresh.domain)
    bob = person(mailsystem, fresh, "bob", sieve_max_script_size="2K")
    carol = person(mailsystem, fresh, "carol")
    user = bob.box.user
    language = f"dn: {tree.user_dn(user)}\nadd: preferredLanguage\npreferredLanguage: de\n"
    mailsystem.slapd.modify(language)
    rule = Rule("long", HeaderTest("Subject", Operator.IS, LONG), (Move("Two"),))
    for one in (bob, carol):
        given(one, to_json(Mailsort((rule,))))
    assert ends(bob, "install", "--as", user, user)[0] == 1
    assert letters(bob, 0) == []
    for _run in range(2):
        assert ends(bob, "install", fresh.domain)[0] == 1
    [told] = letters(bob, 1)
    assert "Ihre Regeln" in told
    assert user in told
    assert "script" in told.partition("* ")[2].splitlines()[0].lower()
    assert letters(carol, 0) == []
    # What is stored is no rules: another reason, and once more after all was well.
    given(bob, "{}x")
    assert ends(bob, "install", user)[0] == 1
    assert len(letters(bob, 2)) == 2
    given(bob, to_json(Mailsort()))
    assert ends(bob, "install", user)[0] == 0
    given(bob, "{}x")
    assert ends(bob, "install", user)[0] == 1
    assert "error: " in letters(bob, 3)[-1]
