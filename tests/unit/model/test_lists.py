"""The laws of mailing lists: what a list chose is done at least, and nothing is weaker for it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from iems.model.finding import Finding
from iems.model.policy import (
    BLOCKED,
    REFUSALS,
    SITE,
    WHOLE,
    Action,
    Decision,
    Kind,
    Layer,
    MailingList,
    Rule,
    Ruling,
    Subject,
    allowed,
    decide,
    through,
)
from iems.model.senders import SenderEntry
from tests.unit.model.test_policy import BANDS, findings, layers_of, site

ALICE = Subject(Kind.USER, "alice@example.test")
TEAM = Subject(Kind.LIST, "team@example.test")
DOMAIN = Subject(Kind.DOMAIN, "example.test")

ELSEWHERE = Layer(TEAM, {("spf", "fail"): Rule(choice=Action.REJECT)})
lists = st.lists(
    st.builds(
        MailingList,
        st.sampled_from([TEAM, Subject(Kind.LIST, "all@example.test")]).flatmap(layers_of),
        layers_of(DOMAIN),
    ),
    max_size=3,
)
own_layers = st.tuples(layers_of(DOMAIN), layers_of(ALICE))


def nobody(_layer: Layer) -> None:
    """No list of senders."""


def joined(
    seen: list[Finding], top: Layer, own: tuple[Layer, ...], passed: list[MailingList]
) -> tuple[Decision, Decision]:
    """Without the lists, and with them."""
    alone = decide(seen, [top, *own])
    return alone, through(alone, passed, seen, [top], own, nobody)


@settings(max_examples=40)
@given(findings, site, own_layers, lists)
def test_nothing_is_weaker_for_a_list_and_every_reason_of_before_stays(
    seen: list[Finding], top: Layer, own: tuple[Layer, ...], passed: list[MailingList]
) -> None:
    alone, decision = joined(seen, top, own, passed)
    assert decision.action >= alone.action
    assert decision.reasons[: len(alone.reasons)] == alone.reasons
    assert decision.lists == tuple(one.address for one in passed)
    assert decision.action == max(
        (reason.action for reason in decision.reasons), default=Action.DELIVER
    )


@settings(max_examples=40)
@given(findings, site, own_layers, lists)
def test_what_a_list_does_stays_in_what_is_allowed_to_it(
    seen: list[Finding], top: Layer, own: tuple[Layer, ...], passed: list[MailingList]
) -> None:
    alone, decision = joined(seen, top, own, passed)
    for reason in decision.reasons[len(alone.reasons) :]:
        band = (reason.finding.check, reason.finding.band)
        assert reason.layer.kind is Kind.LIST
        assert any(
            reason.action in allowed(*band, [top, one.domain_layer, one.layer])
            for one in passed
            if one.layer.subject == reason.layer
        )


@settings(max_examples=40)
@given(findings, site, own_layers, lists)
def test_what_is_enforced_no_list_touches(
    seen: list[Finding], top: Layer, own: tuple[Layer, ...], passed: list[MailingList]
) -> None:
    forced = {key: Rule(frozenset({rule.choice}), rule.choice) for key, rule in top.rules.items()
              if rule.choice is not None}  # fmt: skip
    alone, decision = joined(seen, Layer(SITE, forced), own, passed)
    assert decision.action is alone.action


@settings(max_examples=40)
@given(
    findings,
    site,
    own_layers,
    st.lists(st.builds(MailingList, st.just(ELSEWHERE), layers_of(DOMAIN))),
)
def test_a_list_does_nothing_about_what_it_has_not_chosen(
    seen: list[Finding], top: Layer, own: tuple[Layer, ...], passed: list[MailingList]
) -> None:
    """Neither does its domain's policy, which is not that of the recipient."""
    alone, decision = joined(seen, top, own, passed)
    assert (decision.action, decision.reasons) == (alone.action, alone.reasons)


FREE = Layer(SITE, {key: Rule(WHOLE, Action.JUNK) for key in (*BANDS, ("senders", "blocked"))})
LISTED = Finding(*BANDS[0][:1], "fail", BANDS[0][1])


def team(action: Action | None, check: str = BANDS[0][0], band: str = BANDS[0][1]) -> MailingList:
    rules = {(check, band): Rule(choice=action)} if action is not None else {}
    return MailingList(Layer(TEAM, rules), Layer(DOMAIN))


@given(st.sampled_from(sorted(WHOLE)), st.sampled_from(sorted(WHOLE)))
def test_the_stronger_of_list_and_member_is_done(theirs: Action, his: Action) -> None:
    own = (Layer(DOMAIN), Layer(ALICE, {BANDS[0]: Rule(choice=his)}))
    _alone, decision = joined([LISTED], FREE, own, [team(theirs)])
    assert decision.action is max(theirs, his)
    assert decision.decisive is not None
    assert decision.decisive.layer == (TEAM if theirs > his else ALICE)


def test_a_domain_binds_its_lists() -> None:
    may = Rule(frozenset({Action.DELIVER, Action.JUNK}))
    strict = MailingList(team(Action.REJECT).layer, Layer(DOMAIN, {BANDS[0]: may}))
    own = (Layer(DOMAIN), Layer(ALICE, {BANDS[0]: Rule(choice=Action.DELIVER)}))
    _alone, decision = joined([LISTED], FREE, own, [strict])
    assert decision.action is Action.DELIVER
    assert "list team@example.test says reject, which is not allowed there" in decision.notes[0]


@given(st.sampled_from(sorted(REFUSALS)))
def test_mail_for_a_role_address_is_refused_by_no_choice(action: Action) -> None:
    post = Subject(Kind.LIST, "postmaster@example.test")
    rules = {BANDS[0]: Rule(choice=action)}
    passed = [MailingList(Layer(post, rules), Layer(DOMAIN))]
    own = (Layer(DOMAIN), Layer(ALICE, {BANDS[0]: Rule(choice=Action.DELIVER)}))
    _alone, decision = joined([LISTED], FREE, own, passed)
    assert decision.action is Action.DELIVER


def test_who_never_sees_junk_has_what_a_list_files_there_tagged() -> None:
    own = (Layer(DOMAIN), Layer(ALICE, {BANDS[0]: Rule(choice=Action.DELIVER)}, sees_junk=False))
    _alone, decision = joined([LISTED], FREE, own, [team(Action.JUNK)])
    assert decision.action is Action.TAG


def test_the_entries_of_a_list_are_its_own_affair() -> None:
    """One that allows takes back what the list chose, and nothing that a member did."""
    own = (Layer(DOMAIN), Layer(ALICE, {BANDS[0]: Rule(choice=Action.TAG)}))
    alone = decide([LISTED], [FREE, *own])
    for text, expected in (("allow a.test", Action.TAG), ("block a.test", Action.JUNK)):
        ruling = Ruling(SenderEntry.parse(text), TEAM)

        def entry(layer: Layer, ruling: Ruling = ruling) -> Ruling | None:
            return ruling if layer.subject == TEAM else None

        layer = Layer(TEAM, team(None).layer.rules, {"a.test": ruling.entry})
        one = MailingList(layer, Layer(DOMAIN))
        found = through(alone, [one], [LISTED], [FREE], own, entry)
        assert found.action is expected
        assert {reason.finding for reason in found.reasons} <= {LISTED, BLOCKED}
    strict = MailingList(Layer(TEAM, team(Action.REJECT).layer.rules), Layer(DOMAIN))
    allow = Ruling(SenderEntry.parse("allow a.test"), TEAM)
    found = through(alone, [strict], [LISTED], [FREE], own, lambda _layer: allow)
    assert found.action is Action.TAG
