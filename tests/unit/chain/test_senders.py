"""Lists of senders in the milter: what is refused at RCPT, what waits, and what the header adds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from milters.checks.protocol import Known, Pending, Stage, View
from milters.reply import Continue, Reject
from tests.unit.chain.world import World, finish, rcpt
from tests.unit.directory.ruled import refusing

DIRECTORY = """
[domains."example.test"]
senders = ["block spam.test", "allow bad.spam.test unverified"]
[users."alice@example.test"]
policy = { "dnsbl/free" = { listed = "reject" } }
senders = [
    "allow good.test", "allow free.test unverified", "allow friend@spam.test",
    "block bad.good.test", "allow 203.0.113.0/24", "block 203.0.113.9",
]
[users."bob@example.test"]
[users."mild@example.test"]
policy = { senders = { blocked = "junk" } }
[users."abuse@example.test"]
[aliases]
"two@example.test" = ["alice@example.test", "bob@example.test"]
"""
LISTED, HARD, CLEAN = "192.0.2.66", "192.0.2.99", "192.0.2.1"


@dataclass
class Fixed:
    """A check that finds always the same."""

    name: str
    stage: Stage
    findings: tuple[Finding, ...]

    def applies(self, view: View) -> bool:
        del view
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        del view, deadline
        return Known(self.findings)


class Lists(World):
    """Its users have lists; SPF and DKIM pass for these domains."""

    def __init__(self, spf: str = "", dkim: str = "") -> None:
        super().__init__()
        self.runtime = self.runtime.__class__(
            **{**vars(self.runtime), "directory": TomlDirectory.parse(DIRECTORY)}
        )
        passed = Finding("spf", "pass", evidence=(("smtp.mailfrom", spf),))
        signed = Finding("dkim", "pass", evidence=(("header.d", dkim),))
        self.use(
            *self.runtime.checks,
            Fixed("spf", Stage.MAIL, (passed,) if spf else (Finding("spf", "fail"),)),
            *([Fixed("dkim", Stage.BODY, (signed,))] if dkim else []),
        )

    def send(
        self, sender: str, to: str = "alice", author: str = "", ip: str = LISTED
    ) -> tuple[str, str]:
        """What is answered to RCPT and at the end."""
        chain = self.connect(ip)
        chain.mail(f"<{sender}>", {})
        first = chain.rcpt(f"<{to}@example.test>", {})
        if not isinstance(first, Continue):
            chain.abort()
            return _word(first), ""
        header = [(b"From", author.encode())] if author else []
        return "ok", _word(finish(chain, *header)[0])


def _word(reply: object) -> str:
    if isinstance(reply, Reject):
        return "refused"
    assert isinstance(reply, Continue)
    return "ok"


def test_an_allow_entry_lets_in_at_rcpt_whom_spf_proves() -> None:
    assert Lists(spf="good.test").send("joe@good.test") == ("ok", "ok")
    assert Lists(spf="other.test").send("joe@other.test") == ("refused", "")


def test_an_unverified_entry_needs_no_proof() -> None:
    assert Lists().send("joe@free.test") == ("ok", "ok")


def test_what_may_be_allowed_by_dkim_waits_for_the_end() -> None:
    assert Lists().send("joe@good.test") == ("ok", "refused")
    assert Lists(dkim="good.test").send("joe@good.test") == ("ok", "ok")
    assert Lists(dkim="evil.test").send("joe@good.test") == ("ok", "refused")


def test_what_may_be_allowed_by_the_header_waits_for_the_end() -> None:
    """The envelope is of another name below the same organisational domain."""
    world = Lists(spf="bounce.good.test")
    assert world.send("x@bounce.good.test", author="joe@good.test") == ("ok", "ok")
    assert world.send("x@bounce.good.test", author="joe@evil.test") == ("ok", "refused")
    assert world.send("x@bounce.good.test", author="a@good.test, b@evil.test")[1] == "refused"
    assert Lists().send("x@bounce.good.test", author="joe@good.test") == ("ok", "refused")


def test_nobody_waits_for_an_entry_of_another_organisation() -> None:
    assert Lists(dkim="good.test").send("joe@evil.test", author="joe@good.test") == ("refused", "")
    assert Lists(dkim="good.test").send("", author="joe@good.test") == ("refused", "")


def test_an_enforced_refusal_waits_for_nothing() -> None:
    world = Lists(spf="good.test", dkim="good.test")
    assert world.send("joe@good.test", ip=HARD) == ("refused", "")


def test_a_block_entry_refuses_at_rcpt_by_the_envelope() -> None:
    assert Lists(spf="spam.test").send("x@spam.test", "bob", ip=CLEAN) == ("refused", "")
    assert Lists().send("x@a.spam.test", "bob", ip=CLEAN) == ("ok", "ok")


def test_a_block_entry_refuses_at_the_end_by_the_header() -> None:
    """No check looks at the header here: the list alone has it decided again."""
    world = Lists()
    assert world.send("x@a.test", "bob", "joe@spam.test", CLEAN) == ("ok", "refused")
    assert world.send("x@a.test", "bob", "j@a.test, joe@spam.test", CLEAN) == ("ok", "refused")
    assert world.send("x@a.test", "bob", "joe@a.test", CLEAN) == ("ok", "ok")


def test_the_user_s_entry_comes_before_the_domain_s() -> None:
    world = Lists(spf="spam.test")
    assert world.send("friend@spam.test", ip=CLEAN) == ("ok", "ok")
    assert world.send("other@spam.test", ip=CLEAN) == ("ok", "refused")
    assert Lists().send("friend@spam.test", ip=CLEAN) == ("ok", "refused")


def test_a_more_exact_block_ends_the_waiting() -> None:
    world = Lists(spf="bad.good.test")
    assert world.send("x@bad.good.test", ip=CLEAN) == ("refused", "")


def test_the_subject_chooses_what_is_done_with_whom_he_blocks() -> None:
    world = Lists()
    assert world.send("x@spam.test", "mild", ip=CLEAN) == ("ok", "ok")


def test_a_role_address_takes_mail_of_whom_its_domain_blocks() -> None:
    assert Lists().send("x@spam.test", "abuse", ip=CLEAN) == ("ok", "ok")


def test_where_one_of_two_takes_it_the_agent_decides() -> None:
    world = Lists(spf="good.test")
    assert world.send("joe@good.test", "two") == ("ok", "ok")


@pytest.mark.parametrize(("ip", "answer"), [("203.0.113.1", "ok"), ("203.0.113.9", "refused")])
def test_a_network_is_the_client_s(ip: str, answer: str) -> None:
    world = Lists()
    world.use(Fixed("dnsbl/free", Stage.CONNECT, (Finding("dnsbl/free", "fail", "listed"),)))
    assert world.send("x@a.test", ip=ip)[0] == answer


def test_whom_a_rule_refuses_is_told_its_text_for_each_recipient() -> None:
    """Also where the address is long; the null sender is refused by no rule."""
    long = "x" * 64
    texts = {"alice": "I have left, 100 %.", "bob": "", "dora": "Write to bob.", long: "y" * 200}
    world = World()
    directory = refusing({f"{one}@example.test": {"bad.test": texts[one]} for one in texts})
    world.runtime = replace(world.runtime, directory=directory)
    chain = world.connect(CLEAN)
    chain.mail("<joe@bad.test>", {})
    replies = rcpt(chain, *texts)
    for reply, (name, text) in zip(replies, texts.items(), strict=True):
        assert isinstance(reply, Reject)
        told = text or "the recipient does not take mail of this sender"
        end = "; help: help@example.test; reference REF00"
        assert (reply.code, reply.enhanced) == (550, "5.7.1")
        assert reply.text == f"<{name}@example.test>: {told}{end}"
        [record] = (one for one in world.recorder.committed if one.recipient.startswith(name))
        assert record.reply == f"550 5.7.1 {reply.text}"
        reasons = record.details["reasons"]
        assert isinstance(reasons, list)
        assert [(row["reason"], row["entry"]) for row in reasons] == [
            (told, "block bad.test envelope")
        ]
    chain.abort()
    chain.mail("<>", {})
    assert isinstance(rcpt(chain, "alice")[0], Continue)


def test_the_record_names_the_entry_and_whose_it_is() -> None:
    world = Lists()
    world.send("x@spam.test", "bob", ip=CLEAN)
    [record] = world.recorder.committed
    assert record.subject == "user bob@example.test"
    assert "the recipient does not take mail of this sender" in record.reply
    reasons = record.details["reasons"]
    assert isinstance(reasons, list)
    [row] = reasons
    assert row == {
        "check": "senders",
        "band": "blocked",
        "outcome": "fail",
        "reason": "the recipient does not take mail of this sender",
        "action": "reject",
        "layer": "site",
        "enforced": False,
        "entry": "block spam.test",
        "owner": "domain example.test",
    }
