"""The TOML directory: what is wrong is told with file, key, value and expectation; all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.directory.toml import TomlDirectory
from iems.settings.read import SettingsError

DOMAIN = '[domains."example.test"]\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[people]", "people is {}; expected one of the tables aliases, domains, lists, users"),
        ("users = 3", "users is 3; expected a table"),
        ('[domains."a b"]', "is 'a b'; expected a domain: 'a b' is no domain name"),
        ('[users."alice@example.test"]', "expected an address in one of the domains"),
        (DOMAIN + '[users."alice"]', "is 'alice'; expected an address: no domain in 'alice'"),
        (DOMAIN + '[users."a@example.test"]\n[users."A@example.test"]', "differs from all others"),
        (DOMAIN + '[users."a@example.test"]\nname = "x"', "expected a table with keys of "),
        (
            DOMAIN + '[users."a@example.test"]\nkind = "half"',
            "expected one of send-only, receive-only",
        ),
        (DOMAIN + '[users."a@example.test"]\nreads = "imap"', "expected 'pop3' or nothing"),
        (DOMAIN + '[users."a@example.test"]\nbayes = "yes"', "expected one of on, off, shadow"),
        (DOMAIN + '[users."a@example.test"]\nperson = 3', "expected a table of strings: name, "),
        (
            DOMAIN + '[users."a@example.test"]\nperson = { phone = 3 }',
            "expected a table of strings: name, given_name, surname, title, ",
        ),
        (
            DOMAIN + '[users."a@example.test"]\nperson = { fone = "3" }',
            "users.\"a@example.test\".person is {'fone': '3'}; expected a table of strings",
        ),
        (DOMAIN + '[users."a@example.test"]\nlanguage = 3', "expected a language, as in 'de'"),
        (DOMAIN + '[users."a@example.test"]\ndisabled = true', "expected the reason as a string"),
        (DOMAIN + '[users."a@example.test"]\nforward = []', "expected a list of addresses"),
        ('[aliases]\n"@a.test" = ["@b.test", "x@b.test"]', "expected an address"),
        (DOMAIN + 'policy = { iprev = "junk" }', "iprev is 'junk'; expected a table"),
        (
            DOMAIN + 'policy = { iprev = { mismatch = "no" } }',
            "mismatch is 'no'; 'no' is no action; expected one of",
        ),
        (DOMAIN + "policy = { iprev = { mismatch = 3 } }", "expected an action or a table"),
        (
            DOMAIN + 'policy = { iprev = { mismatch = { choice = "tag", allow = ["junk"] } } }',
            "choice is 'tag'; expected one of the actions of allow",
        ),
        (
            DOMAIN + "policy = { iprev = { mismatch = { allow = [] } } }",
            "allow is []; expected a list of actions",
        ),
        ('[aliases]\n"x@example.test" = "y@example.test"', "expected a list of addresses"),
        ('[aliases]\n"x@example.test" = []', "expected a list of addresses that is not empty"),
        ('[aliases]\n"x@example.test" = [3]', "is 3; expected an address"),
        ('[aliases]\n"@" = ["a@example.test"]', "is no domain name"),
        (DOMAIN + 'senders = "allow a.test"', "expected a list of at most 1000 entries"),
        (DOMAIN + f"senders = {['block a.test'] * 1001}", "a list of at most 1000 entries"),
        (DOMAIN + "senders = [3]", "is 3; expected a string"),
        (DOMAIN + 'senders = ["permit a.test"]', "is 'permit a.test'; expected allow PATTERN"),
        (
            DOMAIN + 'senders = ["allow a.test", "block A.test"]',
            "is 'block A.test'; expected one entry for a.test",
        ),
        ("[users", "cannot be read"),
    ],
)
def test_fault(text: str, fault: str) -> None:
    """Each fault names the file and says what is expected."""
    with pytest.raises(SettingsError) as raised:
        TomlDirectory.parse(text, "some.toml")
    [told] = raised.value.faults
    assert told.startswith("some.toml: ")
    assert fault in told


def test_all_faults_at_once() -> None:
    """Who mends a file wants to mend it once."""
    with pytest.raises(SettingsError) as raised:
        TomlDirectory.parse('[users."a"]\n[users."b"]\n[aliases]\n"c@d" = []')
    assert len(raised.value.faults) == 3


def test_file(tmp_path: Path) -> None:
    """Read from a file; one that is not there or no text is told."""
    file = tmp_path / "directory.toml"
    with pytest.raises(SettingsError, match=r"directory\.toml: cannot be read"):
        TomlDirectory.load(file)
    file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"directory\.toml: cannot be read"):
        TomlDirectory.load(file)
    file.write_text(DOMAIN)
    assert set(TomlDirectory.load(file).layers) == {"example.test"}
