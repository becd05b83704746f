"""Out of quarantine: past exactly the rules of a token, once, and to its recipient alone."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from iems.codec.release import Release, encode
from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.store.quarantine import Quarantine
from iems.store.replay import Replay
from iems.store.spool import Spool
from lmtp.release import FORBIDDEN, Releases
from tests.unit.lmtp.conftest import DIRECTORY, LISTED, NOW, SECRET, Office
from tests.unit.lmtp.test_agent import Away

RULE = (LISTED.check, LISTED.band)
ENFORCED = Finding("dnsbl/two", "fail", "listed", "on two")
FAR = Finding("dnsbl/one", "fail", "listed", "on it", 1.5, (("zone", "one"),))


class Gate:
    """Quarantine as somebody with a key uses it."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.store = Quarantine(office.folder / "quarantine")
        self.spool = Spool(office.folder)

    def token(
        self,
        recipient: str = "quarantine@b.test",
        *rules: tuple[str, str],
        name: str = "",
        rights: str = "site",
        at: float = NOW,
        secret: bytes = SECRET,
    ) -> str:
        """A token for the one message that is there."""
        name = name or self.office.quarantined[0]
        wanted = Release(name, recipient, rules or (RULE,), rights, "carol", int(at))
        return encode(wanted, "k1", secret)

    def send(self, token: str) -> str:
        """The agent's reply."""
        agent = replace(self.office.agent, now=lambda: NOW)
        return str(Releases(agent, self.spool, {"k1": SECRET}.get).release(token))

    def release(
        self,
        recipient: str = "quarantine@b.test",
        *rules: tuple[str, str],
        name: str = "",
        rights: str = "site",
    ) -> str:
        """The reply to such a token."""
        return self.send(self.token(recipient, *rules, name=name, rights=rights))

    def describe(self) -> dict[str, Any]:
        """The description of the one message."""
        return self.store.describe(self.office.quarantined[0])

    def write(self, described: object) -> None:
        """Put another description in its place."""
        [name] = self.office.quarantined
        (self.office.folder / "quarantine" / f"{name}.json").write_text(json.dumps(described))


@pytest.fixture
def gate(office: Office) -> Gate:
    return Gate(office)


def held(office: Office, *findings: Finding) -> None:
    """Put a message for quarantine@ into quarantine."""
    assert office.deliver("quarantine", findings=findings or (FAR,))[0].startswith("250")
    assert len(office.quarantined) == 1


def test_a_release_delivers_what_was_stored_to_whom_it_was_for(office: Office, gate: Gate) -> None:
    held(office)
    text = gate.store.message(office.quarantined[0]).read_bytes()
    assert gate.release() == "250 2.0.0 Saved"
    [taken] = office.taken
    assert taken.data == text + b".\r\n"
    assert taken.recipients == ["RCPT TO:<quarantine@b.test>"]
    assert taken.mail.startswith("MAIL FROM:<s@x.test>")
    assert not list((office.folder / "quarantine").iterdir())


def test_records_and_log_say_who_released_it_and_past_what(office: Office, gate: Gate) -> None:
    held(office)
    [name] = office.quarantined
    gate.release()
    kept, released = office.records()
    assert (kept.stage, kept.action) == ("delivery", "quarantine")
    assert (released.stage, released.action, released.reply[:3]) == ("release", "deliver", "250")
    assert released.reference == kept.reference
    told = {one: released.details[one] for one in ("released", "by", "past")}
    assert told == {"released": name, "by": "carol", "past": "dnsbl/one:listed"}
    [line] = [line for line in office.log.lines if f'released="{name}"' in line]
    assert line.startswith("ref012345678 4XyZ recipient=")
    assert 'by="carol" past="dnsbl/one:listed"' in line


def test_a_replay_leaves_out_what_a_person_decided(office: Office, gate: Gate) -> None:
    held(office)
    gate.release()
    replay = Replay(office.agent.settings, TomlDirectory.parse(DIRECTORY))
    assert list(replay.differences(office.records())) == []
    assert replay.verdicts == 1


def test_without_a_good_token_nothing_moves(office: Office, gate: Gate) -> None:
    held(office)
    for token in ("", "k1.x.y", gate.token(secret=b"x" * 32), gate.token(at=NOW - 61)):
        assert gate.send(token) == "535 5.7.8 Token is not valid"
    assert not office.taken
    assert len(office.quarantined) == 1
    assert len([line for line in office.log.lines if "release refused" in line]) == 4


def test_a_token_that_has_delivered_is_spent(office: Office, gate: Gate) -> None:
    held(office)
    token = gate.token()
    assert gate.send(token).startswith("250")
    assert gate.send(token) == "550 5.1.6 No such message in quarantine for this recipient"
    assert len(office.taken) == 1


def test_two_releases_at_once_deliver_once(office: Office, gate: Gate) -> None:
    held(office)
    reached, go = threading.Event(), threading.Event()

    def final() -> bool:
        reached.set()
        return go.wait(20)

    office.hop.moments["final"] = final
    token = gate.token()
    first: list[str] = []
    thread = threading.Thread(target=lambda: first.append(gate.send(token)))
    thread.start()
    assert reached.wait(20)
    assert gate.send(token).startswith("450 4.2.0 Message is being released")
    assert gate.store.expire(1e12) == 0
    go.set()
    thread.join(20)
    assert first == ["250 2.0.0 Saved"]
    assert len(office.taken) == 1
    assert not office.quarantined


@pytest.mark.parametrize("reply", ["451 4.2.1 Busy", "552 5.2.2 Quota exceeded"])
def test_what_is_not_delivered_stays_and_may_go_later(
    office: Office, gate: Gate, reply: str
) -> None:
    held(office)
    office.hop.final = {"quarantine@b.test": reply}
    assert gate.release() == reply
    assert len(office.quarantined) == 1
    office.hop.final = {}
    assert gate.release() == "250 2.0.0 Saved"
    assert not office.quarantined


def test_each_recipient_is_released_for_himself(office: Office, gate: Gate) -> None:
    office.deliver("quarantine", "<quarantine2@b.test> ORCPT=rfc822;sales@b.test", "deliver")
    office.hop.taken.clear()
    [name] = office.quarantined
    file = office.folder / "quarantine" / f"{name}.json"
    os.utime(file, (1000, 1000))
    file.with_name(f".{name}.json").write_text("of one who was killed")
    assert gate.release("deliver@b.test").startswith("550 5.1.6")
    assert gate.release("quarantine@b.test").startswith("250")
    assert [one["address"] for one in gate.describe()["recipients"]] == ["quarantine2@b.test"]
    assert file.stat().st_mtime == 1000, "it is as old as it was"
    assert gate.release("quarantine@b.test").startswith("550 5.1.6")
    assert gate.release("quarantine2@b.test").startswith("250")
    assert not list((office.folder / "quarantine").iterdir())
    first, second = office.taken
    assert b"X-Original-To" not in first.data
    assert b"X-Original-To: sales@b.test\r\n" in second.data


def test_what_else_keeps_it_still_does_and_is_told(office: Office, gate: Gate) -> None:
    """Another rule that says quarantine, and a finding that files in Junk."""
    made = office.with_settings(
        checks={
            "dnsbl": {
                name: {"mode": "delegate", "default": {"listed": action}}
                for name, action in (("one", "deliver"), ("two", "quarantine"), ("three", "junk"))
            }
        }
    )
    third = Finding("dnsbl/three", "fail", "listed", "on three")
    held(made, FAR, ENFORCED, third)
    gate = Gate(made)
    answer = gate.release()
    assert answer == "550 5.7.0 Still held: dnsbl/two:listed quarantine, chosen by site; on two"
    assert len(office.quarantined) == 1
    assert not office.taken
    # Nor does a rule more than those that are named go with it.
    assert gate.release("quarantine@b.test", ("dnsbl/two", "listed")).startswith("550 5.7.0")
    assert gate.release("quarantine@b.test", RULE, ("dnsbl/two", "listed")).startswith("250")
    assert b"X-IEMS-Verdict: junk; ref=ref012345678\r\n" in office.taken[0].data


def test_a_rejection_keeps_it_though_mail_from_the_queue_would_be_junk(
    office: Office, gate: Gate
) -> None:
    held(office)
    text = DIRECTORY.replace('"quarantine@b.test"]\n', '"quarantine@b.test"]\ndisabled = "gone"\n')
    agent = replace(office.agent, directory=TomlDirectory.parse(text))
    answer = Gate(replace(office, agent=agent)).release()
    assert answer.startswith("550 5.7.0 Still held: account:closed reject, enforced by site; this")
    assert gate.release().startswith("250")


def test_the_policy_of_today_decides_over_the_findings_of_then(office: Office) -> None:
    """Evidence is kept: his list of senders lets in whom SPF proved."""
    proven = Finding("spf", "pass", "", "", None, (("smtp.mailfrom", "s@x.test"),))
    checks = {
        name: {"mode": "delegate", "default": {"listed": "quarantine"}} for name in ("one", "two")
    }
    made = office.with_settings(checks={"dnsbl": checks})
    held(made, FAR, ENFORCED, proven)
    assert Gate(made).release().startswith("550 5.7.0 Still held: dnsbl/two:listed")
    text = DIRECTORY.replace(
        '"quarantine@b.test"]\n', '"quarantine@b.test"]\nsenders = ["allow x.test"]\n'
    )
    agent = replace(made.agent, directory=TomlDirectory.parse(text))
    assert Gate(replace(made, agent=agent)).release().startswith("250")


def test_a_sender_who_is_blocked_is_a_rule_like_any_other(office: Office) -> None:
    text = DIRECTORY.replace(
        '[users."deliver@b.test"]\n', '[users."deliver@b.test"]\nsenders = ["block s@x.test"]\n'
    )
    made = office.with_settings(senders={"blocked": "quarantine"})
    made = replace(made, agent=replace(made.agent, directory=TomlDirectory.parse(text)))
    made.deliver("deliver", findings=())
    assert len(office.quarantined) == 1
    gate = Gate(made)
    assert gate.release("deliver@b.test").startswith("550 5.7.0 Still held: senders:blocked")
    rule = ("senders", "blocked")
    assert gate.release("deliver@b.test", rule, rights="user").startswith("250")


def test_who_is_no_user_any_more_gets_nothing(office: Office, gate: Gate) -> None:
    held(office)
    for directory, reply in (
        (TomlDirectory.parse('[domains."b.test"]\n'), "550 5.1.1 User unknown"),
        (Away(), "451 4.3.0"),
    ):
        agent = replace(office.agent, directory=directory)
        assert Gate(replace(office, agent=agent)).release().startswith(reply)
    assert len(office.quarantined) == 1
    assert gate.release().startswith("250")


def site(office: Office, mode: str, allow: Sequence[str]) -> Office:
    """Where the site says who may have what on the list delivered."""
    table: dict[str, object] = {"mode": mode, "default": {"listed": "quarantine"}}
    if mode == "delegate":
        table["allow"] = {"listed": list(allow)}
    return office.with_settings(checks={"dnsbl": {"one": table}})


@pytest.mark.parametrize("rights", ["user", "domain"])
def test_only_the_administrator_passes_what_the_site_enforces(office: Office, rights: str) -> None:
    made = site(office, "enforce", ())
    held(made)
    gate = Gate(made)
    assert gate.release(rights=rights) == (
        f"{FORBIDDEN} 5.7.1 Not allowed past dnsbl/one:listed, it is not yours to choose"
    )
    # Nor what it enforced then and does not any more, nor what it does since.
    free = Gate(site(office, "delegate", ["deliver", "quarantine"]))
    assert free.release(rights=rights).startswith(str(FORBIDDEN))
    assert len(office.quarantined) == 1
    assert gate.release(rights="site").startswith("250")
    held(site(office, "delegate", ["deliver", "quarantine"]))
    assert gate.release(rights=rights).startswith(str(FORBIDDEN))
    assert free.release(rights=rights).startswith("250")


def test_nobody_passes_what_he_could_not_choose_to_have_delivered(office: Office) -> None:
    made = site(office, "delegate", ["junk", "quarantine"])
    held(made)
    for rights in ("user", "domain", "Site"):
        assert Gate(made).release(rights=rights).startswith(str(FORBIDDEN))
    # What a domain allows its users binds them, and not its administrators.
    text = DIRECTORY.replace(
        '[domains."b.test"]\n',
        '[domains."b.test"]\n'
        'policy = { "dnsbl/one" = { listed = { allow = ["quarantine", "reject"] } } }\n',
    )
    free = site(office, "delegate", ["deliver", "quarantine"])
    bound = replace(free, agent=replace(free.agent, directory=TomlDirectory.parse(text)))
    assert Gate(bound).release(rights="user").startswith(str(FORBIDDEN))
    assert Gate(bound).release(rights="domain").startswith("250")


def test_what_was_quarantined_before_findings_were_kept_whole(office: Office, gate: Gate) -> None:
    held(office)
    told = gate.describe()
    for name in ("passed", "client"):
        del told[name]
    del told["recipients"][0]["orcpt"]
    gate.write(told)
    assert gate.release().startswith("250")


def test_what_reached_quarantine_without_findings(office: Office, gate: Gate) -> None:
    office.send("quarantine", header=b"Authentication-Results: mail.example.test; spf=pass\r\n")
    assert gate.release().startswith("550 5.7.0 Still held: dnsbl/one:temperror")
    assert gate.release("quarantine@b.test", ("dnsbl/one", "temperror")).startswith("250")
    kept, released = office.records()
    assert kept.details["fault"] == released.details["fault"]


@pytest.mark.parametrize("told", [[], {"id": "x"}, {"recipients": [{"address": "<"}]}, "[" * 9000])
def test_a_damaged_description_is_told_and_stays(office: Office, gate: Gate, told: object) -> None:
    held(office)
    gate.write(told)
    assert gate.release().startswith("550 5.6.0")
    assert len(office.quarantined) == 1


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "none", "..", ".half"])
def test_no_name_leads_anywhere_else(office: Office, gate: Gate, name: str) -> None:
    held(office)
    assert gate.release(name=name).startswith("550 5.1.6")


def test_a_link_is_no_message(office: Office, gate: Gate) -> None:
    held(office)
    [name] = office.quarantined
    message = office.folder / "quarantine" / f"{name}.eml"
    secret = office.folder / "secret"
    message.rename(secret)
    message.symlink_to(secret)
    assert gate.release().startswith("550 5.1.6")
    message.unlink()
    os.mkfifo(message)
    assert gate.release().startswith("550 5.1.6")


def test_a_store_that_keeps_what_was_delivered_is_told(
    office: Office, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(office)

    def full(_self: Quarantine, _name: str, _addresses: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Quarantine, "drop", full)
    assert gate.release() == "250 2.0.0 Saved"
    assert [line for line in office.log.lines if "released, and left in quarantine" in line]


def test_a_large_message_is_released_in_pieces(office: Office, gate: Gate) -> None:
    held(office)
    [name] = office.quarantined
    message = office.folder / "quarantine" / f"{name}.eml"
    message.write_bytes(b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 20_000)
    assert gate.release().startswith("250")
    assert office.taken[0].data.count(b"y\r\n") == 20_000
