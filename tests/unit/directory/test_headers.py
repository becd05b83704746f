"""Rules about header fields in the directory: what is read, and what is left out."""

from __future__ import annotations

import re

import pytest

from iems.directory.policy import MAX_HEADERS, bands, standings, with_headers
from iems.directory.store import Row
from iems.directory.toml import TomlDirectory
from iems.directory.tree import alias_entry, domain_entry, read_entries, user_entry
from iems.model.address import Address
from iems.model.finding import MATCHED, TEMPERROR
from iems.model.policy import SITE, Action, Kind, Layer, Rule, Subject
from iems.settings.read import SettingsError

DOMAIN = Subject(Kind.DOMAIN, "example.test")
OFFER = "header/example.test/offer"


def read(*values: bytes, rule: Rule | None = None) -> tuple[Layer, list[str]]:
    notes: list[str] = []
    rules = {(OFFER, MATCHED): rule} if rule else {}
    return with_headers(Layer(DOMAIN, rules), values, notes.append), notes


def test_a_rule_is_a_test_and_a_choice() -> None:
    layer, notes = read(b"offer junk Subject contains \xc3\xa4")
    assert layer.headers == {OFFER: "Subject contains ä"}
    assert layer.rules == {(OFFER, MATCHED): Rule(choice=Action.JUNK)}
    assert notes == []


@pytest.mark.parametrize("value", [b"", b"\xff", b"offer junk Subject matches (", b"x" * 9999])
def test_what_cannot_be_read_is_none_and_noted(value: bytes) -> None:
    layer, notes = read(value, b"good tag Date absent")
    assert list(layer.headers) == ["header/example.test/good"]
    [note] = notes
    assert note.startswith("domain example.test: header rule ")
    assert "is left out" in note
    assert len(note) < 1000


def test_there_is_one_of_a_name_and_not_too_many() -> None:
    layer, notes = read(b"offer tag Date absent", b"offer junk Subject present")
    assert layer.headers == {OFFER: "Subject present"}
    assert "there is one of this name" in notes[0]
    layer, notes = read(*[b"r%02d tag Date absent" % one for one in range(MAX_HEADERS + 1)])
    assert len(layer.headers) == MAX_HEADERS
    assert notes == ["domain example.test has more than 20 header rules; the rest is left out"]


def test_what_users_may_choose_about_it_stays_and_its_action_is_the_rule_s() -> None:
    may = frozenset({Action.TAG, Action.JUNK})
    layer, notes = read(b"offer junk Date absent", rule=Rule(may, Action.TAG))
    assert layer.rules == {(OFFER, MATCHED): Rule(may, Action.JUNK)}
    assert "its choice for header/example.test/offer is left out" in notes[0]


def test_it_stands_among_what_may_be_found_beneath_its_owner() -> None:
    site = Layer(SITE, {("header/*", one): Rule(frozenset(Action), Action.DELIVER)
                        for one in (MATCHED, TEMPERROR)})  # fmt: skip
    layer, _notes = read(b"offer junk Date absent")
    user = Layer(Subject(Kind.USER, "a@example.test"), {("header/*", MATCHED): Rule(None)})
    assert bands([site]) == []
    assert bands([site, layer, user]) == [(OFFER, MATCHED), (OFFER, TEMPERROR)]
    one, two = standings([site, layer, user])
    assert (one.action, one.decided_by) == (Action.JUNK, DOMAIN)
    assert (two.action, two.decided_by) == (Action.DELIVER, SITE)


TEXT = """
[domains."example.test"]
headers = ["offer junk Subject contains offer"]
[users."alice@example.test"]
[aliases]
"team@example.test" = ["alice@example.test"]
[lists."team@example.test"]
headers = ["bulk tag Precedence equals bulk"]
"""


def test_in_a_file() -> None:
    known = TomlDirectory.parse(TEXT)
    assert known.layers["example.test"].headers == {OFFER: "Subject contains offer"}
    own = known.entries["team@example.test"].mailing_list  # type: ignore[union-attr]
    assert own is not None
    assert own.layer.headers == {"header/team@example.test/bulk": "Precedence equals bulk"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('headers = "a junk Date absent"', "expected a list of rules"),
        ("headers = [3]", "expected a list of rules"),
        ('headers = ["a junk Date"]', "headers: domain x.test: header rule b'a junk Date' is left"),
    ],
)
def test_a_file_s_faults(line: str, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        TomlDirectory.parse(f'[domains."x.test"]\n{line}\n')


def test_users_make_none() -> None:
    with pytest.raises(SettingsError, match="headers"):
        TomlDirectory.parse('[domains."x.test"]\n[users."a@x.test"]\nheaders = ["a junk X absent"]')
    alice, own = Address.parse("alice@example.test"), [b"a junk Date absent"]
    rows = [
        Row(domain_entry("example.test"), {"objectClass": [b"iemsDomain"],
            "iemsDomainName": [b"example.test"], "iemsHeader": own}),
        Row(user_entry(alice), {"objectClass": [b"iemsUser"],
            "iemsAddress": [b"alice@example.test"], "iemsHeader": own}),
        Row(alias_entry("team@example.test")[0], {"objectClass": [b"iemsAlias"],
            "iemsAddress": [b"team@example.test"], "iemsTarget": [b"alice@example.test"],
            "iemsHeader": own}),
    ]  # fmt: skip
    found = read_entries(rows, lambda _note: None)
    user, team = found["alice@example.test"], found["team@example.test"]
    assert user.layer.headers == {}  # type: ignore[union-attr]
    assert user.domain_layer.headers == {"header/example.test/a": "Date absent"}  # type: ignore[union-attr]
    assert list(team.mailing_list.layer.headers) == ["header/team@example.test/a"]  # type: ignore[union-attr]
