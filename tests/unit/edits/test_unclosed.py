"""What HTML has left open; whether a browser agrees is for tests/integration/test_browser.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.edits.unclosed import end_tags
from tests.cost import costs_less


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("<html><body><div><p>x</p></div>", ""),
        ("<p>x<p>y", ""),
        ("<div>x<SPAN>y", "</span></div>"),
        ("<b><i>x</b>", "</i>"),
        ("<div><s>x</div>", "</s>"),
        ("<p><font color=red>x</p>", "</font>"),
        ("<span><p>x", "</p></span>"),
        ("<span><p>x</span>", "</p></span>"),
        ("<p>x<div>y</div>", ""),
        ("<table><tr><td><b>x<td>y", "</table></b>"),
        ("<table><tr><td><div>x</table>", ""),
        ("<div><table><tr><td></div>", "</table></div>"),
        ("<ul><li>x<li>y", "</li></ul>"),
        ("<ul><li>x<ul><li>y</ul>", "</li></ul>"),
        ("<form><form>", "</form>"),
        ("<button><s>x</button>", "</s>"),
        ("<select><option>x", "</option></select>"),
        ("<object><b>x</object>", ""),
        ("<br><img><hr/><o:p></o:p>", ""),
        ("<!-- <s> --><s x='</s>'><script></s></script>", "</s>"),
        ('<p title="<s>"><a href=x?y=z>', "</a>"),
        ("x </s> y < z", ""),
        ("<x\u00c0>", "</x\u00c0>"),
        ("<div " + "x=y " * 200 + "title='</div>'>", "</div>"),
    ],
)
def test_pages(text: str, tags: str) -> None:
    assert end_tags(text) == tags


WORDS = [
    *("<b>", "</b>", "<div>", "</div>", "<p>", "</p>", "<table>", "</table>", "<td>", "<li>"),
    *("<ul>", "</ul>", "<button>", "</button>", "<x>", "</x>", "<form>", "<script>p</script>"),
    *("<!-- <s> -->", "<a b='>'>", "x", "<select>", "</select>", "<!x>", "<object>", "</form>"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_once_they_are_there_nothing_is_open(text: str) -> None:
    assert not end_tags(text + end_tags(text)).replace("</p>", "")


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<b>",
            "<div><b>",
            "<x><p></x>",
            "<table></select>",
            "<li><ul></li>",
            "<!-- -",
            "<script>",
        ),
        *("<a b=c ", '<a ="', "<a b=c'\">", "<?", "<font><table>", "<script></script "),
    ],
)
def test_hostile_pages_take_no_time_and_get_few_end_tags(piece: str) -> None:
    with costs_less(5):  # most take 0.3 s
        assert len(end_tags(piece * (500_000 // len(piece)))) < 20_000
