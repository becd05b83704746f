"""Who is told of a virus, and who never is: whom somebody else may have named."""

from __future__ import annotations

import tomllib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from iems.edits.rules import Rule
from iems.notices.removed import Removals, Words
from iems.settings.attachments import Removable
from iems.settings.load import from_table
from iems.store.owed import FILE, Event, Owed
from milters import draft
from tests.unit.chain.test_virus import VIRUS, Found
from tests.unit.chain.world import SETTINGS, World, finish, rcpt

ALL = 'notify = ["postmaster", "recipient", "sender"]'
ALICE, BOB, POSTMASTER = (f"{one}@example.test" for one in ("alice", "bob", "postmaster"))
AUTOMATIC = (b"Auto-Submitted", b" auto-replied")


class Told(World):
    """A worker whose state is a folder of the test's."""

    def __init__(
        self, folder: Path, notify: str = ALL, mode: str = "enforce", cell: str = "", **cells: str
    ) -> None:
        super().__init__()
        self.use(Found("virus", "infected"))
        actions = {"local": "quarantine", "outside": "reject", **cells}
        virus = VIRUS.format(mode=mode, **actions)
        text = f'{SETTINGS}[milter]\nstate = "{folder}"\n{virus}'
        text = text.replace("\nengines", f"\n{notify}\nengines")
        text += cell
        self.text = text
        self.runtime = replace(self.runtime, settings=from_table(tomllib.loads(text)))
        self.file = folder / FILE

    def send(
        self,
        *to: str,
        sender: str = ALICE,
        channel: str = "internet",
        login: str = "",
        header: tuple[tuple[bytes, bytes], ...] = (),
    ) -> dict[str, Event]:
        """Who is told what of a message."""
        chain = self.connect(daemon=channel)
        chain.mail(f"<{sender}>", {"{auth_authen}": login} if login else {})
        rcpt(chain, *to)
        finish(chain, (b"Subject", b" =?utf-8?q?Gr=C3=BC=C3=9Fe?="), *header)
        if not self.file.exists():
            return {}
        with closing(Owed(self.file)) as owed:
            persons = owed.due(0, 1e9, 99)
            found = {one: owed.take(one, -1.0)[0] for one in persons}
        assert all(len(events) == 1 for events in found.values())
        return {person: events[0] for person, events in found.items()}


def test_postmaster_recipients_and_who_has_logged_in(tmp_path: Path) -> None:
    told = Told(tmp_path).send("both", sender="x@y.example", login=ALICE)
    assert told == {
        ALICE: Event(
            *(1_000_000.0, "sent", "x@y.example", "both@example.test", "Grüße"),
            *("", "quarantine", "REF00"),
        ),
        BOB: replace(told[ALICE], role="received"),
        POSTMASTER: replace(told[ALICE], role="passed"),
    }


@pytest.mark.parametrize(
    "forged",
    [
        {"channel": "internet"},
        {"channel": "partners"},
        {"channel": "submission"},
        {"channel": "local", "header": ((b"X-Sieve", b" Pigeonhole"),)},
        {"channel": "local", "header": ((b"Received", b" from elsewhere"),)},
        {"channel": "local", "header": (AUTOMATIC,)},
        {"login": ALICE, "header": (AUTOMATIC,)},
        {"login": ALICE, "sender": ""},
        {"login": "alice"},
        {"channel": "local", "sender": ""},
    ],
)
def test_nobody_is_told_of_what_he_need_not_have_sent(
    tmp_path: Path, forged: dict[str, object]
) -> None:
    told = Told(tmp_path).send("bob", **forged)  # type: ignore[arg-type]
    assert ALICE not in told
    assert {one.role for one in told.values()} == {"received", "passed"}


def test_whose_mail_sendmail_handed_in_is_told(tmp_path: Path) -> None:
    told = Told(tmp_path).send("away", channel="local")
    assert (told[ALICE].role, told[ALICE].done) == ("sent", "held")
    assert told.keys() == {ALICE, POSTMASTER}


def test_recipients_see_their_own_addresses_and_nobody_outside_is_told(tmp_path: Path) -> None:
    told = Told(tmp_path).send("alice", "mixed", sender="x@y.example")
    assert told.keys() == {ALICE, BOB, POSTMASTER}
    assert (told[ALICE].recipients, told[BOB].recipients) == (ALICE, "mixed@example.test")
    assert told[POSTMASTER].recipients == "alice@example.test, mixed@example.test"
    assert {one.done for one in told.values()} == {"refused"}


def test_the_cell_of_the_way_says_who(tmp_path: Path) -> None:
    """And one way is that of all recipients."""
    one = Told(tmp_path, cell='internet = { notify = ["postmaster"] }')
    assert one.send("bob", channel="partners").keys() == {BOB, POSTMASTER}
    assert one.send("bob", "away", channel="partners").keys() == {POSTMASTER}


def test_a_mailbox_beside_others_is_told_what_its_own_cell_does(tmp_path: Path) -> None:
    told = Told(tmp_path, local="reject", outside="tag").send("bob", "away")
    assert (told[BOB].done, told[POSTMASTER].done) == ("quarantine", "tag")


def test_what_is_put_off_is_told_of_when_it_is_done(tmp_path: Path) -> None:
    """The sender tries for days, and each try would be told."""
    one = Told(tmp_path)
    one.use(Found("virus", "infected"), Found("dnsbl/free", "listed"))
    assert one.send("dora") == {}
    assert one.send("bob").keys() == {BOB, POSTMASTER}


def test_what_is_refused_for_an_attachment_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its virus may be gone by then, and it is larger than what is edited."""
    monkeypatch.setattr(draft, "LIMIT", 1)
    one = Told(tmp_path, outside="tag")
    one.use(Found("virus", "infected"), Found("attachment/programs", "matched"))
    removals = Removals(
        {"attachment/programs": Removable(Rule.of("programs", {"extension": "exe"}), keep=False)},
        {"en": Words("gone", "kept")},
    )
    rules = '[checks.attachment.programs]\nmode = "enforce"\nextension = "exe"\n'
    one.runtime = replace(
        one.runtime,
        removals=removals,
        settings=from_table(tomllib.loads(one.text + rules)),
    )
    told = one.send("away")
    assert {one.done for one in told.values()} == {"refused"}


def test_a_sender_who_is_no_utf8_is_refused_like_any_other(tmp_path: Path) -> None:
    one = Told(tmp_path, local="reject")
    told = one.send("bob", sender="\udcff@y.example")
    assert (told[BOB].done, told[BOB].sender) == ("refused", "?@y.example")


@pytest.mark.parametrize(("notify", "mode"), [("notify = []", "enforce"), (ALL, "shadow")])
def test_nobody_is_told(tmp_path: Path, notify: str, mode: str) -> None:
    assert Told(tmp_path, notify, mode).send("bob") == {}
    assert not (tmp_path / FILE).exists()


def test_of_a_notice_nobody_is_told(tmp_path: Path) -> None:
    """It holds what was found, and may be found itself."""
    assert Told(tmp_path).send("bob", sender="", header=(AUTOMATIC,)) == {}
    assert Told(tmp_path).send("bob", sender="").keys() == {BOB, POSTMASTER}


def test_what_cannot_be_written_down_costs_no_mail(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    one = Told(tmp_path)
    chain = one.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "bob")
    finish(chain)
    assert one.recorder.added[-1].action == "accept"
    assert [line["warning"] for line in one.log.lines if "warning" in line] == [
        "nobody is told of a virus"
    ]
