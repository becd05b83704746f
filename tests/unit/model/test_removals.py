"""Parts that are removed: where that can be chosen, and beside what else it is done."""

from __future__ import annotations

from iems.model.finding import Finding
from iems.model.policy import (
    SITE,
    WHOLE,
    Action,
    Kind,
    Layer,
    Rule,
    Ruling,
    Subject,
    allowed,
    decide,
)
from iems.model.senders import SenderEntry

ALICE = Subject(Kind.USER, "alice@example.test")
FOUND = {("attachment/a", "matched"), ("virus", "infected"), ("virus", "encrypted")}
OTHERS = {
    ("attachment/a", "malformed"),
    ("attachment/a", "temperror"),
    ("virus", "temperror"),
    ("header/a", "matched"),
    ("senders", "blocked"),
    ("dnsbl/one", "listed"),
}


def test_parts_are_removed_where_one_was_found_and_nowhere_else() -> None:
    for check, band in FOUND | OTHERS:
        layers = [Layer(SITE, {(check, band): Rule(choice=Action.REMOVE)})]
        decision = decide([Finding(check, "", band)], layers)
        removes = (check, band) in FOUND
        assert decision.action is (Action.REMOVE if removes else Action.DELIVER)
        assert (Action.REMOVE in allowed(check, band, [])) is removes
        assert bool(decision.notes) is not removes, "a choice that is ignored is told"


def test_what_is_removed_does_not_hang_on_what_else_is_done() -> None:
    seen = [Finding("attachment/a", "match", "matched"), Finding("iprev", "fail", "mismatch")]
    for other in sorted(WHOLE):
        rules = {
            ("attachment/a", "matched"): Rule(choice=Action.REMOVE),
            ("iprev", "mismatch"): Rule(choice=other),
        }
        decision = decide(seen, [Layer(SITE, rules)])
        assert decision.action is max(other, Action.REMOVE)
        assert [one.finding.check for one in decision.removals] == ["attachment/a"]


def test_who_allows_a_sender_keeps_his_attachments_where_nothing_is_enforced() -> None:
    seen = [Finding("attachment/a", "match", "matched")]
    for allow, expected in (({Action.REMOVE}, 1), (WHOLE | {Action.REMOVE}, 0)):
        layer = Layer(SITE, {("attachment/a", "matched"): Rule(frozenset(allow), Action.REMOVE)})
        decision = decide(seen, [layer], ruling=Ruling(SenderEntry("a.test", allows=True), ALICE))
        assert len(decision.removals) == expected
