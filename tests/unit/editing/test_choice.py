"""Which mail an edit is for: channel, direction, sender, recipients, and whether it answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iems.codec.header import parse_header
from iems.directory.toml import TomlDirectory
from iems.editing.choice import Facts, answers, author, due, members
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.settings.edits import EditTable, whom

DIRECTORY = TomlDirectory.parse("""
[domains."example.test"]
[domains."other.test"]
[users."alice@example.test"]
forward = ["far@elsewhere.example"]
[users."bob@example.test"]
[users."carol@example.test"]
[aliases]
"sales@example.test" = ["alice@example.test", "inner@example.test", "guest@elsewhere.example"]
"inner@example.test" = ["bob@example.test"]
"odd@example.test" = ["Alice+odd@example.test", "inner+x@other.test", "nobody@other.test"]
"@other.test" = ["@example.test"]
"round@example.test" = ["round@example.test", "sales@example.test"]
""")
ALICE, BOB, CAROL = (Address.parse(f"{name}@example.test") for name in ("alice", "bob", "carol"))
SALES = Address.parse("sales@example.test")
FAR = Address.parse("far@elsewhere.example")
SENT = Facts("submission", True, ALICE, ALICE, (FAR,), answers=False)


def of(address: Address) -> frozenset[str]:
    return members(DIRECTORY, address, Deadline.after(5))


@pytest.mark.parametrize(
    ("table", "facts", "expected"),
    [
        ({}, SENT, True),
        ({}, replace(SENT, channel="local"), False),
        ({"channels": ("office", "local")}, replace(SENT, channel="local"), True),
        ({"direction": "outside"}, SENT, True),
        ({"direction": "outside"}, replace(SENT, outside=False), False),
        ({"direction": "inside"}, SENT, False),
        ({"direction": "inside"}, replace(SENT, outside=False), True),
        ({"replies": "never"}, SENT, True),
        ({"replies": "never"}, replace(SENT, answers=True), False),
        ({"replies": "only"}, SENT, False),
        ({"replies": "only"}, replace(SENT, answers=True), True),
        ({"senders": whom(["EXAMPLE.test"])}, SENT, True),
        ({"senders": whom(["elsewhere.example"])}, SENT, False),
        ({"senders": whom(["bob@example.test", "Alice@example.test"])}, SENT, True),
        ({"senders": whom(["bob@example.test"])}, SENT, False),
        ({"senders": whom(["sales@example.test"])}, SENT, True),
        ({"senders": whom(["sales@example.test"])}, replace(SENT, login=CAROL), False),
        # He shows himself as the group, and what counts is what he shows.
        ({"senders": whom(["sales@example.test"])}, replace(SENT, author=SALES, login=CAROL), True),
        ({"senders": whom(["example.test"])}, replace(SENT, author=FAR), False),
        ({"senders": whom(["sales@example.test"])}, replace(SENT, author=FAR), True),
        ({"senders": whom(["example.test"])}, replace(SENT, author=None), True),
        ({"senders": whom(["example.test"])}, replace(SENT, author=None, login=None), False),
        ({"senders": whom(["round@example.test"])}, replace(SENT, login=BOB), True),
        (
            {"senders": whom(["sales@example.test"])},
            replace(SENT, login=Address.parse("bob+x@example.test")),
            True,
        ),
        ({"recipients": whom(["elsewhere.example"])}, SENT, True),
        ({"recipients": whom(["elsewhere.example"])}, replace(SENT, recipients=(FAR, BOB)), False),
        (
            {"recipients": whom(["elsewhere.example", "inner@example.test"])},
            replace(SENT, recipients=(FAR, BOB)),
            True,
        ),
    ],
)
def test_due(table: dict[str, object], facts: Facts, expected: bool) -> None:
    assert due(EditTable(**table), facts, of) is expected  # type: ignore[arg-type]


def test_members_are_those_below_an_alias_whatever_they_forward() -> None:
    assert of(SALES) == {ALICE.key, BOB.key}
    # A mailbox is no group: to whom alice forwards is none of hers.
    assert of(ALICE) == {ALICE.key}
    assert of(FAR) == set()


@pytest.mark.parametrize("group", ["odd@example.test", "Odd@other.test", "odd+y@example.test"])
def test_members_are_those_whom_mail_for_the_group_reaches(group: str) -> None:
    assert of(Address.parse(group)) == {ALICE.key, BOB.key}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Subject: hello\r\n", False),
        (b"Subject: Regarding you: all\r\n", False),
        (b"Subject: hello\r\nIn-Reply-To: <x@y>\r\n", True),
        (b"References:\r\n <x@y>\r\nSubject: hello\r\n", True),
        (b"Subject: Re: hello\r\n", True),
        (b"Subject:\r\n AW[2]: hello\r\n", True),
        (b"Subject: =?utf-8?Q?Fwd=3A?= hello\r\n", True),
        (b"To: x\r\n", False),
    ],
)
def test_an_answer_is_known_by_its_header(header: bytes, expected: bool) -> None:
    assert answers(parse_header(header)) is expected


def test_one_author_is_an_author() -> None:
    assert author(parse_header(b"From: A <alice@example.test>\r\n")) == ALICE
    for header in (b"", b"From: a@b.test, c@d.test\r\n", b"From: a@b.test\r\nFrom: a@b.test\r\n"):
        assert author(parse_header(header)) is None
