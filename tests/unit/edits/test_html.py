"""Where a text goes in HTML, beside a reader of tags that goes letter by letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.edits.html import changes, escaped
from iems.edits.place import Place, changed

_RAW = {"iframe", "noembed", "noframes", "script", "style", "template", "textarea", "title", "xmp"}


def put(text: str, place: Place = Place.BOTTOM) -> str:
    """The text with `@` put in, without what marks it."""
    after = changed(text, changes(text, "@", place, "text", "\n", renew=False))
    first = '<!-- iems-text text --><div style="clear:both">'
    after = after.replace(first if place is Place.TOP else f"\n{first}", "")
    return after.replace("</div><!-- /iems-text text -->\n", "")


@pytest.mark.parametrize(
    "page",
    [
        "<p>x</p>@</body></html>",
        "<p>x</p>@",
        "x@</BODY ></HTML\n>\n",
        "x@</body x='>'></html>",
        "x@</html></body>\n<!-- y -->\n</html>",
        "x</body>y@",
        "x</body>y<!-- z -->@",
        "x</body>y@</body>",
        "x</body><p>y</p>@</body>",
        "<!-- </body> -->x@</body>",
        "<!--></body><!-- -->x@",
        "<!---></body>x@",
        "<!-- --!>x@</body>",
        "<!doctype </body>x@</body>",
        "<?</body>x@</body>",
        "</ </body>x@</body>",
        "</>x@</body>",
        '<p title="</body>">x@</body>',
        "<p title='</body>'>x@</body>",
        "<p title=</body>x@</body>",
        "<p ='</body>x'>@",
        "<p a=b'</body>x'>@",
        "<script></body></script >x@</body>",
        "<SCRIPT></scripty></body></SCRIPT>x@",
        "<textarea><!-- </textarea>x@</body>",
        "x < y@</body>",
        "x@<!-- </body>",
        "x@<p title='</body>",
        "x@<script></body>",
        "x@<plaintext></body>",
        "x@</body><!--",
        "x@</",
        "x<@",
        "</bodyx>@</body>",
    ],
)
def test_the_bottom(page: str) -> None:
    assert put(page.replace("@", "")) == page


@pytest.mark.parametrize(
    "page",
    [
        "<body>@x",
        "<html><head></head><BODY title='>'>@x",
        "<!-- <body> --><body>@x",
        "<title><body></title>@x<body>",
        "<style>p{}</style>\n@<p>x",
        "<!DOCTYPE html>\n<meta name=x>\n@x",
        "@x<body>y",
        "@<!-- x",
        "@",
    ],
)
def test_the_top(page: str) -> None:
    assert put(page.replace("@", ""), Place.TOP) == page


@pytest.mark.parametrize(
    "page",
    [
        "x@<blockquote type=cite>y</blockquote></body>",
        '<p>x</p>@<DIV id="m_1x_divRplyFwdMsg">y</div>',
        "x@<div class='a x_gmail_quote'>y<blockquote type='cite'>",
        "x<blockquote>y</blockquote>@</body>",
        "x<p class=gmail_quote>@</body>",
        "x<!-- <blockquote type=cite> -->@",
    ],
)
def test_above_the_quote(page: str) -> None:
    assert put(page.replace("@", ""), Place.QUOTE) == page


def test_plain_text_keeps_lines_and_blanks() -> None:
    assert escaped(' a  b\n<c> & "d"') == "&nbsp;a&nbsp; b<br>\n&lt;c&gt; &amp; &quot;d&quot;"


PIECES = [
    *(
        "</body>",
        "</html>",
        "<body>",
        "<p>",
        "x",
        " ",
        "\n",
        "<!--",
        "-->",
        "<!-->",
        "--!>",
        "<!x>",
    ),
    *(
        "<script>",
        "</script>",
        "</script",
        "<title>",
        "</title>",
        ">",
        "<",
        "</",
        "/",
        "=",
        '"',
        "'",
    ),
    *("<a b=", "<a b='", '<a b="', "<a ", "<?", "&lt;", "</p", "a=b", "<plaintext>"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_it_is_where_a_reader_letter_by_letter_puts_it(text: str) -> None:
    found = changes(text, "@", Place.BOTTOM, "text", "\n", renew=False)
    assert [change.start for change in found] == [_Reader(text).bottom()]


class _Reader:
    """The states of the HTML standard (13.2.5) that decide where tags and comments are."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._place: int | None = None

    def bottom(self) -> int:
        """Where the text goes."""
        while self._at < len(self._text):
            start = self._at
            ended = self._one()
            if not ended:
                return start if self._place is None else self._place
        return len(self._text) if self._place is None else self._place

    def _one(self) -> bool:
        """One letter, comment or tag; whether it has an end."""
        text, at = self._text, self._at
        if (
            text[at] != "<"
            or at + 1 == len(text)
            or not (text[at + 1].isalpha() or text[at + 1] in "!/?")
        ):
            if not text[at].isspace():
                self._place = None
            self._at += 1
            return True
        if text.startswith("<!--", at):
            return self._comment()
        after = text[at + 2 : at + 3] if text[at + 1] == "/" else text[at + 1]
        if not after.isalpha():
            return self._up_to(">", at + 1)
        name = self._tag(at)
        if name is None or name == "plaintext":
            return False
        if name in {"/body", "/html"}:
            self._place = at if self._place is None else self._place
            return True
        ended = name not in _RAW or self._raw(name)
        self._place = None if ended else self._place
        return ended

    def _comment(self) -> bool:
        at = self._at + 4
        for empty in (">", "->"):
            if self._text.startswith(empty, at):
                self._at = at + len(empty)
                return True
        while at < len(self._text):
            for end in ("-->", "--!>"):
                if self._text.startswith(end, at):
                    self._at = at + len(end)
                    return True
            at += 1
        return False

    def _up_to(self, letter: str, at: int) -> bool:
        found = self._text.find(letter, at)
        self._at = found + 1
        return found >= 0

    def _raw(self, name: str) -> bool:
        at = self._at
        while at < len(self._text):
            rest = self._text[at : at + len(name) + 3].lower()
            if rest.startswith(f"</{name}") and rest[len(name) + 2 :] and rest[-1] in " \n/>":
                return self._tag(at) is not None
            at += 1
        return False

    def _tag(self, at: int) -> str | None:
        """The name of a tag; None where it has no end."""
        state, name, at = "name", "", at + 1
        while at < len(self._text):
            letter = self._text[at]
            blank = letter in " \n"
            if letter == ">" and state not in {"double", "single"}:
                self._at = at + 1
                return name.lower()
            if state == "name":
                if blank or (letter == "/" and name):
                    state = "before"
                else:
                    name += letter
            elif state == "before":
                state = "before" if blank or letter == "/" else "attribute"
            elif state == "attribute":
                state = {"=": "value", "/": "before"}.get(letter, "after" if blank else state)
            elif state == "after":
                state = {"=": "value", "/": "before"}.get(letter, state if blank else "attribute")
            elif state == "value":
                state = {'"': "double", "'": "single"}.get(letter, state if blank else "bare")
            elif state == "bare":
                state = "before" if blank else state
            elif letter == {"double": '"', "single": "'"}[state]:
                state = "before"
            at += 1
        return None
