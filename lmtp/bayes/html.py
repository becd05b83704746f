"""HTML as what it shows, what it hides, its tags as words, and where it leads.

It is no parser: it goes through the tags once. Comments, and tags that do not begin a new block,
vanish without a blank, as they do on a screen. Text that is not shown (`display:none`, size 0, the
colour of the page) is kept apart. No text raises, and the work is linear in its length.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

_TAG = re.compile(r"<(?:(/?+[a-zA-Z][a-zA-Z0-9:]*+)([^<>]*+)|[!?][^<>]*+)>?+")
_ATTRIBUTE = re.compile(
    r"([a-zA-Z][\w:-]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"?+|'([^']*+)'?+|([^\s\"'>]*+)))?+"
)
_RAW = re.compile(r"(?i)<(script|style)\b")
_RAW_END = {name: re.compile(f"(?i)</{name}[^<>]*+>?+") for name in ("script", "style")}
_REFERENCE = re.compile(
    r"&(?:#[0-9]{1,7}+;?+|#[xX][0-9a-fA-F]{1,6}+;?+|[A-Za-z][A-Za-z0-9]{1,31}+;?+)"
)
_BY_NUMBER = re.compile(r"(?:&#x?[0-9a-fA-F]{2,4};?){4}")
_LETTER = re.compile(r"\w\Z")
_HIDES = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](?:p[xt]|%|em)?\s*(?:;|\Z)"
    r"|max-height\s*:\s*0|opacity\s*:\s*0\s*(?:;|\Z)|mso-hide\s*:\s*all"
)
_COLOUR = re.compile(r"(?:\A|[;\s])color\s*:\s*([#\w]+)")
_BACKGROUND = re.compile(r"background(?:-color)?\s*:\s*([#\w]+)")

_BLOCK = """
    address article aside blockquote body br button caption center dd dir div dl dt fieldset figure
    footer form frame h1 h2 h3 h4 h5 h6 head header hr html iframe img input isindex li link map
    menu meta nav noscript object ol optgroup option p pre section select table tbody td textarea
    tfoot th thead title tr ul
"""
_EMPTY = "area base br col embed hr img input link meta param wbr"
_INLINE = """
    a abbr acronym applet b bdo big cite code del dfn em embed font frameset i ins kbd label layer
    legend marquee nobr o:p q s samp script small span strike strong style sub sup tt u var
"""
_BLOCKS, _VOID = frozenset(_BLOCK.split()), frozenset(_EMPTY.split())
_KNOWN = _BLOCKS | _VOID | frozenset(_INLINE.split())
_LEADING = frozenset({"href", "src", "action", "background"})
_TOLD = frozenset(
    {"color", "bgcolor", "face", "size", "align", "border", "target", "type", "method"}
)
_WHITE = {"#fff": "#ffffff", "white": "#ffffff", "#000": "#000000", "black": "#000000"}


@dataclass(slots=True)
class Page:
    """What a page is made of."""

    shown: str = ""
    hidden: str = ""
    words: dict[str, None] = field(default_factory=dict)
    urls: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str
    ends: bool
    gap: str
    hides: bool = False
    colour: str = ""
    background: str = ""


def read(source: str) -> Page:
    """The page."""
    page = Page()
    if _BY_NUMBER.search(source):
        page.words["html:letters by number"] = None
    text = _without_raw(_without_comments(source, page), page)
    shown: list[str] = []
    hidden: list[str] = []
    seen: dict[str, _Tag] = {}
    inside, depth, at = "", 0, 0
    pages = {"#ffffff"}
    for found in _TAG.finditer(text):
        (hidden if inside else shown).append(text[at : found.start()])
        at = found.end()
        written = found[0]
        tag = seen.get(written)
        if tag is None:
            tag = seen[written] = _tag(found[1] or "", found[2] or "", page)
            if tag.background:
                if tag.name == "body":
                    pages.clear()
                pages.add(tag.background)
        (hidden if inside else shown).append(tag.gap)
        if inside:
            if tag.name == inside:
                depth += -1 if tag.ends else 1
                inside = inside if depth else ""
        elif tag.hides or (tag.colour and pages == {tag.colour}):
            inside, depth = tag.name, 1
    (hidden if inside else shown).append(text[at:])
    page.shown = unescaped("".join(shown))
    page.hidden = unescaped("".join(hidden))
    return page


def unescaped(text: str) -> str:
    """The text with references to characters as those."""
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    return html.unescape(found[0])


def _without_comments(text: str, page: Page) -> str:
    last = text.rfind("-->")
    if last < 0:
        return text
    pieces: list[str] = []
    at = 0
    while 0 <= (start := text.find("<!--", at)) < last:
        end = text.find("-->", start + 2) + 3
        pieces.append(text[at:start])
        if text[start - 1 : start].isalpha() and text[end : end + 1].isalpha():
            page.words["html:comment in word"] = None
        at = end
    if at:
        page.words["html:comment"] = None
    return "".join(pieces) + text[at:]


def _without_raw(text: str, page: Page) -> str:
    pieces: list[str] = []
    at = 0
    while (start := _RAW.search(text, at)) is not None:
        name = start[1].lower()
        page.words[f"html:{name}"] = None
        end = _RAW_END[name].search(text, start.end())
        if end is None:
            break
        pieces.append(text[at : start.start()])
        at = end.end()
    return "".join(pieces) + text[at:]


def _tag(name: str, attributes: str, page: Page) -> _Tag:
    name = name.lower()
    ends = name.startswith("/")
    name = name.lstrip("/")
    gap = " " if name in _BLOCKS else ""
    if ends or not name:
        return _Tag(name, ends, gap)
    page.words[f"html:{name}" if name in _KNOWN else "html:unknown tag"] = None
    if not attributes.strip(" /"):
        return _Tag(name, ends, gap)
    return _with_attributes(name, attributes, gap, page)


def _with_attributes(name: str, attributes: str, gap: str, page: Page) -> _Tag:
    hides, colour, background = False, "", ""
    sizes: list[str] = []
    for found in _ATTRIBUTE.finditer(attributes[:2000]):
        key = found[1].lower()
        value = found[2] or found[3] or found[4] or ""
        if key in _LEADING:
            page.urls[unescaped(value)] = None
            background = "image" if key == "background" else background
            continue
        value = value.strip().lower()
        if key == "style":
            hides = hides or _HIDES.search(value) is not None
            colour = _first(_COLOUR, value) or colour
            background = _first(_BACKGROUND, value) or background
        elif key == "color" or (key == "text" and name == "body"):
            colour = _normal(value)
        elif key == "bgcolor":
            background = _normal(value)
        elif key == "size" and name == "font" and value in {"0", "-7"}:
            hides = True
        elif key in {"width", "height"} and name == "img":
            sizes.append(value)
        if key in _TOLD:
            page.words[f"html:{name}:{key}={value[:20]}"] = None
        else:
            page.words[f"html:{name}:{key[:20]}" if name in _KNOWN else "html:unknown tag"] = None
    if len(sizes) == 2 and set(sizes) <= {"0", "1"}:
        page.words["html:dot"] = None
    if name in _VOID or name == "body":
        hides, colour = False, ""
    if hides:
        page.words["html:hidden"] = None
    return _Tag(name, False, gap, hides, colour, background)


def _first(pattern: re.Pattern[str], style: str) -> str:
    found = pattern.search(style)
    return _normal(found[1]) if found else ""


def _normal(colour: str) -> str:
    return _WHITE.get(colour, colour)
