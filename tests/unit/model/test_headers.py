"""The laws of rules of domains and lists: none weakens anything, or leaves what is allowed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from iems.model.classes import policy_class
from iems.model.finding import MATCHED, TEMPERROR, Finding
from iems.model.policy import (
    SITE,
    WHOLE,
    Action,
    Kind,
    Layer,
    MailingList,
    Rule,
    Subject,
    allowed,
    decide,
    through,
)
from iems.settings.schema import HeaderSettings
from tests.unit.model.test_policy import actions, findings, layers_of, sets, site

ALICE = Subject(Kind.USER, "alice@example.test")
DOMAIN = Subject(Kind.DOMAIN, "example.test")
TEAM = Subject(Kind.LIST, "team@example.test")
FAMILY = ("header/*", MATCHED)


def check(owner: Subject, name: str = "offer") -> str:
    return f"header/{owner.name}/{name}"


def ruled(layer: Layer, action: Action, may: frozenset[Action] | None = None) -> Layer:
    """The layer with a rule of this action."""
    own = check(layer.subject)
    rules = {**layer.rules, (own, MATCHED): Rule(may, action)}
    return replace(layer, rules=rules, headers={own: "Subject present"})


def found(*owners: Subject) -> list[Finding]:
    return [Finding(check(owner), MATCHED, MATCHED) for owner in owners]


def topped(top: Layer, may: frozenset[Action]) -> Layer:
    """The site, which leaves such rules these actions."""
    rule = HeaderSettings(allow=may).rule
    return replace(top, rules={**top.rules, FAMILY: rule, ("header/*", TEMPERROR): rule})


choosing = st.dictionaries(
    st.sampled_from([FAMILY, (check(DOMAIN), MATCHED), (check(TEAM), MATCHED)]),
    st.builds(Rule, allow=st.none() | sets, choice=st.none() | actions),
)
"""What a user says of such rules."""


@settings(max_examples=60)
@given(site, sets, layers_of(DOMAIN), layers_of(ALICE), findings, actions, choosing)
def test_a_rule_of_a_domain_weakens_nothing_and_stays_in_what_the_site_leaves(
    top: Layer,
    may: frozenset[Action],
    domain: Layer,
    user: Layer,
    seen: list[Finding],
    action: Action,
    chosen: dict[tuple[str, str], Rule],
) -> None:
    top, user = topped(top, may), replace(user, rules={**user.rules, **chosen})
    without = decide(seen, [top, domain, user])
    layers = [top, ruled(domain, action), user]
    decision = decide([*seen, *found(DOMAIN)], layers)
    assert decision.action >= without.action
    assert decision.reasons[:-1] == without.reasons
    reason = decision.reasons[-1]
    assert reason.action in may | {Action.DELIVER}
    assert reason.action in allowed(check(DOMAIN), MATCHED, layers)
    if action not in may | {Action.DELIVER}:
        assert any(f"{DOMAIN} says {action.word}" in note for note in decision.notes)


@settings(max_examples=60)
@given(site, sets, layers_of(DOMAIN), findings, actions)
def test_what_is_enforced_no_rule_touches(
    top: Layer, may: frozenset[Action], domain: Layer, seen: list[Finding], action: Action
) -> None:
    forced = {key: Rule(frozenset({rule.choice}), rule.choice) for key, rule in top.rules.items()
              if rule.choice is not None}  # fmt: skip
    enforcing = topped(Layer(SITE, forced), may)
    decision = decide([*seen, *found(DOMAIN)], [enforcing, ruled(domain, action)])
    for reason in decision.reasons[:-1]:
        key = reason.finding.check, reason.finding.band
        assert (reason.action, reason.enforced) == (forced[key].choice, True)


@settings(max_examples=60)
@given(site, sets, st.tuples(layers_of(DOMAIN), layers_of(ALICE)), findings, actions)
def test_a_rule_of_a_list_weakens_nothing_and_is_its_own_choice(
    top: Layer,
    may: frozenset[Action],
    own: tuple[Layer, Layer],
    seen: list[Finding],
    action: Action,
) -> None:
    top, team = topped(top, may), MailingList(ruled(Layer(TEAM), action), Layer(DOMAIN))
    alone = decide(seen, [top, *own])
    both = [*seen, *found(TEAM)]
    mine = decide(both, [top, *own])
    decision = through(mine, [team], both, [top], own, lambda _layer: None)
    assert decision.action >= alone.action
    chosen = [one for one in decision.reasons if one.layer == TEAM]
    heeded = action in may | {Action.DELIVER}
    assert [one.finding for one in chosen] == (found(TEAM) if heeded else [])
    if heeded and own[1].sees_junk:
        assert decision.action >= action


def test_users_choose_about_a_rule_as_far_as_its_domain_lets_them() -> None:
    top = topped(Layer(SITE), WHOLE)
    mild = Layer(ALICE, {(check(DOMAIN), MATCHED): Rule(choice=Action.DELIVER)})
    free, bound = ruled(Layer(DOMAIN), Action.JUNK), frozenset({Action.JUNK, Action.REJECT})
    assert decide(found(DOMAIN), [top, free, mild]).action is Action.DELIVER
    strict = ruled(Layer(DOMAIN), Action.JUNK, bound)
    assert decide(found(DOMAIN), [top, strict, mild]).action is Action.JUNK


@given(st.sampled_from(sorted(WHOLE)))
def test_a_role_address_is_refused_by_no_rule(action: Action) -> None:
    layers = [topped(Layer(SITE), WHOLE), ruled(Layer(DOMAIN), action)]
    assert decide(found(DOMAIN), layers, role=True).action <= Action.QUARANTINE


def test_who_has_a_rule_that_may_refuse_is_of_a_class_of_his_own() -> None:
    top = topped(Layer(SITE), WHOLE)

    def of(action: Action, domain: Subject = DOMAIN, user: Action | None = None) -> object:
        own = Layer(ALICE, {(check(domain), MATCHED): Rule(choice=user)} if user else {})
        return policy_class([], [], [top, ruled(Layer(domain), action), own])

    nothing = policy_class([], [], [top, Layer(DOMAIN), Layer(ALICE)])
    assert of(Action.JUNK) == of(Action.QUARANTINE) == nothing
    assert of(Action.REJECT) == of(Action.REJECT)
    other = Subject(Kind.DOMAIN, "other.test")
    assert len({nothing, of(Action.REJECT), of(Action.DEFER), of(Action.REJECT, other)}) == 4
    assert of(Action.REJECT, user=Action.TAG) == nothing
    team = MailingList(ruled(Layer(TEAM), Action.JUNK), Layer(DOMAIN))
    assert policy_class([], [], [top], lists=[team]) != nothing
