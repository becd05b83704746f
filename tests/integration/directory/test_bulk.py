"""Thousands of entries from files and into them, on a real slapd."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import ldap
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from iems.directory.table import csv_row
from tests.integration.directory import tree
from tests.integration.directory.conftest import CLI_DOMAIN, Iems
from tests.integration.stack.slapd import BASE, ROOT_DN, ROOT_PASSWORD, Slapd

DOMAIN = CLI_DOMAIN
Load = Callable[..., tuple[int, dict[str, object], str]]


@pytest.fixture
def load(iems: Iems, tmp_path: Path) -> Load:
    """Import this text: exit code, summary, and what was said on stderr."""

    def call(
        kind: str, text: str | bytes, *words: str, name: str = "in.csv"
    ) -> tuple[int, dict[str, object], str]:
        file = tmp_path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        code, out, error = iems(kind, "import", str(file), "--json", *words)
        return code, json.loads(out), error

    return call


def table(*rows: Iterable[str]) -> str:
    """Rows of CSV; several values of a cell are joined by a line end."""
    return b"".join(csv_row([[cell] for cell in row]) for row in rows).decode()


def counts(summary: dict[str, object]) -> tuple[object, ...]:
    """How many were added, changed, left, and were a problem."""
    problems = summary["problems"]
    assert isinstance(problems, list)
    return (summary["added"], summary["changed"], summary["unchanged"], len(problems))


def stored(server: Slapd, address: str) -> dict[str, list[bytes]]:
    """A user's entry as the root of the tree sees it."""
    root = tree.bound(server, ROOT_DN, ROOT_PASSWORD)
    [(_dn, attributes)] = root.search_s(tree.user_dn(address), ldap.SCOPE_BASE, "(objectClass=*)")
    root.unbind_s()
    return attributes


@pytest.mark.usefixtures("domain")
def test_users(server: Slapd, load: Load) -> None:
    """Made, left, changed; a password counts for who is new, and is hashed like every other."""
    header = (
        "address",
        "name",
        "password",
        "password_hash",
        "disabled",
        "kind",
        "forward",
        "reads",
        "bayes",
    )
    ready = "{SSHA}vn5Z9lt0RUDzQd0XCmr2gu0nBPNzYWx0"
    rows = [
        (f"Bob@{DOMAIN}", "Bob Bäcker", "größer als zwölf 🦊", "", "", "", "", "", ""),
        (f"carol@{DOMAIN}", "", "", ready, "has left", "", "", "", ""),
        (f"dave@{DOMAIN}", "", "", "", "", "send-only", "", "", "off"),
        (f"erin@{DOMAIN}", "", "", "", "", "", f"far@example.net\nerin@{DOMAIN}", "pop3", ""),
    ]
    assert counts(load("user", table(header, *rows), "--dry-run")[1]) == (4, 0, 0, 0)
    assert counts(load("user", table(header, *rows))[1]) == (4, 0, 0, 0)
    code, summary, _error = load("user", table(header, *rows))
    assert (code, counts(summary)) == (0, (0, 0, 4, 0))
    bob, carol = stored(server, f"bob@{DOMAIN}"), stored(server, f"carol@{DOMAIN}")
    assert bob["cn"] == ["Bob Bäcker".encode()]
    assert bob["userPassword"][0].startswith(b"{ARGON2}$argon2")
    tree.bound(server, tree.user_dn(f"bob@{DOMAIN}"), "größer als zwölf 🦊").unbind_s()
    assert carol["userPassword"] == [ready.encode()]
    assert carol["iemsDisabled"] == [b"has left"]
    assert len(stored(server, f"erin@{DOMAIN}")["iemsForward"]) == 2
    rows[0] = (rows[0][0], "Bob Baker", "another password", "", "", "receive-only", "", "", "")
    assert stored(server, f"erin@{DOMAIN}")["iemsReads"] == [b"pop3"]
    assert stored(server, f"dave@{DOMAIN}")["iemsBayes"] == [b"off"]
    rows[3] = (*rows[3][:6], "", "", "")
    assert counts(load("user", table(header, *rows))[1]) == (0, 2, 2, 0)
    assert stored(server, f"bob@{DOMAIN}")["userPassword"] == bob["userPassword"]
    assert stored(server, f"bob@{DOMAIN}")["iemsKind"] == [b"receive-only"]
    assert not {"iemsForward", "iemsReads"} & stored(server, f"erin@{DOMAIN}").keys()
    # What has no column is left alone.
    assert counts(load("user", table(("address",), (f"bob@{DOMAIN}",)))[1]) == (0, 0, 1, 0)


@pytest.mark.usefixtures("domain")
def test_every_problem_is_told_with_its_line_and_keeps_no_other_row(load: Load) -> None:
    """The first and the last, in what cannot be read, cannot be meant, and slapd refuses."""
    header = (
        "address",
        "password",
        "password_hash",
        "kind",
        "disabled",
        "policy",
        "reads",
        "bayes",
    )
    good = "dnsbl/open listed choice junk\niprev mismatch choice tag"
    text = table(
        header,
        (f"a1@{DOMAIN}", "", "", "", "", good, "", ""),
        ("no address", "", "", "", "", "", "", ""),
        (f"ü@{DOMAIN}", "", "", "", "", "", "", ""),
        (f"a2@{DOMAIN}", "", "", "half", "", "", "", ""),
        (f"a3@{DOMAIN}", "a password", "{SSHA}xx", "", "", "", "", ""),
        (f"a4@{DOMAIN}", "", "{NONE}xx", "", "", "", "", ""),
        (f"a5@{DOMAIN}", "{SSHA}a password", "", "", "", "", "", ""),
        (f"a6@{DOMAIN}", "short", "", "", "", "", "", ""),
        (f"a7@{DOMAIN}", "", "", "", "zu spät", "", "", ""),
        (f"a8@{DOMAIN}", "", "", "", "", "dnsbl/closed listed choice deliver", "", ""),
        (f"a9@{DOMAIN}", "", "", "", "", "dnsbl/none listed choice junk", "", ""),
        (f"b1@{DOMAIN}", "", "", "", "", "nonsense", "", ""),
        (f"A1@{DOMAIN}", "", "", "", "", "", "", ""),
        (f"b2@{DOMAIN}", "", "", "", "", "", "imap", ""),
        (f"b5@{DOMAIN}", "", "", "", "", "", "", "maybe"),
        ("b2@nowhere.test", "", "", "", "", "", "", ""),
        ("one cell",),
    )
    bad = text.encode() + b"\xff@cli.test,,,,,,,\n" + f'b3@{DOMAIN},"x"y,,,,,,\n'.encode()
    code, summary, _error = load("user", bad + f"b4@{DOMAIN},,,,,,,\n".encode())
    problems = {row["line"]: row["problem"] for row in summary["problems"]}  # type: ignore[attr-defined]
    assert code == 1
    assert (summary["added"], summary["read"]) == (2, 20)
    told = {
        4: "no domain in",
        5: "cannot log in",
        6: "kind is 'half'",
        7: "expected one of them",
        8: "none that slapd knows",
        9: "taken for a hash",
        10: "quality",
        11: "printable ASCII",
        12: "site forbids deliver",
        13: "no check dnsbl/none:listed",
        14: "left out",
        15: "comes a second time",
        16: "reads is 'imap'",
        17: "bayes is 'maybe'",
        18: "no domain nowhere.test",
        19: "1 cells; expected 8",
        20: "not UTF-8",
        21: "expected after",
    }
    assert list(problems) == list(told)
    for number, words in told.items():
        assert words in problems[number], (number, problems[number])


@pytest.mark.parametrize("header", ["", "name,kind", "address,colour", "address,address"])
def test_another_header_is_no_file_of_ours(load: Load, header: str) -> None:
    """Nothing of it is read."""
    code, summary, _error = load("user", f"{header}\nx,y\n")
    assert (code, counts(summary)) == (1, (0, 0, 0, 1))


def test_an_import_that_was_cut_off_goes_on(
    server: Slapd, iems: Iems, load: Load, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is left, the rest is made; the failure is one that passes."""
    rows = [f"u{number}@{domain}" for number in range(500)]
    text = "\n".join(["address", *rows]) + "\n"

    class Stops(io.BytesIO):
        """The server goes down while the second batch is read."""

        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            if line == f"{rows[250]}\n".encode():
                server.stop()
            return line

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Stops(text.encode())))
    try:
        code, out, error = iems("user", "import", "-", "--json")
    finally:
        server.start()
    assert code == 75
    assert "cannot answer" in error
    assert json.loads(out)["added"] == 200
    assert counts(load("user", text)[1]) == (300, 0, 200, 0)
    assert counts(load("user", text)[1]) == (0, 0, 500, 0)
    assert len(iems("user", "list", domain)[1].splitlines()) == 501


@pytest.mark.parametrize("form", ["csv", "ldif"])
def test_out_and_in_again(iems: Iems, load: Load, domain: str, form: str) -> None:
    """What was exported makes the same domain anew, with 60 targets and letters of all scripts."""
    name = f"{form}.{domain}"
    iems("domain", "delete", name, "--recursive")
    targets = "\n".join(f"gast{number}@bücher.example" for number in range(60))
    headers = "offer junk Subject contains größe, x\ndate tag Date absent"
    columns = ("domain", "postmaster", "headers")
    load("domain", table(columns, (name, "post@example.net", headers)))
    load("domain", table(("domain", "alias_of"), (f"other.{name}", name)))
    header = ("address", "name", "forward", "policy", "senders", "password")
    senders = "allow größe@example.net unverified\nblock .example.org"
    policy = "dnsbl/open listed choice junk\niprev mismatch choice tag"
    load(
        "user", table(header, (f"zoe@{name}", 'Ζωή, "=+\\', "far@example.net", policy, senders, ""))
    )
    load(
        "alias",
        table(
            ("address", "targets"),
            (f"größe@{name}", targets),
            (f'"a,b=c"@{name}', f"zoe@{name}"),
            (f"@{name}", "all@example.net"),
        ),
    )
    load("policy", table(("subject", "policy"), (name, "dnsbl/open listed allow junk,reject")))
    places = [
        (kind, one)
        for kind in ("domain", "user", "alias", "policy")
        for one in (name, f"other.{name}")
    ]

    def exported() -> dict[tuple[str, str], str]:
        return {(kind, one): iems(kind, "export", one, "--format", form)[1] for kind, one in places}

    before = exported()
    assert "block .example.org" in before["user", name]
    assert "date tag Date absent" in before["domain", name]
    for (kind, _one), text in before.items():
        code, summary, _error = load(kind, text, name=f"again.{form}")
        assert (code, *counts(summary)[:2]) == (0, 0, 0), summary
    for one in (f"other.{name}", name):
        assert iems("domain", "delete", one, "--recursive")[0] == 0
    for (kind, _one), text in before.items():
        assert load(kind, text, name=f"again.{form}")[0] == 0
    assert exported() == before
    assert len(json.loads(iems("alias", "list", name, "--json")[1])[-2]["targets"]) == 60


@pytest.mark.usefixtures("domain")
def test_ldif_that_is_not_of_the_entry_it_names(load: Load) -> None:
    """Another name, another class, a change, a URL, no UTF-8: told by line, the rest is made."""

    def entry(dn: str, *lines: str) -> str:
        return "\n".join([f"dn: {dn}", *lines, "", ""])

    def of(local: str) -> tuple[str, ...]:
        return (tree.user_dn(f"{local}@{DOMAIN}"), f"iemsAddress: {local}@{DOMAIN}")

    user = "objectClass: iemsUser"
    text = (
        "version: 1\n\n"
        + entry(*of("good"), user)
        + entry(of("other")[0], user, of("wrong")[1])
        + entry("no name", user, of("wrong")[1])
        + entry(f"uid=a,{BASE}", user, of("a")[1])
        + entry(of("aliased")[0], "objectClass: iemsAlias", of("aliased")[1])
        + entry(of("changed")[0], "changetype: delete")
        + entry(*of("url"), user, "userPassword:< file:///etc/passwd")
        + entry(*of("latin"), user, "cn:: /w==")
        + entry(*of("last"), user)
    )
    code, summary, _error = load("user", text, name="in.ldif")
    problems = {row["line"]: row["problem"] for row in summary["problems"]}  # type: ignore[attr-defined]
    assert (code, summary["added"]) == (1, 2)
    told = {
        7: "is not its name",
        11: "distinguished name",
        15: "is not its name",
        19: "none of the classes of a user",
        23: "not a change",
        26: "URL",
        31: "cn is not UTF-8",
    }
    assert list(problems) == list(told)
    for number, words in told.items():
        assert words in problems[number], (number, problems[number])


@pytest.mark.usefixtures("domain")
def test_letters_that_mean_something_are_letters(server: Slapd, load: Load) -> None:
    """Whatever stands in names and addresses, one entry is made, found again, and no other."""
    local = st.text(st.sampled_from('abü*()\\,=+<>;#"/ &|!~{}%'), min_size=1, max_size=12)

    @hypothesis_settings(max_examples=40, deadline=None)
    @given(st.lists(local, min_size=1, max_size=8, unique_by=str.casefold), local)
    def one(locals_: list[str], name: str) -> None:
        quoted = [_quoted(text) for text in locals_]
        rows = [(f"{text}@{DOMAIN}", f"{text}@example.net") for text in quoted]
        text = table(("address", "targets"), *rows)
        summary = load("alias", text)[1]
        made = {summary["added"], summary["changed"]}
        assert summary["problems"] == []
        assert made
        assert counts(load("alias", text)[1]) == (0, 0, len(rows), 0)
        load("user", table(("address", "name"), (f"named@{DOMAIN}", name)))
        if name.strip():
            assert stored(server, f"named@{DOMAIN}")["cn"] == [name.strip().encode()]

    one()


def _quoted(local: str) -> str:
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@pytest.mark.timeout(400)
def test_ten_thousand_users(
    server: Slapd, iems: Iems, load: Load, domain: str, audit: list[str]
) -> None:
    """In one run, and the same file again changes nothing; an export asks for 1,000 at a time."""
    policy = "dnsbl/open listed choice junk\niprev mismatch choice tag"
    rows = (
        (
            f"n{number}@{domain}",
            f"Nützer {number}",
            "{SSHA}vn5Z9lt0RUDzQd0XCmr2gu0nBPNzYWx0",
            policy,
        )
        for number in range(10_000)
    )
    text = table(("address", "name", "password_hash", "policy"), *rows)
    audit.clear()
    assert counts(load("user", text)[1]) == (10_000, 0, 0, 0)
    assert counts(load("user", text)[1]) == (0, 0, 10_000, 0)
    assert len(audit) == 10_000
    admin, about = tree.service_dn("admin"), "(objectClass=iemsUser)"
    before = server.searches(about)[admin]
    assert len(iems("user", "export", domain, "--format", "ldif")[1].split("\n\n")) > 10_000
    assert server.searches(about)[admin] - before == 11  # alice is the one too many
    server.delete(f"iemsDomainName={domain},ou=domains,{BASE}")
