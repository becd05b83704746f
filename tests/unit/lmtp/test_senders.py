"""Lists of senders in the agent: facts by the findings that travelled, the envelope and From."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from tests.unit.lmtp.conftest import LISTED, Office

DIRECTORY = """
[domains."b.test"]
[users."alice@b.test"]
policy = { "dnsbl/one" = { listed = "junk", temperror = "junk" } }
senders = ["allow x.test", "allow 192.0.2.7", "block spam.test"]
[users."bob@b.test"]
policy = { "dnsbl/one" = { listed = "junk" } }
[users."mild@b.test"]
policy = { senders = { blocked = "quarantine" } }
senders = ["block x.test"]
"""
SPF = Finding("spf", "pass", evidence=(("smtp.mailfrom", "x.test"),))
DKIM = Finding("dkim", "pass", evidence=(("header.d", "mail.x.test"),))
HARD = Finding("dnsbl/two", "fail", "listed")


@pytest.fixture
def lists(office: Office) -> Office:
    directory = TomlDirectory.parse(DIRECTORY)
    return replace(office, agent=replace(office.agent, directory=directory))


def verdict(office: Office, name: str) -> str:
    """What the last copy for this user says."""
    data = [one.data for one in office.taken if f"RCPT TO:<{name}@b.test>" in one.recipients][-1]
    word = data.partition(b"X-IEMS-Verdict: ")[2].partition(b";")[0]
    return word.decode() if b"X-IEMS-Verdict" in data else "deliver"


@pytest.mark.parametrize(
    ("sender", "header", "findings", "word"),
    [
        ("s@x.test", b"", (LISTED, SPF), "deliver"),
        ("s@x.test", b"", (LISTED, DKIM), "deliver"),
        ("s@x.test", b"", (LISTED,), "junk"),
        ("s@y.test", b"From: joe@x.test\r\n", (LISTED, DKIM), "deliver"),
        ("", b"From: joe@x.test\r\n", (LISTED, DKIM), "deliver"),
        ("s@y.test", b"From: joe@x.test\r\n", (LISTED,), "junk"),
        ("s@y.test", b"From: joe@x.test, j@y.test\r\n", (LISTED, DKIM), "junk"),
        ("s@y.test", b"From: joe@x.test\r\nFrom: j@y.test\r\n", (LISTED, DKIM), "junk"),
        ("s@x.test", b"", (HARD, SPF), "junk"),
        ("s@spam.test", b"", (), "junk"),
        ("s@y.test", b"From: joe@spam.test\r\n", (), "junk"),
        ("s@y.test", b"From: joe@y.test\r\n", (), "deliver"),
    ],
)
def test_an_entry_is_its_owner_s(
    lists: Office, sender: str, header: bytes, findings: tuple[Finding, ...], word: str
) -> None:
    """A rejection becomes junk behind the queue, and the other recipient's verdict stays."""
    replies = lists.deliver("alice", "bob", findings=findings, sender=sender, header=header)
    assert replies == ["250 2.0.0 Saved"] * 2
    assert verdict(lists, "alice") == word
    found = any(one.band for one in findings)
    assert verdict(lists, "bob") == ("junk" if found else "deliver")


@pytest.mark.parametrize(
    ("policy", "findings", "word"),
    [
        ("", (LISTED,), "tag"),
        ('"dnsbl/one" = { listed = "junk" }', (LISTED,), "junk"),
        ('"dnsbl/one" = { listed = "reject" }', (LISTED,), "tag"),
        ("", (HARD,), "junk"),
    ],
)
def test_nothing_is_filed_where_the_owner_never_looks(
    office: Office, policy: str, findings: tuple[Finding, ...], word: str
) -> None:
    """What he chose himself is done, and what is enforced; a rejection comes too late to be one."""
    text = f"""
        [domains."b.test"]
        policy = {{ "dnsbl/one" = {{ listed = "junk" }} }}
        [users."old@b.test"]
        reads = "pop3"
        senders = ["block spam.test"]
        policy = {{ {policy} }}
    """
    directory = TomlDirectory.parse(text)
    site = replace(office, agent=replace(office.agent, directory=directory))
    assert site.deliver("old", findings=findings) == ["250 2.0.0 Saved"]
    assert verdict(site, "old") == word
    assert site.deliver("old", findings=findings, sender="s@spam.test") == ["250 2.0.0 Saved"]
    assert verdict(site, "old") == "junk", "he wants it out of sight"
    record, *_later = site.records()
    assert record.action == word
    assert ("never sees Junk" in str(record.details["notes"])) == (word == "tag")


def test_a_client_is_whom_postfix_names(lists: Office) -> None:
    """The fixture's client is 192.0.2.1; this one has an entry."""
    lists.deliver("alice", sender="s@y.test")
    assert verdict(lists, "alice") == "junk"
    lists.deliver("alice", sender="s@y.test", client="192.0.2.7")
    assert verdict(lists, "alice") == "deliver"
    lists.deliver("alice", sender="s@y.test", client="IPV6:::ffff:192.0.2.7")
    assert verdict(lists, "alice") == "deliver"


def test_findings_that_are_not_the_milter_s_prove_nothing(lists: Office) -> None:
    lists.deliver("alice", findings=(LISTED, SPF), ident="Other")
    assert verdict(lists, "alice") == "junk"


def test_what_is_chosen_for_the_blocked_is_done(lists: Office) -> None:
    assert lists.deliver("mild", findings=())[0].startswith("250")
    assert len(lists.quarantined) == 1
    [record] = lists.records()
    assert record.action == "quarantine"
    reasons = record.details["reasons"]
    assert isinstance(reasons, list)
    [row] = reasons
    assert (row["entry"], row["owner"]) == ("block x.test", "user mild@b.test")
