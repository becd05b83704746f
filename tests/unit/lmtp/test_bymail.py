"""A release by mail: to the user of the address, past his rule, once, by no automatic message."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.codec.release import Release
from iems.codec.signed import off_address, release_address
from iems.directory.connect import audit
from iems.model.address import Address
from iems.model.finding import Finding
from iems.notices.postmaster import NoticeError
from iems.serve.deadline import Deadline
from iems.store.digest import Digests
from iems.store.quarantine import Quarantine
from iems.store.spool import MemoryBody, Spool, Spooled
from lmtp.bymail import ByMail
from lmtp.commands import Mail, parse_rcpt
from lmtp.release import Releases
from lmtp.reply import Reply
from lmtp.transaction import Transaction
from tests.unit.lmtp.conftest import LISTED, SECRET, Office
from tests.unit.lmtp.test_agent import Away

USER = Address("quarantine", "b.test")
RULE = (LISTED.check, LISTED.band)
ENFORCED = Finding("dnsbl/two", "fail", "listed", "on two")
TAKEN = "250 2.0.0 Taken"


@dataclass
class Written:
    """Notices that are kept instead of sent."""

    notices: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    fails: bool = False

    def write(self, to: Address, name: str, **values: str) -> None:
        """Keep it."""
        if self.fails:
            raise NoticeError("away")
        self.notices.append((str(to), name, values))


@dataclass
class Desk:
    """Where requests come in; the agent's own keys are `SECRET`."""

    office: Office
    written: Written = field(default_factory=Written)

    @property
    def digests(self) -> Path:
        """The file of who wants none."""
        return self.office.folder / "digest.sqlite"

    def address(self, rule: tuple[str, str] = RULE, secret: bytes = SECRET) -> str:
        """The signed address for the one message that is there."""
        [name] = self.office.quarantined
        return release_address(USER, name, str(USER), rule, secret)

    def send(self, *to: str, header: bytes = b"", sender: str = "me@x.test") -> list[str]:
        """The replies to a message."""
        agent, folder = self.office.agent, self.office.folder
        releases = Releases(agent, Spool(folder), {"k1": SECRET}.get)
        keys, tell = [b"o" * 32, SECRET], audit(self.office.log)
        front = ByMail(agent, releases, keys, self.digests, self.written, tell)
        message = Spooled(header + b"Subject: let it out\r\n", MemoryBody(b"\r\nprivate\r\n"))
        parsed = tuple(parse_rcpt(f"TO:<{one}>", utf8=True) for one in to)
        taken = Transaction(Mail(sender), parsed, {"IDENT": "4Abc"}, message)
        return [str(answer) for answer in front.deliver(taken)]

    def log(self, word: str) -> list[str]:
        """The lines of the log that hold it."""
        return [line for line in self.office.log.lines if word in line]


@pytest.fixture
def desk(office: Office) -> Desk:
    """A desk with one message for quarantine@ in quarantine."""
    assert office.deliver("quarantine", findings=(LISTED,))[0].startswith("250")
    assert len(office.quarantined) == 1
    return Desk(office)


def test_it_is_delivered_as_it_was_stored_and_once(desk: Desk) -> None:
    office = desk.office
    [name] = office.quarantined
    text = Quarantine(office.folder / "quarantine").message(name).read_bytes()
    address = desk.address()
    assert desk.send(address.upper()) == [TAKEN]
    [taken] = office.taken
    assert taken.data == text + b".\r\n"
    assert taken.recipients == ["RCPT TO:<quarantine@b.test>"]
    assert not office.quarantined
    assert desk.send(address) == [TAKEN]
    assert len(office.taken) == 1
    assert not desk.written.notices
    _kept, released = office.records()
    told = {one: released.details[one] for one in ("released", "by", "past")}
    assert told == {"released": name, "by": "mail", "past": "dnsbl/one:listed"}
    [line] = desk.log("audit")
    assert 'actor="mail"' in line
    assert 'rights="user quarantine@b.test"' in line
    assert f'result="{name} done"' in line


def test_a_wrong_address_and_a_spent_one_look_the_same(desk: Desk) -> None:
    right = desk.address()
    wrong = [
        desk.address(secret=b"x" * 32),
        desk.address(rule=("dnsbl/one", "temperror")),
        right.replace("quarantine", "deliver"),
        right[:-9] + ("a" if right[-9] != "a" else "b") + right[-8:],
        release_address(USER, "AAAAAAAAAAAA", str(USER), RULE, SECRET),
    ]
    for one in wrong:
        assert desk.send(one) == [TAKEN]
    assert len(desk.log("release by mail refused")) == len(wrong)
    assert not desk.office.taken
    assert not desk.written.notices
    assert len(desk.office.quarantined) == 1


@pytest.mark.parametrize(
    "header",
    [
        b"Auto-Submitted: auto-replied\r\n",
        b"auto-submitted: auto-generated; why=x\r\n",
        b"Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n",
        b"Auto-Submitted:\r\n",
        b"Precedence: bulk\r\n",
        b"Precedence:\r\n Auto_Reply\r\n",
    ],
)
def test_an_automatic_message_releases_nothing(desk: Desk, header: bytes) -> None:
    assert desk.send(desk.address(), header=header) == [TAKEN]
    assert not desk.office.taken
    assert len(desk.office.quarantined) == 1


def test_nor_does_a_bounce_but_who_says_no_is_a_person(desk: Desk) -> None:
    assert desk.send(desk.address(), sender="") == [TAKEN]
    assert len(desk.office.quarantined) == 1
    assert desk.send(desk.address(), header=b"Auto-Submitted: NO (me)\r\n") == [TAKEN]
    assert not desk.office.taken
    assert desk.send(desk.address(), header=b"Auto-Submitted: No; x=y\r\n") == [TAKEN]
    assert len(desk.office.taken) == 1


def test_past_what_the_site_enforces_nothing_goes_and_its_user_is_told(office: Office) -> None:
    assert (
        office.with_settings(
            checks={"dnsbl": {"one": {"mode": "enforce", "default": {"listed": "quarantine"}}}}
        )
        .deliver("deliver", findings=(LISTED,))[0]
        .startswith("250")
    )
    desk = Desk(office)
    [name] = office.quarantined
    user = Address("deliver", "b.test")
    assert desk.send(release_address(user, name, str(user), RULE, SECRET)) == [TAKEN]
    assert not office.taken
    assert len(office.quarantined) == 1
    [(to, notice, values)] = desk.written.notices
    assert (to, notice, values["id"]) == ("deliver@b.test", "not-released", name)
    assert "Not allowed past dnsbl/one:listed" in values["why"]
    assert "530 5.7.1" in desk.log("audit")[0]


def test_what_else_keeps_it_is_told(desk: Desk) -> None:
    quarantined = {"mode": "enforce", "default": {"listed": "quarantine"}}
    one = {"mode": "delegate", "default": {"listed": "deliver"}}
    office = desk.office.with_settings(checks={"dnsbl": {"one": one, "two": quarantined}})
    [name] = office.quarantined
    office.agent.quarantine.remove(name)
    assert office.deliver("quarantine", findings=(LISTED, ENFORCED))[0].startswith("250")
    desk = Desk(office)
    assert desk.send(desk.address()) == [TAKEN]
    assert "Still held: dnsbl/two:listed" in desk.written.notices[0][2]["why"]
    desk.written.fails = True
    assert desk.send(desk.address()) == [TAKEN]
    assert desk.log("notice not sent")


def test_what_may_be_done_later_is_tried_again(desk: Desk) -> None:
    office = desk.office
    [name] = office.quarantined
    later = replace(office, agent=replace(office.agent, directory=Away()))
    assert Desk(later).send(desk.address())[0].startswith("451 4.3.0")
    office.hop.final = {str(USER): "452 4.2.2 Quota"}
    assert desk.send(desk.address()) == ["452 4.2.2 Quota"]
    office.hop.final = {}
    with office.agent.quarantine.claimed(name):
        assert desk.send(desk.address())[0].startswith("450 4.2.0")
    assert not desk.written.notices
    assert not desk.log("audit")
    assert desk.send(desk.address()) == [TAKEN]


def test_a_request_is_followed_next_to_recipients_of_another_kind(desk: Desk) -> None:
    """One of them whose mail waits for days does not keep it."""
    desk.office.hop.final = {"deliver2@b.test": "452 4.2.2 Quota"}
    answers = desk.send("deliver@b.test", desk.address(), "deliver2@b.test")
    assert answers == ["250 2.0.0 Saved", TAKEN, "452 4.2.2 Quota"]
    assert [one.recipients for one in desk.office.taken] == [
        ["RCPT TO:<deliver@b.test>", "RCPT TO:<deliver2@b.test>"],
        ["RCPT TO:<quarantine@b.test>"],
    ]
    assert not desk.office.quarantined
    assert desk.send("deliver+iems-news@b.test") == ["250 2.0.0 Saved"]


def test_who_wants_no_digest_gets_none(desk: Desk) -> None:
    right = off_address(USER, SECRET)
    automatic = b"Auto-Submitted: auto-replied\r\n"
    assert desk.send(right, header=automatic) == [TAKEN]
    assert desk.send(off_address(USER, b"x" * 32)) == [TAKEN]
    with closing(Digests(desk.digests)) as digests:
        assert not digests.refusing()
    for _time in range(2):
        assert desk.send(right.upper()) == [TAKEN]
    with closing(Digests(desk.digests)) as digests:
        assert digests.refusing() == ["quarantine@b.test"]
    assert 'object="digest quarantine@b.test"' in desk.log("audit")[0]
    desk.digests.unlink()
    desk.digests.mkdir()
    assert desk.send(right) == ["451 4.3.0 Not possible now"]


def test_where_the_time_of_the_transaction_is_over_it_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmtp.bymail.TOTAL", 0.0)
    assert desk.send(desk.address())[0].startswith("451 4.3.0")
    assert len(desk.office.quarantined) == 1
    assert not desk.log("audit")


def test_the_address_of_another_site_is_delivered(desk: Desk) -> None:
    other = desk.address().replace("@b.test", "@elsewhere.test")
    assert desk.send(other) == ["250 2.0.0 Saved"]
    assert [one.recipients for one in desk.office.taken] == [[f"RCPT TO:<{other}>"]]
    assert len(desk.office.quarantined) == 1


def test_who_is_later_than_another_who_asks_the_same_is_told_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is delivered is not "still in quarantine"."""
    address, carry_out = desk.address(), Releases.carry_out

    def overtaken(self: Releases, wanted: Release, deadline: Deadline) -> Reply:
        assert carry_out(self, wanted, deadline).positive
        return carry_out(self, wanted, deadline)

    monkeypatch.setattr(Releases, "carry_out", overtaken)
    assert desk.send(address) == [TAKEN]
    assert len(desk.office.taken) == 1
    assert not desk.written.notices
