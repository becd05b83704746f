"""`header/<rule>`: the finding of a rule, and the settings that make one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.envelope import LOCAL, SUBMISSION
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from milters.checks import header
from milters.checks.protocol import Check, Stage
from tests.unit.checks.world import OWN, Answers, tools, view

CLIENT = "192.0.2.1"
KEY = "checks.header.words"
WORDS = {"field": "Subject", "test": "contains", "value": "casino"}


def check(**options: object) -> Check:
    table = {**WORDS, **options}
    if table["test"] in {"present", "absent"}:
        del table["value"]
    (one,) = header.make("words", header.parse(table, KEY), tools(Answers()))
    assert one.stage is Stage.HEADERS
    return one


def finding(head: bytes, deadline: Deadline | None = None, **options: object) -> Finding:
    pending = check(**options).start(view(CLIENT, header=head), deadline or Deadline.after(5))
    (one,) = pending.result()
    assert pending.result() == (one,)
    assert one.check == "header/words"
    return one


def test_a_match_tells_field_occurrence_and_value() -> None:
    seen = finding(b"Subject: x\nSubject: =?utf-8?q?M=C3=BCller=27s_CASINO?=\n")
    assert (seen.outcome, seen.band) == ("matched", "matched")
    assert seen.reason == "the message matches rule words about field Subject"
    assert dict(seen.evidence) == {
        "field": "Subject",
        "occurrence": "2",
        "value": "M?ller's CASINO",
    }


def test_no_match_is_clear() -> None:
    seen = finding(b"Subject: x\n")
    assert (seen.outcome, seen.band, seen.reason) == ("clear", "", "")


def test_an_absent_field_has_no_value_to_tell() -> None:
    seen = finding(b"X: x\n", test="absent")
    assert seen.band == "matched"
    assert dict(seen.evidence) == {"field": "Subject"}


def test_more_than_is_read_is_temporary() -> None:
    seen = finding(b"Subject: x\n" * 101)
    assert (seen.outcome, seen.band) == ("temperror", "temperror")
    assert "Subject" in seen.reason


def test_a_body_that_took_long_changes_nothing() -> None:
    assert finding(b"Subject: casino\n", Deadline.after(0)).band == "matched"


def test_channels_say_whose_mail_is_looked_at_and_networks_do_not() -> None:
    head = b"Subject: casino\n"
    assert check().start(view(OWN, header=head), Deadline.after(5)).result()
    for channel in (SUBMISSION, LOCAL):
        known = view(CLIENT, header=head, channel=channel)
        assert check().start(known, Deadline.after(5)).result() == ()
        assert not check().applies(known)
        assert check(channels=[channel]).start(known, Deadline.after(5)).result()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"field": "Sub ject"}, f"{KEY}.field is 'Sub ject'; expected the name of a header field"),
        ({"test": "is"}, f"{KEY}.test is 'is'; expected one of present, absent, equals"),
        ({"value": "(?!x)", "test": "matches"}, f"{KEY}.value is '(?!x)'; expected a pattern"),
        ({"test": "present"}, f"{KEY}.value is 'casino'; expected none with the test present"),
        ({"decoded": "no"}, f"{KEY}.decoded is 'no'; expected true or false"),
        ({"regex": "x"}, f"{KEY}.regex is no setting"),
    ],
)
def test_options_are_checked(options: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        header.parse({**WORDS, **options}, KEY, lambda key: f"file of {key}")
    (fault,) = caught.value.faults
    assert fault.startswith(f"file of {KEY}.")
    assert told in fault


def test_a_missing_value_is_missing() -> None:
    with pytest.raises(SettingsError, match=r"value is missing; expected a value with the test eq"):
        header.parse({"field": "Subject", "test": "equals"}, KEY)
    with pytest.raises(SettingsError, match=r"field is missing"):
        header.parse({"test": "present"}, KEY)


@given(st.binary(max_size=300))
def test_no_header_raises(value: bytes) -> None:
    for test in ("contains", "matches", "equals"):
        seen = finding(b"Subject:" + value, test=test)
        assert "".join([seen.reason, *(text for _name, text in seen.evidence)]).isascii()
