"""Rules of others that want to cost too much: there are bounds, and what is beyond them is told."""

from __future__ import annotations

import importlib
import time

import pytest

from sieve.importing.imported import MOST, Imported

FEED = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:apps="http://schemas.google.com/apps/2006">'
FILTER = 'name="a"\naction="Mark read"\ncondition="{}"\n'
ANYONE = "OR (all addresses,contains,x) "
"""Four tests."""

LANGUAGES = ("procmail", "maildrop", "forward", "gmail", "thunderbird")


def read(language: str, text: str) -> Imported:
    imported: Imported = importlib.import_module(f"sieve.importing.{language}").read(text.encode())
    return imported


def feed(query: str) -> str:
    """One filter of Gmail."""
    properties = {"hasTheWord": query, "label": "a"}
    inner = [f'<apps:property name="{name}" value="{one}"/>' for name, one in properties.items()]
    return f"{FEED}<entry>{''.join(inner)}</entry></feed>"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_that_is_too_large_is_not_read(language: str) -> None:
    imported = read(language, "\n" * MOST + "a")
    assert not imported.mailsort.rules
    assert f"at most {MOST} are read" in str(imported.remarks)


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("procmail", ":0\n{\n" * 10_000, "blocks are nested more than 20 deep"),
        ("procmail", f":0\n* ^A: {'(' * 1500}\nf/\n", "nested more than 15 deep"),
        ("procmail", f":0\n* ^A: {'a' * 2100}\nf/\n", "more than 2000 characters"),
        ("procmail", f":0\n* ^A: {'a' * 1900}\nf/\n" * 110, "more than 200000 characters"),
        ("maildrop", "if (1) {\n" * 10_000, "blocks are nested more than 30 deep"),
        ("maildrop", "if (1)\n" * 10_000, "blocks are nested more than 30 deep"),
        ("maildrop", f"if ({'(' * 10_000}", "expressions are nested more than 30 deep"),
        ("maildrop", f"if ({'!' * 10_000}", "expressions are nested more than 30 deep"),
        ("maildrop", f"to {'tolower(' * 10_000}", "expressions are nested more than 30 deep"),
        ("maildrop", "\n" * 200_001, "more than 200000 words"),
        (
            "forward",
            "".join(f"a{one}@b.example\n" for one in range(101)),
            "more than 100 addresses",
        ),
        ("gmail", FEED + "<a>" * 10_000, "elements are nested more than 20 deep"),
        ("gmail", feed("(" * 400), "nested more than 10 deep"),
        ("gmail", feed("-" * 10_000 + "a"), "nested more than 10 deep"),
        ("gmail", feed("a " * 501), "more than 500 words"),
        ("thunderbird", FILTER.format("AND (subject,is,x) " * 501), "its condition goes on with"),
        ("thunderbird", FILTER.format("ALL") * 10_001, "more than 10000 rules"),
        ("thunderbird", FILTER.format(ANYONE * 500) * 51, "or 100000 tests"),
    ],
)
def test_what_is_too_much_is_told(language: str, text: str, told: str) -> None:
    assert told in str(read(language, text).remarks)


@pytest.mark.parametrize(
    ("language", "head", "piece"),
    [
        ("procmail", ":0\n* ^A: ", "(a|"),
        ("procmail", "A=", "$A"),
        ("maildrop", "", "${"),
        ("maildrop", "", "${a"),
        ("maildrop", "", "/"),
        ("maildrop", "to ", '"a"'),
        ("forward", "", '"'),
        ("forward", '"', '\\"'),
        ("forward", "a", " "),
        ("forward", "", "<a>"),
        ("gmail", FEED, "<entry>"),
        ("thunderbird", 'name="', '\\"'),
        ("thunderbird", FILTER.partition("{")[0], 'AND (\\"'),
    ],
)
def test_no_text_takes_long(language: str, head: str, piece: str) -> None:
    begin = time.process_time()
    read(language, f"{head}{piece * (100_000 // len(piece))}\n")
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "entities",
    [
        '<!ENTITY a "b">',
        '<!ENTITY a "b"><!ENTITY c "&a;&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a SYSTEM "http://example.org/"> %a;',
    ],
)
def test_no_entity_is_expanded(entities: str) -> None:
    text = feed("&a;").replace("<feed", f"<!DOCTYPE feed [{entities}]><feed", 1)
    imported = read("gmail", text)
    assert not imported.mailsort.rules
    assert "it has a document type" in str(imported.remarks)
    assert not read("gmail", feed("&a;")).mailsort.rules
