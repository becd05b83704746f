"""A text in HTML as a real browser shows it: where it stands, and what can be read of it.

What is compared are places and colours, never letters: fonts differ from machine to machine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from iems.edits.html import changes
from iems.edits.place import Place, changed
from iems.edits.text import Block, insert
from tests.golden.structures import html
from tests.integration.stack.browser import Browser
from tests.integration.stack.picture import Picture, contrast

WORDS = "Grüße from Example Ltd."
BAND = (0xFF, 0xE9, 0xA8)
BANNER = f'<p style="background:#ffe9a8;color:#1a1a1a;margin:0;padding:6px">{WORDS}</p>'
READABLE = 4.5
"""Contrast that WCAG 2.2 wants of a text."""

_SCHEMES = (("light", False), ("dark", False), ("dark", True))
_LAYOUT = """(words => {
    const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
    const range = document.createRange(), above = [], below = [];
    let block = null, node;
    while (node = walker.nextNode()) {
        if (node.data.includes(words)) { block = node.parentElement.closest("div"); continue; }
        if (!node.data.trim() || !node.parentElement.checkVisibility()) continue;
        range.selectNodeContents(node);
        for (const one of range.getClientRects())
            if (one.width && one.height) (block ? below : above).push([one.top, one.bottom]);
    }
    if (!block) return null;
    const at = block.getBoundingClientRect();
    const seen = document.elementFromPoint((at.left + at.right) / 2, (at.top + at.bottom) / 2);
    return {left: at.left, top: at.top, right: at.right, bottom: at.bottom, above, below,
            free: block.parentElement === document.body, uncovered: block.contains(seen)};
})"""


@dataclass(frozen=True)
class Layout:
    """Where the block is, and the lines of the message before and behind it in the page."""

    left: float
    top: float
    right: float
    bottom: float
    above: list[tuple[float, float]]
    below: list[tuple[float, float]]
    free: bool
    """Whether it stands in the page itself, so that nothing of another element is its own."""

    uncovered: bool

    def picture(self, browser: Browser) -> Picture:
        """Of the block alone."""
        return browser.picture(self.left, self.top, self.right, self.bottom)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all pages."""
    one = Browser(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


def layout(browser: Browser, words: str = WORDS) -> Layout:
    """Of the page that is shown; AssertionError where the words are not in it."""
    found: dict[str, Any] | None = browser.value(f"{_LAYOUT}({json.dumps(words)})")
    assert found is not None, "the page does not have the words"
    return Layout(**found)


def readable(picture: Picture) -> float:
    """The contrast of its text."""
    colours = picture.colours()
    ((ground, _count),) = colours.most_common(1)
    letters = (colour for colour, count in colours.items() if count > 4)
    return max((contrast(ground, one) for one in letters), default=0.0)


def load(browser: Browser, page: str, block: Block) -> None:
    """A message of this page with the block."""
    data = html(page, "utf-8", "8bit")
    edit = insert(data, block)
    assert edit.splices
    browser.show(edit.of(data).partition(b"\r\n\r\n")[2], "utf-8")


DARK = (
    '<html><head><meta name="color-scheme" content="light dark"><style>'
    "@media (prefers-color-scheme: dark) {"
    " body, div, p, td { background: #111 !important; color: #ddd !important } }"
    "</style></head><body><div>Hello.</div></body></html>"
)
BOTTOM: Mapping[str, str] = {
    "whole": "<!DOCTYPE html><html><head><title>t</title></head><body><p>Hello.</p></body></html>",
    "no body": "Hello.<p>See you.",
    "behind the end": "<html><body><p>Hello.</p></body></html>\n<p>See you.</p>",
    "ends twice": "<html><body>Hello.</body></html><div>List</div></body></html>",
    "comment without end": "<body><p>Hello.</p><!-- see</body></html>",
    "style without end": "<body><p>Hello.</p><style>p { color: red }</body></html>",
    "textarea without end": "<body><p>Hello.</p><textarea></body></html>",
    "table without end": "<body><table border=1><tr><td>Hello.<table><tr><td>See</body></html>",
    "table without cells": "<body><table><tr><td>Hello.<tr></body></html>",
    "hidden div without end": '<body>Hello.<div style="display:none">preview</body></html>',
    "struck out without end": "<body><p><s><font color=white size=7>Hello.</p></body></html>",
    "formatting across": "<body><b><i><u>Hello.</b> See.</body></html>",
    "link without end": "<body>Hello. <a href=https://example.com/>See you.</body></html>",
    "select without end": "<body>Hello. <select><option>one</body></html>",
    "marquee without end": "<body>Hello. <marquee>See</body></html>",
    "dialog without end": "<body>Hello. <dialog>See</body></html>",
    "details without end": "<body>Hello. <details><summary>x</summary><p>See</body></html>",
    "video without end": "<body>Hello. <video width=20 height=20>See</body></html>",
    "drawing without end": '<body>Hello. <svg width=20 height=20><g><path d="M0 0"></body></html>',
    "hidden span in a paragraph": '<body>Hello. <span style="display:none"><p>See</span></body>',
    "what floats": "<body>Hello.<table align=left height=90><td valign=bottom>See</table></body>",
    "quote": "<body>Yes.<blockquote type=cite>May I?</blockquote></body></html>",
    "quote without end": "<body>Yes.<blockquote type=cite>May I?</body></html>",
    "Outlook": "<body>Hello.<!--[if mso]><table><tr><![endif]-->x<!--[if mso]></table><![endif]-->",
    "black page": "<body bgcolor=black><table bgcolor=white><tr><td>Hello.</table></body>",
    "dark style": DARK,
}


@pytest.mark.parametrize("name", BOTTOM)
def test_at_the_bottom(browser: Browser, name: str) -> None:
    load(browser, BOTTOM[name], Block(WORDS, BANNER))
    for scheme, forced in _SCHEMES:
        browser.prefer(scheme, forced=forced)
        seen = layout(browser)
        assert seen.free
        assert seen.uncovered
        assert seen.above
        assert not seen.below
        assert all(bottom <= seen.top + 1 for _top, bottom in seen.above)
        assert readable(seen.picture(browser)) >= READABLE
        if scheme == "light":
            assert browser.picture().rows_of(BAND) == (round(seen.top), round(seen.bottom))


REPLY = (
    "<html><body><div>Yes.</div>"
    '<div class="gmail_quote">On Fri, Bob wrote:<blockquote>May I?</blockquote></div></body></html>'
)


def test_above_the_quote(browser: Browser) -> None:
    load(browser, REPLY, Block(WORDS, BANNER, Place.QUOTE))
    for scheme, forced in _SCHEMES:
        browser.prefer(scheme, forced=forced)
        seen = layout(browser)
        assert seen.free
        assert len(seen.above) == 1
        assert len(seen.below) == 2
        assert all(bottom <= seen.top for _top, bottom in seen.above)
        assert all(top >= seen.bottom for top, _bottom in seen.below)
        assert readable(seen.picture(browser)) >= READABLE


@pytest.mark.parametrize("name", ["whole", "no body", "what floats", "dark style", "black page"])
def test_at_the_top(browser: Browser, name: str) -> None:
    load(browser, BOTTOM[name], Block(WORDS, BANNER, Place.TOP))
    for scheme, forced in _SCHEMES:
        browser.prefer(scheme, forced=forced)
        seen = layout(browser)
        assert seen.free
        assert not seen.above
        assert all(top >= seen.bottom - 1 for top, _bottom in seen.below)
        assert readable(seen.picture(browser)) >= READABLE


@pytest.mark.parametrize("name", ["whole", "struck out without end", "dark style"])
def test_plain_text_as_html_has_the_colours_of_the_page(browser: Browser, name: str) -> None:
    load(browser, BOTTOM[name], Block(WORDS))
    for scheme, forced in _SCHEMES:
        browser.prefer(scheme, forced=forced)
        assert readable(layout(browser).picture(browser)) >= READABLE


def test_dark_is_dark(browser: Browser) -> None:
    """Without which the tests above would say nothing."""
    grounds = []
    for name, scheme, forced in (("whole", *_SCHEMES[2]), ("dark style", *_SCHEMES[1])):
        load(browser, BOTTOM[name], Block(WORDS))
        browser.prefer(scheme, forced=forced)
        ((ground, _count),) = browser.picture().colours().most_common(1)
        grounds.append(contrast(ground, (255, 255, 255)))
    assert min(grounds) > 10


_COMMON = (
    *(
        "div",
        "p",
        "ul",
        "li",
        "ol",
        "dl",
        "dt",
        "dd",
        "h1",
        "center",
        "blockquote",
        "pre",
        "select",
    ),
    *("option", "button", "details", "dialog", "video", "label", "fieldset", "span", "x-y", "img"),
)
_KINDS = (
    (*_COMMON, "a", "b", "i", "s", "u", "font", "object", "marquee"),
    (*_COMMON, *["table><tr><td"] * 5),
)
_PARSED = """JSON.stringify(pages.map(page => {
    const parsed = new DOMParser().parseFromString(page, "text/html");
    const block = [...parsed.querySelectorAll("ins")].pop().parentElement;
    return block.parentElement === parsed.body;
}))"""


def _page(draw: random.Random) -> str:
    """Tags that begin and end as they like."""
    forms, tags = ("<{}>", "<{}>", "</{}>", "<{} title='>'>", "x"), draw.choice(_KINDS)
    some = range(draw.randrange(1, 12))
    return "".join(draw.choice(forms).format(draw.choice(tags)) for _number in some)


def test_nothing_that_is_left_open_holds_it(browser: Browser) -> None:
    """2,000 pages of tags, in the browser's own tree."""
    draw = random.Random(5)
    pages = [_page(draw) for _number in range(2_000)]
    edits = (changes(page, "<ins>x</ins>", Place.BOTTOM, "t", "\n", renew=False) for page in pages)
    edited = [changed(page, edit) for page, edit in zip(pages, edits, strict=True)]
    free = json.loads(browser.value(f"(pages => {_PARSED})({json.dumps(edited)})"))
    assert [page for page, one in zip(edited, free, strict=True) if not one] == []
