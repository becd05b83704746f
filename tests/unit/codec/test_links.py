"""Whom links lead to, as browsers and mail programs read them and hostile senders write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.links import MOST, Kind, links, read_host
from iems.codec.texts import Text
from tests.cost import costs_less

_SIZE = 128 << 10
_SECONDS = 4.0
"""What takes 0.3 s of CPU at most, on a machine that may be busy; a quadratic one takes minutes."""


def found(text: str, *, html: bool = False) -> str:
    """The hosts, bare names behind a tilde and domains of mail addresses behind an at sign."""
    marks = {Kind.LINK: "", Kind.BARE: "~", Kind.MAIL: "@"}
    return " ".join(f"{marks[one.kind]}{one.host}" for one in links([Text(text, html)]))


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        (
            "see http://a.test/x.html, https://b.test: (ftp://c.test) <HTTPS://D.test.>",
            "a.test b.test c.test d.test",
        ),
        ("http://user:p@ss@a.test:80/?q=https://b.test/", "a.test b.test"),
        ("https://a.test\\x http:\\\\b.test", "a.test b.test"),
        (
            "www.a.test b.test. (c.test/path/x.y?z.w) 'd.test' 1,5 e.g. f.test:80",
            "~www.a.test ~b.test ~c.test ~d.test ~e.g ~f.test",
        ),
        ("john.doe@a.test, <x@b.test>", "@a.test @b.test"),
        ("http://localhost/ http:// http://. http://a..test http://-", ""),
        ("http://a.test http://a.test/ a.test", "a.test ~a.test"),
        ("http://a,b.test http://x&y.c.test", "~b.test c.test"),
    ],
)
def test_plain_text(text: str, hosts: str) -> None:
    assert found(text) == hosts


@pytest.mark.parametrize(
    "text",
    [
        '<a href="http://a.test/x">',
        "<A\nHREF = 'https:\\\\a.test'>",
        "<img src=//a.test/x.png>",
        '<form action="/\\a.test">',
        '<a href=" \x01h\ntt\tp:/a.\rtest">',
        '<a href="https:a.test">',
        '<a href="http&colon;&sol;&#x2f;a&period;t&#000101;st">',
        '<a href="&#47;/a.test">',
        '<a href="http://u&#64;a%2Etes%74/">',
        '<a title="> href=" href="//a.test">',
        '<a title=\'href="\' href="//a.test">',
        "<a title=don't href=//a.test>",
        '<a < href="//a.test">',
        '<!--><a href="//a.test"> -->',
        '<!-- <style> --><a href="//a.test">',
        '<style>x</STYLE><a href="//a.test">',
        '<a/href="//a.test"/>',
        "<p style=\"background:url('http://a.test/x')\">",
        '<!--[if mso]><a href="http://a.test"><![endif]-->',
        "<script>x('http://a.test')</script>",
        "text http&#58;//a.test/<br>",
        '<base href="http://a.test">',
    ],
)
def test_html(text: str) -> None:
    assert found(text, html=True) == "a.test"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ('<html xmlns="http://a.test"><!DOCTYPE "http://b.test">', ""),
        ("<style>p.test { } http://a.test/</style>b.test", "a.test ~b.test"),
        ('<a href="a.test/x">b.test<br>c.test</a>', "~a.test ~b.test ~c.test"),
        ('<a href="mailto:x@a.test,y@b%2Etest?cc=z@c.test">', "@a.test @b.test @c.test"),
        ('<a href="/a.test"><a href="#b.test"><a data-href="//c.test"><a name="//d.test">', ""),
        ("<!-->a.test --> <!-- b.test --!>c.test", "~a.test ~c.test"),
        ("x<y http://a.test/ 3 > 2", "a.test"),
    ],
)
def test_html_and_what_is_beside_links(text: str, hosts: str) -> None:
    assert found(text, html=True) == hosts


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("EXAMPLE.test.", "example.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("BÜCHER。test", "xn--bcher-kva.test"),
        ("ｅxample．test", "example.test"),
        ("ex\u00adam\u200bple.test", "example.test"),
        ("bu\u0308cher.test", "xn--bcher-kva.test"),
        ("i\u2764\ufe0f.ws", "xn--i-7iq.ws"),
        ("%62%C3%BCcher.test", "xn--bcher-kva.test"),
        ("a_b.example.test", "a_b.example.test"),
        ("x" * 64 + ".a.test", "a.test"),
        ("a.b", "a.b"),
        ("1.2.3.test", "1.2.3.test"),
        ("", None),
        ("a", None),
        ("..", None),
        ("a.\ufffd", None),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1.:80", "192.0.2.1"),
        ("3221225985", "192.0.2.1"),
        ("0xC0000201", "192.0.2.1"),
        ("0300.0.0x2.01", "192.0.2.1"),
        ("192.513", "192.0.2.1"),
        ("%31９2.0.2.1", "192.0.2.1"),
        ("0x.0", "0.0.0.0"),
        ("4294967296", None),
        ("256.1", None),
        ("08.1.1.1", None),
        ("a.1.2.3", None),
        ("1.2.3.4.5", None),
        ("0" * 60 + "1.0.0.1", "1.0.0.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("u@[::ffff:192.0.2.1]", "192.0.2.1"),
        ("[x]", None),
    ],
)
def test_hosts(written: str, host: str | None) -> None:
    read = read_host(written)
    assert (None if read is None else str(read)) == host


def test_each_kind_has_room_of_its_own() -> None:
    bare = " ".join(f"n{number}.test" for number in range(MOST + 500))
    seen = links([Text(bare, html=False), Text("http://a.test", html=False)])
    assert len(seen) == MOST + 1
    assert seen[-1].host == "a.test"


WORST = [
    *("<a>", "<", "<a ", '<a "', "<a \"'", '<a "<a \'" ', "<!--", "<!-", "<style>", "</style"),
    *("<style></style>", "&", "&amp;", "&notit", "&#0", "a", "a.", "a.b ", "a.b,", "@a.b"),
    *("http://", "http://a ", "http://\u0301", "%41", ":", "a: ", '"', '"<', "href=", 'href="'),
    *("href='\"", "<a href=//a.b>", "<a href ", "a=b ", "<a href=\"mailto:'@a,", "\t", "/", "=["),
]


@pytest.mark.parametrize("piece", WORST)
def test_the_work_is_linear(piece: str) -> None:
    with costs_less(_SECONDS):
        for start in ("", "<a href ", "<a href='", "&#", "http://"):
            links([Text(start + piece * (_SIZE // len(piece)), html=True)])
        links([Text(piece * (_SIZE // len(piece)), html=False)])


HOSTS = st.text("a1x08f.%2e:@[]-_~ß\u3002", max_size=40)


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(WORST), max_size=40).map("".join)
    | HOSTS.map("http://{0} <a href='//{0}'>".format)
)
def test_no_text_raises_and_hosts_are_names_or_addresses(text: str) -> None:
    for html in (True, False):
        for link in links([Text(text, html)]):
            if isinstance(link.host, str):
                assert link.host.isascii()
                assert "." in link.host
                assert link.host == link.host.lower()
                assert all(0 < len(label) <= 63 for label in link.host.split("."))
                assert read_host(link.host) == link.host
