"""`iems why`: the records of both daemons, joined and explained."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.main import main
from cli.why import age, explain
from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Kind, Reason, Subject
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder, details
from iems.store.visible import visible

LISTED = Finding("dnsbl/soft", "listed", "listed", "client 192.0.2.66 is listed by soft")
PASSED = Finding("iprev", "pass")
REFUSED = Decision(
    Action.REJECT,
    (Reason(LISTED, Action.REJECT, Subject(Kind.USER, "alice@example.test"), enforced=False),),
    ("a note",),
)


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    for name in ("milter", "lmtp"):
        (tmp_path / name).mkdir()
    file = tmp_path / "iems.toml"
    file.write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[milter]\nstate = "{tmp_path}/milter"\n[agent]\nstate = "{tmp_path}/lmtp"\n'
    )
    write(
        tmp_path / "milter",
        Record(
            "REF1",
            "rcpt",
            "reject",
            recipient="alice@example.test",
            subject="user alice@example.test",
            client="192.0.2.66",
            reply="550 5.7.1 no",
            details=details(REFUSED, [LISTED, PASSED]),
            time=10.0,
        ),
        Record("REF1", "end-of-message", "accept", queue_id="4Q", message_id="<m@x>", time=11.0),
    )
    write(tmp_path / "lmtp", Record("REF1", "delivery", "junk", recipient="bob@example.test"))
    return ["--settings", str(file)]


def write(folder: Path, *records: Record) -> None:
    recorder = Recorder(folder / "records.sqlite")
    recorder.commit(records, Deadline.after(5))
    recorder.close(Deadline.after(5))


@pytest.mark.parametrize("word", ["REF1", "4Q", "<m@x>"])
def test_every_name_of_a_message_tells_its_whole_way(
    settings: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*settings, "why", word]) == 0
    told = capsys.readouterr().out
    assert "1970-01-01 00:00:10Z rcpt for alice@example.test: reject" in told
    assert (
        "dnsbl/soft listed: reject, chosen by user alice@example.test; "
        "client 192.0.2.66 is listed by soft" in told
    )
    assert "iprev: pass" in told
    assert "note: a note" in told
    assert told.index("rcpt for alice") < told.index("delivery for bob")


def test_all_that_is_known_is_told_and_nothing_that_is_not(
    settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*settings, "why", "REF1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "1970-01-01 00:00:10Z rcpt for alice@example.test: reject",
        "    reference REF1, client 192.0.2.66, sender <>, reply 550 5.7.1 no",
        "    dnsbl/soft listed: reject, chosen by user alice@example.test; "
        "client 192.0.2.66 is listed by soft",
        "    iprev: pass",
        "    note: a note",
        "1970-01-01 00:00:11Z end-of-message: accept",
    ]
    assert lines[6] == "    reference REF1, queue id 4Q, message id <m@x>, sender <>"


def test_what_a_check_in_shadow_would_have_done_is_told_apart() -> None:
    layer = Subject(Kind.SITE)
    decision = Decision(shadows=(Reason(LISTED, Action.REJECT, layer, enforced=False),))
    record = Record("REF", "delivery", "deliver", details=details(decision, [LISTED, PASSED]))
    _first, _second, *told = explain(record)
    assert told == [
        "    shadow, nothing done: dnsbl/soft listed: reject, chosen by site; "
        "client 192.0.2.66 is listed by soft",
        "    iprev: pass",
    ]


def test_an_alias_names_whom_it_led_to_and_an_enforced_reason_says_so() -> None:
    reason = {"check": "c", "band": "b", "action": "junk", "enforced": True, "layer": "site"}
    record = Record(
        "REF",
        "rcpt",
        "junk",
        recipient="both@example.test",
        subject="user alice@example.test",
        channel="internet",
        details={"reasons": [reason, 5], "findings": 5, "notes": "x"},
        time=0.0,
    )
    first, second, third = explain(record)
    assert "for both@example.test (user alice@example.test): junk" in first
    assert "channel internet" in second
    assert third.startswith("    c b: junk, enforced by site; ")


def test_nothing_from_outside_commands_the_terminal() -> None:
    record = Record("REF", "rcpt", "junk", message_id="<\x1b[2J\u00e9\udcff@x>", sender="a\nb")
    lines = list(explain(record))
    assert all(line.isprintable() for line in lines)
    assert "message id <?[2J\u00e9?@x>, sender <a?b>" in lines[1]


def test_ages_and_times() -> None:
    now = datetime.datetime.now(datetime.UTC).timestamp()
    for text, seconds in (("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800)):
        assert abs(now - seconds - age(text)) < 60
    assert age("2026-01-02T03:04:05+01:00") == 1767319445.0
    for text in ("", "m", "1.5h", "5x"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no time; expected ISO 8601"):
            age(text)


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{1,400}[smhd]", fullmatch=True))
@example("0001-01-01")
@example("9999-12-31T23:59:59-14:00")
@example("9" * 400 + "d")
@example("9" * 5000 + "d")
def test_any_text_is_a_time_or_a_usage_error(text: str) -> None:
    try:
        age(text)
    except argparse.ArgumentTypeError as error:
        assert "is no time" in str(error)  # noqa: PT017 - that nothing else is raised is the point


def test_a_word_of_any_bytes_is_looked_for(
    settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*settings, "why", "REF\udcff"]) == 1
    assert "no record of REF" in capsys.readouterr().err


def test_recipient_and_time_narrow_the_answer(
    settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*settings, "why", "REF1", "--recipient", "BOB@example.test", "--json"]) == 0
    assert [row["action"] for row in json.loads(capsys.readouterr().out)] == ["junk"]
    assert main([*settings, "why", "REF1", "--since", "1h", "--json"]) == 0
    assert [row["action"] for row in json.loads(capsys.readouterr().out)] == ["junk"]
    assert main([*settings, "why", "REF1", "--since", "1970-01-01T00:00:11+00:00", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_no_record_is_exit_1(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*settings, "why", "REF2"]) == 1
    assert "no record of REF2" in capsys.readouterr().err
    assert main([*settings, "why", "REF2", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == []


def test_a_time_that_is_none_is_a_usage_error(settings: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*settings, "why", "REF1", "--since", "yesterday"])
    assert caught.value.code == 2


def test_a_damaged_file_is_a_temporary_failure(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "milter" / "records.sqlite").write_bytes(b"x" * 4096)
    assert main([*settings, "why", "REF1"]) == 75
    assert "records.sqlite" in capsys.readouterr().err


def test_a_user_sees_what_concerns_him_and_nothing_of_others() -> None:
    both = [
        Record("R1", "rcpt", "reject", "550", "both@b.test", f"user {name}@b.test", sender="s")
        for name in ("alice", "bob")
    ]
    accepted = Record("R1", "end-of-message", "accept", sender="s@x.test", message_id="<m@x>")
    delivered = [
        Record("R1", "delivery", "junk", recipient="alice+x@b.test", subject="user alice@b.test"),
        Record("R1", "delivery", "deliver", recipient="bob@b.test", subject="user bob@b.test"),
        Record("R1", "delivery", "reject", recipient="nobody@b.test", subject="domain b.test"),
        Record("R1", "delivery", "deliver", recipient="far@c.test", subject="internet"),
        Record("R1", "delivery", "deliver", recipient="sales@b.test", subject="user eve@c.test"),
    ]
    others = [
        Record("R2", "end-of-message", "accept", sender="s@x.test", message_id="<m@x>"),
        Record("R2", "delivery", "deliver", recipient="bob@b.test", subject="user bob@b.test"),
    ]
    rows = [*both, accepted, *delivered, *others]
    assert visible(rows, "alice@b.test", ()) == [both[0], accepted, delivered[0]]
    assert visible(rows, "carol@b.test", ()) == []
    assert visible(rows, "dan@d.test", {"b.test"}) == [*both, accepted, *delivered[:3], *others]
    assert visible(rows, "eve@c.test", ()) == [accepted, delivered[4]]
    assert visible(rows, "eve@c.test", {"c.test"}) == [accepted, *delivered[3:]]


def test_only_root_asks_for_somebody_else(
    settings: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main([*settings, "why", "REF1", "--as", "alice@example.test"]) == 77
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "iems: only root may act as somebody else\n"
