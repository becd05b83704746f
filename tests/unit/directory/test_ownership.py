"""Who may send with an address, as Postfix's sender login maps have it."""

from __future__ import annotations

import pytest

from iems.directory.ownership import owns
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline

DIRECTORY = TomlDirectory.parse("""
[domains."a.test"]
[domains."b.test"]
[users."alice@a.test"]
[users."bob@a.test"]
forward = ["alice@a.test", "bob@a.test"]
[users."carol@a.test"]
[aliases]
"both@a.test" = ["alice@a.test", "bob@a.test"]
"over@a.test" = ["both@a.test"]
"alice+own@a.test" = ["bob@a.test"]
"carol@a.test" = ["alice@a.test"]
"@a.test" = ["alice@a.test"]
"@b.test" = ["@a.test"]
"info@b.test" = ["bob@a.test"]
""")


@pytest.mark.parametrize(
    ("login", "address", "may"),
    [
        ("alice@a.test", "alice@a.test", True),
        ("ALICE@a.test", "Alice@A.test", True),
        ("alice@a.test", "alice+x@a.test", True),
        ("alice@a.test", "bob@a.test", False),  # whom he forwards to
        ("bob@a.test", "bob@a.test", True),
        ("alice@a.test", "both@a.test", True),
        ("bob@a.test", "both+x@a.test", True),
        ("carol@a.test", "both@a.test", False),
        ("alice@a.test", "over@a.test", False),  # not directly
        ("both@a.test", "both@a.test", False),  # an alias is no login
        ("alice@a.test", "alice+own@a.test", False),  # somebody else's, by its own entry
        ("bob@a.test", "alice+own@a.test", True),
        ("carol@a.test", "carol@a.test", True),
        ("alice@a.test", "carol@a.test", False),  # an alias beside a mailbox
        ("alice@a.test", "unused@a.test", False),  # a catch-all gives no right
        ("alice@a.test", "alice@b.test", True),
        ("alice@a.test", "alice+x@b.test", True),
        ("alice@a.test", "bob@b.test", False),
        ("bob@a.test", "info@b.test", True),
        ("info@a.test", "info@b.test", False),
        ("alice@a.test", "alice@elsewhere.example", False),
    ],
)
def test_who_may_send_with_an_address(login: str, address: str, may: bool) -> None:
    addresses = Address.parse(login), Address.parse(address)
    assert owns(DIRECTORY, *addresses, Deadline.after(5)) is may
