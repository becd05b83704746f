"""The own filter of each recipient at his delivery: what it finds, does and tells."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.serve.meter import Meter, series
from iems.store.replay import Replay
from iems.store.spool import Spool
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT, PARTS, Classifier
from lmtp.bayes.combination import Combination
from lmtp.bayes.memory import Memory
from lmtp.bayes.score import Label, Score, Verdict
from lmtp.bayes.state import State
from lmtp.bayes.tokens import Tokens
from lmtp.bayes.training import Trainer
from lmtp.learning.intent import Intent
from lmtp.learning.learner import Learner
from lmtp.learning.protocol import Input, Request
from lmtp.learning.queue import Kept
from lmtp.learning.verbs import VERBS
from tests.unit.lmtp.judging.conftest import (
    MINUTES,
    PILLS,
    SALT_OF,
    USERS,
    Filters,
    judge_of,
    rows,
    soon,
    train,
)
from tests.unit.lmtp.parts import Heard
from tests.unit.lmtp.test_release import Gate


def test_one_message_is_spam_to_one_and_ham_to_another(filters: Filters) -> None:
    filters.deliver("alice", "bob")
    assert filters.actions() == {"alice": "junk", "bob": "deliver"}
    assert filters.found("alice")["outcome"] in {"spam", "certain"}
    assert (filters.found("bob")["outcome"], filters.found("bob")["band"]) == ("ham", "")
    assert filters.judged("ham") == 1


def test_the_record_has_the_evidence(filters: Filters) -> None:
    filters.deliver("alice")
    [record] = filters.office.records()
    [reason] = rows(record, "reasons")
    assert re.match(
        r"(spam|certain), probability [01]\.\d{3}: \S+ [+-]\d\.\d\d, ", reason["reason"]
    )
    assert set(PILLS.decode().split()) & set(reason["reason"].split())
    assert reason["evidence"].keys() == {"probability", "log_odds", "words"}
    assert (reason["action"], reason["layer"], reason["enforced"]) == ("junk", "site", False)


def test_a_user_chooses_for_himself(filters: Filters) -> None:
    filters.deliver("alice", "strict", "refuses")
    assert filters.actions() == {"alice": "junk", "strict": "quarantine", "refuses": "junk"}
    assert len(filters.office.quarantined) == 1


def test_what_the_site_enforces_binds_everybody(filters: Filters) -> None:
    table: dict[str, Any] = {"mode": "enforce", "default": {"spam": "tag", "certain": "tag"}}
    office, _judge = judge_of(filters.office, filters.folder, filters.meter, **table)
    one = replace(filters, office=office)
    one.deliver("alice", "strict", "off", "shadow", "bob")
    assert one.actions() == dict.fromkeys(("alice", "strict", "off", "shadow"), "tag") | {
        "bob": "deliver"
    }


def test_a_user_s_allow_entry_wins(filters: Filters) -> None:
    filters.deliver("fan")
    assert filters.actions() == {"fan": "deliver"}
    assert filters.found("fan")["outcome"] in {"spam", "certain"}


def test_far_beyond_the_threshold_is_another_band(filters: Filters) -> None:
    options = filters.judge.options
    near, far = (replace(options, certain=one) for one in (0.5, 0.9999999999))
    filters.with_judge(options=near).deliver("alice")
    assert filters.found("alice")["band"] == "certain"
    filters.with_judge(options=far).deliver("alice")
    assert filters.found("alice")["band"] == "spam"


def test_who_has_trained_nothing_is_told_so_and_gets_his_mail(filters: Filters) -> None:
    filters.deliver("fresh")
    assert filters.actions() == {"fresh": "deliver"}
    assert filters.found("fresh") == {
        "check": "bayes",
        "outcome": "untrained",
        "band": "",
        "reason": "not enough data (0 ham, 0 spam)",
    }
    train(filters.store, "fresh@b.test", Label.SPAM, PILLS)
    filters.deliver("fresh")
    assert filters.found("fresh")["reason"] == "not enough data (0 ham, 1 spam)"
    assert filters.remembered("fresh") is not None
    more = replace(filters.judge.settings, least=100)
    filters.with_judge(settings=more).deliver("alice")
    assert filters.found("alice")["reason"] == "not enough data (40 ham, 40 spam)"


def test_off_computes_and_remembers_nothing(filters: Filters) -> None:
    class Untouched:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    untouched = filters.with_judge(store=Untouched(), memory=Untouched())
    untouched.deliver("off")
    assert untouched.actions() == {"off": "deliver"}
    assert untouched.found("off") == {}
    assert not untouched.office.log.lines or "filter" not in str(untouched.office.log.lines)


def test_shadow_tells_and_does_nothing(filters: Filters) -> None:
    filters.deliver("shadow", "alice")
    assert filters.actions() == {"shadow": "deliver", "alice": "junk"}
    [record] = [one for one in filters.office.records() if one.recipient == "shadow@b.test"]
    [would] = rows(record, "shadows")
    assert (would["check"], would["action"], would["layer"]) == ("bayes", "junk", "site")
    assert rows(record, "reasons") == []
    seen = filters.remembered("shadow")
    assert seen is not None
    assert not seen.junk


def test_shadow_of_the_site_is_for_everybody_but_who_has_it_off(filters: Filters) -> None:
    office, _judge = judge_of(filters.office, filters.folder, filters.meter, mode="shadow")
    one = replace(filters, office=office)
    one.deliver("alice", "strict", "off")
    assert one.actions() == dict.fromkeys(("alice", "strict", "off"), "deliver")
    records = {one.recipient: rows(one, "shadows") for one in one.office.records()}
    assert [len(records[f"{user}@b.test"]) for user in ("alice", "strict", "off")] == [1, 1, 0]


def test_a_replay_takes_what_a_filter_found_and_what_its_owner_has_of_it_now(
    filters: Filters,
) -> None:
    """Who has it in shadow or off by now would have got his mail; who has it on, Junk."""
    filters.deliver("alice", "shadow", "bob", "off")
    records, site = filters.office.records(), filters.office.agent.settings

    def differences(users: str) -> dict[str, str]:
        found = Replay(site, TomlDirectory.parse(users)).differences(records)
        return {one.record.recipient.partition("@")[0]: one.now.word for one in found}

    assert differences(USERS) == {}
    for word in ("off", "shadow"):
        said = f'[users."alice@b.test"]\nbayes = "{word}"'
        assert differences(USERS.replace('[users."alice@b.test"]', said)) == {"alice": "deliver"}
    on = USERS.replace('bayes = "shadow"', 'bayes = "on"').replace('bayes = "off"', "")
    assert differences(on) == {"shadow": "junk"}


def test_the_settings_say_what_who_says_nothing_has(filters: Filters) -> None:
    kept = filters.judge.settings
    filters.with_judge(settings=replace(kept, default="off")).deliver("alice", "shadow")
    assert filters.found("alice") == {}
    assert filters.found("shadow")["band"]
    filters.with_judge(settings=replace(kept, default="shadow")).deliver("alice")
    assert filters.actions()["alice"] == "deliver"


@pytest.mark.parametrize(
    ("more", "judged"),
    [
        ({}, True),
        ({"channel": "submission"}, False),
        ({"channel": "local"}, False),
        ({"client": "127.0.0.1"}, False),
        ({"client": "IPV6:::1"}, False),
        ({"client": ""}, True),
        ({"ident": "4Other"}, True),
    ],
    ids=["outside", "login", "program", "ours", "ours by IPv6", "unknown", "forged"],
)
def test_mail_from_outside_is_judged(filters: Filters, more: dict[str, Any], judged: bool) -> None:
    filters.deliver("alice", **more)
    assert bool(filters.found("alice")) == judged
    assert filters.found("alice").get("band", "") != "temperror"


def test_a_finding_that_came_with_the_message_is_none(filters: Filters) -> None:
    """Whoever wrote it: the agent's own is the one."""
    claimed = Finding("bayes", "certain", "certain", "I say so")
    filters.deliver("bob", "off", findings=[claimed])
    assert filters.actions() == {"bob": "deliver", "off": "deliver"}
    assert filters.found("bob")["outcome"] == "ham"
    assert filters.found("off") == {}


def test_a_member_of_a_list_has_his_own(filters: Filters) -> None:
    """And a copy for an address with an extension is its owner's."""
    filters.deliver(
        "<alice+x@b.test> ORCPT=rfc822;both@b.test", "<bob@b.test> ORCPT=rfc822;both@b.test"
    )
    assert filters.actions() == {"alice+x": "junk", "bob": "deliver"}


def test_features_are_made_once_for_all(filters: Filters) -> None:
    calls: list[str] = []
    made = counted(calls)
    filters.with_judge(classifiers={DEFAULT: made}).deliver("alice", "bob", "shadow", "fresh")
    assert calls == ["features"]


def counted(calls: list[str]) -> Classifier:
    """The classifier, with the times that it is asked for features."""

    class Counted(Combination):
        def features(self, tokens: Tokens, salt: bytes) -> bytes:
            calls.append("features")
            return super().features(tokens, salt)

    found: Classifier = Counted(DEFAULT, PARTS)
    return found


def test_what_was_seen_is_remembered(filters: Filters) -> None:
    filters.deliver("alice", "bob", "strict")
    salt = filters.store.load(SALT_OF, soon()).salt
    for user, junk in (("alice", True), ("bob", False), ("strict", False)):
        seen = filters.remembered(user)
        assert seen is not None, user
        assert seen.junk == junk
        assert seen.features
        assert seen.salt == salt
        assert seen.score.verdict is (Verdict.HAM if user == "bob" else Verdict.SPAM)
        assert filters.memory.delivered(f"{user}@b.test", b"<m@x.test>", soon())
    assert filters.remembered("off") is None


def test_a_long_message_is_judged_by_its_head(filters: Filters) -> None:
    most = 16 << 10
    filters = filters.with_judge(settings=replace(filters.judge.settings, max_message=most))
    filler = b"x" * most + b"\r\n"
    filters.deliver("alice", body=PILLS + filler + MINUTES * 100_000)
    assert filters.found("alice")["band"] in {"spam", "certain"}
    seen = filters.remembered("alice")
    filters.deliver("alice", body=PILLS + filler)
    again = filters.remembered("alice")
    assert seen is not None
    assert again is not None
    assert (again.score, again.features) == (seen.score, seen.features)


def test_what_is_trained_of_a_message_is_what_it_was_judged_by(
    filters: Filters, tmp_path: Path
) -> None:
    """Where nobody remembers it, too, and however its lines end: of a long one the same head."""
    most = 16 << 10
    filters = filters.with_judge(settings=replace(filters.judge.settings, max_message=most))
    received = b"Received: from a.example by b.example; Thu, 27 Nov 2026 09:00:00 +0000\r\n"
    lines = b"".join(b"%s\r\n" % bytes((97 + n // 26 % 26, 97 + n % 26)) * 9 for n in range(2000))
    office = filters.office
    office.deliver("alice", header=received * 300, body=PILLS + lines)
    seen = filters.remembered("alice")
    assert seen is not None
    with closing(Memory(tmp_path / "none.sqlite")) as memory:
        trainer = Trainer(filters.store, CLASSIFIERS[DEFAULT])
        learner = Learner(
            filters.store, trainer, memory, lambda *_user: True, Heard(), Meter(), most
        )
        [taken] = office.taken
        message = taken.data.removesuffix(b".\r\n")
        for data in (message, message.replace(b"\r\n", b"\n")):
            given = Input(data[: VERBS["move"].limit], len(data))
            kept = Kept(Request("move", SALT_OF), given, 0.0)
            assert learner.learn(kept, Intent(Label.SPAM), "move", soon()).text == "learned"
            entry = filters.store.entry(SALT_OF, seen.key, soon())
            assert entry is not None
            assert entry.features == seen.features
            assert trainer.undo(SALT_OF, seen.key, soon())


def test_a_release_is_past_what_its_owner_asks_for(filters: Filters) -> None:
    """Also where his filter is surer by then; what was found else still counts."""
    near = filters.with_judge(options=replace(filters.judge.options, certain=0.9999999999))
    near.deliver("strict")
    assert near.found("strict")["band"] == "spam"
    sure = filters.with_judge(options=replace(filters.judge.options, certain=0.5))
    gate = Gate(sure.office)
    gate.spool = Spool(sure.folder)
    assert gate.release("strict@b.test", ("dnsbl/one", "listed")).startswith("550 5.7.0 Still held")
    assert gate.release("strict@b.test", ("bayes", "spam")) == "250 2.0.0 Saved"


@pytest.mark.parametrize(
    "score", [Score(1e308, 1.0, Verdict.SPAM), Score(-1e308, 0.0, Verdict.HAM)]
)
def test_scores_of_any_size_are_told(filters: Filters, score: Score) -> None:
    class Sure(Combination):
        def classify(self, state: State, features: bytes) -> Score:
            del state, features
            return score

    sure: Classifier = Sure(DEFAULT, PARTS)
    filters.with_judge(classifiers={DEFAULT: sure}).deliver("alice")
    assert filters.found("alice")["outcome"] in {"certain", "ham"}


@pytest.mark.parametrize(
    "body",
    [
        bytes(range(256)) * 40,
        "日本語のスパム\u202e\x1b[2J ".encode() * 100,
        b"",
    ],
    ids=["bytes", "scripts", "nothing"],
)
def test_words_of_any_kind_are_readable_and_bounded(filters: Filters, body: bytes) -> None:
    train(filters.store, "alice@b.test", Label.SPAM, b"\r\n" + body)
    filters.deliver("alice", body=b"\r\n" + body)
    reason = filters.found("alice")["reason"]
    assert reason.isprintable()
    assert len(reason) < 400


def test_verdicts_and_time_are_measured(filters: Filters) -> None:
    filters.deliver("alice", "bob")
    seen = filters.meter.snapshot()
    assert sum(seen.times[series("stage_seconds", {"stage": "bayes"})].counts) == 2
    assert filters.judged("ham") + filters.judged("spam") + filters.judged("certain") == 2
