"""The laws of the policy: nothing below weakens it, and the order of findings is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.address import Address
from iems.model.finding import Finding
from iems.model.policy import (
    BLOCKED,
    REFUSALS,
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
    rule,
)
from iems.model.senders import Facts, SenderEntry

ALICE = Subject(Kind.USER, "alice@example.test")
BANDS = [("dnsbl/one", "listed"), ("dnsbl/two", "listed"), ("iprev", "mismatch")]

actions = st.sampled_from(sorted(WHOLE))
keys = st.sampled_from([*BANDS, ("dnsbl/*", "listed")])
sets = st.frozensets(actions, min_size=1)
any_rules = st.builds(Rule, allow=st.none() | sets, choice=st.none() | actions)
subjects = st.sampled_from([ALICE, *(Subject(kind, "x") for kind in Kind if kind is not Kind.SITE)])


def layers_of(subject: Subject) -> st.SearchStrategy[Layer]:
    rules = st.dictionaries(keys, any_rules)
    return st.builds(Layer, st.just(subject), rules, sees_junk=st.booleans())


@st.composite
def site_rules(draw: st.DrawFn) -> Rule:
    may = draw(sets)
    return Rule(may, draw(st.sampled_from(sorted(may))))


site = st.builds(Layer, st.just(SITE), st.fixed_dictionaries(dict.fromkeys(BANDS, site_rules())))
below = st.lists(subjects.flatmap(layers_of), max_size=4)
findings = st.lists(
    st.sampled_from([Finding(check, "fail", band) for check, band in BANDS]), unique=True
)


@given(site, below, findings)
def test_every_action_stays_in_what_is_allowed(
    top: Layer, lower: list[Layer], seen: list[Finding]
) -> None:
    """By the site, and by every layer between it and the subject, as far as it is heeded."""
    for reason in decide(seen, [top, *lower]).reasons:
        band = (reason.finding.check, reason.finding.band)
        rule = top.rules[band]
        assert rule.allow is not None
        assert reason.action in rule.allow
        assert reason.action in allowed(*band, [top, *lower])


@given(site, below, subjects.flatmap(layers_of), st.sampled_from(BANDS))
def test_a_layer_never_widens(
    top: Layer, lower: list[Layer], more: Layer, band: tuple[str, str]
) -> None:
    before = allowed(*band, [top, *lower])
    assert allowed(*band, [top, *lower, more]) <= before


@given(site, below, findings)
def test_enforced_means_the_site_s_action(
    top: Layer, lower: list[Layer], seen: list[Finding]
) -> None:
    forced = {key: Rule(frozenset({rule.choice}), rule.choice) for key, rule in top.rules.items()
              if rule.choice is not None}  # fmt: skip
    enforcing = Layer(SITE, forced)
    for role in (False, True):
        for reason in decide(seen, [enforcing, *lower], role=role).reasons:
            assert reason.enforced
            assert reason.action is forced[reason.finding.check, reason.finding.band].choice


@given(site, below, findings, actions)
def test_nothing_below_a_channel_weakens_what_it_enforces(
    top: Layer, lower: list[Layer], seen: list[Finding], action: Action
) -> None:
    """Where the site leaves it the choice; who is below may be of any kind."""
    free = Layer(SITE, {key: Rule(WHOLE, rule.choice) for key, rule in top.rules.items()})
    only = Rule(frozenset({action}), action)
    channel = Layer(Subject(Kind.CHANNEL, "internet"), dict.fromkeys(BANDS, only))
    inner = [one for one in lower if one.subject.kind is not Kind.CHANNEL]
    for reason in decide(seen, [free, channel, *inner], role=True).reasons:
        assert reason.enforced
        assert reason.action is action


@given(site, below, findings, st.randoms())
def test_the_order_of_findings_does_not_matter(
    top: Layer, lower: list[Layer], seen: list[Finding], random: st.DataObject
) -> None:
    shuffled = list(seen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = decide(seen, [top, *lower]), decide(shuffled, [top, *lower])
    assert one.action is two.action
    assert set(one.reasons) == set(two.reasons)


@given(site, below, findings)
def test_the_strongest_action_wins(top: Layer, lower: list[Layer], seen: list[Finding]) -> None:
    decision = decide(seen, [top, *lower])
    assert decision.action is max(
        (reason.action for reason in decision.reasons), default=Action.DELIVER
    )
    assert len(decision.reasons) == len(seen)


@given(below, findings)
def test_a_role_address_is_not_refused_by_what_can_be_chosen(
    lower: list[Layer], seen: list[Finding]
) -> None:
    free = Layer(SITE, {band: Rule(WHOLE, Action.REJECT) for band in BANDS})
    for reason in decide(seen, [free, *lower], role=True).reasons:
        assert reason.enforced or reason.action not in REFUSALS


def test_a_choice_outside_the_allowed_set_is_ignored_with_a_note() -> None:
    top = Layer(
        SITE, {("iprev", "mismatch"): Rule(frozenset({Action.TAG, Action.JUNK}), Action.TAG)}
    )
    user = Layer(ALICE, {("iprev", "mismatch"): Rule(choice=Action.DELIVER)})
    decision = decide([Finding("iprev", "fail", "mismatch")], [top, user])
    assert decision.action is Action.TAG
    assert decision.decisive is not None
    assert decision.decisive.layer == SITE
    assert "user alice@example.test says deliver" in decision.notes[0]


def test_a_family_s_rule_serves_where_the_check_has_none_of_its_own() -> None:
    top = Layer(SITE, {("dnsbl/*", "listed"): Rule(choice=Action.JUNK)})
    user = Layer(ALICE, {("dnsbl/two", "listed"): Rule(choice=Action.TAG)})
    one = decide([Finding("dnsbl/one", "fail", "listed")], [top, user])
    two = decide([Finding("dnsbl/two", "fail", "listed")], [top, user])
    assert (one.action, two.action) == (Action.JUNK, Action.TAG)


def test_a_finding_without_a_band_asks_for_nothing() -> None:
    decision = decide([Finding("iprev", "pass")], [Layer(SITE)])
    assert decision.action is Action.DELIVER
    assert decision.reasons == ()


def test_a_family_s_rule_is_not_for_a_check_of_that_very_name() -> None:
    top = Layer(SITE, {("iprev/*", "mismatch"): Rule(choice=Action.JUNK)})
    assert decide([Finding("iprev", "fail", "mismatch")], [top]).action is Action.DELIVER


def test_the_first_of_the_strongest_reasons_is_decisive() -> None:
    rules = {
        ("dnsbl/one", "listed"): Rule(choice=Action.TAG),
        ("dnsbl/two", "listed"): Rule(choice=Action.JUNK),
        ("dnsbl/three", "listed"): Rule(choice=Action.JUNK),
    }
    seen = [Finding(check, "fail", band) for check, band in rules]
    decision = decide(seen, [Layer(SITE, rules)])
    assert decision.decisive is not None
    assert decision.decisive.finding is seen[1]
    assert decide([], [Layer(SITE)]).decisive is None


def test_who_chose_is_the_last_layer_with_a_choice_and_not_one_that_narrows() -> None:
    band = ("iprev", "mismatch")
    domain = Subject(Kind.DOMAIN, "example.test")
    layers = [
        Layer(SITE, {band: Rule(WHOLE, Action.DELIVER)}),
        Layer(domain, {band: Rule(choice=Action.JUNK)}),
        Layer(ALICE, {band: Rule(allow=frozenset({Action.JUNK, Action.REJECT}))}),
    ]
    (reason,) = decide([Finding("iprev", "fail", "mismatch")], layers).reasons
    assert (reason.action, reason.layer, reason.enforced) == (Action.JUNK, domain, False)


@pytest.mark.parametrize(
    ("kind", "enforced"), [(Kind.SITE, True), (Kind.CHANNEL, True), (Kind.DOMAIN, False)]
)
def test_only_site_and_channel_enforce(kind: Kind, enforced: bool) -> None:
    rule = Rule(frozenset({Action.REJECT}), Action.REJECT)
    layers = [Layer(SITE), Layer(Subject(kind, "x"), {("iprev", "mismatch"): rule})]
    decision = decide([Finding("iprev", "fail", "mismatch")], layers, role=True)
    assert [reason.enforced for reason in decision.reasons] == [enforced]
    assert decision.action is (Action.REJECT if enforced else Action.DELIVER)


def test_a_user_alone_with_his_choice_enforces_nothing() -> None:
    user = Layer(ALICE, {("iprev", "mismatch"): Rule(choice=Action.TAG)})
    (reason,) = decide([Finding("iprev", "fail", "mismatch")], [user]).reasons
    assert not reason.enforced


def test_what_does_not_refuse_befalls_a_role_address_as_any_other() -> None:
    band = ("iprev", "mismatch")
    seen = [Finding("iprev", "fail", "mismatch")]
    for action in sorted(WHOLE):
        decision = decide(seen, [Layer(SITE, {band: Rule(choice=action)})], role=True)
        assert decision.action is (Action.DELIVER if action in REFUSALS else action)
        refused = ("iprev mismatch: a role address is not refused",)
        assert decision.notes == (refused if action in REFUSALS else ())


def test_what_may_still_be_chosen() -> None:
    band = ("iprev", "mismatch")
    rules = [frozenset({Action.TAG, Action.JUNK, Action.REJECT}), frozenset({Action.TAG})]
    layers = [Layer(SITE, {band: Rule(may, Action.TAG)}) for may in rules]
    assert allowed(*band, layers[:1]) == rules[0]
    assert allowed(*band, layers) == rules[1]
    assert allowed(*band, []) == WHOLE


def test_layers_are_walked_for_each_finding() -> None:
    rules = {band: Rule(choice=Action.TAG) for band in BANDS}
    seen = [Finding(check, "fail", band) for check, band in BANDS]
    decision = decide(seen, iter([Layer(SITE, rules)]))
    assert [reason.action for reason in decision.reasons] == [Action.TAG] * len(BANDS)


def test_words() -> None:
    assert Action.parse("Junk") is Action.JUNK
    assert str(SITE) == "site"
    assert str(ALICE) == "user alice@example.test"
    words = "deliver, remove, tag, junk, quarantine, defer, discard, reject"
    with pytest.raises(ValueError, match=f"^'eat' is no action; expected one of {words}$"):
        Action.parse("eat")


@given(site, below, findings, st.booleans())
def test_what_leaves_is_refused_where_it_would_be_kept_or_dropped(
    top: Layer, lower: list[Layer], seen: list[Finding], role: bool
) -> None:
    """Or goes on, to a role address, where it could have been chosen."""
    stays = decide(seen, [top, *lower], role=role)
    leaves = decide(seen, [top, *lower], role=role, leaves=True)
    for was, now in zip(stays.reasons, leaves.reasons, strict=True):
        kept = was.action in {Action.QUARANTINE, Action.DISCARD}
        instead = Action.DELIVER if role and not was.enforced else Action.REJECT
        assert now == (replace(was, action=instead) if kept else was)
    assert leaves.action is max((one.action for one in leaves.reasons), default=Action.DELIVER)
    assert len(leaves.notes) - len(stays.notes) == sum(
        was != now for was, now in zip(stays.reasons, leaves.reasons, strict=True)
    )


@pytest.mark.parametrize("action", [Action.QUARANTINE, Action.DISCARD])
def test_a_role_address_elsewhere_is_refused_only_for_what_is_enforced(action: Action) -> None:
    band, seen = ("iprev", "mismatch"), [Finding("iprev", "fail", "mismatch")]
    for allow, expected in ((frozenset({action}), Action.REJECT), (WHOLE, Action.DELIVER)):
        decision = decide(seen, [Layer(SITE, {band: Rule(allow, action)})], role=True, leaves=True)
        assert decision.action is expected


DOMAIN = Subject(Kind.DOMAIN, "example.test")
BLOCKED_BAND = (BLOCKED.check, BLOCKED.band)
rulings = st.builds(
    Ruling,
    st.sampled_from(["allow a.test", "block a.test"]).map(SenderEntry.parse),
    st.sampled_from([DOMAIN, ALICE]),
)
allows = rulings.filter(lambda one: one.entry.allows)


@given(site, below, layers_of(ALICE), findings, st.booleans())
def test_who_never_sees_junk_gets_it_tagged_unless_he_chose_it(
    top: Layer, lower: list[Layer], own: Layer, seen: list[Finding], role: bool
) -> None:
    """Where he may have it tagged; everything else stays what it is, but for the note."""
    above = [replace(one, sees_junk=True) for one in lower if one.subject != ALICE]
    layers, own = [top, *above], replace(own, sees_junk=True)
    before = decide(seen, [*layers, own], role=role)
    after = decide(seen, [*layers, replace(own, sees_junk=False)], role=role)
    for was, now in zip(before.reasons, after.reasons, strict=True):
        may = allowed(was.finding.check, was.finding.band, [*layers, own])
        hidden = was.action is Action.JUNK and was.layer != ALICE and Action.TAG in may
        assert now == (replace(was, action=Action.TAG) if hidden else was)
    tagged = [one for one in after.notes if "junk is tag" in one]
    changed = [one for one in after.reasons if one not in before.reasons]
    assert len(tagged) == len(changed)
    assert [one for one in after.notes if one not in tagged] == list(before.notes)


def test_a_sender_whom_he_blocks_stays_out_of_his_sight() -> None:
    top = Layer(SITE, {BLOCKED_BAND: Rule(WHOLE, Action.JUNK)})
    layers = [top, Layer(ALICE, sees_junk=False)]
    ruling = Ruling(SenderEntry.parse("block a.test"), ALICE)
    assert decide([], layers, ruling=ruling).action is Action.JUNK


@given(site, below, findings, allows, st.booleans())
def test_an_allow_entry_delivers_what_may_be_chosen_and_touches_nothing_else(
    top: Layer, lower: list[Layer], seen: list[Finding], ruling: Ruling, role: bool
) -> None:
    layers = [top, *lower]
    before, after = (
        decide(seen, layers, role=role),
        decide(seen, layers, role=role, ruling=ruling),
    )
    for was, now in zip(before.reasons, after.reasons, strict=True):
        choosable = Action.DELIVER in allowed(was.finding.check, was.finding.band, layers)
        if was.enforced or not choosable:
            assert now == was
        else:
            assert (now.action, now.layer, now.ruling) == (Action.DELIVER, ruling.owner, ruling)


@given(site, below, findings, st.sampled_from(["allow a.test", "block a.test"]), st.booleans())
def test_no_entry_weakens_what_is_enforced(
    top: Layer, lower: list[Layer], seen: list[Finding], text: str, role: bool
) -> None:
    ruling = Ruling(SenderEntry.parse(text), ALICE)
    forced = [one for one in decide(seen, [top, *lower], role=role).reasons if one.enforced]
    after = decide(seen, [top, *lower], role=role, ruling=ruling)
    assert all(one in after.reasons for one in forced)
    assert after.action >= max((one.action for one in forced), default=Action.DELIVER)


@given(site, below, findings, actions, st.booleans())
def test_a_block_entry_adds_a_finding_and_changes_no_other(
    top: Layer, lower: list[Layer], seen: list[Finding], chosen: Action, role: bool
) -> None:
    layers = [
        Layer(SITE, {**top.rules, BLOCKED_BAND: Rule(WHOLE, Action.REJECT)}),
        *lower,
        Layer(ALICE, {BLOCKED_BAND: Rule(choice=chosen)}),
    ]
    ruling = Ruling(SenderEntry.parse("block a.test"), DOMAIN)
    before, after = decide(seen, layers, role=role), decide(seen, layers, role=role, ruling=ruling)
    *others, last = after.reasons
    assert tuple(others) == before.reasons
    assert last.finding == BLOCKED
    assert last.ruling == ruling
    assert last.action is (Action.DELIVER if role and chosen in REFUSALS else chosen)


@given(
    st.lists(st.sampled_from(["allow a.test", "block a.test", "allow x@a.test", "block .test"])),
    st.lists(st.sampled_from(["allow a.test", "block a.test", "allow x@a.test", "block .test"])),
)
def test_the_entries_of_the_inner_layer_come_first(outer: list[str], inner: list[str]) -> None:
    seen = Facts(lambda domain: domain, Address.parse("x@a.test"), frozenset({"a.test"}))
    domain, user = (
        Layer(whose, {}, {one.pattern: one for one in map(SenderEntry.parse, texts)})
        for whose, texts in ((DOMAIN, outer), (ALICE, inner))
    )
    alone = rule([user], seen)
    assert rule([domain, user], seen) == (alone or rule([domain], seen))
    assert (alone is None) == (not inner)
    assert rule([Layer(SITE), Layer(ALICE)], seen) is None


def test_the_note_says_why_an_entry_does_not_count() -> None:
    top = Layer(SITE, {("iprev", "mismatch"): Rule(frozenset({Action.JUNK}), Action.JUNK)})
    ruling = Ruling(SenderEntry.parse("allow a.test"), ALICE)
    decision = decide([Finding("iprev", "fail", "mismatch")], [top], ruling=ruling)
    assert decision.action is Action.JUNK
    assert decision.notes == (
        "iprev mismatch: allow a.test of user alice@example.test does not count, for deliver is "
        "not allowed there",
    )


@given(site, below, findings, st.none() | rulings, st.booleans(), st.sets(st.sampled_from(BANDS)))
def test_what_is_in_shadow_takes_no_part_and_is_told_as_if_it_did(
    top: Layer,
    lower: list[Layer],
    seen: list[Finding],
    ruling: Ruling | None,
    role: bool,
    shadow: set[tuple[str, str]],
) -> None:
    def of(rules: Mapping[tuple[str, str], Rule], hidden: bool) -> dict[tuple[str, str], Rule]:
        return {band: rule for band, rule in rules.items() if (band in shadow) is hidden}

    site = Layer(SITE, of(top.rules, hidden=False), shadow=of(top.rules, hidden=True))
    decision = decide(seen, [site, *lower], role=role, ruling=ruling)
    acting = [one for one in seen if (one.check, one.band) not in shadow]
    assert replace(decision, shadows=()) == decide(acting, [top, *lower], role=role, ruling=ruling)
    all_on = decide(seen, [top, *lower], role=role, ruling=ruling)
    assert set(decision.reasons) | set(decision.shadows) == set(all_on.reasons)
    assert len(decision.shadows) == len(seen) - len(acting)
