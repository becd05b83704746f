"""`iems check --live` on a real system: what runs as written, and each thing that does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.mailsystem import CONTACT, DELEGATED, ENFORCED, MailSystem
from tests.integration.stack.smtp import send
from tests.integration.stack.unbound import Unbound
from tests.waiting import eventually

ACCOUNTS = {f"directory cn={name},ou=services,o=iems" for name in ("milter", "agent", "admin")}
LISTS = {
    f"list {label} {family}" for label in ("enforced", "delegated") for family in ("ipv4", "ipv6")
}
DAEMONS = {
    f"{name} {what}" for name in ("iems-milter", "iems-lmtp") for what in ("settings", "answers")
}


def faults(system: MailSystem) -> dict[str, str]:
    """The rows that are not as they should be, by name; the exit code agrees with them."""
    done = system.iems_ends("check", "--live", "--json")
    found = json.loads(done.stdout)
    assert found["faults"] == []
    rows = {row["name"]: row for row in found["live"]}
    assert len(rows) == len(found["live"]), "a name comes twice"
    wrong = {name: row["text"] for name, row in rows.items() if not row["ok"]}
    assert done.returncode == (1 if wrong else 0)
    assert wrong.keys() | DAEMONS | ACCOUNTS | LISTS | {"upstream local"} <= rows.keys()
    return wrong


@pytest.fixture
def settings(mailsystem: MailSystem) -> Iterator[None]:
    """Whatever a test writes is taken away again, and the daemons run what is written."""
    keys = (one for one in (mailsystem.site.etc / "keys").iterdir() if one.is_file())
    files = [*mailsystem.site.etc.rglob("*.toml"), *keys]
    before = {file: file.read_text() for file in files}
    yield
    for file, text in before.items():
        file.write_text(text)
    mailsystem.milter.reload()
    mailsystem.agent.reload()
    eventually(lambda: not faults(mailsystem), 30)


def test_what_runs_is_what_is_written(mailsystem: MailSystem) -> None:
    assert faults(mailsystem) == {}
    text = mailsystem.iems("check", "--live").decode()
    assert "FAULT" not in text
    assert (
        f"ok    iems-milter answers: iems-milter negotiates on {mailsystem.milter.socket}" in text
    )
    assert text.endswith("nothing is wrong\n")


def test_a_postfix_that_is_managed_and_stopped(mailsystem: MailSystem) -> None:
    mailsystem.bounces.stop()
    try:
        assert set(faults(mailsystem)) == {f"postfix {mailsystem.bounces.config}"}
    finally:
        mailsystem.bounces.start()
    eventually(lambda: not faults(mailsystem), 30)


@pytest.mark.usefixtures("settings")
def test_settings_that_are_written_and_not_loaded(mailsystem: MailSystem, fresh: Fresh) -> None:
    """They are told, and do nothing, until the reload."""
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("alice"))
    mailsystem.lists.list(ENFORCED, fresh.ip)

    def refusal() -> str:
        sent = send(
            mailsystem.port(), "a@b.example", [box.user], b"", client=(fresh.ip, "b.example")
        )
        return str(sent.recipients[box.user])

    file = mailsystem.site.etc / "conf.d/places.toml"
    file.write_text(file.read_text() + "# A remark changes nothing.\n")
    assert faults(mailsystem) == {}
    mailsystem.site.write("conf.d/more.toml", 'contact = "https://other.example.test"\n')
    wrong = faults(mailsystem)
    assert set(wrong) == {"iems-milter settings", "iems-lmtp settings"}
    assert all("what is written is other; reload it" in text for text in wrong.values())
    assert CONTACT in refusal()
    mailsystem.milter.reload()
    eventually(lambda: set(faults(mailsystem)) == {"iems-lmtp settings"}, 30)
    assert "https://other.example.test" in refusal()
    mailsystem.agent.reload()
    eventually(lambda: not faults(mailsystem), 30)
    (mailsystem.site.etc / "conf.d/more.toml").unlink()


@pytest.mark.usefixtures("settings")
def test_a_secret_that_was_changed_and_not_loaded(mailsystem: MailSystem) -> None:
    keyring = mailsystem.site.etc / "keys/findings.toml"
    keyring.write_text(keyring.read_text().replace("testkey", "otherkey"))
    assert set(faults(mailsystem)) == {"iems-milter settings", "iems-lmtp settings"}
    keyring.write_text(keyring.read_text().replace("otherkey", "testkey"))
    password = mailsystem.site.etc / "keys/ldap-agent"
    password.write_text("not the password\n")
    wrong = faults(mailsystem)
    assert set(wrong) == {"iems-lmtp settings", "directory cn=agent,ou=services,o=iems"}
    assert "INVALID_CREDENTIALS" in wrong["directory cn=agent,ou=services,o=iems"]
    assert "not the password" not in str(wrong)


@pytest.mark.parametrize("name", ["milter", "agent"])
def test_a_daemon_that_is_stopped_or_hangs(mailsystem: MailSystem, name: str) -> None:
    daemon = mailsystem.milter if name == "milter" else mailsystem.agent
    rows = {f"{daemon.name} settings", f"{daemon.name} answers"}
    daemon.stop()
    try:
        wrong = faults(mailsystem)
        assert set(wrong) == rows
        assert f"it does not run; start {daemon.name}" in wrong[f"{daemon.name} settings"]
        assert f"start {daemon.name}" in wrong[f"{daemon.name} answers"]
    finally:
        daemon.start()
    eventually(lambda: not faults(mailsystem), 30)
    daemon.server.pause()
    try:
        wrong = faults(mailsystem)
        assert f"{daemon.name} answers" in wrong
        # Its status gets old only after a while.
        assert set(wrong) <= rows
    finally:
        daemon.server.resume()
    eventually(lambda: not faults(mailsystem), 30)


def test_a_daemon_that_was_killed(mailsystem: MailSystem) -> None:
    daemon = mailsystem.milter
    daemon.server.kill()
    try:
        wrong = faults(mailsystem)
        assert set(wrong) == {"iems-milter settings", "iems-milter answers"}
        assert f"was killed, its process {daemon.server.pid}" in wrong["iems-milter settings"]
    finally:
        daemon.start()
    eventually(lambda: not faults(mailsystem), 30)


@pytest.mark.parametrize(("ends", "begins"), [("stop", "start"), ("pause", "resume")])
def test_a_directory_that_is_stopped_or_hangs(
    mailsystem: MailSystem, ends: str, begins: str
) -> None:
    maps = (mailsystem.postfix.config / "ldap").glob("*.cf")
    tables = {f"postfix proxy:ldap:{file}" for file in maps}
    assert len(tables) >= 4
    getattr(mailsystem.slapd, ends)()
    try:
        # Dovecot asks it about users, too.
        assert set(faults(mailsystem)) == ACCOUNTS | tables | {"upstream local"}
    finally:
        getattr(mailsystem.slapd, begins)()
    eventually(lambda: not faults(mailsystem), 30)


@pytest.mark.usefixtures("settings")
def test_a_password_of_postfix_that_is_wrong(mailsystem: MailSystem) -> None:
    file = mailsystem.postfix.config / "ldap/users.cf"
    before = file.read_text()
    file.write_text(re.sub(r"(?m)^bind_pw = .*", "bind_pw = not the password", before))
    mailsystem.postfix.reload()
    try:
        eventually(lambda: set(faults(mailsystem)) == {f"postfix proxy:ldap:{file}"}, 30)
        assert "not the password" not in str(faults(mailsystem))
    finally:
        file.write_text(before)
        mailsystem.postfix.reload()


def test_a_dovecot_that_is_stopped_or_hangs(mailsystem: MailSystem) -> None:
    mailsystem.dovecot.stop()
    try:
        wrong = faults(mailsystem)
        assert set(wrong) == {"upstream local"}
        assert "Next hop cannot be reached" in wrong["upstream local"]
    finally:
        mailsystem.dovecot.start()
    mailsystem.dovecot.pause()
    try:
        assert set(faults(mailsystem)) == {"upstream local"}
    finally:
        mailsystem.dovecot.resume()
    eventually(lambda: not faults(mailsystem), 30)


def test_a_list_without_test_entries_and_a_resolver_that_is_silent(
    mailsystem: MailSystem, unbound: Unbound
) -> None:
    own = {"list delegated ipv4", "list delegated ipv6"}
    mailsystem.lists.test_entries(DELEGATED, there=False)
    try:
        eventually(lambda: set(faults(mailsystem)) == own, 15)
        assert "127.0.0.2 is not listed" in faults(mailsystem)["list delegated ipv4"]
        assert DELEGATED not in str(faults(mailsystem))
    finally:
        mailsystem.lists.test_entries(DELEGATED, there=True)
    eventually(lambda: not faults(mailsystem), 15)
    unbound.pause()
    try:
        assert set(faults(mailsystem)) == LISTS
    finally:
        unbound.resume()


def test_a_postfix_that_is_stopped_or_asks_others(mailsystem: MailSystem) -> None:
    mailsystem.postfix.stop()
    try:
        wrong = faults(mailsystem)
        assert set(wrong) == {"postfix", "postfix reload"}
        assert wrong["postfix"] == "Postfix does not run; start it"
    finally:
        mailsystem.postfix.start()
    main, channels = mailsystem.postfix.config / "main.cf", mailsystem.postfix.listeners
    before = main.read_text()
    try:
        other = before.replace("iems/milter.sock", "a.sock").replace("iems/lmtp", "b")
        # What is written within a tenth of a second after a start counts as read.
        eventually(lambda: main.write_text(other) and "postfix reload" in faults(mailsystem), 15)
        ports = {f"postfix 127.0.0.1:{mailsystem.port(one)}/inet" for one in channels}
        assert set(faults(mailsystem)) == ports | {
            *("postfix non_smtpd_milters", "postfix transport", "postfix reload"),
        }
        main.write_text(before)
        assert set(faults(mailsystem)) == {"postfix reload"}
    finally:
        main.write_text(before)
        mailsystem.postfix.reload()
    eventually(lambda: not faults(mailsystem), 15)
