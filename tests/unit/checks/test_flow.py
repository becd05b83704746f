"""`flow`: who has sent too much of late, as sessions of many messages show it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.envelope import INTERNET, LOCAL, SUBMISSION
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.store.counterfile import CounterFile
from iems.store.counters import Claim, CountersError
from milters.checks import flow
from milters.checks.protocol import Check, Pending, Stage, View
from tests.conftest import ROOT
from tests.unit.checks import world
from tests.unit.checks.world import OWN, RELAY, Answers, tools, view

CLIENT, OTHER = "192.0.2.1", "192.0.2.2"
KEY = "checks.flow"
EXCEEDED, HELD, LET_IN = "exceeded", "held", ""


def limit(count: str, per: str, most: int, window: int = 600, **more: object) -> dict[str, object]:
    return {"count": count, "per": per, "limit": most, "window": window, **more}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """The check, and the clock that its counters go by."""

    folder: Path
    limits: Mapping[str, object]
    options: Mapping[str, object] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    mode: str = "enforce"

    def __post_init__(self) -> None:
        self.counters = CounterFile(self.folder / "counters.sqlite", self.clock)
        settings = flow.parse({"limits": self.limits, **self.options}, KEY)
        table = {"flow": {"mode": self.mode, "limits": self.limits}}
        made = replace(tools(Answers(), counters=self.counters), site=world.site(checks=table))
        self.checks = flow.make("", settings, made)

    def connect(
        self, ip: str = CLIENT, *, authenticated: str = "", channel: str = INTERNET
    ) -> Session:
        return Session(self, view(ip, authenticated=authenticated, channel=channel))


class Session:
    """One connection, as the chain leads it through the checks."""

    def __init__(self, site: Site, seen: View) -> None:
        self._site = site
        self._view = replace(seen, running=lambda: iter([*self._of_connection, *self._of_message]))
        self._of_message: list[tuple[Check, Pending]] = []
        self._of_connection = self._start(Stage.CONNECT)

    def mail(self, sender: str = "a@sender.test") -> None:
        seen = view(CLIENT, sender=sender)
        self._view = replace(self._view, sender=seen.sender, envelope_from=sender)
        self._of_message = self._start(Stage.MAIL)

    def rcpt(self) -> Finding | None:
        [(check, pending)] = self._start(Stage.RCPT)
        assert check.applies(self._view)
        found = pending.result()
        assert pending.result() == found
        assert all(not one.result() for _check, one in (*self._of_connection, *self._of_message))
        return found[0] if found else None

    def send(self, recipients: int = 1, sender: str = "a@sender.test") -> list[str]:
        """The bands of one message's recipients."""
        self.mail(sender)
        found = [self.rcpt() for _ in range(recipients)]
        return [one.band if one else LET_IN for one in found]

    def _start(self, stage: Stage) -> list[tuple[Check, Pending]]:
        due = [check for check in self._site.checks if check.stage is stage]
        return [(check, check.start(self._view, Deadline.after(60))) for check in due]


def test_messages_count_with_their_first_recipient(tmp_path: Path) -> None:
    session = Site(tmp_path, {"hosts": limit("messages", "network", 2)}).connect()
    session.mail()
    session.mail()
    assert session.send(3) == [LET_IN] * 3
    assert session.send(2) == [LET_IN] * 2
    assert session.send(2) == [EXCEEDED] * 2


def test_recipients_count_one_by_one(tmp_path: Path) -> None:
    session = Site(tmp_path, {"hosts": limit("recipients", "network", 4)}).connect()
    assert session.send(3) == [LET_IN] * 3
    assert session.send(3) == [LET_IN, EXCEEDED, EXCEEDED]


def test_connections_count_once_however_much_they_bring(tmp_path: Path) -> None:
    site = Site(tmp_path, {"hosts": limit("connections", "network", 2)})
    for _ in range(5):
        site.connect()
    for _ in range(2):
        session = site.connect()
        assert [session.send(2), session.send(1)] == [[LET_IN] * 2, [LET_IN]]
    assert site.connect().send(2) == [EXCEEDED] * 2
    assert site.connect(OTHER).send(1) == [LET_IN]


def test_a_refused_one_uses_nothing_up_and_passes_when_the_window_is_over(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {
            "burst": limit("recipients", "network", 2, window=10),
            "hour": limit("recipients", "network", 6, window=3600),
            "messages": limit("messages", "network", 100),
        },
    )
    session = site.connect()
    for _ in range(3):
        assert session.send(9) == [LET_IN] * 2 + [EXCEEDED] * 7
        site.clock.now += 11
    session.mail()
    seen = session.rcpt()
    assert seen is not None
    assert dict(seen.evidence) == {"limit": "hour", "network": CLIENT}
    told = re.search(r"try again in (\d+) min$", seen.reason)
    assert told
    assert 58 <= int(told[1]) <= 66
    site.clock.now += 60 * int(told[1])
    assert session.rcpt() is None


def test_the_longest_wait_is_told_in_words(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {
            "short": limit("messages", "domain", 1, window=60),
            "long": limit("messages", "domain", 1, window=7200),
        },
    )
    assert site.connect().send() == [LET_IN]
    session = site.connect()
    session.mail()
    seen = session.rcpt()
    assert seen is not None
    assert (seen.check, seen.outcome, seen.band) == ("flow", "exceeded", "exceeded")
    told = r"domain sender\.test: messages are limited to 1 within 2 h; try again in 1[23]\d min"
    assert re.fullmatch(told, seen.reason)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 s"), (0.2, "1 s"), (119, "119 s"), (60, "1 min"), (121, "121 s"), (190, "4 min"),
     (3600, "1 h"), (5400, "90 min"), (86400, "1 d"), (100_000, "28 h"), (300_000, "4 d")],
)  # fmt: skip
def test_a_span_is_rounded_up_to_what_people_say(seconds: float, words: str) -> None:
    assert flow.span(seconds) == words


def test_networks_are_those_of_the_site_s_prefixes(tmp_path: Path) -> None:
    one = {"hosts": limit("messages", "network", 1)}
    site = Site(tmp_path, one, {"ipv4_prefix": 24, "ipv6_prefix": 48})
    assert site.connect("192.0.2.1").send() == [LET_IN]
    assert site.connect("::ffff:192.0.2.200").send() == [EXCEEDED]
    assert site.connect("192.0.3.1").send() == [LET_IN]
    assert site.connect("2001:db8:1:2::1").send() == [LET_IN]
    assert site.connect("2001:db8:1:3::1").send() == [EXCEEDED]
    assert site.connect("2001:db8:2::1").send() == [LET_IN]


def test_each_host_and_each_link_is_a_network_by_default(tmp_path: Path) -> None:
    site = Site(tmp_path, {"hosts": limit("messages", "network", 1)})
    for ip in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"):
        assert site.connect(ip).send() == [LET_IN]
    for ip in ("192.0.2.1", "2001:db8::2"):
        assert site.connect(ip).send() == [EXCEEDED]


@pytest.mark.parametrize(("ip", "user"), [(OWN, ""), (RELAY, ""), (CLIENT, "a@b.test"), (None, "")])
def test_who_belongs_to_no_network_is_not_counted_by_it(
    tmp_path: Path, ip: str | None, user: str
) -> None:
    site = Site(tmp_path, {"hosts": limit("messages", "network", 0)})
    session = Session(site, view(ip, authenticated=user))
    assert session.send() == [LET_IN]


def test_users_are_counted_wherever_they_are_and_others_are_none(tmp_path: Path) -> None:
    site = Site(tmp_path, {"users": limit("messages", "user", 2)})
    assert site.connect(OWN, authenticated="Alice@a.test", channel=SUBMISSION).send() == [LET_IN]
    assert site.connect(OTHER, authenticated="alice@A.test").send() == [LET_IN]
    assert site.connect(CLIENT, authenticated="alice@a.test").send() == [EXCEEDED]
    assert site.connect(CLIENT, authenticated="bob@a.test").send() == [LET_IN]
    for _ in range(4):
        assert site.connect().send() == [LET_IN]


def test_the_sender_s_domain_is_counted_for_all_who_write_in_it(tmp_path: Path) -> None:
    site = Site(tmp_path, {"domains": limit("messages", "domain", 2)})
    assert site.connect().send(sender="a@one.test") == [LET_IN]
    assert site.connect(OWN).send(sender="b@ONE.test") == [LET_IN]
    assert site.connect(RELAY).send(sender="c@one.test") == [EXCEEDED]
    assert site.connect().send(sender="a@two.test") == [LET_IN]
    for sender in ("", "no address"):
        assert [site.connect().send(sender=sender) for _ in range(3)] == [[LET_IN]] * 3


def test_a_limit_counts_the_mail_of_its_channels(tmp_path: Path) -> None:
    site = Site(tmp_path, {"in": limit("messages", "network", 0, channels=[INTERNET])})
    assert site.connect().send() == [EXCEEDED]
    assert site.connect(channel=SUBMISSION).send() == [LET_IN]
    partner = Site(tmp_path, {"partner": limit("messages", "network", 0, channels=["partner"])})
    assert partner.connect().send() == [LET_IN]
    assert partner.connect(channel="partner").send() == [EXCEEDED]
    both = Site(tmp_path, {"both": limit("messages", "network", 0)})
    channels = (INTERNET, SUBMISSION, LOCAL, "partner")
    found = [both.connect(channel=channel).send() for channel in channels]
    assert found == [[EXCEEDED], [EXCEEDED], [LET_IN], [LET_IN]]


def test_who_exceeds_a_limit_that_holds_is_held_until_he_is_released(tmp_path: Path) -> None:
    bots = limit("recipients", "user", 2, hold=True)
    site = Site(tmp_path, {"bots": bots, "hosts": limit("messages", "network", 1)})
    alice = site.connect(authenticated="Alice@a.test")
    assert alice.send(4) == [LET_IN, LET_IN, HELD, HELD]
    site.clock.now += 100_000
    assert site.connect(OTHER, authenticated="alice@a.test").send() == [HELD]
    seen = alice.rcpt()
    assert seen is not None
    assert seen.reason == (
        "user alice@a.test has sent too much and is held until postmaster releases him"
    )
    assert dict(seen.evidence) == {"user": "alice@a.test"}
    [held] = site.counters.held(Deadline.after(60))
    assert (held.user, held.told) == ("alice@a.test", False)
    assert held.why == "recipients are limited to 2 within 10 min"
    assert site.connect(authenticated="bob@a.test").send() == [LET_IN]
    assert site.connect().send() == [LET_IN]
    keys = [flow.key("bots", "alice@a.test")]
    assert site.counters.release("alice@a.test", keys, Deadline.after(60))
    assert alice.send(2) == [LET_IN] * 2


def test_a_released_user_begins_at_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, {"bots": limit("recipients", "user", 2, hold=True)})
    alice = site.connect(authenticated="alice@a.test")
    assert alice.send(3) == [LET_IN, LET_IN, HELD]
    site.counters.release("alice@a.test", [flow.key("bots", "alice@a.test")], Deadline.after(60))
    assert alice.send(3) == [LET_IN, LET_IN, HELD]


def test_in_shadow_nobody_is_held(tmp_path: Path) -> None:
    limits = {"bots": limit("recipients", "user", 2, hold=True)}
    site = Site(tmp_path, limits, mode="shadow")
    assert site.connect(authenticated="alice@a.test").send(3) == [LET_IN, LET_IN, EXCEEDED]
    assert site.counters.held(Deadline.after(60)) == []


def test_who_was_held_by_hand_is_held_in_every_channel(tmp_path: Path) -> None:
    site = Site(tmp_path, {"in": limit("messages", "network", 9, channels=[INTERNET])})
    site.counters.hold("alice@a.test", "by hand", Deadline.after(60))
    assert site.connect(authenticated="alice@a.test", channel="partner").send() == [HELD]
    assert site.connect(channel="partner").send() == [LET_IN]


def test_what_cannot_be_counted_is_temperror(tmp_path: Path) -> None:
    site = Site(tmp_path / "missing", {"hosts": limit("messages", "network", 1)})
    session = site.connect()
    assert session.send(2) == ["temperror"] * 2
    site.folder.mkdir()
    assert session.send(2) == [LET_IN] * 2
    assert session.send() == [EXCEEDED]


def test_a_count_has_time_however_long_what_is_collected_before_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, {"users": limit("recipients", "user", 1)})
    waits: list[float] = []

    def count(claims: Sequence[Claim], deadline: Deadline) -> tuple[float, ...]:
        waits.append(deadline.remaining())
        return (0.0,) * len(claims)

    monkeypatch.setattr(site.counters, "take", count)
    [check] = site.checks
    pending = check.start(view(CLIENT, authenticated="alice@a.test"), Deadline.after(0))
    assert pending.result() == ()
    assert 0 < waits[0] <= 2


def test_who_cannot_be_held_is_told_that_he_is_over_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, {"bots": limit("recipients", "user", 1, hold=True)})

    def full(*_arguments: object) -> bool:
        raise CountersError("disk full")

    monkeypatch.setattr(site.counters, "hold", full)
    assert site.connect(authenticated="alice@a.test").send(2) == [LET_IN, EXCEEDED]


def test_nothing_is_started_that_nobody_counts(tmp_path: Path) -> None:
    site = Site(tmp_path, {"users": limit("recipients", "user", 1)})
    assert [check.stage for check in site.checks] == [Stage.RCPT]
    assert {check.name for check in site.checks} == {"flow"}


@given(st.text(), st.text())
def test_no_name_of_a_user_or_sender_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, user: str, sender: str
) -> None:
    limits = {"u": limit("messages", "user", 0), "d": limit("messages", "domain", 0)}
    site = Site(tmp_path_factory.getbasetemp(), limits)
    session = site.connect(authenticated=user)
    session.mail(sender)
    seen = session.rcpt()
    if seen is not None:
        assert seen.reason.isascii()
        assert len(seen.reason) < 250
        assert seen.band == EXCEEDED
    site.counters.close()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "checks.flow.limits is missing"),
        ({"limits": {}}, "checks.flow.limits is {}; expected a table for each limit"),
        ({"limits": 3}, "checks.flow.limits is 3; expected a table"),
        ({"limits": {"a": 3}}, "checks.flow.limits.a is 3; expected a table"),
        ({"limits": {"a": limit("words", "user", 1)}}, "limits.a.count is 'words'"),
        ({"limits": {"a": limit("messages", "all", 1)}}, "limits.a.per is 'all'"),
        ({"limits": {"a": limit("messages", "user", -1)}}, "limits.a.limit is -1"),
        ({"limits": {"a": limit("messages", "user", 1, 0)}}, "limits.a.window is 0"),
        ({"limits": {"a": limit("messages", "user", 1, mode="x")}}, "limits.a.mode is no setting"),
        ({"limits": {"a": limit("connections", "domain", 1)}}, "limits.a.per is 'domain'"),
        ({"limits": {"a": limit("messages", "user", 1, channels=[LOCAL])}}, "names 'local'"),
        ({"limits": {"a": limit("messages", "domain", 1, hold=True)}}, "limits.a.hold is true"),
        ({"limits": {"a": limit("messages", "user", 1)}, "ipv4_prefix": 33}, "ipv4_prefix is 33"),
    ],
)
def test_wrong_options_are_told_by_their_key(options: dict[str, object], fault: str) -> None:
    with pytest.raises(SettingsError) as error:
        flow.parse(options, KEY, lambda key: f"FILE of {key}")
    [told] = error.value.faults
    assert fault in told
    assert told.startswith("FILE of checks.flow.")


def test_all_faults_of_all_limits_are_told_at_once() -> None:
    limits = {"a": limit("messages", "user", -1), "b": limit("words", "user", -1)}
    with pytest.raises(SettingsError) as error:
        flow.parse({"limits": limits}, KEY)
    assert len(error.value.faults) == 3


def test_the_page_names_what_a_limit_holds() -> None:
    text = (ROOT / "docs/checks/flow.md").read_text()
    for key in ("count", "per", "limit", "window", "channels", "hold"):
        assert f"`{key}`" in text
