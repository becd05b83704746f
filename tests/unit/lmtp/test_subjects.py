"""Whose policy counts for which recipient."""

from __future__ import annotations

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.policy import Kind, Subject
from iems.serve.deadline import Deadline
from lmtp.commands import Recipient
from lmtp.grouping import Copy, Group, group
from lmtp.subjects import Target, find_targets

DIRECTORY = TomlDirectory.parse("""
[domains."b.test"]
[users."alice@b.test"]
[aliases]
"team@b.test" = ["alice@b.test"]
""")


def target(address: str) -> Target:
    """The target of one recipient."""
    [one] = find_targets(DIRECTORY, [Recipient(address)], Deadline.after(5))
    return one


@pytest.mark.parametrize("address", ["alice@b.test", "ALICE@B.Test", "alice+lists@b.test"])
def test_a_user_with_and_without_extension(address: str) -> None:
    one = target(address)
    assert one.known
    assert one.channel == "local"
    assert [layer.subject for layer in one.layers] == [
        Subject(Kind.DOMAIN, "b.test"),
        Subject(Kind.USER, "alice@b.test"),
    ]


def test_an_alias_is_for_the_next_hop_to_judge() -> None:
    one = target("team@b.test")
    assert one.known
    assert one.subject == Subject(Kind.DOMAIN, "b.test")


def test_only_a_domain_of_ours_has_unknown_users() -> None:
    assert not target("nobody@b.test").known
    assert not target("nobody+alice@b.test").known
    for address in ("alice@elsewhere.test", "no-domain", '"'):
        one = target(address)
        assert one.known
        assert one.layers == ()
        assert one.subject is None


def test_the_same_mailbox_has_the_same_key() -> None:
    assert target("Alice@B.test").key == target("alice@b.test").key
    assert target("alice+a@b.test").key != target("alice@b.test").key
    assert target("no-domain").key == "no-domain"
    assert target("Postmaster@b.test").role
    assert not target("no-domain").role


def test_recipients_share_a_transaction_only_if_their_bytes_are_equal() -> None:
    a, b, c, d, e = (target(f"{name}@elsewhere.test") for name in "abcde")
    copies = [
        Copy(a, "local", b"", alone=False),
        Copy(b, "local", b"X-IEMS-Verdict: junk; ref=1\r\n", alone=False),
        Copy(c, "local", b"", alone=False),
        Copy(d, "local", b"X-Original-To: team@b.test\r\n", alone=True),
        Copy(e, "local", b"X-Original-To: team@b.test\r\n", alone=True),
        Copy(a, "lists", b"", alone=False),
    ]
    assert group(copies) == [
        Group("local", b"", (a, c)),
        Group("local", b"X-IEMS-Verdict: junk; ref=1\r\n", (b,)),
        Group("local", b"X-Original-To: team@b.test\r\n", (d,)),
        Group("local", b"X-Original-To: team@b.test\r\n", (e,)),
        Group("lists", b"", (a,)),
    ]
