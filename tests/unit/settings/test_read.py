"""The reader of each kind of value: what it takes, to the limit, and what it says of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from iems.model.address import Address
from iems.model.policy import Action
from iems.settings import read
from iems.settings.read import SettingsError, join

LOCAL = "unix:/run/lmtp"


@pytest.mark.parametrize(
    ("reader", "value", "result"),
    [
        (read.text, "a \u00e9", "a \u00e9"),
        (read.integer(1, 3), 1, 1),
        (read.integer(1, 3), 3, 3),
        (read.number(0.5, 2), 0.5, 0.5),
        (read.number(0.5, 2), 2, 2.0),
        (read.one_of("a", "b"), "b", "b"),
        (read.path, "/a/b", Path("/a/b")),
        (read.address, "a@B.test", Address("a", "b.test")),
        (read.host_name, "Mail.Example.test", "mail.example.test"),
        (read.texts, ["a", "b"], ("a", "b")),
        (read.texts, [], ()),
        (read.everywhere, True, True),
        (read.everywhere, False, False),
        (
            read.everywhere,
            ["Example.test.", "b\u00fccher.test"],
            frozenset({"example.test", "xn--bcher-kva.test"}),
        ),
        (read.whole_action, "tag", Action.TAG),
        (read.whole_actions, ["tag", "junk"], frozenset({Action.TAG, Action.JUNK})),
        (read.upstreams, {"local": LOCAL}, {"local": LOCAL}),
        (read.upstreams, {"local": "inet:::1:24"}, {"local": "inet:::1:24"}),
    ],
)
def test_taken(reader: Callable[[object], object], value: object, result: object) -> None:
    assert reader(value) == result
    assert type(reader(value)) is type(result)


@pytest.mark.parametrize(
    ("reader", "value", "told"),
    [
        (read.text, "", "a string on one line"),
        (read.text, 1, "a string on one line"),
        (read.text, "a\nb", "a string on one line"),
        (read.text, "a\x1fb", "a string on one line"),
        (read.integer(1, 3), 0, "a whole number from 1 to 3"),
        (read.integer(1, 3), 4, "a whole number from 1 to 3"),
        (read.integer(1, 3), True, "a whole number from 1 to 3"),
        (read.integer(1, 3), 2.0, "a whole number from 1 to 3"),
        (read.number(0.5, 2), 0.4, "a number from 0.5 to 2"),
        (read.number(0.5, 2), 2.1, "a number from 0.5 to 2"),
        (read.number(0.5, 2), True, "a number from 0.5 to 2"),
        (read.number(0.5, 2), "1", "a number from 0.5 to 2"),
        (read.number(0.5, 2), math.nan, "a number from 0.5 to 2"),
        (read.one_of("a", "b"), "c", "one of a, b"),
        (read.path, "a/b", "an absolute path"),
        (read.path, 1, "an absolute path"),
        (read.address, "a", "a mailbox address: no domain"),
        (read.address, 1, "a string on one line"),
        (read.host_name, "mail", "a host name with its domain"),
        (read.host_name, "-x.test", "a host name: "),
        (read.texts, "a", "a list of strings"),
        (read.texts, [""], "a string on one line"),
        (read.networks, ["192.0.2.1/24"], "a list of IP networks: 192.0.2.1/24 has host bits"),
        (read.everywhere, "example.test", "true, false or a list of domains"),
        (read.everywhere, 1, "true, false or a list of domains"),
        (read.everywhere, [True], "a string on one line"),
        (read.everywhere, ["a b"], "a list of domains: 'a b' is no domain name"),
        (read.whole_actions, "tag", "a list of actions"),
        (read.whole_action, "remove", "one of deliver, tag"),
        (read.whole_actions, ["tag", "remove"], "one of deliver, tag"),
        (read.upstreams, 1, "a table with the key local"),
        (read.upstreams, {"local": LOCAL, "x": "unix:run"}, "unix:/PATH or inet:HOST:PORT for x"),
        (read.upstreams, {"local": "inet:host"}, "unix:/PATH or inet:HOST:PORT"),
        (read.upstreams, {"local": "inet::24"}, "unix:/PATH or inet:HOST:PORT"),
        (read.upstreams, {"local": "inet:host:x"}, "unix:/PATH or inet:HOST:PORT"),
        (read.upstreams, {"local": "unix:host:24"}, "unix:/PATH or inet:HOST:PORT"),
        (read.upstreams, {"local": "tcp:/run/x"}, "unix:/PATH or inet:HOST:PORT"),
    ],
)
def test_told(reader: Callable[[object], object], value: object, told: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        reader(value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("key", "name", "dotted"),
    [
        ("", "a", "a"),
        ("a", "b_c-1", "a.b_c-1"),
        ("a", "b.c", 'a."b.c"'),
        ("", "b c", '"b c"'),
        ("a", "\u00e9", 'a."\u00e9"'),
        ("a", "", 'a.""'),
    ],
)
def test_keys_are_written_as_in_the_file(key: str, name: str, dotted: str) -> None:
    assert join(key, name) == dotted


def test_each_fault_has_a_line() -> None:
    error = SettingsError(["one", "two"])
    assert str(error) == "one\ntwo"
    assert error.faults == ("one", "two")
