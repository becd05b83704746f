"""`exact`: one policy class a transaction, and everybody is answered as if he were alone."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.directory.toml import TomlDirectory
from iems.serve.deadline import Deadline
from iems.serve.meter import series
from iems.settings.load import from_table
from milters.chain import Chain
from milters.checks.protocol import Known, Pending, Stage, View
from milters.reply import Continue, Reject, TempFail
from tests.unit.chain.world import DIRECTORY, LISTED, SETTINGS, ListCheck, World, finish, rcpt

LATER = ListCheck("dnsbl/hard", frozenset(), Stage.HEADERS)
SENDER = "<a@sender.example>"
MORE = """
[domains."other.test"]
[users."erin@other.test"]
[users."gone@example.test"]
disabled = "has left"
policy = { "dnsbl/free" = { listed = "reject" } }
[users."hush@example.test"]
policy = { "dnsbl/free" = { listed = "discard" } }
"""
ALIASES = """
"gone-and-bob@example.test" = ["gone@example.test", "bob@example.test"]
"again@example.test" = ["bob@example.test", "alice@example.test"]
"""


def world(exact: str = "true", *, splits: int = 3, stage: Stage = Stage.HEADERS) -> World:
    """Lists that are asked at this stage; alice refuses what they list, dora defers it."""
    made = World(stage)
    text = f"exact = {exact}\nexact_splits = {splits}\n{SETTINGS}"
    made.runtime = replace(
        made.runtime,
        settings=from_table(tomllib.loads(text)),
        directory=TomlDirectory.parse(MORE + DIRECTORY + ALIASES),
    )
    return made


def begun(one: World, sender: str = SENDER, ip: str = LISTED, daemon: str = "internet") -> Chain:
    chain = one.connect(ip, daemon)
    chain.mail(sender, {})
    return chain


def splits(made: World, outcome: str) -> float:
    return made.meter.snapshot().counters[series("splits_total", {"outcome": outcome})]


def codes(replies: Sequence[object]) -> list[int]:
    return [250 if isinstance(one, Continue) else one.code for one in replies]  # type: ignore[attr-defined]


def test_one_class_a_transaction_and_each_is_answered_by_its_own_policy() -> None:
    made = world()
    chain = begun(made)
    assert codes(rcpt(chain, "alice", "bob", "dora", "strict")) == [250, 452, 452, 250]
    assert isinstance(finish(chain)[0], Reject)
    chain.mail(SENDER, {})
    assert codes(rcpt(chain, "bob", "dora")) == [250, 452]
    assert finish(chain)[0] == Continue()
    chain.mail(SENDER, {})
    assert codes(rcpt(chain, "dora")) == [250]
    answer, _edits = finish(chain)
    assert isinstance(answer, TempFail)
    assert answer.code == 450
    assert splits(made, "apart") == 3


def test_who_is_put_off_is_told_and_it_is_on_record() -> None:
    made = world()
    chain = begun(made)
    [_alice, bob] = rcpt(chain, "alice", "bob")
    text = (
        "<bob@example.test>: its policy needs a transaction of its own, send to it again; "
        "reference REF00"
    )
    assert bob == TempFail(452, "4.5.3", text)
    [record] = made.recorder.committed
    assert (record.recipient, record.stage, record.action) == ("bob@example.test", "rcpt", "defer")
    assert record.reply == f"452 4.5.3 {text}"
    assert "findings" not in record.details, "no verdict that a replay could decide again"
    reasons = record.details["reasons"]
    assert isinstance(reasons, list)
    assert [(one["check"], one["band"], one["layer"]) for one in reasons] == [
        ("exact", "apart", "site")
    ]
    [line] = made.log.lines
    assert (line["action"], line["reply"], line["check"]) == ("defer", "452 4.5.3", "exact")


def test_a_record_that_cannot_be_written_puts_him_off_as_well() -> None:
    made = world()
    chain = begun(made)
    rcpt(chain, "alice")
    made.recorder.broken = True
    assert codes(rcpt(chain, "bob")) == [451]
    finish(chain)
    assert made.log.lines[0]["why"] == "disk full"


@pytest.mark.parametrize("exact", ["false", "[]", '["other.test"]'])
def test_it_is_off_unless_somebody_wants_it(exact: str) -> None:
    chain = begun(world(exact))
    assert codes(rcpt(chain, "alice", "bob", "dora")) == [250] * 3
    assert finish(chain)[0] == Continue(), "the findings travel"


@pytest.mark.parametrize("daemon", ["submission", "local", "partner"])
def test_only_mail_from_outside_is_parted(daemon: str) -> None:
    assert codes(rcpt(begun(world(), daemon=daemon), "alice", "bob")) == [250] * 2


def test_nobody_who_logged_in_is_put_off() -> None:
    chain = world().connect()
    chain.mail(SENDER, {"{auth_authen}": "bob@example.test"})
    assert codes(rcpt(chain, "alice", "bob")) == [250] * 2


def test_nobody_in_our_own_networks_is_put_off() -> None:
    made = world()
    assert codes(rcpt(begun(made, ip="192.0.2.1"), "alice", "bob")) == [250, 452]
    assert codes(rcpt(begun(made, ip="127.0.0.1"), "alice", "bob")) == [250] * 2


@dataclass
class Elsewhere(ListCheck):
    """One that looks at another channel."""

    def applies(self, view: View) -> bool:
        del view
        return False


def test_a_check_that_does_not_look_at_the_message_parts_nobody() -> None:
    made = world()
    made.use(Elsewhere("dnsbl/free", frozenset({LISTED}), Stage.HEADERS))
    assert codes(rcpt(begun(made), "alice", "bob", "dora")) == [250] * 3


@dataclass
class Over(ListCheck):
    """Finds something of each recipient but the first."""

    asked: int = 0

    def start(self, view: View, deadline: Deadline) -> Pending:
        self.asked += 1
        return Known() if self.asked == 1 else super().start(view, deadline)


def test_what_is_found_of_one_recipient_alone_and_refuses_nobody_parts_nobody() -> None:
    made = world()
    made.use(Over("dnsbl/free", frozenset({LISTED}), Stage.RCPT), LATER)
    chain = begun(made)
    assert codes([*rcpt(chain, "bob"), chain.rcpt("<erin@other.test>", {})]) == [250] * 2
    assert codes(rcpt(chain, "hush")) == [452]


def test_one_domain_may_want_it_for_itself() -> None:
    erin = "<erin@other.test>"
    chain = begun(world('["other.test"]'))
    assert codes(rcpt(chain, "bob", "alice")) == [250] * 2
    assert codes([chain.rcpt(erin, {})]) == [452], "alice would decide for her"
    chain = begun(world('["other.test"]'))
    assert codes([chain.rcpt(erin, {}), *rcpt(chain, "bob", "alice")]) == [250, 250, 452]


def test_an_address_that_reaches_several_classes_is_put_off_for_others_and_not_for_ever() -> None:
    made = world()
    chain = begun(made)
    assert codes(rcpt(chain, "alice", "both")) == [250, 452]
    chain.mail(SENDER, {})
    assert codes(rcpt(chain, "both", "again", "alice")) == [250, 250, 452]
    assert finish(chain)[0] == Continue(), "one of them takes it, and the findings travel"
    chain.mail(SENDER, {})
    assert codes(rcpt(chain, "bob", "gone-and-bob")) == [250] * 2, "who takes no mail has no say"


def test_what_has_been_looked_at_parts_only_whom_it_found_something_for() -> None:
    clear = begun(world(stage=Stage.CONNECT), ip="192.0.2.1")
    assert codes(rcpt(clear, "alice", "bob", "dora", "nobody")) == [250] * 4
    listed = begun(world(stage=Stage.CONNECT))
    told = rcpt(listed, "alice", "bob", "dora", "abuse", "hush", "both")
    assert codes(told) == [550, 250, 450, 250, 250, 250], "and nothing more is to come"
    made = world(stage=Stage.CONNECT)
    made.use(
        ListCheck("dnsbl/free", frozenset({LISTED})),
        ListCheck("dnsbl/free", frozenset({LISTED}), Stage.HEADERS),
    )
    assert codes(rcpt(begun(made, ip="192.0.2.1"), "alice", "bob", "dora")) == [250] * 3
    made.use(ListCheck("dnsbl/free", frozenset({LISTED})), LATER)
    assert codes(rcpt(begun(made), "bob", "hush")) == [250, 452]


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.HEADERS])
def test_a_check_in_shadow_parts_nobody(stage: Stage) -> None:
    made = world(stage=stage)
    text = f"exact = true\n{SETTINGS}".replace("delegate", "shadow")
    made.runtime = replace(made.runtime, settings=from_table(tomllib.loads(text)))
    assert codes(rcpt(begun(made), "alice", "bob", "dora")) == [250] * 3


def test_whoever_is_refused_opens_no_class() -> None:
    made = world(stage=Stage.CONNECT)
    made.use(ListCheck("dnsbl/free", frozenset({LISTED})), LATER)
    chain = begun(made)
    assert codes(rcpt(chain, "alice", "bob")) == [550, 250]


def test_he_is_put_off_a_few_times_and_then_his_findings_travel() -> None:
    made = world(splits=2)
    for expected in (452, 452, 250, 250):
        chain = begun(made)
        assert codes(rcpt(chain, "alice", "bob")) == [250, expected]
    assert finish(chain)[0] == Continue()
    assert splits(made, "travels") == 2
    assert codes(rcpt(begun(made), "alice", "dora")) == [250, 452], "counted is each recipient"
    for sender, ip, expected in (
        ("<A@sender.example>", "192.0.2.7", 250),
        (SENDER, "192.0.3.1", 452),
        ("<b@sender.example>", LISTED, 452),
        ("<>", LISTED, 452),
        ("<\udcff@sender.example>", LISTED, 452),
        (SENDER, "2001:db8::1", 452),
        (SENDER, "2001:db8::2", 452),
        (SENDER, "2001:db8::3", 250),
        (SENDER, "2001:db8:0:1::3", 452),
    ):
        assert codes(rcpt(begun(made, sender, ip), "alice", "bob")) == [250, expected], ip


def test_whoever_is_deferred_gives_way_to_those_whom_he_kept_waiting() -> None:
    made = world()
    told = []
    for _attempt in range(3):
        chain = begun(made)
        told.append(codes(rcpt(chain, "dora", "bob")))
        finish(chain)
    assert told == [[250, 452], [452, 250], [250, 452]]
    made.counters.broken = True
    assert codes(rcpt(begun(made), "dora")) == [250]
    made.counters.broken = False
    chain = begun(made, "<b@sender.example>")
    assert codes(rcpt(chain, "dora")) == [250]
    finish(chain)
    assert codes(rcpt(begun(made, "<b@sender.example>"), "dora")) == [250], "he kept nobody waiting"


def test_where_nothing_can_be_counted_the_findings_travel() -> None:
    made = world()
    made.counters.broken = True
    chain = begun(made)
    assert codes(rcpt(chain, "alice", "bob")) == [250] * 2
    assert finish(chain)[0] == Continue()
    assert splits(made, "uncounted") == 1


USERS = ("u0", "u1", "u2", "u3", "abuse")
NAMES = (*USERS, "a0", "a1", "away", "nobody")
CHECKS = ("early", "late", "last")
WORDS = ("deliver", "tag", "junk", "quarantine", "defer", "discard", "reject")
rules = st.dictionaries(
    st.sampled_from([f"dnsbl/{name}" for name in CHECKS]), st.sampled_from(WORDS), max_size=2
)
lists = st.sampled_from(
    ["", "allow sender.example unverified", "block sender.example", "block author.example"]
)
LISTS = """
exact = true
exact_splits = 100
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
"""


@st.composite
def directories(draw: st.DrawFn) -> str:
    """Users with policies and lists, and two aliases for some of them."""
    lines = ['[domains."example.test"]', 'senders = ["block author.example"]' * draw(st.booleans())]
    for user in USERS:
        policy = ", ".join(
            f'"{check}" = {{ listed = "{word}" }}' for check, word in draw(rules).items()
        )
        entry = draw(lists)
        senders = f'senders = ["{entry}"]' if entry else ""
        lines += [f'[users."{user}@example.test"]', f"policy = {{ {policy} }}", senders]
    lines += ["[aliases]", '"away@example.test" = ["someone@elsewhere.example"]']
    for alias in ("a0", "a1"):
        targets = draw(st.lists(st.sampled_from(USERS), min_size=1, max_size=2, unique=True))
        lines.append(f'"{alias}@example.test" = {[f"{one}@example.test" for one in targets]}')
    return "\n".join(lines)


def outcomes(made: World, recipients: Sequence[str], author: str) -> dict[str, int]:
    """What each is told in the end, by a sender who comes again, in the same order, for 4yz.

    He gives up where there is nobody left but who is deferred.
    """
    told: dict[str, int] = {}
    left = list(recipients)
    for _attempt in range(3 * len(recipients)):
        if told and 452 not in told.values():
            break
        chain = begun(made)
        replies = dict(zip(left, codes(rcpt(chain, *left)), strict=True))
        end: object = Continue()
        if 250 in replies.values():
            end, _edits = finish(chain, (b"From", f" joe@{author}".encode()))
        [code] = codes([end])
        said = {one: code if reply == 250 else reply for one, reply in replies.items()}
        # Of several who are deferred the one waits for the other, and was told before what he is.
        told |= {one: reply for one, reply in said.items() if reply != 452 or one not in told}
        left = [one for one in left if told[one] // 100 == 4]
    return told


@settings(max_examples=150)
@given(
    directories(),
    st.lists(st.sampled_from(NAMES), min_size=2, unique=True),
    st.frozensets(st.sampled_from(CHECKS)),
    st.dictionaries(st.sampled_from(CHECKS), st.sampled_from(WORDS)),
    st.sampled_from(["sender.example", "author.example"]),
)
def test_each_is_told_what_he_would_be_told_alone(
    directory: str,
    recipients: list[str],
    listing: frozenset[str],
    defaults: dict[str, str],
    author: str,
) -> None:
    text = LISTS + "".join(
        f'[checks.dnsbl.{name}]\nmode = "delegate"\nzone = "{name}.test"\n'
        f'default = {{ listed = "{defaults.get(name, "junk")}" }}\n'
        for name in CHECKS
    )
    stages = zip(CHECKS, (Stage.CONNECT, Stage.HEADERS, Stage.BODY), strict=True)
    checks = [
        ListCheck(f"dnsbl/{name}", frozenset({LISTED} if name in listing else ()), stage)
        for name, stage in stages
    ]

    def told(*named: str) -> dict[str, int]:
        """By a milter that has not seen any of them before."""
        made = World()
        made.runtime = replace(
            made.runtime,
            settings=from_table(tomllib.loads(text)),
            directory=TomlDirectory.parse(directory),
            new_reference=lambda: "REF",
        )
        made.use(*checks)
        return outcomes(made, named, author)

    assert told(*recipients) == {one: told(one)[one] for one in recipients}
