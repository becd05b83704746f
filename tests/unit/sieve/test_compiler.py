"""What becomes of rules in Sieve, and where a script asks what it has done."""

from __future__ import annotations

import email
import email.message
import email.policy

import pytest

from sieve.compiling.compiler import Compiled, compile_rules
from sieve.compiling.rcpt import Blocked
from sieve.compiling.site import AfterQueue, Site
from sieve.diagnostic import Severity
from sieve.mailsort.rule import (
    Action,
    AddressTest,
    Condition,
    Copy,
    Delete,
    Discard,
    Flag,
    Forward,
    Group,
    HeaderTest,
    Mailsort,
    MarkRead,
    Move,
    Notify,
    Operator,
    Party,
    Quantity,
    Reject,
    Reply,
    Rule,
    Stop,
    Vacation,
)
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE, Profile
from sieve.script.tree import Text, nodes

BOUNCING = Site(reject_after_queue=AfterQueue.BOUNCE, rcpt=False)
NOT_JUNK = 'if not header :matches "X-IEMS-Verdict" "junk;*"'


def _sender(*values: str) -> AddressTest:
    return AddressTest(Party.ENVELOPE_FROM, Operator.IS, values)


def _domain(*values: str) -> AddressTest:
    return AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, values)


def _compiled(
    *rules: Action | tuple[Condition | None, Action], away: bool = False, site: Site = BOUNCING
) -> Compiled:
    listed = tuple(
        Rule(str(place), *(one[0], (one[1],)) if isinstance(one, tuple) else (None, (one,)))
        for place, one in enumerate(rules)
    )
    vacation = Vacation("away") if away else None
    return compile_rules(Mailsort(listed, vacation), PIGEONHOLE, site)


def _text(*rules: Action | tuple[Condition | None, Action], away: bool = False) -> str:
    return to_text(_compiled(*rules, away=away).script)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Move("Bills"), 'fileinto :create "Bills";'),
        (Copy("Bills"), 'fileinto :copy :create "Bills";'),
        (Copy("inbox"), 'fileinto :copy :create "INBOX";'),
        (Delete(), 'fileinto :create "Trash";'),
        (Forward(("a@b.example",)), f'{NOT_JUNK} {{\n    redirect "a@b.example";\n}}'),
        (Flag(("\\Flagged", "x")), 'addflag ["\\\\Flagged", "x"];'),
        (MarkRead(), 'addflag "\\\\Seen";'),
        (Discard(), "discard;\nstop;"),
        (Reject("no"), 'reject "no";\nstop;'),
        (Notify("a@b.example", "new & good"), 'notify "mailto:a@b.example?body=new%20%26%20good";'),
        (Stop(), "stop;"),
    ],
)
def test_an_action_is_a_command(action: Action, expected: str) -> None:
    assert _text(action).endswith(f"# 0\n{expected}\n")


def _body(*rules: Action | tuple[Condition | None, Action], away: bool = False) -> list[str]:
    """Without what is required, comments, and the blanks before a line."""
    text = _text(*rules, away=away)
    lines = [line.strip() for line in text[text.index("#") :].splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


A, B = _sender("a@x.example"), _sender("b@x.example")
IS_A = 'if envelope :is "from" "a@x.example" {'
REMEMBER = 'set "handled" "yes";'
UNLESS = 'if string :is "${handled}" "" {'


@pytest.mark.parametrize(
    ("rules", "asks"),
    [
        (((A, Copy("F")), Reject("no")), True),
        (((A, Forward(("a@b.example",))), Reject("no")), True),
        (((A, Reply("hi")), Reject("no")), True),
        (((A, Flag(("x",))), Reject("no")), False),
        (((A, Notify("a@b.example")), Reject("no")), False),
        (((A, Copy("F")), (B, Reject("no"))), False),
        (((A, Discard()), Reject("no")), False),
        (((_domain("x.example"), Copy("F")), (B, Reject("no"))), True),
        (((A, Copy("F")), (_domain("example"), Reject("no"))), True),
        (
            ((A, Copy("F")), (_domain("y.example"), Reject("no"))),
            False,
        ),
    ],
)
def test_a_refusal_asks_what_was_done_where_an_earlier_rule_may_have_met_the_message(
    rules: tuple[Action, ...], asks: bool
) -> None:
    assert (UNLESS in _body(*rules)) is asks
    assert (REMEMBER in _body(*rules)) is asks


def test_what_is_refused_after_it_was_handled_is_not_kept() -> None:
    assert _body((A, Copy("F")), Reject("no")) == [
        IS_A,
        'fileinto :copy :create "F";',
        REMEMBER,
        "}",
        UNLESS,
        'reject "no";',
        "} else {",
        "discard;",
        "}",
        "stop;",
    ]


def test_a_rule_that_files_refuses_nothing() -> None:
    rule = Rule("0", None, (Copy("F"), Reject("no")))
    script = compile_rules(Mailsort((rule,)), PIGEONHOLE, BOUNCING).script
    assert to_text(script).endswith('# 0\nfileinto :copy :create "F";\ndiscard;\nstop;\n')


@pytest.mark.parametrize(
    ("rules", "asks"),
    [
        ((Copy("F"), Copy("F")), False),
        ((Copy("F"), Flag(("x",)), Copy("F")), True),
        ((Flag(("x",)), Copy("F"), Copy("F")), False),
        ((Copy("F"), Flag(("x",)), Copy("G")), False),
        (((A, Copy("F")), Flag(("x",)), (B, Copy("F"))), False),
    ],
)
def test_a_folder_asks_where_flags_may_have_come_between(
    rules: tuple[Action, ...], asks: bool
) -> None:
    assert ('string :is "${filed_1}" ""' in _text(*rules)) is asks


def test_who_moves_what_was_copied_there_takes_it_out_of_inbox() -> None:
    assert _body(Copy("F"), Move("F"))[-2:] == ['fileinto :create "F";', "discard;"]
    assert _body((A, Copy("F")), (B, Move("F")))[-2:] == ['fileinto :create "F";', "}"]
    forwards = _body(Forward(("a@b.example",), keep=True), Forward(("a@b.example",)))
    assert forwards[-3:] == ['redirect "a@b.example";', "discard;", "}"]


def test_an_address_is_one_in_any_case_of_its_letters() -> None:
    both = _text(Forward(("A@b.example", "a@B.example"), keep=True), Forward(("a@b.example",)))
    assert both.count("redirect") == 2
    assert both.endswith('    redirect "A@b.example";\n    discard;\n}\n')


def test_one_reply_is_sent() -> None:
    once = 'string :is "${answered}" ""'
    assert once not in _text(Reply("hi"))
    assert once in _text(Reply("hi"), Reply("ho"))
    assert once in _text(Reply("hi"), away=True)
    assert once not in _text(Copy("F"), away=True)


def test_a_vacation_answers_nothing_that_a_rule_refuses() -> None:
    assert _body((A, Reject("no")), away=True)[:4] == [
        "if allof (",
        'not header :matches "X-IEMS-Verdict" "junk;*",',
        'not envelope :is "from" "a@x.example"',
        ") {",
    ]
    compiled = _compiled(Reject("no"), away=True)
    assert "vacation" not in to_text(compiled.script)
    assert [one.severity for one in compiled.remarks] == [Severity.WARNING]


def test_what_a_message_may_meet_is_counted_up_to_each_end() -> None:
    copies = tuple(Copy(f"F{place}") for place in range(32))
    assert not _compiled(*copies, copies[0]).remarks
    (remark,) = _compiled(*copies, Copy("more")).remarks
    assert (remark.severity, remark.rule) == (Severity.ERROR, "32")
    (remark,) = _compiled(*copies, away=True).remarks
    assert (remark.severity, remark.rule) == (Severity.ERROR, "31")
    apart = tuple((_sender(f"{place}@x.example"), copy) for place, copy in enumerate(copies))
    assert not _compiled(*apart, Copy("more"), away=True).remarks
    four = Forward(tuple(f"{place}@y.example" for place in range(4)))
    assert not _compiled(four, four).remarks
    one_more = Forward(("more@y.example",))
    assert not _compiled((A, four), (B, one_more)).remarks
    (remark,) = _compiled((A, four), (A, one_more)).remarks
    assert (remark.severity, remark.rule) == (Severity.ERROR, "1")


def test_what_comes_after_the_end_of_every_message_is_told_and_left_out() -> None:
    compiled = _compiled(Discard(), Copy("F"))
    assert [(one.severity, one.rule) for one in compiled.remarks] == [(Severity.NOTE, "0")]
    assert "fileinto" not in to_text(compiled.script)


def test_a_server_without_an_extension_is_told_of_or_done_without() -> None:
    bare = Profile(extensions=frozenset({"fileinto", "ereject"}))
    compiled = compile_rules(Mailsort((Rule("x", None, (Move("F"),)),)), bare, BOUNCING)
    assert [one.severity for one in compiled.remarks] == [Severity.WARNING]
    assert to_text(compiled.script).endswith('# x\nfileinto "F";\n')
    refused = compile_rules(Mailsort((Rule("x", None, (Reject("no"),)),)), bare, BOUNCING)
    assert to_text(refused.script).endswith('# x\nereject "no";\nstop;\n')
    copied = compile_rules(Mailsort((Rule("x", None, (Copy("F"),)),)), bare, BOUNCING)
    assert [(one.severity, one.rule) for one in copied.remarks] == [
        (Severity.WARNING, ""),
        (Severity.ERROR, "x"),
    ]


@pytest.mark.parametrize(
    ("condition", "action"),
    [
        (None, Forward(("no address",))),
        (None, Forward(("a@b.example, c@d.example",))),
        (None, Notify("ä@b.example")),
        (None, Move("")),
        (None, Move("a//b")),
        (None, Move("~a")),
        (None, Move("../a")),
        (None, Move("a\nb")),
        (None, Move("é" * 130)),
        (HeaderTest("a b", Operator.EXISTS), Stop()),
        (HeaderTest("Subject", Operator.IS), Stop()),
        (HeaderTest("Subject", Operator.IN_DOMAIN, ("x",)), Stop()),
        (HeaderTest("Subject", Operator.REGEX, ("(",)), Stop()),
        (HeaderTest("Subject", Operator.MATCHES, ("a*", "b*\\")), Stop()),
        (HeaderTest("a::", Operator.IS, ("a",)), Stop()),
    ],
)
def test_what_no_server_takes_is_an_error_with_the_name_of_its_rule(
    condition: Condition | None, action: Action
) -> None:
    compiled = _compiled((condition, action), MarkRead())
    assert [(one.severity, one.rule) for one in compiled.remarks] == [(Severity.ERROR, "0")]


def test_levels_of_folders_are_parted_as_on_the_server() -> None:
    dots = Site(separator=".")
    assert 'fileinto :create "Work.Shop";' in to_text(
        _compiled(Move("Work/Shop"), site=dots).script
    )
    (remark,) = _compiled(Move("v1.0"), site=dots).remarks
    assert remark.severity is Severity.ERROR


SITE = Site()
"""Refuses at RCPT, and files what it cannot refuse as junk."""


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ((), True),
        (((B, Move("F")),), True),
        (((_domain("y.example"), Stop()),), True),
        ((MarkRead(),), True),
        (((_domain("x.example"), Reject("no")),), True),
        ((Copy("F"),), False),
        (((HeaderTest("Subject", Operator.EXISTS), Stop()),), False),
        (((_domain("example"), Stop()),), False),
        (((HeaderTest("Subject", Operator.EXISTS), Notify("a@b.example")),), False),
    ],
)
def test_who_is_refused_by_his_address_alone_is_told_at_rcpt(
    before: tuple[Action, ...], told: bool
) -> None:
    compiled = _compiled(*before, (A, Reject("go away")), site=SITE)
    own = Blocked(str(len(before)), Operator.IS, ("a@x.example",), "go away")
    assert (own in compiled.blocked) is told
    assert ("Junk" in to_text(compiled.script)) is not told
    assert any(one.severity is Severity.WARNING for one in compiled.remarks) is not told


@pytest.mark.parametrize(
    "condition",
    [
        None,
        _sender(""),
        _sender("postmaster"),
        AddressTest(Party.FROM, Operator.IS, ("a@x.example",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.MATCHES, ("*@x.example",)),
        Group(Quantity.NONE, (A,)),
        Group(Quantity.ALL, (A, HeaderTest("Subject", Operator.EXISTS))),
        Group(Quantity.ANY, (A, HeaderTest("Subject", Operator.EXISTS))),
    ],
)
def test_what_needs_more_than_the_sender_is_not_told_at_rcpt(condition: Condition | None) -> None:
    assert not _compiled((condition, Reject("no")), site=SITE).blocked


def test_several_senders_of_one_rule_are_told_with_its_text() -> None:
    either = Group(Quantity.ANY, (A, _domain("y.example")))
    assert _compiled((either, Reject("no")), site=SITE).blocked == (
        Blocked("0", Operator.IS, ("a@x.example",), "no"),
        Blocked("0", Operator.IN_DOMAIN, ("y.example",), "no"),
    )


def test_html_and_long_lines_are_parts_that_read_back() -> None:
    text, html = "Grüße\n.\n" + "long " * 300, "<p>Grüße =_iems</p>"
    away = Vacation(text, html=html)
    script = compile_rules(Mailsort((), away), PIGEONHOLE, BOUNCING).script
    command = next(one for one in nodes(script.commands) if one.name == "vacation")
    entity = command.arguments[-1]
    assert isinstance(entity, Text)
    assert max(map(len, entity.value.splitlines())) <= 78
    message = email.message_from_string(entity.value, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    assert message.get_content_type() == "multipart/alternative"
    plain, better = message.iter_parts()
    assert (plain.get_content_type(), plain.get_content()) == ("text/plain", text)
    assert (better.get_content_type(), better.get_content()) == ("text/html", html)
    assert ":mime" in to_text(compile_rules(Mailsort((), Vacation("x" * 999)), PIGEONHOLE).script)
    assert ":mime" not in to_text(compile_rules(Mailsort((), Vacation("x")), PIGEONHOLE).script)


def test_a_thousand_rules_are_stable_and_take_no_time_for_each_other() -> None:
    """Each asks of those before it: an index, and no pairs."""
    rules = tuple(
        Rule(f"r{at}", _sender(f"{at}@x.example"), (MarkRead(), Copy("F"), Reply("x"), Reject("n")))
        for at in range(1000)
    )
    first = compile_rules(Mailsort(rules), PIGEONHOLE, BOUNCING)
    assert first == compile_rules(Mailsort(rules), PIGEONHOLE, BOUNCING)
    assert len(first.script.commands) == 1000
