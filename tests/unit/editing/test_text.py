"""Templates of texts: what is wrong with one is told at once, and values do no harm."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from iems.directory.person import NOBODY, Person, person
from iems.editing.assembly import Plan, build_edits
from iems.editing.text import Text
from iems.edits.place import Place
from iems.edits.text import Sealed
from iems.model.address import Address
from iems.settings.load import from_table, read_files
from iems.settings.read import SettingsError
from tests.conftest import ROOT

HEAD = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
"""
ALICE = Address.parse("alice@example.test")
PLAIN = """{{ name }}{% if mobile %}, {{ mobile }}{% endif %}

  {% if title %}
{{ title }}
{% endif %}
Phone {{ phone }}
"""
HTML = "<p><b>{{ name }}</b>{% if title %}<br>{{ title }}{% endif %}<br>Phone {{ phone }}</p>"
MESSAGE = b"From: alice@example.test\r\nSubject: hello\r\n\r\nHello.\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plain").write_text(PLAIN)
    (tmp_path / "html").write_text(HTML)
    return tmp_path


def plan(folder: Path, *options: str, label: str = "footer") -> Plan:
    lines = (f'plain = "{folder}/plain"', *options)
    return build_edits(
        from_table(tomllib.loads(HEAD + f"[edits.text.{label}]\n" + "\n".join(lines)))
    )


def text(folder: Path, *options: str) -> Text:
    [one] = plan(folder, *options).edits
    assert isinstance(one.editor, Text)
    return one.editor


def of(**values: str) -> Person:
    return person(values, ALICE)


def test_values_are_put_in_and_what_is_missing_leaves_its_line_out(folder: Path) -> None:
    made = text(folder, f'html = "{folder}/html"')
    block = made.block(of(name="Alice", title="Head", phone="1"))
    assert block.lines == "Alice\n\nHead\nPhone 1"
    assert block.fragment == "<p><b>Alice</b><br>Head<br>Phone 1</p>"
    block = made.block(of(name="Alice"))
    assert block.lines == "Alice\n\nPhone"
    assert block.fragment == "<p><b>Alice</b><br>Phone </p>"
    assert (block.place, block.signed, block.renew) == (Place.BOTTOM, Sealed.SKIP, True)


def test_what_an_editor_puts_before_utf_8_is_no_text(folder: Path) -> None:
    (folder / "plain").write_bytes(
        b"\xef\xbb\xbf{% if title %}\r\n{{ title }}\r\n{% endif %}\r\nBye"
    )
    assert text(folder).block(of()).lines == "Bye"
    assert text(folder).block(of(title="Head")).lines == "Head\nBye"


def test_a_value_is_one_line_and_no_html(folder: Path) -> None:
    made = text(folder, f'html = "{folder}/html"')
    block = made.block(of(name="<i>A&B</i>\r\n\x00\tC", title="{{ mail }}", phone="9" * 900))
    assert block.lines.split("\n") == ["<i>A&B</i> C", "", "{{ mail }}", "Phone " + "9" * 400]
    assert "<b>&lt;i&gt;A&amp;B&lt;/i&gt; C</b><br>{{ mail }}<br>" in block.fragment


def test_an_edit_is_a_splice_and_the_options_say_how(folder: Path) -> None:
    options = ('place = "top"', 'signed = "reject"', 'encrypted = "wrap"', 'earlier = "keep"')
    made = text(folder, *options)
    block = made.block(NOBODY)
    assert (block.place, block.signed, block.encrypted) == (Place.TOP, Sealed.REJECT, Sealed.WRAP)
    assert (block.marker, block.renew) == ("footer", False)
    edit = made.of(of(name="Alice", phone="1")).edit(MESSAGE)
    assert edit.of(MESSAGE) == MESSAGE.replace(b"Hello.", b"Alice\r\n\r\nPhone 1\r\n\r\nHello.")


@pytest.mark.parametrize(("earlier", "count"), [("keep", 2), ("renew", 1), ("skip", 1)])
def test_the_same_text_in_what_is_answered(folder: Path, earlier: str, count: int) -> None:
    made = text(folder, f'earlier = "{earlier}"', 'place = "above-quote"')
    alice = of(name="Alice", phone="1")
    answer = MESSAGE + b"\r\nBob wrote:\r\n> Hi\r\n> Alice\r\n>\r\n> Phone 1\r\n"
    edit = made.of(alice).edit(answer)
    after = edit.of(answer)
    assert after.count(b"Phone 1") == count
    assert (after == answer) is (earlier == "skip")
    assert edit.reason == ("it stands there already" if earlier == "skip" else "")
    # Where it has not been, each puts it in, and nobody puts it in twice.
    once = made.of(alice).edit(MESSAGE).of(MESSAGE)
    assert once.count(b"Phone 1") == 1
    assert made.of(alice).edit(once).of(once) == once


def test_a_template_that_fails_for_one_leaves_his_message_alone(folder: Path) -> None:
    (folder / "plain").write_text("x{% if phone %}{{ 1 // (phone | length - 3) }}{% endif %}")
    made = text(folder)
    assert made.of(of(phone="12")).edit(MESSAGE).splices
    edit = made.of(of(phone="123")).edit(MESSAGE)
    assert not edit.splices
    assert edit.reason.startswith("its template fails with what the directory says: ")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{% if name %}", "plain: {folder}/plain, line 1: Unexpected end of template"),
        ("a\n{{ nam }}", "plain: {folder}/plain: it names nam; known: name, given_name, surname"),
        ("{{ range(9) }}", "it names range; known: "),
        ("{{ name.__class__.__mro__ }}", "access to attribute '__class__'"),
        ("{% include 'x' %}", "it includes another; expected one file"),
        ("{{ 1 // 0 }}", "with what is known of nobody: "),
        ("{{ name[99] }}", "with what is known of nobody: "),
        ("\n \n", "with what is known of nobody: the plain text is empty"),
        ("{{ 'x' * 70000 }}", "it makes more than 65536 letters"),
        ("x" * 70000, "it has more than 65536 bytes"),
    ],
)
def test_faults_of_a_template(folder: Path, source: str, told: str) -> None:
    (folder / "plain").write_text(source)
    with pytest.raises(SettingsError) as error:
        plan(folder)
    [fault] = error.value.faults
    assert fault.startswith("settings: edits.text.footer")
    assert told.format(folder=folder) in fault


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ('html = "/nowhere/file"', "edits.text.footer.html: /nowhere/file: "),
        ('place = "middle"', "edits.text.footer.place is 'middle'; expected one of bottom"),
        ('direction = "up"', "edits.text.footer.direction is 'up'; expected one of any, outside"),
        ('senders = ["a@b c"]', "expected a list of addresses and domains"),
        ("sendrs = []", "edits.text.footer.sendrs is no setting; did you mean senders?"),
        ('plase = "top"', "edits.text.footer.plase is no setting; did you mean place?"),
        (
            'channels = ["internet"]\ndirection = "outside"',
            "edits.text.footer.direction is 'outside' for mail of the channel internet alone",
        ),
        (
            'channels = ["internet"]\nencrypted = "reject"',
            "edits.text.footer.encrypted is 'reject' for mail of the channel internet",
        ),
        (
            'channels = ["submission", "internet"]\nearlier = "skip"',
            "edits.text.footer.earlier is 'skip' for mail of the channel internet, whose sender",
        ),
    ],
)
def test_faults_of_options(folder: Path, option: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        plan(folder, option)
    assert told in str(error.value)


def test_html_that_is_not_whole_is_a_fault(folder: Path) -> None:
    (folder / "html").write_text("<p>{{ name }}</b></body>")
    with pytest.raises(SettingsError, match="the HTML cannot be put into a message"):
        plan(folder, f'html = "{folder}/html"')


def test_edits_stand_in_the_order_of_the_file_and_are_known_by_family_and_label() -> None:
    for table, told in (
        ("[edits.picture.x]\n", "edits.picture is no edit; known: text"),
        ('[edits.text."a b"]\n', "expected a name of letters, digits, - ."),
        ("[edits.text]\nfooter = 1\n", "edits.text.footer is 1; expected a table"),
    ):
        with pytest.raises(SettingsError) as error:
            from_table(tomllib.loads(HEAD + table))
        assert told in str(error.value)
    names = ("b", "a", "c")
    tables = "".join(f"[edits.text.{name}]\n" for name in names)
    found = from_table(tomllib.loads(HEAD + tables)).edits
    assert [one.name for one in found] == [f"text/{name}" for name in names]


def test_another_template_is_another_state_of_the_settings(folder: Path) -> None:
    file = folder / "iems.toml"
    file.write_text(f'{HEAD}[edits.text.footer]\nplain = "{folder}/plain"\n')
    written = read_files(file)
    before = written.fingerprint(written.settings.milter)
    (folder / "plain").write_text("other")
    assert written.fingerprint(written.settings.milter) != before


def test_the_example_of_the_page_works_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs/edits.md").read_text()
    plain, html = re.findall(r"^```jinja\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    [tables] = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    texts = {"footer.txt": plain, "footer.html": html, "sales.txt": "x", "outside.txt": "y"}
    for name, source in texts.items():
        (tmp_path / name).write_text(source)
    found = build_edits(
        from_table(tomllib.loads(HEAD + tables.replace("/etc/iems/texts", str(tmp_path))))
    )
    assert [one.name for one in found.edits] == ["text/footer", "text/sales", "text/outside"]
    footer = found.edits[0].editor
    assert isinstance(footer, Text)
    assert footer.block(of(name="Alice", title="Head", organisation="E", place="B")).lines == (
        "Alice, Head\n\nE, ,  B"
    )
    assert "Alice\n\nPhone 1\n" in footer.block(of(name="Alice", phone="1")).lines
