"""Through which lists a copy comes: those on every way from the address to the mailbox."""

from __future__ import annotations

import pytest

from iems.directory.resolve import resolve
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.model.policy import Action
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from lmtp.commands import Recipient
from lmtp.subjects import find_targets

DIRECTORY = """
[domains."example.test"]
[users."alice@example.test"]
[users."bob@example.test"]
[users."carol@example.test"]
forward = ["alice@example.test"]
[aliases]
"inner@example.test" = ["alice@example.test"]
"outer@example.test" = ["inner@example.test", "bob@example.test"]
"both@example.test" = ["alice@example.test", "inner@example.test"]
"far@example.test" = ["x@elsewhere.example"]
"@example.test" = ["inner@example.test"]
"round@example.test" = ["a@example.test"]
"a@example.test" = ["round@example.test"]
[lists."inner@example.test"]
policy = { "dnsbl/x" = { listed = "reject" } }
senders = ["block spam.example"]
"""


def known() -> TomlDirectory:
    return TomlDirectory.parse(DIRECTORY)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("alice", {"alice": ()}),
        ("inner", {"alice": ("inner",)}),
        ("outer", {"alice": ("outer", "inner"), "bob": ("outer",)}),
        ("both", {"alice": ("both",)}),
        ("carol", {"alice": ()}),
        ("Inner+x", {"alice+x": ("inner",)}),
        ("nobodys", {"alice": ("inner",)}),
        ("far", {"x": ("far",)}),
    ],
)
def test_the_lists_on_every_way(local: str, expected: dict[str, tuple[str, ...]]) -> None:
    found = resolve(known(), Address.parse(f"{local}@example.test"), Deadline.after(5))
    assert {
        one.address.local: tuple(passed.address.partition("@")[0] for passed in one.lists)
        for one in found
    } == expected


def test_the_agent_finds_them_by_what_the_sender_wrote() -> None:
    """It counts only where that leads to the recipient: it may be the client's own text."""
    written = ("inner@example.test", "outer@example.test", "far@example.test", "round@example.test")
    words = (*written, "", "no address", "alice@example.test", "INNER@Example.test")
    for original in words:
        recipient = Recipient("alice@example.test", f"rfc822;{original}", original)
        [target] = find_targets(known(), [recipient], Deadline.after(5))
        leads = {"inner": ("inner",), "outer": ("outer", "inner")}
        expected = leads.get(original.lower().partition("@")[0], ())
        names = tuple(one.address.partition("@")[0] for one in target.lists)
        assert names == expected, original


def test_what_a_list_says() -> None:
    entry = known().entries["inner@example.test"]
    layer = entry.mailing_list.layer  # type: ignore[union-attr]
    assert layer.rules["dnsbl/x", "listed"].choice is Action.REJECT
    assert layer.senders.keys() == {"spam.example"}


@pytest.mark.parametrize("name", ["alice@example.test", "none@example.test", "@example.test", "x"])
def test_a_list_is_an_alias(name: str) -> None:
    with pytest.raises(SettingsError, match="lists") as raised:
        TomlDirectory.parse(f'{DIRECTORY}[lists."{name}"]\n')
    assert "expected the address of an alias" in str(raised.value) or name in {"@example.test", "x"}
