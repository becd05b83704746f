"""What a text is to the filter, in whatever writing, charset and markup it stands."""

from __future__ import annotations

import pytest

from lmtp.bayes import html
from lmtp.bayes.charsets import RAW, characters
from lmtp.bayes.tokens import tokens
from lmtp.bayes.urls import cut, url
from lmtp.bayes.words import sequence, words

CHINESE, JAPANESE, RUSSIAN = "你好世界,今天天气很好", "こんにちは世界", "Привет, как дела?"

WORDS = {
    "case and punctuation": ("Buy NOW, don't wait!", ["buy", "now", "don't", "wait!"]),
    "prices": ("only $19.95 or 50%", ["only", "$##.##", "or", "##%"]),
    "numbers": ("call 5551234 in 2026, room 7", ["call", "#######", "in", "####", "room", "7"]),
    "very long numbers": ("1234567890123", ["#########"]),
    "letters and digits": ("v1agra mp3 abc123", ["v1agra", "mp3", "abc###"]),
    "too long": ("a" * 25, ["a~20"]),
    "much too long": ("b" * 4000, ["b~100"]),
    "long, of pieces": ("unsubscribe.from.everything.now", ["u~30"]),
    "twice": ("free free FREE", ["free"]),
    "Chinese": ("你好世界", ["你好", "好世", "世界"]),
    "one character": ("我 a", ["a", "我"]),
    "Chinese among others": ("VIP会员 club", ["vip", "club", "会员"]),
    "Japanese": ("コピー品", ["コピ", "ピー", "ー品"]),
    "Thai": ("ไทย", ["ไท", "ทย"]),
    "Cyrillic": ("Купить Дом", ["купить", "дом"]),
    "wide letters": ("ＦＲＥＥ１", ["free1"]),
    "letters that nobody sees": ("V\u200bia\u00adgra", ["viagra"]),
    "nothing": ("", []),
    "no letters": (" -- ... !!", []),
}


@pytest.mark.parametrize("case", WORDS)
def test_words(case: str) -> None:
    text, expected = WORDS[case]
    assert words(text) == expected


def test_a_sequence_has_words_as_often_as_they_stand_there() -> None:
    assert sequence("to be or not to be") == ["to", "be", "or", "not", "to", "be"]


CHARSETS = {
    "named": (RUSSIAN.encode("koi8-r"), "koi8-r", RUSSIAN),
    "Chinese called by a smaller charset": ("镕好".encode("gb18030"), "gb2312", "镕好"),
    "UTF-8 that is not named": (CHINESE.encode(), "", CHINESE),
    "Chinese that is not named": (CHINESE.encode("gb18030"), "", CHINESE),
    "Chinese called Latin": (CHINESE.encode("gb18030"), "iso-8859-1", CHINESE),
    "Chinese called ASCII": (CHINESE.encode("gb18030"), "us-ascii", CHINESE),
    "Chinese among tags": (
        b"<p><font color=red>" + CHINESE.encode("gb18030") + b"</font></p>",
        "",
        f"<p><font color=red>{CHINESE}</font></p>",
    ),
    "UTF-8 called Chinese": ((JAPANESE * 4).encode(), "utf-8", JAPANESE * 4),
    "Japanese": (JAPANESE.encode("iso-2022-jp"), "iso-2022-jp", JAPANESE),
    "Shift_JIS": (JAPANESE.encode("shift_jis"), "Shift_JIS", JAPANESE),
    "Latin that is not named": ("Grüße à Genève".encode("latin-1"), "", "Grüße à Genève"),
    "Latin that is called UTF-8": ("Grüße".encode("latin-1"), "utf-8", "Grüße"),
    "a charset that nobody knows": ("Grüße".encode(), "x-unknown", "Grüße"),
    "UTF-8 that is cut": (CHINESE.encode()[:-1], "", CHINESE[:-1]),
    "UTF-8 with a few broken octets": (
        (CHINESE * 9).encode() + b"\xff",
        "",
        CHINESE * 9 + "\ufffd",
    ),
    "no text": (
        bytes((0xFF, 0x81, 0xFF, 0xFE)) * 9,
        "gb2312",
        "".join(chr(RAW + one) for one in (0xFF, 0x81, 0xFF, 0xFE)) * 9,
    ),
    "half a character": (
        b"+2AA- and more, so that it is read",
        "utf-7",
        "? and more, so that it is read",
    ),
}


@pytest.mark.parametrize("case", CHARSETS)
def test_charsets(case: str) -> None:
    octets, charset, expected = CHARSETS[case]
    assert characters(octets, charset) == expected


def test_octets_that_are_no_text_are_learned_in_pairs() -> None:
    found = words(characters(bytes((0xFF, 0x81, 0xFF)) * 9, ""))
    assert found == [
        "".join(map(chr, (RAW + 0xFF, RAW + 0x81))),
        "".join(map(chr, (RAW + 0x81, RAW + 0xFF))),
        "".join(map(chr, (RAW + 0xFF, RAW + 0xFF))),
    ]


PAGES = {
    "tags in a word": ("V<b>ia</b>g<x17>ra", "Viagra", ""),
    "a comment in a word": ("V<!-- what > ever -->iagra", "Viagra", ""),
    "a comment without an end": ("one <!-- two", "one ", ""),
    "blocks": ("<p>one<br>two<td>three</p>", " one two three ", ""),
    "references": (
        "caf&eacute; &amp; &#86;&#x69;agra&nbsp;&bogus;",
        "café & Viagra\xa0&bogus;",
        "",
    ),
    "a reference with many digits": (
        "&#" + "9" * 9000 + ";",
        "\ufffd" + "9" * 8993 + ";",
        "",
    ),
    "scripts and styles": (
        "one<style>p {x:y}</style><SCRIPT>if (a<b) c()</SCRIPT >two",
        "onetwo",
        "",
    ),
    "a script without an end": ("one<script>two", "onetwo", ""),
    "an angle": ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2", ""),
    "a tag without an end": ("one<a href=x two", "one", ""),
    "display": ('a<div style="display : none">b<div>c</div>d</div>e', "a e", "b c d "),
    "size": ('a<span style="font-size:0px; x:y">b</span>c', "ac", "b"),
    "a size that can be read": ('<span style="font-size:10px">b</span>', "b", ""),
    "a font of no size": ("a<font size=0>b</font>c", "ac", "b"),
    "white on white": ('a<font color="#FFFFFF">b</font>c', "ac", "b"),
    "white by other names": ('<body bgcolor=white>a<font color="#FFF">b</font>c', " ac", "b"),
    "the colour of the page": (
        '<body bgcolor="#00FF00">a<font color=#00ff00>b</font>c',
        " ac",
        "b",
    ),
    "white on a picture": ('<td background="x.gif"><font color=white>b</font>', " b", ""),
    "white on another colour": ('<td bgcolor=blue><font color="#ffffff">b</font>', " b", ""),
    "hidden up to the end": ('a<p style="display:none">b', "a ", "b"),
    "a picture that is hidden hides nothing": ('a<img style="display:none">b', "a b", ""),
}


@pytest.mark.parametrize("case", PAGES)
def test_pages(case: str) -> None:
    source, shown, hidden = PAGES[case]
    page = html.read(source)
    assert (page.shown, page.hidden.replace("  ", " ")) == (shown, hidden)


TAGS = {
    "names": ("<TABLE><tr></tr><x>", {"html:table", "html:tr", "html:unknown tag"}),
    "attributes": (
        '<font COLOR=Red face="Arial" onclick="x()">',
        {"html:font:color=red", "html:font:face=arial", "html:font:onclick"},
    ),
    "a dot that tells that it was looked at": (
        '<img src="http://a.test/x" width=1 height="1">',
        {"html:dot"},
    ),
    "hidden": ('<p style="visibility:hidden">', {"html:hidden"}),
    "letters by number": ("&#86;&#105;&#97;&#103;", {"html:letters by number"}),
    "a script": ("<script>x</script>", {"html:script"}),
}


@pytest.mark.parametrize("case", TAGS)
def test_tags(case: str) -> None:
    source, expected = TAGS[case]
    assert expected <= set(html.read(source).words)


def test_hidden_words_are_told_apart() -> None:
    page = b'Content-Type: text/html\r\n\r\nbuy<div style="display:none">meeting agenda</div>'
    found = tokens(page).words
    assert {"buy", "hidden:meeting", "hidden:agenda"} <= set(found)
    assert "meeting" not in found


URLS = {
    "a host and all it belongs to": (
        "http://www.shop.example.co.uk/",
        {
            *("url:www.shop.example.co.uk", "url:shop.example.co.uk", "url:example.co.uk"),
            *("url:co.uk", "url:.uk"),
        },
    ),
    "a path and a query": (
        "https://a.test/cgi-bin/buy-now.php?id=12345&ref=x#top",
        {
            *("url:https://", "url:/cgi", "url:/bin", "url:/buy", "url:/now", "url:/php"),
            *("url:?id", "url:?ref"),
        },
    ),
    "an address": ("http://192.0.2.7/x", {"url:address", "url:192.0.2", "url:192.0"}),
    "one number": ("http://3221225991/", {"url:address"}),
    "a user name before it": (
        "http://www.bank.test@evil.test:8080/",
        {"url:user@", "url:evil.test", "url::8080"},
    ),
    "punycode": ("http://xn--bcher-kva.test/", {"url:punycode"}),
    "letters of other scripts": ("http://bücher.test/", {"url:punycode", "url:bücher.test"}),
    "without a scheme": ("www.evil.test/x", {"url:www.evil.test", "url:evil.test", "url:/x"}),
    "mail": ("mailto:Bob@Sender.test?subject=x", {"mailto:bob@sender.test", "mailto:@sender.test"}),
    "a part of the message": ("cid:123", {"url:cid:"}),
    "a name": ("logo.gif", {"url:relative"}),
    "capitals and blanks": (" HTTP://Evil.TEST ", {"url:evil.test"}),
    "a long piece": ("http://a.test/" + "x" * 50, {"url:/x~50"}),
    "nothing": ("", {"url:relative"}),
    "no host": ("http://", {"url:."}),
}


@pytest.mark.parametrize("case", URLS)
def test_urls(case: str) -> None:
    address, expected = URLS[case]
    assert expected <= set(url(address))


def test_a_user_name_is_no_host() -> None:
    assert not {one for one in url("http://www.bank.test@evil.test/") if "bank" in one}


def test_addresses_are_taken_out_of_a_text() -> None:
    text, found = cut("See http://a.test/x, www.b.test or HTTP://C.test/. Bye")
    assert text.split() == ["See", "or", "Bye"]
    assert found == ["http://a.test/x,", "www.b.test", "HTTP://C.test/."]
    assert {"url:a.test", "url:/x"} <= set(url(found[0]))
