"""A Sieve tree as text: quoting, layout, and what is required."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sieve.commands.pigeonhole import outcome
from sieve.script.printer import requires, to_text
from sieve.script.profile import PIGEONHOLE
from sieve.script.tree import (
    Argument,
    Command,
    Number,
    Script,
    Tag,
    Text,
    Texts,
    command,
    negated,
)
from sieve.script.tree import Test as Asked  # pytest takes names with `test` for its own
from sieve.script.tree import test as asked


def text(*commands: Command, comment: tuple[str, ...] = ()) -> str:
    """As printed."""
    return to_text(Script(commands, comment))


def condition(one: Asked, *block: Command, name: str = "if", comment: str = "") -> Command:
    """With a block."""
    return Command(name, (), one, block, (comment,) if comment else ())


def test_an_empty_script_is_an_empty_text() -> None:
    assert text() == ""
    assert text(comment=("Nothing.",)) == "# Nothing.\n"


def test_what_is_required_is_computed_from_what_is_used() -> None:
    script = Script(
        (
            condition(
                asked("address", Tag("detail"), Tag("regex"), Text("to"), Text("^x")),
                command("fileinto", Tag("copy"), Tag("create"), Text("a")),
                command("keep", Tag("flags"), Text("\\Seen")),
            ),
            condition(
                asked("header", Tag("comparator"), Text("i;octet"), Text("a"), Text("b")),
                command("vacation", Tag("seconds"), Number(60), Text("x")),
            ),
            condition(
                asked(
                    "header",
                    Tag("value"),
                    Text("gt"),
                    Tag("comparator"),
                    Text("i;ascii-numeric"),
                    Text("a"),
                    Text("1"),
                )
            ),
        )
    )
    assert requires(script) == (
        "comparator-i;ascii-numeric",
        "copy",
        "fileinto",
        "imap4flags",
        "mailbox",
        "regex",
        "relational",
        "subaddress",
        "vacation",
        "vacation-seconds",
    )
    assert to_text(script).startswith(
        'require ["comparator-i;ascii-numeric", "copy", "fileinto", "imap4flags",\n'
        '    "mailbox", "regex", "relational", "subaddress", "vacation",\n'
        '    "vacation-seconds"];\n\nif address'
    )


def test_a_variable_requires_its_extension_and_the_same_letters_do_not() -> None:
    assert requires(Script((command("keep"), command("redirect", Text("${x}"))))) == ()
    assert requires(Script((command("redirect", Text("${x}", expand=True)),))) == ("variables",)
    assert requires(Script((command("redirect", Text("$x", expand=True)),))) == ()


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ('say "no"', r'"say \"no\""'),
        ("back\\slash", r'"back\\slash"'),
        ("${hex:41} ${x}", '"${hex:41} ${x}"'),
        ("Grüße\t\x01", '"Grüße\t\x01"'),
        ("two\r\nlines", '"two\nlines"'),
        ("", '""'),
    ],
)
def test_a_string_is_quoted(value: str, quoted: str) -> None:
    assert text(command("redirect", Text(value))) == f"redirect {quoted};\n"


@pytest.mark.parametrize("value", ["\0", "a\rb", "\r", "\ud800", "\r\r\n"])
def test_what_has_no_form_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="a text has"):
        text(command("redirect", Text(value)))


def test_literal_dollars_are_protected_where_variables_are_on() -> None:
    printed = text(
        command("set", Text("x"), Text("${X} ${dollar}{y} $${z} ${ no} ${hex:41}")),
        command("redirect", Text("${x}@a", expand=True)),
    )
    assert printed == (
        'require "variables";\n\n'
        'set "dollar" "$";\n'
        'set "x" "${dollar}{X} ${dollar}{dollar}{y} $${dollar}{z} ${ no} ${hex:41}";\n'
        'redirect "${x}@a";\n'
    )


def test_dollar_is_set_only_where_it_is_used() -> None:
    assert "dollar" not in text(command("set", Text("x"), Text("$")))
    assert "dollar" in text(command("set", Text("x"), Text("${Dollar}{a} ${x}", expand=True)))
    with pytest.raises(ValueError, match="'dollar' is the printer's"):
        text(command("set", Text("Dollar"), Text("5")))


def test_whole_lines_are_printed_as_lines() -> None:
    printed = text(command("reject", Text('Hello "you"\\\n.\n..two\n\nend\n')))
    assert printed == (
        'require "reject";\n\nreject text:\nHello "you"\\\n..\n...two\n\nend\n.\n;\n'
    )
    assert text(command("reject", Text("no\nend"))).endswith('reject "no\nend";\n')
    tested = Command("keep", (Text("a\n"),), asked("true"))
    assert text(tested) == 'keep "a\n" true;\n'


@pytest.mark.parametrize(
    ("argument", "printed"),
    [
        (Number(0), "0"),
        (Number(100), "100"),
        (Number(1024), "1K"),
        (Number(3 << 20), "3M"),
        (Number(1 << 30), "1G"),
        (Number(2**31 - 1), "2147483647"),
    ],
)
def test_sizes_are_printed_by_their_units(argument: Argument, printed: str) -> None:
    assert text(condition(asked("size", Tag("over"), argument), command("stop"))) == (
        f"if size :over {printed} {{\n    stop;\n}}\n"
    )


def test_days_have_no_units() -> None:
    printed = text(command("vacation", Tag("seconds"), Number(2048), Text("x")))
    assert 'vacation :seconds 2048 "x";' in printed


@pytest.mark.parametrize("value", [-1, 2**31])
def test_a_number_that_sieve_has_not_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="no number of Sieve"):
        text(condition(asked("size", Tag("over"), Number(value))))


@pytest.mark.parametrize(
    "one",
    [
        command("keep;discard"),
        command("keep", Tag("x")),
        command("header"),
        condition(asked("keep")),
        condition(asked("exists", Texts(()))),
    ],
)
def test_what_the_grammar_does_not_know_is_refused(one: Command) -> None:
    with pytest.raises(ValueError, match=r"known|no tag|empty list"):
        text(one)


def test_a_list_of_one_is_a_string() -> None:
    assert text(condition(asked("exists", Texts.of("a")), command("stop"))) == (
        'if exists "a" {\n    stop;\n}\n'
    )


def test_comments_cannot_end_before_their_line_does() -> None:
    printed = text(
        Command("stop", comment=("a\ndiscard;\r\x85b\0 ", "")),
        comment=("top\u2028discard;",),
    )
    assert printed == "# top\n# discard;\n\n# a\n# discard;\n#\n# b\n#\nstop;\n"


def test_the_layout_is_pleasant() -> None:
    shop = asked("header", Tag("contains"), Text("subject"), Texts.of("invoice", "bill"))
    many = asked("address", Tag("domain"), Text("from"), Texts.of(*("shop.example",) * 6))
    printed = text(
        condition(
            Asked("anyof", (), (shop, many, negated(Asked("allof", (), (shop, shop))))),
            command("fileinto", Text("Invoices")),
            condition(negated(many), command("stop")),
            command("keep"),
            comment="Invoices",
        ),
        condition(shop, command("discard"), name="elsif"),
        condition(shop, command("keep"), name="elsif", comment="Others"),
        Command("else", (), None, ()),
        command("stop"),
        comment=("Rules",),
    )
    domains = ",\n".join(["            " + '"shop.example"'] * 6)
    assert (
        printed
        == f"""# Rules
require "fileinto";

# Invoices
if anyof (
    header :contains "subject" ["invoice", "bill"],
    address :domain "from" [
{domains.replace("            ", "        ")}
    ],
    not allof (
        header :contains "subject" ["invoice", "bill"],
        header :contains "subject" ["invoice", "bill"]
    )
) {{
    fileinto "Invoices";
    if not address :domain "from" [
{domains.replace("            ", "        ")}
    ] {{
        stop;
    }}

    keep;
}} elsif header :contains "subject" ["invoice", "bill"] {{
    discard;
}}
# Others
elsif header :contains "subject" ["invoice", "bill"] {{
    keep;
}} else {{
}}

stop;
"""
    )
    assert max(map(len, printed.splitlines())) <= 80


@settings(max_examples=15)
@given(
    st.lists(
        st.sampled_from(
            ["${x}", "${1}", "${dollar}", "{x}", "$", "${", "}", '"', "\\", "ü", "?", "a"]
        ),
        min_size=1,
        max_size=8,
    ).map("".join)
)
@example("${dollar}{x} ${DOLLAR} $${x}")
@example('\\"${x}\\\\')
def test_pigeonhole_reads_what_was_meant(value: str) -> None:
    script = Script((command("set", Text("x"), Text("no")), command("reject", Text(value))))
    assert outcome(script, b"Subject: x\n\n", PIGEONHOLE).rejected == value
    expanded = Script((*script.commands[:1], command("reject", Text("${x}!", expand=True))))
    assert outcome(expanded, b"Subject: x\n\n", PIGEONHOLE).rejected == "no!"
