"""Scripts of users on a real Dovecot, in the deployed order; what ADR 0039 says of Pigeonhole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from iems.settings.mailsort import DOVEADM, MANAGESIEVE
from sieve.installing.doveadm import Doveadm, extensions
from sieve.installing.installer import Outcome, bring
from sieve.installing.managesieve import Connection, Master, opened
from sieve.installing.order import OURS, OWN, turns
from sieve.installing.scripts import RefusedError, Scripts, ServerError
from sieve.installing.sealed import NAME, intact, sealed
from tests.integration.conftest import Fresh
from tests.integration.stack import rules
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.imap import PASSWORD, Mailbox
from tests.integration.stack.programs import run
from tests.integration.stack.smtp import LmtpClient

JUNK = "X-IEMS-Verdict: junk; ref=1"
EXTENSIONS = "sieve_extensions = +editheader -regex\n  sieve_global_extensions = +ihave"


def into(folder: str, copy: str = ":copy") -> str:
    """A script that files a message, and with `:copy` leaves it to the next one."""
    return f'require ["copy", "fileinto", "mailbox"];\nfileinto {copy} :create "{folder}";\n'


@dataclass
class Person:
    """A user, and what is in his storage; `way` is how scripts of ours get there."""

    server: Dovecot
    box: Mailbox
    way: str = MANAGESIEVE

    def ours(self, password: str = rules.SECRET) -> AbstractContextManager[Scripts]:
        """His scripts, as who installs sees them."""
        if self.way == DOVEADM:
            return nullcontext(doveadm(self.box.user))
        who = Master("127.0.0.1", self.server.sieve, rules.NAME, password)
        return opened(who, self.box.user, Deadline.after(30))

    def his(self) -> AbstractContextManager[Connection]:
        """The same, as he sees them himself."""
        return rules.his_own(self.server, self.box, PASSWORD)

    def gets(self, *fields: str) -> dict[str, int]:
        """A message comes: how many there are by then in each folder that has any."""
        text = "".join(f"{line}\r\n" for line in ["Subject: x", *fields, "", "text"])
        with LmtpClient(self.server.lmtp) as lmtp:
            sent = lmtp.send("a@sender.example", [self.box.user], text.encode())
        assert sent.accepted == (self.box.user,)
        counts = {name: len(self.box.messages(name)) for name in self.box.folders()}
        return {name: count for name, count in counts.items() if count}

    @property
    def file(self) -> Path:
        """Our script, as Dovecot keeps it."""
        local, _at, domain = self.box.user.partition("@")
        return self.server.folder / "mail" / domain / local / "sieve" / f"{NAME}.sieve"


@pytest.fixture(scope="module")
def server(ground: Ground) -> Iterator[Dovecot]:
    """One as it is deployed."""
    more = f"auth_master_user_separator = *\nplugin {{\n  {EXTENSIONS}\n}}\n"
    dovecot = Dovecot(ground, extra=more)
    rules.deploy(dovecot)
    with running(dovecot):
        yield dovecot


@pytest.fixture
def alice(server: Dovecot, fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setenv("CONFIG_FILE", str(server.config))
    return Person(server, server.add_user(fresh.address("alice")))


@pytest.fixture(params=[MANAGESIEVE, DOVEADM])
def either(alice: Person, request: pytest.FixtureRequest) -> Person:
    """Her scripts get there by each way."""
    return replace(alice, way=request.param)


def doveadm(user: str, seconds: float = 30) -> Doveadm:
    """The scripts of a user, by doveadm."""
    return Doveadm(user, Deadline.after(seconds), extensions())


def shared(server: Dovecot, name: str, text: str) -> Path:
    """A script of the site or a domain, compiled."""
    path = server.folder / "sieve/mailsort" / f"{name}.sieve"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    run("sievec", "-c", server.config, path)
    return path


def test_scripts_run_in_the_deployed_order(server: Dovecot, alice: Person) -> None:
    """Site, domain, ours, his own, domain, site; a script that is not there is passed over."""
    domain = alice.box.user.partition("@")[2]
    order = turns(alice.box.user)
    names = ["before", f"{domain}/before", OURS, OWN, f"{domain}/after", "after"]
    top = server.folder / "sieve"
    assert [one.path for one in order] == [
        str(top / "junk.sieve"),
        *(one if one in {OURS, OWN} else str(top / f"mailsort/{one}.sieve") for one in names),
    ]
    assert alice.gets() == {"INBOX": 1}
    files = [shared(server, name, into(f"F{number}")) for number, name in enumerate(names)]
    files[2].unlink()
    files[3].unlink()
    with alice.ours() as scripts:
        assert bring(scripts, into("F2")) is Outcome.INSTALLED
    with alice.his() as scripts:
        scripts.put("mine", into("F3").encode())
        rules.activate(scripts, "mine")
    assert alice.gets() == {f"F{number}": 1 for number in range(6)} | {"INBOX": 2}
    log = server.log(alice.box.user)
    stored = [line.rpartition("mailbox '")[2][:2] for line in log.splitlines() if "'F" in line]
    assert stored == [f"F{number}" for number in range(6)]
    # One that files without leaving it to the next ends the row.
    with alice.ours() as scripts:
        assert bring(scripts, into("F2", "")) is Outcome.INSTALLED
    assert alice.gets() == {"F0": 2, "F1": 2, "F2": 2, "F3": 1, "F4": 1, "F5": 1, "INBOX": 2}
    assert alice.gets(JUNK)["Junk"] == 1
    for one in files:
        one.unlink(missing_ok=True)
        one.with_suffix(".svbin").unlink(missing_ok=True)


def test_flags_stay_with_what_goes_on(alice: Person) -> None:
    with alice.ours() as scripts:
        bring(scripts, 'require "imap4flags";\naddflag "\\\\Flagged";\n')
    with alice.his() as scripts:
        scripts.put("mine", b"keep;\n")
        rules.activate(scripts, "mine")
    alice.gets()
    assert "cur" in {path.parent.name for path in alice.file.parents[1].glob("Maildir/*/*:2,*F*")}


def test_a_script_that_is_broken_on_the_disk_costs_no_mail(alice: Person) -> None:
    """The message stays in INBOX, his own script is not run, and the log says so."""
    with alice.his() as scripts:
        scripts.put("mine", into("Own").encode())
        rules.activate(scripts, "mine")
    with alice.ours() as scripts:
        bring(scripts, "keep;\n")
    alice.file.write_text("no script")
    assert alice.gets() == {"INBOX": 1}
    assert "Failed to compile script" in alice.server.log(alice.box.user)


def test_junk_filed_after_the_rules(ground: Ground) -> None:
    """What a rule takes is his; what is left goes to Junk."""
    dovecot = Dovecot(ground, extra="auth_master_user_separator = *\n")
    rules.deploy(dovecot, "after")
    with running(dovecot):
        alice = Person(dovecot, dovecot.add_user("alice@after.test"))
        rule = 'if header :contains "Subject" "mine" {{ {} }}\n'
        require, _end, command = into("Mine", "").partition("\n")
        with alice.ours() as scripts:
            bring(scripts, f"{require}\n{rule.format(command)}")
        assert alice.gets(JUNK) == {"Junk": 1}
        assert alice.gets(JUNK, "Subject: mine") == {"Junk": 1, "Mine": 1}


def test_nothing_is_put_but_ours_and_only_where_it_differs(either: Person) -> None:
    with either.ours() as scripts:
        assert bring(scripts, None) is Outcome.UNCHANGED
        assert bring(scripts, "keep;\n") is Outcome.INSTALLED
        before = either.file.stat().st_ino
        assert bring(scripts, "keep;\n") is Outcome.UNCHANGED
        assert either.file.stat().st_ino == before
        with pytest.raises(RefusedError, match="parse failed"):
            bring(scripts, "no script")
        assert scripts.get(NAME) == sealed("keep;\n")
        assert intact(scripts.get(NAME) or b"")
        assert scripts.listed() == {NAME: False}
        with pytest.raises(RefusedError, match="too large"):
            bring(scripts, f"#{'x' * 2**20}\n")
        assert scripts.get(NAME) == sealed("keep;\n")
        assert bring(scripts, None) is Outcome.REMOVED
        assert scripts.listed() == {}


def test_what_he_has_edited_is_left(either: Person) -> None:
    edited = sealed("keep;\n") + b"# mine\n"
    with either.his() as scripts:
        scripts.put(NAME, edited)
    with either.ours() as scripts:
        for body in ("discard;\n", None):
            assert bring(scripts, body) is Outcome.EDITED
        assert scripts.get(NAME) == edited
        assert bring(scripts, "discard;\n", force=True) is Outcome.INSTALLED


def test_what_he_has_made_active_stays_active_and_says_nothing(either: Person) -> None:
    with either.ours() as scripts:
        bring(scripts, into("Ours"))
    assert either.gets() == {"INBOX": 1, "Ours": 1}
    with either.his() as scripts:
        rules.activate(scripts, NAME)
    with either.ours() as scripts:
        assert bring(scripts, None) is Outcome.REMOVED
        assert scripts.listed() == {NAME: True}
    assert either.gets() == {"INBOX": 2, "Ours": 1}


def test_who_installs_comes_by_managesieve_alone(alice: Person) -> None:
    """And with his password; where nobody listens it is told apart from a refusal."""
    with pytest.raises(RefusedError), alice.ours("wrong"):
        pass
    # Of somebody who has no mailbox Dovecot says so, or hangs up.
    nobody = "nobody@nowhere.test"
    with (
        pytest.raises((RefusedError, ServerError)),
        opened(rules.master(alice.server), nobody, Deadline.after(30)),
    ):
        pass
    user = f"{alice.box.user}*{rules.NAME}"
    with pytest.raises(Exception, match="AUTHENTICATIONFAILED"):
        Mailbox(alice.box.port, user, rules.SECRET).folders()
    with (
        pytest.raises(ServerError),
        opened(Master("127.0.0.1", 9, rules.NAME, ""), alice.box.user, Deadline.after(30)),
    ):
        pass


def test_doveadm_tells_what_managesieve_tells(alice: Person) -> None:
    """Which extensions there are; names of whatever letters; a script byte by byte."""
    by_doveadm = doveadm(alice.box.user)
    odd = b'# \xff\x0c "q" {5}\r\nkeep;\r\n# no end' + b"x" * 2**18
    with alice.his() as scripts:
        assert by_doveadm.extensions == scripts.extensions
        scripts.put("ü b?'&", b"keep;\n")
        rules.activate(scripts, "ü b?'&")
        scripts.put(NAME, odd)
        assert by_doveadm.listed() == scripts.listed()
        assert by_doveadm.get(NAME) == odd
        assert by_doveadm.get("x") is None
        for text in (b"", b"\n", b"a\0b\n\n"):
            alice.file.write_bytes(text)
            assert by_doveadm.get(NAME) == text
        with pytest.raises(RefusedError, match="active"):
            by_doveadm.delete("ü b?'&")


def test_doveadm_changes_the_scripts_of_nobody_else(alice: Person) -> None:
    """Of no user whose name fits a mask; a name that begins as an option does is a name."""
    domain = alice.box.user.partition("@")[2]
    for user in (f"*@{domain}", f"alic?@{domain}"):
        with pytest.raises(RefusedError, match="no such name"):
            doveadm(user).put(NAME, b"keep;\n")
    with pytest.raises(RefusedError, match=r"^User doesn't exist$"):
        doveadm(f"nobody@{domain}").put(NAME, b"keep;\n")
    assert doveadm(alice.box.user).get(NAME) is None
    alice.server.add_user(f"-a@{domain}")
    assert bring(doveadm(f"-a@{domain}"), "keep;\n") is Outcome.INSTALLED


def test_a_server_that_hangs_costs_doveadm_no_more_than_the_time_there_is(alice: Person) -> None:
    bring(doveadm(alice.box.user), "keep;\n")
    alice.server.pause()
    try:
        with pytest.raises(ServerError, match="in time"):
            bring(doveadm(alice.box.user, 0.3), "discard;\n")
    finally:
        alice.server.resume()
    assert doveadm(alice.box.user).get(NAME) == sealed("keep;\n")


def test_a_server_that_is_down_is_told_by_doveadm(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIG_FILE", str(Dovecot(ground).config))
    with pytest.raises(ServerError, match="lookup failed"):
        doveadm("alice@down.test").get(NAME)
