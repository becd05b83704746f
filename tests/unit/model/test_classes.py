"""The law of policy classes: who shares one is answered alike, whatever is found in the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import event, given
from hypothesis import strategies as st

from iems.model.classes import policy_class
from iems.model.finding import Finding
from iems.model.policy import (
    BLOCKED,
    SITE,
    WHOLE,
    Action,
    Kind,
    Layer,
    Rule,
    Subject,
    decide,
    rule,
)
from iems.model.senders import Facts, SenderEntry

BANDS = [("content", "spam"), ("dkim", "fail"), ("header/offer", "matched")]
BLOCKING = (BLOCKED.check, BLOCKED.band)
FINDINGS = [Finding(check, "fail", band) for check, band in BANDS]

actions = st.sampled_from(sorted(WHOLE))
rules = st.one_of(
    st.builds(Rule, choice=actions),
    st.builds(Rule, allow=st.frozensets(actions, min_size=1)),
)
site = st.fixed_dictionaries(
    {
        band: st.one_of(
            actions.map(lambda one: Rule(WHOLE, one)),
            actions.map(lambda one: Rule(frozenset({one}), one)),
        )
        for band in [*BANDS, BLOCKING]
    }
).map(lambda found: Layer(SITE, found))
entries = [
    SenderEntry.parse(text)
    for text in ("allow good.test unverified", "block good.test", "block 192.0.2.0/24")
]
lists = st.lists(st.sampled_from(entries), max_size=1)
facts = st.sampled_from(
    [
        Facts(str, authors=(("joe", domain),), sole=sole)
        for domain in ("good.test", "other.test")
        for sole in (True, False)
    ]
)


@st.composite
def below(draw: st.DrawFn) -> list[Layer]:
    """A domain and a user who say little, so that two of them are often alike."""
    return [
        Layer(
            Subject(kind, "one.test"),
            draw(st.dictionaries(st.sampled_from([*BANDS, BLOCKING]), rules, max_size=1)),
            {one.pattern: one for one in draw(lists)},
        )
        for kind in (Kind.DOMAIN, Kind.USER)
    ]


def answer(found: Iterable[Finding], layers: list[Layer], role: bool, by: Facts) -> Action:
    """What the end of DATA comes to for one: of what he is never told the least is as good."""
    action = decide(found, layers, role=role, ruling=rule(layers, by)).action
    return max(action, Action.QUARANTINE)


@given(site, below(), below(), st.booleans(), st.booleans(), facts, st.integers(0, 3))
def test_who_is_of_one_class_is_answered_alike(
    top: Layer,
    one: list[Layer],
    other: list[Layer],
    role: bool,
    other_role: bool,
    by: Facts,
    known: int,
) -> None:
    mine, yours = [top, *one], [top, *other]
    found, later = FINDINGS[:known], FINDINGS[known:]
    alike = policy_class(found, BANDS[known:], mine, role=role) == policy_class(
        found, BANDS[known:], yours, role=other_role
    )
    event(f"alike: {alike}")
    apart = [
        seen
        for count in range(len(later) + 1)
        for more in itertools.combinations(later, count)
        for seen in [[*found, *more]]
        if answer(seen, mine, role, by) is not answer(seen, yours, other_role, by)
    ]
    listed = any(layer.senders for layer in (*one, *other))
    if later or listed:
        assert not (alike and apart)
    if not found and not listed:
        assert alike or apart, "nobody is put off for nothing"


def test_what_the_sender_is_never_told_parts_nobody() -> None:
    def choosing(action: Action) -> list[Layer]:
        free = Layer(SITE, {band: Rule(WHOLE, Action.DELIVER) for band in BANDS})
        return [free, Layer(Subject(Kind.USER), {BANDS[0]: Rule(choice=action)})]

    classes = {action: policy_class([], BANDS, choosing(action)) for action in sorted(WHOLE)}
    kept = {Action.DELIVER, Action.TAG, Action.JUNK, Action.QUARANTINE}
    assert len({classes[action] for action in kept}) == 1
    assert len(set(classes.values())) == 4
    strict, lax = choosing(Action.REJECT), choosing(Action.DELIVER)
    assert policy_class([], BANDS[1:], strict) == policy_class([], BANDS[1:], lax)
    assert policy_class(FINDINGS, [], strict) == policy_class(FINDINGS, [], lax), "all is known"


def test_who_has_the_same_list_may_still_be_apart() -> None:
    band = BANDS[0]
    top = Layer(SITE, {key: Rule(WHOLE, Action.REJECT) for key in [band, BLOCKING]})

    def listed(entry: str, said: Rule, key: tuple[str, str] = band) -> object:
        user = Layer(Subject(Kind.USER), {key: said}, {"good.test": SenderEntry.parse(entry)})
        return policy_class([], [band], [top, user])

    refused = Rule(WHOLE - {Action.DELIVER})
    allow, block = "allow good.test", "block good.test"
    assert listed(allow, Rule()) != listed(allow, refused), "there the entry cannot deliver"
    choice = Rule(choice=Action.JUNK)
    assert listed(block, Rule()) != listed(block, choice, BLOCKING), "who is blocked is junk"
    assert listed(block, Rule()) == listed(block, Rule(choice=Action.REJECT), BLOCKING)
    assert listed(allow, Rule()) != listed(block, Rule())
