"""The matrix about viruses: which cell counts, and that none is missing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.policy import Action
from iems.settings.load import from_table
from iems.settings.matrix import ANY, DESTINATIONS, Matrix
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from tests.unit.checks.world import SITE_TABLE

ENGINES = {"clamav": {"kind": "clamd", "server": "unix:/run/clamav/clamd.ctl"}}
ALL = {ANY: {ANY: {"infected": "reject"}}}
KEY = "checks.virus"


def site(**virus: object) -> Settings:
    table = {"mode": "enforce", "engines": ENGINES, **virus}
    return from_table({**SITE_TABLE, "checks": {"virus": table}})


def action(settings: Settings, source: str, destination: str, band: str = "infected") -> str:
    (layer,) = settings.layers(source, destination)
    rule = layer.rules["virus", band]
    assert rule.choice is not None
    assert rule.allow == frozenset({rule.choice}), "somebody below may choose"
    return rule.choice.word


def faults(**virus: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        site(**virus)
    return [one.removeprefix("settings: ") for one in caught.value.faults]


def test_without_a_matrix_the_default_is_for_all_mail() -> None:
    settings = site(default={"infected": "quarantine"})
    for source, destination in itertools.product(("internet", "local", "x"), DESTINATIONS):
        assert action(settings, source, destination) == "quarantine"
        assert action(settings, source, destination, "encrypted") == "deliver"
        assert action(settings, source, destination, "unscanned") == "quarantine"
        assert action(settings, source, destination, "temperror") == "defer"


def test_the_most_exact_cell_that_names_a_band_counts() -> None:
    settings = site(
        default={"temperror": "tag"},
        matrix={
            "internet": {
                "local": {"infected": "quarantine"},
                "*": {"infected": "reject", "encrypted": "junk"},
            },
            "*": {"local": {"infected": "discard", "temperror": "deliver"}, **ALL[ANY]},
        },
    )
    assert action(settings, "internet", "local") == "quarantine"
    assert action(settings, "internet", "local", "encrypted") == "junk"
    assert action(settings, "internet", "local", "temperror") == "deliver"
    assert action(settings, "internet", "internet") == "reject"
    assert action(settings, "internet", "internet", "temperror") == "tag"
    assert action(settings, "other", "local") == "discard"
    assert action(settings, "other", "internet") == "reject"
    assert action(settings, "", "local") == "discard", "findings that were lost"


@pytest.mark.parametrize(
    ("matrix", "missing"),
    [
        ({}, ['"*".local', '"*".internet']),
        ({"*": {"local": {"infected": "reject"}}}, ['"*".internet']),
        ({"*": {"*": {"temperror": "tag"}}}, ['"*".local', '"*".internet']),
        (
            {"internet": {"*": {"infected": "reject"}}, "local": {"*": {"infected": "reject"}}},
            ['"*".local', '"*".internet'],
        ),
    ],
)
def test_a_hole_is_refused(matrix: object, missing: list[str]) -> None:
    found = faults(matrix=matrix)
    assert [one.partition(" ")[0] for one in found] == [f"{KEY}.matrix.{one}" for one in missing]
    assert all("is missing, and no cell with * stands in for it" in one for one in found)


def notified(settings: Settings, source: str, destination: str) -> set[str]:
    return {one.value for one in settings.checks[0].matrix.notified(source, destination)}


def test_the_most_exact_cell_that_names_anybody_says_who_is_told() -> None:
    settings = site(
        notify=["postmaster"],
        matrix={
            "submission": {"local": {"notify": []}, "*": {"notify": ["sender", "postmaster"]}},
            "*": {"local": {"notify": ["recipient"]}, **ALL[ANY]},
        },
    )
    assert notified(settings, "submission", "local") == set()
    assert notified(settings, "submission", "internet") == {"sender", "postmaster"}
    assert notified(settings, "other", "local") == {"recipient"}
    assert notified(settings, "other", "internet") == {"postmaster"}
    assert action(settings, "submission", "local") == "reject", "of the cell that names it"
    assert notified(site(notify=["sender"]), "x", "local") == {"sender"}
    assert notified(site(), "internet", "local") == set()


@pytest.mark.parametrize(
    ("virus", "fault"),
    [
        ({"mode": "delegate"}, f"{KEY}.mode is 'delegate'; expected enforce, shadow or off"),
        ({"allow": {"infected": ["tag"]}}, f"{KEY}.allow.infected with the check virus"),
        (
            {"mode": "shadow", "allow": {"infected": ["tag"]}},
            f"{KEY}.allow.infected with the check virus",
        ),
        ({"default": {"infected": "deliver"}}, f"{KEY}.default.infected is 'deliver'; expected"),
        (
            {"default": {"infected": "tag"}, "matrix": ALL},
            f"{KEY}.matrix beside default.infected; expected one of them",
        ),
        ({"matrix": []}, f"{KEY}.matrix is []; expected a table"),
        ({"matrix": {**ALL, "x": 1}}, f"{KEY}.matrix.x is 1; expected a table"),
        ({"matrix": {**ALL, "x": {"local": "tag"}}}, f"{KEY}.matrix.x.local is 'tag'; expected"),
        (
            {"matrix": {**ALL, "x": {"outside": {}}}},
            f"{KEY}.matrix.x.outside is no destination; expected local, internet, *",
        ),
        ({"matrix": {**ALL, "x": {"*": {"virus": "tag"}}}}, f'{KEY}.matrix.x."*".virus is no band'),
        ({"notify": "sender"}, f"{KEY}.notify is 'sender'; expected a list of postmaster, "),
        ({"notify": [1]}, f"{KEY}.notify is [1]; expected a list of postmaster, "),
        ({"notify": [["sender"]]}, f"{KEY}.notify is [['sender']]; expected a list of "),
        (
            {"matrix": {**ALL, "x": {"*": {"notify": ["nobody"]}}}},
            f"{KEY}.matrix.x.\"*\".notify is ['nobody']; expected a list of postmaster, ",
        ),
        (
            {"matrix": {**ALL, "internet": {"local": {"notify": ["sender"]}}}},
            f"{KEY}.matrix.internet.local.notify has 'sender', who is never ours in mail from",
        ),
        (
            {"matrix": {**ALL, "x": {"*": {"encrypted": "remove"}}}},
            f"{KEY}.matrix.x.\"*\".encrypted is 'remove'; expected another action, for nothing",
        ),
        ({"default": {"unscanned": "remove"}}, f"{KEY}.default.unscanned is 'remove'; expected"),
        (
            {"matrix": {"*": {"*": {"infected": "junk"}}}},
            f'{KEY}.matrix."*"."*".infected is \'junk\'; expected one of remove, tag, quarantine, ',
        ),
        (
            {"matrix": {"*": {"*": {"infected": "quarantine"}}}},
            f"{KEY}.matrix.\"*\".internet makes infected 'quarantine', which nobody can do",
        ),
        (
            {"matrix": {**ALL, "submission": {"*": {"unscanned": "discard"}}}},
            f"{KEY}.matrix.submission.internet makes unscanned 'discard', which nobody can do",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(virus: dict[str, object], fault: str) -> None:
    assert any(one.startswith(fault) for one in faults(**virus)), faults(**virus)


def test_remove_is_reject_where_nothing_could_be_removed() -> None:
    matrix = {"*": {"local": {"infected": "remove", "temperror": "tag"}, **ALL[ANY]}}
    settings = site(matrix=matrix)
    assert action(settings, "internet", "local") == "remove"
    assert action(settings.unremoved, "internet", "local") == "reject"
    assert action(settings.unremoved, "internet", "local", "temperror") == "tag"
    without = site(default={"infected": "remove"})
    assert action(without, "internet", "internet") == "remove"
    assert action(without.unremoved, "internet", "internet") == "reject"
    assert action(without.unremoved, "internet", "internet", "encrypted") == "deliver"


def test_who_lets_a_channel_choose_is_refused() -> None:
    policy = {"virus": {"default": {"infected": "tag"}}}
    table = {"mode": "enforce", "engines": ENGINES, "matrix": ALL}
    with pytest.raises(SettingsError, match=r"policy makes virus infected 'tag'"):
        from_table(
            {
                **SITE_TABLE,
                "checks": {"virus": table},
                "channels": {"internet": {"policy": policy}},
            }
        )


def test_in_shadow_the_matrix_is_one_too() -> None:
    matrix = {"*": {"local": {"infected": "discard"}, "internet": {"infected": "reject"}}}
    (layer,) = site(mode="shadow", matrix=matrix).layers("internet", "local")
    assert ("virus", "infected") not in layer.rules
    assert layer.shadow["virus", "infected"].choice is Action.DISCARD


_NAMES = st.sampled_from(("internet", "submission", ANY))
_CELL = st.dictionaries(st.sampled_from(("infected", "temperror")), st.sampled_from(Action))
_CELLS = st.dictionaries(st.tuples(_NAMES, st.sampled_from((*DESTINATIONS, ANY))), _CELL)


@given(_CELLS, _NAMES, st.sampled_from(DESTINATIONS))
def test_the_order_of_cells(
    cells: dict[tuple[str, str], dict[str, Action]], source: str, destination: str
) -> None:
    """As the module says it: source and destination, source, destination, neither."""
    found = Matrix(cells).actions(source, destination)
    for band in ("infected", "temperror"):
        order = (source, destination), (source, ANY), (ANY, destination), (ANY, ANY)
        stated = [cells[one][band] for one in order if band in cells.get(one, {})]
        assert found.get(band) == (stated[0] if stated else None)
