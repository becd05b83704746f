"""A check in shadow: to the client, the recipients and all other checks it is as good as off."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from iems.codec.findings import decode
from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.store.spool import Spool
from milters.checks.protocol import Check, Known, Pending, Stage, View
from milters.reply import Continue, InsertHeader, Reject, Reply, TempFail
from tests.unit.chain.test_senders import Fixed
from tests.unit.chain.world import KEY, LISTED, SETTINGS, ListCheck, World, finish

SPF = Finding("spf", "fail", "fail", "not from there", None, (("smtp.mailfrom", "sender.test"),))
ALLOWING = """
[domains."example.test"]
[users."alice@example.test"]
policy = { "dnsbl/free" = { listed = "reject" } }
senders = ["allow sender.test"]
"""
DMARC = """
[checks.spf]
mode = "{spf}"
[checks.dmarc]
mode = "{dmarc}"
"""


@dataclass
class Weighing:
    """A check that finds whether it is told of what spf found."""

    name: str = "dmarc"
    stage: Stage = Stage.BODY

    def applies(self, view: View) -> bool:
        del view
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        del deadline
        told = ",".join(one.outcome for one in view.found("spf"))
        return Known((Finding("dmarc", told or "nothing"),))


def world(*checks: Check, table: str = "", free: str = "delegate", hard: str = "enforce") -> World:
    """The lists with these modes, and more checks."""
    made = World()
    text = SETTINGS.replace('"delegate"', f'"{free}"').replace('"enforce"', f'"{hard}"')
    known = {"dnsbl/free": free, "dnsbl/hard": hard}
    on = [one for one in made.runtime.checks if known.get(one.name) != "off"]
    made.use(*on, *checks)
    made.runtime = replace(made.runtime, settings=from_table(tomllib.loads(text + table)))
    return made


def sent(made: World, *recipients: str, ip: str = LISTED) -> tuple[list[Reply], Reply, list[str]]:
    """The replies to each RCPT and to the message, and the results for everybody to read."""
    chain = made.connect(ip)
    chain.mail("<a@sender.test>", {})
    replies = [chain.rcpt(f"<{one}@example.test>", {}) for one in recipients]
    answer, edits = finish(chain, (b"Subject", b" s"))
    results = [one.value.decode() for one in edits if _is(one, b"Authentication-Results")]  # type: ignore[attr-defined]
    assert isinstance(answer, Continue | Reject | TempFail)
    return replies, answer, results


def _is(edit: object, name: bytes) -> bool:
    return isinstance(edit, InsertHeader) and edit.name == name


@pytest.mark.parametrize(("ip", "lists"), [(LISTED, ("free",)), ("192.0.2.99", ("hard",))])
@pytest.mark.parametrize("user", ["alice", "bob", "dora", "strict", "both", "postmaster", "nobody"])
def test_what_is_answered_is_what_it_is_with_the_check_off(
    user: str, ip: str, lists: tuple[str, ...]
) -> None:
    def modes(word: str) -> World:
        return world(**dict.fromkeys(lists, word))

    on = sent(world(), user, ip=ip)
    off, shadow = sent(modes("off"), user, ip=ip), sent(modes("shadow"), user, ip=ip)
    assert shadow == off
    if user in {"alice", "strict"}:
        assert on != off


def test_what_would_have_been_done_is_recorded() -> None:
    made = world(ListCheck("dnsbl/hard", frozenset({LISTED})), free="shadow")
    chain = made.connect()
    chain.mail("<a@sender.test>", {})
    assert isinstance(chain.rcpt("<alice@example.test>", {}), Reject)
    (record,) = made.recorder.committed
    assert record.details["shadows"] == [
        {
            "check": "dnsbl/free",
            "band": "listed",
            "outcome": "fail",
            "reason": f"{LISTED} is listed",
            "action": "reject",
            "layer": "user alice@example.test",
            "enforced": False,
        }
    ]
    assert [one["check"] for one in record.details["reasons"]] == ["dnsbl/hard"]  # type: ignore[attr-defined]


def test_results_for_everybody_leave_it_out_and_it_travels_without_evidence() -> None:
    spf = Fixed("spf", Stage.MAIL, (SPF,))
    for mode, told in (("delegate", "spf=fail"), ("shadow", "none")):
        made = world(spf, table=f'[checks.spf]\nmode = "{mode}"\n')
        chain = made.connect("192.0.2.1")
        chain.mail("<a@sender.test>", {})
        chain.rcpt("<bob@example.test>", {})
        _answer, edits = finish(chain, (b"Subject", b" s"))
        (results,) = [one for one in edits if _is(one, b"Authentication-Results")]
        assert told in results.value.decode()  # type: ignore[attr-defined]
        (field,) = [one for one in edits if _is(one, b"X-IEMS-Findings")]
        passed = decode(field.value, lambda _id: KEY.secret)  # type: ignore[attr-defined]
        (found,) = [one for one in passed.findings if one.check == "spf"]
        assert (found.outcome, found.band, bool(found.evidence)) == (
            "fail",
            "fail",
            mode == "delegate",
        )


@pytest.mark.parametrize(
    ("spf", "dmarc", "told"),
    [
        ("delegate", "delegate", "fail"),
        ("shadow", "delegate", "nothing"),
        ("shadow", "shadow", "fail"),
        ("delegate", "shadow", "fail"),
    ],
)
def test_other_checks_are_not_told_unless_they_are_in_shadow_too(
    spf: str, dmarc: str, told: str
) -> None:
    made = world(
        Fixed("spf", Stage.MAIL, (SPF,)), Weighing(), table=DMARC.format(spf=spf, dmarc=dmarc)
    )
    sent(made, "bob", ip="192.0.2.1")
    (record,) = made.recorder.added
    findings = {one["check"]: one["outcome"] for one in record.details["findings"]}  # type: ignore[attr-defined]
    assert findings["dmarc"] == told


def test_it_proves_no_sender() -> None:
    passed = replace(SPF, outcome="pass", band="")
    for mode, reply in (("delegate", Continue), ("shadow", Reject)):
        made = world(Fixed("spf", Stage.MAIL, (passed,)), table=f'[checks.spf]\nmode = "{mode}"\n')
        made.runtime = replace(made.runtime, directory=TomlDirectory.parse(ALLOWING))
        _replies, answer, _results = sent(made, "alice")
        assert isinstance(answer, reply)


def test_a_spool_that_fails_stops_no_message_that_only_a_check_in_shadow_reads(
    tmp_path: Path,
) -> None:
    reader = Fixed("dnsbl/free", Stage.BODY, (Finding("dnsbl/free", "none"),))
    for mode, reply in (("delegate", TempFail), ("shadow", Continue)):
        made = world(free=mode)
        made.use(reader)
        made.runtime = replace(made.runtime, spool=Spool(tmp_path / "gone"))
        chain = made.connect("192.0.2.1")
        chain.mail("<a@sender.test>", {})
        chain.rcpt("<bob@example.test>", {})
        chain.header(b"Subject", b" s")
        chain.end_of_headers()
        for _piece in range(6):
            chain.body(b"x" * 65536)
        answer, _edits = chain.end_of_message({"i": "4QueueId"})
        assert isinstance(answer, reply)
