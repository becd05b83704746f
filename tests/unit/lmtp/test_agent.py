"""One verdict per recipient, carried out, with records, quarantine and a next hop that are real."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from iems.directory.reader import CatchAll, Directory, DirectoryUnavailable, Entry
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.model.finding import TEMPERROR, Finding
from iems.model.policy import Layer
from iems.model.senders import Facts
from iems.serve.deadline import Deadline
from iems.store.quarantine import Quarantine
from lmtp.commands import Recipient
from lmtp.dsn import Reports
from lmtp.outcome import outcome
from lmtp.provenance import Provenance
from lmtp.subjects import Target, find_targets
from lmtp.upstream import Upstream
from tests.unit.directory.ruled import refusing
from tests.unit.lmtp.conftest import ACTIONS, DIRECTORY, LISTED, NOW, Office, settings
from tests.unit.lmtp.parts import Hop, Taken


def headers(taken: Taken) -> bytes:
    """The header block that the next hop got."""
    return taken.data.partition(b"\r\n\r\n")[0]


def test_every_recipient_has_his_own_outcome(office: Office) -> None:
    answers = dict(zip(ACTIONS, office.deliver(*ACTIONS), strict=True))
    assert answers == {
        "deliver": "250 2.0.0 Saved",
        "tag": "250 2.0.0 Saved",
        "junk": "250 2.0.0 Saved",
        "quarantine": "250 2.0.0 Taken; ref=ref012345678",
        "defer": "451 4.7.1 Not taken yet; ref=ref012345678",
        "discard": "250 2.0.0 Taken; ref=ref012345678",
        "reject": "250 2.0.0 Saved",
    }
    got = {taken.recipients[0]: headers(taken) for taken in office.taken}
    assert b"X-IEMS" not in got["RCPT TO:<deliver@b.test>"]
    assert b"X-IEMS-Verdict: tag; ref=ref012345678\r\n" in got["RCPT TO:<tag@b.test>"]
    assert b"X-IEMS-Verdict: junk; ref=ref012345678\r\n" in got["RCPT TO:<junk@b.test>"]
    assert [taken.recipients for taken in office.taken][-1] == [
        "RCPT TO:<junk@b.test>",
        "RCPT TO:<reject@b.test>",
    ]
    assert {row.recipient: (row.action, row.reply[:3]) for row in office.records()} == {
        "deliver@b.test": ("deliver", "250"),
        "tag@b.test": ("tag", "250"),
        "junk@b.test": ("junk", "250"),
        "quarantine@b.test": ("quarantine", "250"),
        "defer@b.test": ("defer", "451"),
        "discard@b.test": ("discard", "250"),
        "reject@b.test": ("junk", "250"),
    }
    lines = [line for line in office.log.lines if line.startswith("ref012345678 4XyZ")]
    assert len(lines) == len(ACTIONS)


def test_results_in_our_name_are_the_milter_s_or_none(office: Office) -> None:
    field = b"Authentication-Results: mail.example.test;\r\n\tiprev=pass\r\n"
    office.deliver("deliver", header=field)
    office.send("deliver", header=field)
    passed, unchecked = office.taken
    assert field in passed.data
    assert b"Authentication-Results" not in unchecked.data


def test_the_quarantine_holds_message_and_envelope(office: Office) -> None:
    office.deliver("quarantine", "quarantine2")
    [name] = office.quarantined
    box = Quarantine(office.folder / "quarantine")
    text = box.message(name).read_bytes()
    assert text == b"Message-ID: <m@x.test>\r\nSubject: x\r\n\r\nbody\r\n"
    told = box.describe(name)
    assert (told["sender"], told["queue_id"]) == ("s@x.test", "4XyZ")
    recipients = told["recipients"]
    assert isinstance(recipients, list)
    assert [one["address"] for one in recipients] == ["quarantine@b.test", "quarantine2@b.test"]
    assert all(row.details["quarantine"] == name for row in office.records())


@pytest.mark.parametrize(
    ("site", "channel", "expected"),
    [
        ("junk", "internet", "250 2.0.0 Saved"),
        ("quarantine", "internet", "250 2.0.0 Taken"),
        ("bounce", "internet", "550 5.7.1 Refused"),
        ("junk", "submission", "550 5.7.1 Refused"),
        ("quarantine", "local", "550 5.7.1 Refused"),
    ],
)
def test_a_reject_after_the_queue_bounces_only_to_our_own(
    office: Office, site: str, channel: str, expected: str
) -> None:
    [answer] = office.with_settings(reject_after_queue=site).deliver("reject", channel=channel)
    assert answer.startswith(expected)
    if answer.startswith("550"):
        assert answer.endswith("ref=ref012345678; https://help.example.test")
        assert office.records()[0].action == "reject"


@pytest.mark.parametrize(
    ("site", "channel", "said", "action"),
    [
        ("bounce", "internet", "550 5.7.1 I have left.; ref=ref012345678; https://help", "reject"),
        ("junk", "internet", "250", "junk"),
        ("junk", "submission", "550 5.7.1 I have left.; ref=", "reject"),
        ("quarantine", "local", "550 5.7.1 I have left.; ref=", "reject"),
    ],
)
def test_whom_a_rule_refuses_too_late_is_told_its_text_where_he_is_told_at_all(
    office: Office, site: str, channel: str, said: str, action: str
) -> None:
    directory = refusing({"alice@b.test": {"bad.test": "I have left."}})
    made = office.with_settings(reject_after_queue=site)
    made = replace(made, agent=replace(made.agent, directory=directory))
    [answer] = made.deliver("alice", sender="x@bad.test", channel=channel, findings=())
    assert answer.startswith(said)
    [record] = office.records()
    assert record.action == action
    reasons = record.details["reasons"]
    assert isinstance(reasons, list)
    assert [row["reason"] for row in reasons] == ["I have left."]


def test_a_deferral_ends_in_quarantine(office: Office) -> None:
    [young] = office.deliver("defer", at=NOW - 23 * 3600)
    [old] = office.deliver("defer", at=NOW - 25 * 3600)
    assert young.startswith("451 4.7.1")
    assert old.startswith("250 2.0.0 Taken")
    assert len(office.quarantined) == 1


def test_without_findings_the_age_is_that_of_received(office: Office) -> None:
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(NOW - 3600))
    received = f"Received: by mail.example.test (Postfix) id 4XyZ; {stamp}\r\n".encode()
    assert office.send("defer", header=received)[0].startswith("451 4.7.1")
    assert office.send("defer", header=b"")[0].startswith("250 2.0.0 Taken")


def test_forged_findings_are_temperror(office: Office) -> None:
    forged = b"X-IEMS-Findings: v=1; k=k1;\r\n"
    assert office.send("junk", "deliver", header=forged) == ["250 2.0.0 Saved"] * 2
    assert [b"X-IEMS-Verdict: junk" in one.data for one in office.taken] == [False, True]
    assert all(b"Findings" not in one.data for one in office.taken)
    [record, _other] = office.records()
    assert record.details["fault"]
    assert record.channel == ""


def test_a_check_that_is_enforced_is_not_temperror_for_want_of_findings(office: Office) -> None:
    office.send("deliver", header=b"")
    assert b"Verdict" not in office.taken[0].data


def test_the_same_mailbox_is_delivered_once_and_answered_twice(office: Office) -> None:
    answers = office.deliver(
        "<tag@b.test> ORCPT=rfc822;team@b.test", "<TAG@B.test> ORCPT=rfc822;all@b.test", "deliver"
    )
    assert answers == ["250 2.0.0 Saved"] * 3
    tagged = [one for one in office.taken if one.recipients == ["RCPT TO:<tag@b.test>"]]
    assert len(tagged) == 1
    assert len(office.taken) == 2


def test_the_original_recipient_stands_only_in_his_own_copy(office: Office) -> None:
    office.deliver(
        "<deliver@b.test> ORCPT=rfc822;secret@b.test",
        "<deliver2@b.test> ORCPT=rfc822;secret@b.test",
        "<tag@b.test> ORCPT=rfc822;TAG@b.test",
        "<tag2@b.test>",
    )
    got = {tuple(taken.recipients): headers(taken) for taken in office.taken}
    assert set(got) == {
        ("RCPT TO:<deliver@b.test>",),
        ("RCPT TO:<deliver2@b.test>",),
        ("RCPT TO:<tag@b.test>", "RCPT TO:<tag2@b.test>"),
    }
    for recipients, header in got.items():
        assert (b"X-Original-To: secret@b.test\r\n" in header) == (len(recipients) == 1)


def test_foreign_verdicts_go(office: Office) -> None:
    office.deliver("deliver", header=b"x-iems-verdict\t: junk;\r\n ref=x\r\n")
    assert b"erdict" not in office.taken[0].data


_HAD = b"Delivered-To: DELIVER@b.test\r\n"


@pytest.mark.parametrize("channel", ["submission", "local"])
def test_a_loop_is_refused_for_him_who_had_it(office: Office, channel: str) -> None:
    answers = office.deliver("deliver", "tag", channel=channel, header=_HAD)
    assert [answer[:9] for answer in answers] == ["550 5.4.6", "250 2.0.0"]
    assert _HAD in office.taken[0].data


def test_a_loop_from_outside_makes_no_bounce(office: Office) -> None:
    """The milter refuses it, unless somebody else gets the message, too."""
    answers = office.deliver("deliver", "tag", header=_HAD)
    assert [answer[:9] for answer in answers] == ["250 2.0.0", "250 2.0.0"]
    (junk,) = (one.data for one in office.taken if b"X-IEMS-Verdict: junk" in one.data)
    assert _HAD in junk


def test_an_unknown_user_and_an_address_that_is_not_ours(office: Office) -> None:
    office.hop.rcpt = {"x@elsewhere.test": "550 5.1.1 The next hop says so"}
    answers = office.deliver("ghost", "<x@elsewhere.test>", "deliver")
    assert answers == [
        "550 5.1.1 User unknown",
        "550 5.1.1 The next hop says so",
        "250 2.0.0 Saved",
    ]
    [record] = [row for row in office.records() if row.recipient == "ghost@b.test"]
    reasons = record.details["reasons"]
    assert isinstance(reasons, list)
    [reason] = reasons
    assert (reason["check"], reason["band"], reason["layer"]) == ("account", "unknown", "site")


def test_what_the_next_hop_says_is_passed_on(office: Office) -> None:
    office.hop.final = {"deliver@b.test": "552 5.2.2 <deliver@b.test> Quota exceeded"}
    office.hop.rcpt = {"deliver2@b.test": "450 4.2.1 Busy"}
    answers = office.deliver("deliver", "deliver2")
    assert answers == ["552 5.2.2 <deliver@b.test> Quota exceeded", "450 4.2.1 Busy"]
    assert {row.reply[:3] for row in office.records()} == {"552", "450"}


class Away(Directory):
    """A directory that does not answer."""

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """See `Directory`."""
        raise DirectoryUnavailable(f"refused {addresses} until {deadline}")

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """See `Directory`."""
        raise DirectoryUnavailable(f"refused {domains} until {deadline}")

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """See `Directory`."""
        raise DirectoryUnavailable(f"refused {names} until {deadline}")


def test_a_directory_that_is_away_delays_all(office: Office) -> None:
    away = replace(office, agent=replace(office.agent, directory=Away()))
    answers = away.deliver("deliver", "ghost")
    assert [answer[:9] for answer in answers] == ["451 4.3.0"] * 2
    assert not office.taken
    assert len([line for line in office.log.lines if line.startswith("ref0")]) == 2


@pytest.mark.parametrize("action", ["discard", "quarantine", "reject"])
def test_no_final_word_without_its_record(office: Office, action: str) -> None:
    with sqlite3.connect(office.folder / "records.sqlite") as connection:
        connection.execute("ALTER TABLE record RENAME TO away")
    connection.close()
    answers = office.deliver(action, "deliver", channel="submission")
    assert answers == ["451 4.3.0 Verdict cannot be recorded", "250 2.0.0 Saved"]
    lines = [line for line in office.log.lines if line.startswith("ref0")]
    told = [[word for word in line.split() if word.startswith("action=")] for line in lines]
    assert told == [['action="tempfail"'], ['action="deliver"']], "it was not carried out"


def test_no_250_without_the_file_in_quarantine(office: Office) -> None:
    (office.folder / "quarantine").write_text("in the way")
    answers = office.deliver("quarantine", "deliver")
    assert [answer[:9] for answer in answers] == ["451 4.3.1", "250 2.0.0"]
    assert office.records()[0].reply.startswith("451")


def test_a_report_is_owed_only_for_what_was_delivered_and_asked_for(office: Office) -> None:
    office.hop.rcpt = {"tag2@b.test": "550 5.1.1 No"}
    office.deliver(
        "<deliver@b.test> NOTIFY=SUCCESS ORCPT=rfc822;team@b.test",
        "<deliver@b.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;all@b.test",
        "<deliver2@b.test> NOTIFY=FAILURE",
        "<tag@b.test> NOTIFY=NEVER",
        "<tag2@b.test> NOTIFY=SUCCESS",
        "<junk@b.test>",
        "<quarantine@b.test> NOTIFY=SUCCESS",
        "<discard@b.test> NOTIFY=SUCCESS",
        "<defer@b.test> NOTIFY=SUCCESS",
    )
    [(sender, rows, header)] = office.reports
    assert sender == "s@x.test"
    assert [row.recipient.original for row in rows] == ["team@b.test", "all@b.test"]
    assert b"X-IEMS" not in header


def test_no_report_to_nobody_and_none_that_the_next_hop_owes(office: Office) -> None:
    office.deliver("<deliver@b.test> NOTIFY=SUCCESS", sender="")
    upstream = office.agent.upstreams["local"]
    assert isinstance(upstream, Upstream)
    upstream.close()
    office.hop.extensions = ("PIPELINING", "DSN")
    office.deliver("<deliver@b.test> NOTIFY=SUCCESS")
    assert not office.reports


def test_a_report_that_fails_changes_nothing(office: Office) -> None:
    real = Reports("127.0.0.1:1", "mail.example.test", office.log)
    there = replace(office, agent=replace(office.agent, reports=real))
    assert there.deliver("<deliver@b.test> NOTIFY=SUCCESS") == ["250 2.0.0 Saved"]
    assert any("report" in line for line in office.log.lines)


def test_each_channel_has_its_next_hop(office: Office, tmp_path: Path) -> None:
    with Hop(tmp_path / "other") as other:
        upstream = Upstream(other.target, "mail.test")
        upstreams = {**office.agent.upstreams, "internet": upstream}
        both = replace(office, agent=replace(office.agent, upstreams=upstreams))
        assert both.deliver("deliver", "<x@elsewhere.test>") == ["250 2.0.0 Saved"] * 2
        assert [one.recipients for one in office.taken] == [["RCPT TO:<deliver@b.test>"]]
        assert [one.recipients for one in other.taken] == [["RCPT TO:<x@elsewhere.test>"]]
        upstream.close()


def test_a_role_address_is_not_refused_by_choosable_checks() -> None:
    made = settings(
        checks={"dnsbl": {"one": {"mode": "delegate", "default": {"listed": "discard"}}}}
    )
    where = Provenance("r", "q", "internet", NOW, (LISTED,))

    def action(address: str) -> str:
        target = Target(Recipient(address), Address.parse(address), "local")
        return outcome(target, where, Facts(str), made, NOW).action.word

    assert action("someone@b.test") == "discard"
    assert action("postmaster@b.test") == "deliver"


def test_temperror_of_enforced_checks_in_genuine_findings_counts(office: Office) -> None:
    office.deliver("deliver", findings=[Finding("dnsbl/two", TEMPERROR, TEMPERROR)])
    assert b"X-IEMS-Verdict: junk" in office.taken[0].data


def test_targets_are_found_in_one_question_each() -> None:
    asked: list[str] = []
    directory = TomlDirectory.parse(DIRECTORY)

    class Counting(TomlDirectory):
        def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
            asked.append("find")
            return super().find(addresses, deadline)

        def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
            asked.append("domains")
            return super().domains(names, deadline)

    counting = Counting(directory.entries, directory.catch_alls, directory.layers)
    recipients = [Recipient(f"{action}+x@b.test") for action in ACTIONS]
    assert all(one.known for one in find_targets(counting, recipients, Deadline.after(5)))
    assert asked == ["find", "domains"]
