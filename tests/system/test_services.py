"""What stands after `make mailserver`: every door of README, and what each refuses."""

from __future__ import annotations

import base64
import functools
import imaplib
import json
import poplib
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import doors
from tests.system import mail
from tests.system.mail import Account, marker, message, parsed, tls
from tests.system.server import DOMAIN, SENDER, Server
from tests.system.world import CLEAN, REFUSED, WORLD
from tests.waiting import eventually

INTERNAL = re.compile(rb"^X-IEMS-", re.IGNORECASE | re.MULTILINE)


@pytest.fixture
def alice(server: Server) -> Account:
    """One of the two users that the playbook makes."""
    return server.account("alice")


def port_25(server: Server) -> smtplib.SMTP:
    """A session from an unlisted client."""
    return mail.connect(server.host, source=server.world.client(CLEAN))


@contextmanager
def submission(server: Server, account: Account, port: int = 587) -> Iterator[smtplib.SMTP]:
    """A session in which the user has logged in."""
    if port == 465:
        session: smtplib.SMTP = smtplib.SMTP_SSL(server.host, port, context=tls(), timeout=30)
    else:
        session = mail.connect(server.host, port)
        session.starttls(context=tls())
    with session:
        session.login(account.address, account.password)
        yield session


def test_every_unit_runs(server: Server) -> None:
    assert server.machine.shell("systemctl --failed --plain --no-legend") == ""
    for unit in (
        "postfix@-",
        "postfix@postfix-bounces",
        "dovecot",
        "slapd",
        "rsyslog",
        "iems-milter",
        "iems-lmtp",
        "iems-bayes",
    ):
        # One that reloads, as after a change of its settings, is active in a moment.
        eventually(functools.partial(_active, server, unit), 30, unit)


def test_the_postfix_for_bounces_is_there_for_this_machine_alone(server: Server) -> None:
    listens = server.machine.shell("ss -Hltn '( sport = :10027 )'").split()
    assert listens[3:4] == ["127.0.0.1:10027"]
    assert listens.count("LISTEN") == 1
    told = json.loads(server.iems("queue", "--json"))
    assert set(told["instances"]) == {"postfix", "postfix-bounces"}


def _active(server: Server, unit: str) -> bool:
    told = server.machine.run("systemctl", "is-active", unit, check=False).stdout
    return told == "active\n"


def test_daemons_run_as_their_own_users(server: Server) -> None:
    for daemon in ("iems-milter", "iems-lmtp", "iems-bayes"):
        pid = server.machine.shell(f"systemctl show -P MainPID {daemon}").strip()
        users = server.machine.shell(f"ps -o user:20= -p {pid} --ppid {pid}").split()
        assert set(users) == {daemon}
        assert len(users) > 1, "workers"


def test_port_25_offers_tls_and_no_login(server: Server, alice: Account) -> None:
    with port_25(server) as session:
        assert session.has_extn("starttls")
        assert not session.has_extn("auth")
        assert not session.has_extn("dsn")
        session.starttls(context=tls())
        session.ehlo()
        assert not session.has_extn("auth")
        with pytest.raises(smtplib.SMTPNotSupportedError):
            session.login(alice.address, alice.password)


def test_port_25_relays_nothing(server: Server) -> None:
    with port_25(server) as session:
        session.mail(SENDER)
        assert session.rcpt(f"someone@{WORLD}")[0] == 554


def test_every_door_answers_as_the_table_says(server: Server, alice: Account) -> None:
    """The open-relay and login matrix, from outside."""
    server.iems("alias", "add", f"team@{DOMAIN}", f"bob@{DOMAIN}")
    target = doors.Target(
        server.host,
        DOMAIN,
        alice.password,
        {port: port for port in (25, 587, 465)},
        ("--local-interface", server.world.client(CLEAN)),
        batch=8,
    )
    senders = (*doors.OWN, *doors.FOREIGN)
    wrong = [
        (str(door), sender, answers)
        for door in (*doors.STRANGERS, *doors.UNKNOWN, *doors.USERS)
        for sender in (senders if door not in doors.UNKNOWN else senders[:1])
        if (answers := target.attempt(door, sender)) != doors.expected(door, sender)
    ]
    stopped = {door: target.attempt(door, senders[0]) for door in doors.CLOSED}
    assert not wrong
    assert stopped == doors.CLOSED


def test_unknown_user_is_refused_at_rcpt(server: Server) -> None:
    with port_25(server) as session:
        session.mail(SENDER)
        assert session.rcpt(f"nobody-of-that-name@{DOMAIN}")[0] == 550
        assert session.rcpt(f"alice@{DOMAIN}")[0] == 250


def test_bare_newline_ends_no_message(server: Server) -> None:
    """SMTP smuggling: what follows LF.LF is text, not a second message."""
    word, smuggled = marker(), marker()
    envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<alice@{DOMAIN}>\r\nDATA\r\n".encode()
    data = message(word, sender=SENDER, to=f"alice@{DOMAIN}") + b"\n.\n" + envelope
    data += message(smuggled, sender=SENDER, to=f"alice@{DOMAIN}") + b".\r\n"
    with port_25(server) as session:
        session.mail(SENDER)
        session.rcpt(f"alice@{DOMAIN}")
        assert session.docmd("DATA")[0] == 354
        session.send(data)  # smtplib's own data() mends such line ends
        assert session.getreply()[0] == 250
    assert server.account("alice").wait_for(word, text=smuggled)[0] == "INBOX"
    server.wait_for_empty_queue()
    assert server.account("alice").find(smuggled) == []


@pytest.mark.parametrize("port", [587, 465])
def test_submission_takes_mail_of_the_user(server: Server, alice: Account, port: int) -> None:
    word = marker()
    data = message(word, sender=alice.address, to=f"bob@{DOMAIN}")
    with submission(server, alice, port) as session:
        assert session.sendmail(alice.address, [f"bob@{DOMAIN}"], data) == {}
    folder, received = server.account("bob").wait_for(word)
    assert folder == "INBOX"
    assert not INTERNAL.search(received)


def test_submission_needs_tls_before_the_password(server: Server, alice: Account) -> None:
    with mail.connect(server.host, 587) as session:
        assert session.has_extn("starttls")
        assert not session.has_extn("auth")
        assert session.docmd("AUTH", "PLAIN AGEAYg==")[0] == 530
        assert session.mail(alice.address)[0] == 530


def test_submission_refuses_a_wrong_password(server: Server, alice: Account) -> None:
    wrong = Account(alice.host, alice.address, alice.password + "x")
    with pytest.raises(smtplib.SMTPAuthenticationError), submission(server, wrong):
        pass


def test_submission_without_login_takes_nothing(server: Server) -> None:
    with mail.connect(server.host, 587) as session:
        session.starttls(context=tls())
        session.ehlo()
        session.mail(f"alice@{DOMAIN}")
        assert session.rcpt(f"bob@{DOMAIN}")[0] in {530, 554}


def test_submission_takes_only_own_sender_addresses(server: Server, alice: Account) -> None:
    with submission(server, alice) as session:
        for other in (f"bob@{DOMAIN}", f"both@{DOMAIN}x", SENDER):
            session.mail(other)
            assert session.rcpt(f"carol@{DOMAIN}")[0] == 553, other
            session.rset()


def test_mail_that_leaves_tells_nothing_internal(server: Server, alice: Account) -> None:
    word = marker()
    forged = ["X-IEMS-Verdict: junk; ref=forged", "X-IEMS-Findings: forged"]
    data = message(word, sender=alice.address, to=f"someone@{WORLD}", extra=forged)
    with submission(server, alice) as session:
        assert session.sendmail(alice.address, [f"someone@{WORLD}"], data) == {}
    left = server.world.sink.wait_for(word)
    assert left.recipients == (f"someone@{WORLD}",)
    assert left.sender == alice.address
    assert not INTERNAL.search(left.data)


def test_mail_to_the_world_and_to_us_keeps_both_apart(server: Server, alice: Account) -> None:
    word = marker()
    data = message(word, sender=alice.address, to=f"bob@{DOMAIN}")
    with submission(server, alice) as session:
        session.sendmail(alice.address, [f"bob@{DOMAIN}", f"someone@{WORLD}"], data)
    assert not INTERNAL.search(server.world.sink.wait_for(word).data)
    assert server.account("bob").wait_for(word)[0] == "INBOX"


def test_a_bounce_comes_home_through_the_milter(server: Server, alice: Account) -> None:
    word = marker()
    data = message(word, sender=alice.address, to=REFUSED)
    with submission(server, alice) as session:
        assert session.sendmail(alice.address, [REFUSED], data) == {}
    folder, bounce = alice.wait_for("Undelivered", text=word)
    assert folder == "INBOX"
    assert not INTERNAL.search(bounce.partition(b"\r\n\r\n")[0])
    [record] = server.why(str(parsed(bounce)["Message-ID"]), "alice")
    assert record["channel"] == "local"
    assert record["action"] == "deliver"


def test_root_mail_reaches_the_administrator(server: Server) -> None:
    for to in ("root", "root@localhost", "cron"):
        word = marker()
        server.machine.run("sendmail", to, stdin=f"Subject: {word}\n\nfrom cron\n")
        assert server.administrator().wait_for(word)[0] == "INBOX"


@pytest.mark.parametrize("role", ["postmaster", "abuse"])
def test_role_addresses_are_read(server: Server, role: str) -> None:
    word = server.deliver(CLEAN, [role])
    assert server.administrator().wait_for(word)[0] == "INBOX"


def test_imap_has_the_usual_folders_subscribed(alice: Account) -> None:
    wanted = {"INBOX", "Junk", "Sent", "Drafts", "Trash"}
    assert wanted <= alice.folders()
    with alice.imap() as session:
        _status, lines = session.lsub()
        subscribed = b"\n".join(line for line in lines if isinstance(line, bytes))
    assert all(name.encode() in subscribed for name in wanted - {"INBOX"})


def test_imap_takes_no_password_without_tls(server: Server, alice: Account) -> None:
    with imaplib.IMAP4(server.host, 143, timeout=30) as session:
        assert "LOGINDISABLED" in session.capabilities
        with pytest.raises(imaplib.IMAP4.error):
            session.login(alice.address, alice.password)
    with imaplib.IMAP4(server.host, 143, timeout=30) as session:
        session.starttls(tls())
        assert session.login(alice.address, alice.password)[0] == "OK"


def test_imap_refuses_a_wrong_password(server: Server, alice: Account) -> None:
    wrong = Account(server.host, alice.address, alice.password + "x")
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), wrong.imap():
        pass


def test_pop3_reads_the_inbox(server: Server, alice: Account) -> None:
    word = server.deliver(CLEAN, ["alice"])
    alice.wait_for(word)
    session = poplib.POP3_SSL(server.host, 995, context=tls(), timeout=30)
    session.user(alice.address)
    session.pass_(alice.password)
    count = session.stat()[0]
    newest = b"\n".join(session.retr(count)[1])
    session.quit()
    assert word.encode() in newest


def test_pop3_takes_no_password_without_tls(server: Server, alice: Account) -> None:
    session = poplib.POP3(server.host, 110, timeout=30)
    with pytest.raises(poplib.error_proto):
        session.user(alice.address)
    session.close()
    session = poplib.POP3(server.host, 110, timeout=30)
    session.stls(tls())
    session.user(alice.address)
    session.pass_(alice.password)
    session.quit()


def test_managesieve_offers_tls_first(server: Server) -> None:
    """RFC 5804 section 1.7: before STARTTLS no mechanism with a plain-text password is offered."""
    with socket.create_connection((server.host, 4190), timeout=30) as client:
        greeting = _until_ok(client)
        assert b'"STARTTLS"' in greeting
        assert b'"SASL" ""' in greeting
        client.sendall(b"STARTTLS\r\n")
        _until_ok(client)
        with tls().wrap_socket(client) as secure:
            assert b"PLAIN" in _until_ok(secure)


def test_a_users_own_sieve_script_runs(server: Server, alice: Account) -> None:
    word = marker()
    script = b'require "fileinto"; if header :contains "subject" "%s" { fileinto "Trash"; }'
    lines = script % word.encode()
    with socket.create_connection((server.host, 4190), timeout=30) as client:
        _until_ok(client)
        client.sendall(b"STARTTLS\r\n")
        _until_ok(client)
        with tls().wrap_socket(client) as secure:
            _until_ok(secure)
            _login(secure, alice)
            secure.sendall(b'PUTSCRIPT "own" {%d+}\r\n%s\r\n' % (len(lines), lines))
            _until_ok(secure)
            secure.sendall(b'SETACTIVE "own"\r\n')
            _until_ok(secure)
            data = message(word, sender=SENDER, to=alice.address)
            outcome = server.send(CLEAN, ["alice"], data)
            assert outcome.data is not None
            alice.wait_for(word, folders=("Trash",))
            secure.sendall(b'SETACTIVE ""\r\n')
            _until_ok(secure)


def test_the_certificate_names_the_host(server: Server) -> None:
    pem = ssl.get_server_certificate((server.host, 993))
    names = server.machine.run(
        "openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName", stdin=pem
    ).stdout
    assert f"mail.{DOMAIN}" in names


def test_the_header_tells_the_user_what_was_checked(server: Server) -> None:
    word = server.deliver(CLEAN, ["bob"])
    _folder, data = server.account("bob").wait_for(word)
    told = str(parsed(data)["Authentication-Results"])
    assert told.startswith(f"mail.{DOMAIN}")
    assert "iprev=pass" in told


def test_iems_check_is_content(server: Server) -> None:
    assert server.machine.run("iems", "check", check=False).returncode == 0


def test_what_runs_is_what_is_written(server: Server) -> None:
    told = json.loads(server.machine.run("iems", "check", "--live", "--json", check=False).stdout)
    assert (told["faults"], told["warnings"]) == ([], [])
    wrong = {row["name"]: row["text"] for row in told["live"] if not row["ok"]}
    # The lists of these tests know IPv4 alone.
    assert not {name: text for name, text in wrong.items() if not name.endswith(" ipv6")}
    names = {row["name"] for row in told["live"]}
    assert {"iems-milter settings", "iems-lmtp answers", "iems-bayes answers"} <= names
    assert "postfix reload" in names


def test_man_pages_and_completion_are_found(server: Server) -> None:
    """So are the commands."""
    shell = server.machine.shell
    daemons = ("iems-milter.8", "iems-lmtp.8", "iems-bayes.8")
    for page in ("iems.1", "iems-sieve.1", "iems.toml.5", *daemons):
        name, _dot, section = page.rpartition(".")
        found = shell(f"man -w {section} {name}").strip()
        assert found.startswith("/opt/iems/"), "the link leads to the release"
        assert found.endswith(f"/share/man/man{section}/{page}")
        assert shell(f"man -P cat {section} {name}")
    loader = ". /usr/share/bash-completion/bash_completion; _completion_loader"
    for command, function in (("iems", "_iems"), ("iems-sieve", "_iems_sieve")):
        offered = shell(f"bash -c '{loader} {command}; complete -p {command}'")
        assert offered == f"complete -F {function} {command}\n"
        assert (
            shell(f"head -1 /usr/local/share/zsh/site-functions/_{command}").split()[1] == command
        )
        for user in ("root", "nobody"):
            told = server.machine.run("sh", "-lc", f"{command} --version", user=user, cwd="/")
            assert told.stdout.startswith(f"{command} ")


def test_open_ports_are_the_promised_ones(server: Server) -> None:
    script = "ss -Hltn | awk '{print $4}' | grep -v -e '^127\\.' -e '^\\[::1\\]'"
    ports = {int(line.rpartition(":")[2]) for line in server.machine.shell(script).split()}
    assert ports == {25, 465, 587, 110, 143, 993, 995, 4190}


def _until_ok(client: socket.socket) -> bytes:
    """Read until the line that ends a ManageSieve response."""
    said = b""
    while not re.search(rb"(?:^|\r\n)(?:OK|NO|BYE)[^\r\n]*\r\n$", said):
        more = client.recv(4096)
        assert more, said
        said += more
    assert re.search(rb"(?:^|\r\n)OK[^\r\n]*\r\n$", said), said
    return said


def _login(client: socket.socket, account: Account) -> None:
    token = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
    client.sendall(b'AUTHENTICATE "PLAIN" "%s"\r\n' % token)
    _until_ok(client)
