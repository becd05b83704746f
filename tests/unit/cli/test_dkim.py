"""`iems dkim`: what is printed is to be published, and never a private key."""

from __future__ import annotations

import json

import pytest

from cli import entries
from cli.main import main
from iems.serve.log import Log
from iems.store.signingkeys import load_one
from tests.unit.cli.conftest import Site


@pytest.fixture
def signing(site: Site) -> Site:
    """A site whose keys would stand in its folder."""
    site.settings(f'signing.keys = "{site.folder}/dkim"\n')
    return site


def dkim(site: Site, *words: str) -> tuple[int, str]:
    """Exit code and output, standard error too."""
    code = main(["--settings", str(site.folder / "iems.toml"), "dkim", *words])
    told = site.capsys.readouterr()
    text = told.out + told.err
    assert "PRIVATE" not in text
    return code, text


def test_a_key_is_made_and_turned_over(signing: Site) -> None:
    folder = signing.folder / "dkim"
    code, text = dkim(signing, "keygen", "Example.TEST", "--selector", "One")
    assert code == 0
    (key,) = load_one(folder, "example.test").keys
    assert 'one._domainkey.example.test. IN TXT ( "v=DKIM1; k=rsa; p=' in text
    assert "".join(text.partition("( ")[2].partition(" )")[0].split('"')[1::2]) == key.record
    assert dkim(signing, "keygen", "example.test") == (1, "iems: a key of type rsa waits already\n")
    assert dkim(signing, "keygen", "example.test", "--type", "ed25519")[0] == 0
    code, text = dkim(signing, "rotate", "example.test", "--force")
    assert code == 0
    assert "retires" not in text
    # Nothing waits, so the next ones are made, which take the place of both.
    assert dkim(signing, "rotate", "example.test")[0] == 0
    code, text = dkim(signing, "rotate", "example.test", "--force")
    assert code == 0
    assert "key one retires; leave its record in the DNS until " in text
    keys = load_one(folder, "example.test")
    assert [key.state for key in keys.keys] == ["retiring", "retiring", "active", "active"]


def test_the_records_of_all_domains_are_shown(signing: Site) -> None:
    assert dkim(signing, "dns") == (0, "")
    for domain in ("a.test", "b.test"):
        dkim(signing, "keygen", domain, "--type", "ed25519", "--selector", "s")
    code, text = dkim(signing, "dns", "--json")
    rows = json.loads(text)
    assert code == 0
    assert [row["name"] for row in rows] == ["s._domainkey.a.test", "s._domainkey.b.test"]
    assert rows[0]["strings"] == [load_one(signing.folder / "dkim", "a.test").keys[0].record]
    assert rows[0]["state"] == "waiting"
    code, text = dkim(signing, "dns", "b.test")
    assert "a.test" not in text
    assert text.startswith("; waiting since 20")


def test_the_audit_is_told_who_made_which_key(
    signing: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, object, object]] = []

    def info(_log: Log, text: str, **fields: object) -> None:
        told.append((f"{text} {fields['actor']}", fields["verb"], fields["object"]))

    monkeypatch.setattr(Log, "info", info)
    monkeypatch.setattr(entries, "operator", lambda: "joe")
    dkim(signing, "keygen", "a.test", "--type", "ed25519", "--selector", "s")
    dkim(signing, "rotate", "a.test", "--force")
    dkim(signing, "dns")
    key = "dkim s._domainkey.a.test"
    assert told == [("audit joe", "add", key), ("audit joe", "activate", key)]


def test_nothing_is_turned_over_without_keys(signing: Site) -> None:
    code, text = dkim(signing, "rotate", "a.test")
    assert (code, text) == (
        1,
        "iems: a.test has no keys; make one: iems dkim keygen a.test\n",
    )
    assert not (signing.folder / "dkim").exists()


def test_a_file_that_others_may_read_or_that_is_broken_is_told_by_check(signing: Site) -> None:
    dkim(signing, "keygen", "a.test", "--type", "ed25519")
    assert signing.check() == 0
    file = signing.folder / "dkim/a.test.toml"
    file.chmod(0o644)
    signing.check()
    assert any("its mode is 0644" in fault for fault in signing.faults)
    file.write_text("[[key]]")
    signing.check()
    assert any("expected [[key]] tables" in fault for fault in signing.faults)
