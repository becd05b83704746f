"""Verdicts decided again: none differs under the policy of then, and every change is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.directory.account import closed
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.model.finding import Finding
from iems.model.policy import SITE, WHOLE, Action, Decision, Kind, Ruling, Subject, decide
from iems.model.senders import SenderEntry
from iems.settings.load import from_table
from iems.settings.schema import Settings
from iems.store.records import Record, RecordsError, details
from iems.store.replay import Change, Replay

SITE_TABLE: Mapping[str, object] = {
    "version": 1,
    "hostname": "mail.example.test",
    "postmaster": "postmaster@example.test",
    "channels": {"internet": {"policy": {"iprev": {"default": {"mismatch": "tag"}}}}},
    "checks": {
        "iprev": {"mode": "delegate"},
        "dnsbl": {
            "soft": {"mode": "delegate", "zone": "a.test"},
            "hard": {"mode": "enforce", "zone": "b.test", "default": {"listed": "reject"}},
        },
    },
}
BANDS = (("iprev", "mismatch"), ("dnsbl/soft", "listed"), ("dnsbl/hard", "listed"))
USERS = ("alice@example.test", "bob@example.test", "abuse@example.test")
CHOOSABLE = (*BANDS[:2], ("senders", "blocked"))
ACTIONS = st.sampled_from(sorted(WHOLE))
POLICIES = st.dictionaries(
    st.tuples(st.sampled_from(["example.test", *USERS]), st.sampled_from(CHOOSABLE)), ACTIONS
)
FOUND = st.lists(st.sampled_from([*BANDS, ("iprev", ""), ("dnsbl/soft", "temperror")]), max_size=4)
ENTRIES = st.sampled_from(["", "allow a.test", "allow .test unverified", "block x@a.test"])
MAIL = st.lists(st.tuples(st.sampled_from(USERS), FOUND, ENTRIES), max_size=8)


def site() -> Settings:
    return from_table(SITE_TABLE)


def directory(policies: Mapping[tuple[str, tuple[str, str]], Action]) -> TomlDirectory:
    lines = ['[domains."example.test"]']
    for whose in ("example.test", *USERS):
        if "@" in whose:
            lines.append(f'[users."{whose}"]')
        chosen: dict[str, list[str]] = {}
        for (name, (check, band)), action in policies.items():
            if name == whose:
                chosen.setdefault(check, []).append(f'{band} = "{action.word}"')
        lines += [f'policy."{check}" = {{ {", ".join(bands)} }}' for check, bands in chosen.items()]
    return TomlDirectory.parse("\n".join(lines))


def decided(
    user: str,
    found: list[tuple[str, str]],
    known: TomlDirectory,
    stage: str = "delivery",
    ruled: str = "",
) -> Record:
    """The record of a verdict, as the daemons make it; `ruled` is an entry of the domain."""
    whose = Subject(Kind.DOMAIN, "example.test")
    ruling = Ruling(SenderEntry.parse(ruled), whose) if ruled else None
    findings = [Finding(check, "fail" if band else "pass", band) for check, band in found]
    entry = known.entries[user]
    layers = (*site().layers("internet", "local"), entry.domain_layer, entry.layer)  # type: ignore[union-attr]
    decision = decide(findings, layers, role=Address.parse(user).role, ruling=ruling)
    return Record(
        "REF",
        stage,
        decision.action.word,
        recipient=user,
        subject=f"user {user}",
        channel="internet",
        details=details(decision, findings),
    )


def action(record: Record) -> Action:
    return Action.parse(record.action)


@settings(max_examples=50)
@given(POLICIES, MAIL)
def test_with_the_policy_of_then_nothing_differs(
    policies: Mapping[tuple[str, tuple[str, str]], Action],
    mail: list[tuple[str, list[tuple[str, str]], str]],
) -> None:
    known = directory(policies)
    records = [decided(user, found, known, ruled=entry) for user, found, entry in mail]
    replay = Replay(site(), known)
    assert list(replay.differences(records)) == []
    assert replay.verdicts == len(records)


@settings(max_examples=50)
@given(
    POLICIES,
    MAIL,
    st.tuples(st.sampled_from(["example.test", *USERS]), st.sampled_from(CHOOSABLE)),
    ACTIONS,
)
def test_every_difference_that_a_change_makes_is_found_and_no_other(
    policies: Mapping[tuple[str, tuple[str, str]], Action],
    mail: list[tuple[str, list[tuple[str, str]], str]],
    key: tuple[str, tuple[str, str]],
    chosen: Action,
) -> None:
    before, after = directory(policies), directory({**policies, key: chosen})
    whose, (check, band) = key
    subject = Subject(Kind.USER if "@" in whose else Kind.DOMAIN, whose)
    records = [decided(user, found, before, ruled=entry) for user, found, entry in mail]
    expected = [
        (action(record), action(decided(user, found, after, ruled=entry)))
        for record, (user, found, entry) in zip(records, mail, strict=True)
    ]
    wanted = [(was, now) for was, now in expected if was is not now]
    tried = Replay(site(), before, (Change(subject, check, band, chosen),))
    assert [(one.was, one.now) for one in tried.differences(records)] == wanted
    assert [(one.was, one.now) for one in Replay(site(), after).differences(records)] == wanted


def test_the_site_can_change_what_it_enforces() -> None:
    known = directory({})
    records = [decided("alice@example.test", [("dnsbl/hard", "listed")], known)]
    change = Change(SITE, "dnsbl/hard", "listed", Action.JUNK)
    [found] = Replay(site(), known, (change,)).differences(records)
    assert (found.was, found.now, found.layer) == (Action.REJECT, Action.JUNK, "site")


def test_a_difference_names_the_rule_that_makes_it() -> None:
    before = directory({("alice@example.test", CHOOSABLE[1]): Action.REJECT})
    records = [decided("alice@example.test", [CHOOSABLE[0], CHOOSABLE[1]], before, "rcpt")]
    [milder] = Replay(site(), directory({})).differences(records)
    assert (milder.check, milder.band, milder.layer) == ("dnsbl/soft", "listed", "site")
    change = Change(Subject(Kind.USER, "alice@example.test"), *CHOOSABLE[1], Action.DELIVER)
    free = {("alice@example.test", CHOOSABLE[0]): Action.DELIVER}
    [none] = Replay(site(), directory(free), (change,)).differences(records)
    assert (none.now, none.check, none.layer) == (
        Action.DELIVER,
        "iprev",
        "user alice@example.test",
    )


def test_what_no_policy_decided_is_left_out() -> None:
    known = directory({})
    closed_account = details(closed(None) or Decision(), [])
    records = [
        Record("R", "end-of-message", "accept", details=details(Decision(), [])),
        Record("R", "delivery", "reject", recipient="x@example.test", details={"notes": ["loop"]}),
        Record("R", "rcpt", "reject", recipient="x@example.test", details=closed_account),
    ]
    replay = Replay(site(), known)
    assert list(replay.differences(records)) == []
    assert replay.verdicts == 0


def test_whom_only_postfix_knows_is_judged_by_what_is_enforced() -> None:
    strict = from_table(
        {
            **SITE_TABLE,
            "checks": {
                "dnsbl": {
                    "soft": {"mode": "delegate", "zone": "a", "default": {"listed": "reject"}},
                    "hard": {"mode": "enforce", "zone": "b", "default": {"listed": "defer"}},
                }
            },
        }
    )
    found = [Finding(check, "fail", band) for check, band in BANDS[1:]]
    deferred = decide(found[1:], [strict.site_layer])
    told = details(deferred, found)
    record = Record("R", "rcpt", "defer", recipient="x@y.test", subject="local", details=told)
    assert list(Replay(strict, directory({})).differences([record])) == []
    queued = replace(record, stage="delivery")
    assert len(list(Replay(strict, directory({})).differences([queued]))) == 1


def test_a_user_who_is_gone_has_no_layers() -> None:
    before = directory({("alice@example.test", CHOOSABLE[1]): Action.REJECT})
    records = [decided("alice@example.test", [CHOOSABLE[1]], before)]
    gone = TomlDirectory.parse('[domains."example.test"]')
    [found] = Replay(site(), gone).differences(records)
    assert (found.was, found.now) == (Action.REJECT, Action.JUNK)


def test_a_damaged_record_is_told() -> None:
    record = decided("alice@example.test", [CHOOSABLE[1]], directory({}))
    for row in (
        {"action": "eat"},
        {"action": "junk", "entry": "eat a.test", "owner": "site"},
        {"action": "junk", "entry": "block a.test", "owner": "nobody"},
        {"action": "junk", "entry": "block a.test"},
    ):
        damaged = replace(record, details={"reasons": [row], "findings": []})
        with pytest.raises(RecordsError, match="REF"):
            list(Replay(site(), directory({})).differences([damaged]))


def test_the_entry_that_counted_then_counts_whatever_stands_in_the_list_now() -> None:
    """Who the sender was proven to be is in no record."""
    known = directory({})
    record = decided("alice@example.test", [BANDS[1]], known, ruled="allow a.test")
    assert action(record) is Action.DELIVER
    now = TomlDirectory.parse('[domains."example.test"]\nsenders = ["block a.test"]\n')
    assert list(Replay(site(), now).differences([record])) == []


def forwarded(decision: Decision, findings: list[Finding]) -> Record:
    """The record of a verdict at RCPT about an address that leads elsewhere."""
    return Record(
        "REF",
        "rcpt",
        decision.action.word,
        recipient="away@example.test",
        subject="internet",
        channel="internet",
        details=details(decision, findings),
    )


def test_mail_that_leaves_this_host_is_decided_by_its_own_policy() -> None:
    policy = {"iprev": {"default": {"mismatch": "reject"}}}
    then = from_table({**SITE_TABLE, "destinations": {"internet": {"policy": policy}}})
    findings = [Finding("iprev", "fail", "mismatch")]
    decision = decide(findings, (*then.layers("internet", "local"), *then.beneath("internet")))
    record = forwarded(decision, findings)
    assert list(Replay(then, directory({})).differences([record])) == []
    (one,) = Replay(site(), directory({})).differences([record])
    assert (one.was, one.now) == (Action.REJECT, Action.TAG)


def test_what_was_refused_because_nobody_could_keep_it_is_so_again() -> None:
    policy = {"iprev": {"default": {"mismatch": "quarantine"}}}
    made = from_table({**SITE_TABLE, "channels": {"internet": {"policy": policy}}})
    findings = [Finding("iprev", "fail", "mismatch")]
    decision = decide(findings, made.layers("internet", "local"), leaves=True)
    record = forwarded(decision, findings)
    assert list(Replay(made, directory({})).differences([record])) == []
